"""Looking for better settings: the space, the study that walks through it, its ranking, and the edit that
writes a winner down. Knows no rows: what a trial is worth is told from outside.
"""
