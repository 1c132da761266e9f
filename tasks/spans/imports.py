"""Measuring a block, the imports of heavy libraries in it included."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from tasks.spans.ledger import Ledger, kept, span

LIBRARIES = frozenset(
    {
        "great_expectations",
        "matplotlib",
        "mlflow",
        "pandas",
        "prefect",
        "pyarrow",
        "scipy",
        "sklearn",
        "torch",
    }
)
"""Libraries whose imports are told apart; each is charged for its own modules alone."""


@contextmanager
def measuring() -> Iterator[Ledger]:
    """Measures the block in this thread.

    Python tells nobody of an import, so its `__import__` is replaced meanwhile: by one that opens a span
    where a module of a heavy library is asked for that is not loaded yet.
    """
    ledger, plain = Ledger(), builtins.__import__
    builtins.__import__ = partial(_timed, plain)
    try:
        with kept(ledger):
            yield ledger
    finally:
        builtins.__import__ = plain


def _timed(plain: Any, name: str, *words: Any, **named: Any) -> Any:
    library = name.partition(".")[0]
    if library not in LIBRARIES or name in sys.modules:
        return plain(name, *words, **named)
    with span(f"import {library}"):
        return plain(name, *words, **named)
