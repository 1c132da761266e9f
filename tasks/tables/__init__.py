"""Tables beyond memory: read by row groups, one batch at a time, to the end and never as a whole.

A step's folder then holds a `Stream` (`stream.json`) beside `rows.parquet`, a sample of the rows under their
own ids, chosen by a hash of the id. What needs all rows goes by the stream: checks, counts, cleaning,
duplicates, the split, what the encoder learns, training. What can't be done piece by piece goes by the
sample, and a warning of the record says so. Whoever loads the rows of such a folder loads the sample.

`rowgroups` reads, `stream` keeps, `validating`, `cleaning`, `learning` and `feeding` are what the
steps do with it.
"""

from tasks.tables.table import Table, load

__all__ = ["Table", "load"]
