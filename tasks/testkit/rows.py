"""The contracts of a loader, of a cleaning operation and of an extra step, as tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from tasks import store
from tasks.cleaning import content, own
from tasks.dataset import Dataset
from tasks.errors import ModelyardError
from tasks.own.contracts import Context
from tasks.sources.own import examples

SOME = 24
"""Rows that are cleaned alone, too."""


def check_loader(
    loader: Callable[..., Any], project: Path, target: str | None = None, **options: Any
) -> None:
    """Calls a loader twice.

    Args:
        loader: Takes the project's folder and the options.
        project: A folder that holds what it reads.
        target: Column that has to be there.
        options: What the settings would give it.

    Raises:
        AssertionError: Says which sentence of the contract does not hold.
    """
    with _told():
        first, second = (examples(loader(project, **options), _name(loader)) for _ in range(2))
    assert content.digest(first) == content.digest(second), (
        "a loader answers the same whenever nothing changed, but two calls differ"
    )
    assert target is None or target in first.rows.columns, f"the target {target!r} is among its columns"
    with TemporaryDirectory() as place:
        first.save(Path(place))
        stored = Dataset.load(Path(place))
    assert content.digest(stored) == content.digest(first), "its columns can be stored in a Parquet file"


def check_operation(operation: Callable[..., Any], rows: pd.DataFrame, **options: Any) -> None:
    """Cleans rows together, alone, in another order, and none.

    Args:
        operation: Takes rows and the options.
        rows: Rows without the target, as the operation would see them.
        options: What the settings would give it.

    Raises:
        AssertionError: Says which sentence of the contract does not hold.
    """
    name = _name(operation)

    def cleaned(given: pd.DataFrame) -> pd.DataFrame:
        with _told():
            return own.checked(operation(given.copy(), **options), given, name, "operation", ())

    together = cleaned(rows)
    _same(together, cleaned(rows), "the same rows give the same answer")
    for position in range(min(SOME, len(rows))):
        one = rows.iloc[[position]]
        _same(together.iloc[[position]], cleaned(one), "a row becomes alone what it becomes among others")
    _same(together.iloc[::-1], cleaned(rows.iloc[::-1]), "the order of rows does not matter")
    none = cleaned(rows.iloc[:0])
    assert list(none.columns) == list(together.columns), "of no row at all it makes the same columns"


def check_step(step: Callable[..., Any], context: Context, **options: Any) -> dict[str, Any]:
    """Runs an extra step on made records, see `tiny_context`; answers its facts.

    Args:
        step: Takes the context and the options.
        context: What it is told.
        options: What the settings would give it.

    Raises:
        AssertionError: Says which sentence of the contract does not hold.
        DataRejected: The step refuses.
    """
    from tasks.extra import facts_of  # noqa: PLC0415 - Prefect, which no other test needs

    told = step(context, **options)
    for stage, record in context.records.items():
        assert store.recall(record.folder, type(record)) is not None, (
            f"a step changes nothing, but what {stage} had left is not the same: what is changed outside the "
            "model is not changed where it predicts"
        )
    with _told():
        return dict(facts_of(_name(step), told))


def _same(one: pd.DataFrame, other: pd.DataFrame, sentence: str) -> None:
    assert list(one.columns) == list(other.columns), f"{sentence}, but the columns differ"
    for name in one.columns:
        left, right = one[name], other[name]
        if pd.api.types.is_numeric_dtype(left.dtype) and pd.api.types.is_numeric_dtype(right.dtype):
            ours, theirs = (x.to_numpy(dtype=np.float64, na_value=np.nan) for x in (left, right))
            alike = bool(np.allclose(ours, theirs, rtol=1e-6, equal_nan=True))
        else:
            alike = content.texts(left) == content.texts(right)
        assert alike, f"{sentence}, but {name!r} of row {one.index[0]} does not"


def _name(part: Any) -> str:
    return getattr(part, "__name__", type(part).__name__)


@contextmanager
def _told() -> Iterator[None]:
    """An error of ours about a part, as a test says it."""
    try:
        yield
    except ModelyardError as error:
        raise AssertionError(str(error)) from error
