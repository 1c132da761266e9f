"""Importing much at once, without what that wakes up."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """Within this block the garbage collector rests, and never looks at what was made in it.

    An import makes modules, classes and functions, a million of them where a training needs all of its
    libraries, and nearly no garbage; looking for it again and again takes a quarter of the seconds.
    """
    if not gc.isenabled():  # somebody outside of us decided so, or a block around this one
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
