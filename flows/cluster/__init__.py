"""More workers than this process: those that the root's settings name prepare a table in pieces.

What they compute is the same to the last bit wherever they run (`tasks.tables.mapping`), so no setting of
a project speaks of them, and no key of a step knows them.
"""
