"""Memory that a pass over a table leaves behind unused, given back to the machine."""

from __future__ import annotations

import ctypes
import gc
import sys

import pyarrow as pa


def give_back() -> None:
    """Lets go of what nobody uses any more; of no consequence but for what this process seems to hold.

    A thousand pieces leave free memory between what stays, which the allocators keep for themselves: half a
    gigabyte after 100 million rows, to which the next step would add its own.
    """
    gc.collect()
    pa.default_memory_pool().release_unused()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of the GNU library alone
        if trim is not None:
            trim(0)
