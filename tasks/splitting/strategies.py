"""Which row goes to train, validation or test: one pure function a strategy.

Each takes rows and shares and answers codes (n,) into `PARTS`. Randomness comes from the seed alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.cleaning.content import row_texts, texts
from tasks.cleaning.reading import read_numbers
from tasks.config import Task
from tasks.errors import ConfigError, DataRejected, quoted
from tasks.splitting.parts import PARTS, TEST, TRAIN, VALIDATION

BINS = 10
"""Quantile bins of a regression target that `stratified` keeps in proportion."""

SHUFFLES = 32
"""Orders of groups that are tried; the one whose parts come nearest to their shares is taken."""


@dataclass(frozen=True)
class Deal:
    """What a strategy may look at besides the rows.

    Attributes:
        validation: Share of the rows that validation gets.
        test: Share of the rows that test gets; 0 where the test rows are given.
        column: The group, the time or the key, where the strategy goes by one.
        content: Columns that make two examples the same to a model.
    """

    validation: float
    test: float
    target: str
    kind: Task
    seed: int
    column: str | None
    content: tuple[str, ...]

    def sizes(self, count: int) -> tuple[int, int]:
        """Rows of validation and of test among `count`, halves rounded up."""
        return math.floor(count * self.validation + 0.5), math.floor(count * self.test + 0.5)


def _complete(rows: pd.DataFrame, how: Deal) -> pd.Series:
    """The column that the strategy goes by, no cell of it missing."""
    assert how.column is not None, "the schema asks for a column here"
    column = rows[how.column]
    if gaps := int(column.isna().sum()):
        raise DataRejected(
            f"split.column: {quoted(how.column)} has no value in {gaps} of {len(rows)} rows",
            fix="fill them, or quarantine those rows by an expectation of the suite",
        )
    return column


# --- random and stratified ----------------------------------------------------------------------------


def _random(rows: pd.DataFrame, how: Deal) -> np.ndarray:
    order = np.random.default_rng(how.seed).permutation(len(rows))
    validation, test = how.sizes(len(rows))
    codes = np.full(len(rows), TRAIN)
    codes[order[:test]] = TEST
    codes[order[test : test + validation]] = VALIDATION
    return codes


def _stratified(rows: pd.DataFrame, how: Deal) -> np.ndarray:
    strata = _strata(rows, how)
    alone = int((np.bincount(strata) == 1).sum())
    if alone and how.kind == "classification":
        classes = len(np.unique(strata))
        raise DataRejected(
            f"split: {alone} of {classes} classes of {quoted(how.target)} have one row only; "
            "stratified needs at least two of each",
            fix="drop or merge them, or use split.strategy: random",
        )
    return _spread(strata, how)


def _strata(rows: pd.DataFrame, how: Deal) -> np.ndarray:
    """The class of each row (n,), or the bin of a number among all, as codes from 0."""
    if how.kind == "classification":
        return pd.factorize(pd.Series(texts(rows[how.target]), dtype="str"), sort=True)[0]
    numbers, _ = read_numbers(rows[how.target])
    ranks = np.argsort(np.argsort(numbers, kind="stable"), kind="stable")
    bins = max(1, min(BINS, len(rows) // BINS))
    return np.asarray(ranks * bins // max(1, len(rows)))


def _spread(strata: np.ndarray, how: Deal) -> np.ndarray:
    """Deals each stratum in proportion: evenly spaced picks from rows sorted by it (systematic sampling).

    Totals are exact and every stratum's share is met to within one row. The first row of each stays
    in train, so that no class is met in validation or test alone.
    """
    rng = np.random.default_rng(how.seed)
    order = rng.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    first = np.diff(strata[order], prepend=-1) != 0
    candidates = order[~first]
    validation, test = how.sizes(len(strata))
    codes = np.full(len(strata), TRAIN)
    for part, wanted in ((TEST, test), (VALIDATION, validation)):
        picked = _evenly(len(candidates), wanted)
        codes[candidates[picked]] = part
        candidates = candidates[~picked]
    return codes


def _evenly(count: int, wanted: int) -> np.ndarray:
    """(count,) bool with `wanted` of them true, evenly spaced."""
    steps = np.arange(count + 1) * min(wanted, count) + count // 2
    return np.diff(steps // max(1, count)) > 0


# --- group, time, key -----------------------------------------------------------------------------------


def _group(rows: pd.DataFrame, how: Deal) -> np.ndarray:
    """Whole groups in random order until a part is full; the best of several orders is taken."""
    names, _ = pd.factorize(pd.Series(texts(_complete(rows, how)), dtype="str"), sort=True)
    sizes = np.bincount(names)
    wanted = np.array([0, *how.sizes(len(rows))])
    wanted[TRAIN] = len(rows) - wanted.sum()

    def distance(parts: np.ndarray) -> float:
        counts = np.bincount(parts, weights=sizes, minlength=len(PARTS))
        # An empty part is worse than any distance; if it is the best there is, `deal` refuses it.
        return float(np.abs(counts - wanted).sum() + 2 * len(rows) * ((counts == 0) & (wanted > 0)).sum())

    return np.asarray(min(_group_deals(sizes, wanted, how.seed), key=distance)[names])


def _group_deals(sizes: np.ndarray, wanted: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Ways to deal groups of `sizes` (g,), each as parts (g,): by random orders, and a last resort."""
    rng = np.random.default_rng(seed)
    for _ in range(SHUFFLES):
        order = rng.permutation(len(sizes))
        middles = np.cumsum(sizes[order]) - sizes[order] / 2
        parts = np.full(len(sizes), TRAIN)
        parts[order[middles < wanted[TEST] + wanted[VALIDATION]]] = VALIDATION
        parts[order[middles < wanted[TEST]]] = TEST
        yield parts
    # One giant among few groups: the smallest keep validation and test from being empty.
    parts = np.full(len(sizes), TRAIN)
    smallest = np.argsort(sizes, kind="stable")
    parts[smallest[:1]] = VALIDATION
    parts[smallest[1:2]] = TEST if wanted[TEST] else TRAIN
    yield parts


def _time(rows: pd.DataFrame, how: Deal) -> np.ndarray:
    """Oldest to train, then validation, newest to test; rows of one time stay together."""
    column = _complete(rows, how)
    if not (pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_numeric_dtype(column)):
        raise ConfigError(
            f"split.column: {quoted(str(how.column))} holds {column.dtype}, not times",
            fix=f"put {{types: {{{how.column}: date}}}} into clean",
        )
    moments, times = pd.factorize(column, sort=True)
    starts = np.cumsum(np.bincount(moments, minlength=len(times)))[:-1]  # rows before each later time
    validation, test = how.sizes(len(rows))
    cuts = 2 if how.test else 1
    if len(starts) < cuts:
        raise DataRejected(
            f"split.column: {quoted(str(how.column))} holds {len(times)} distinct times in {len(rows)} rows, "
            f"and {cuts + 1} parts need as many",
            fix="use a finer time, or another split.strategy",
        )
    end_of_train = _nearest(starts[: len(starts) - cuts + 1], len(rows) - validation - test)
    codes = np.where(moments <= end_of_train, TRAIN, VALIDATION)
    if how.test:
        later = end_of_train + 1
        end_of_validation = later + _nearest(starts[later:], len(rows) - test)
        codes[moments > end_of_validation] = TEST
    return codes


def _nearest(values: np.ndarray, wanted: int) -> int:
    return int(np.abs(values - wanted).argmin())


def _key(rows: pd.DataFrame, how: Deal) -> np.ndarray:
    """A hash of the key, or of what the row holds, decides: other rows have no say."""
    keys = row_texts(rows, [str(_complete(rows, how).name)] if how.column else list(how.content))
    at = np.array([_uniform(how.seed, key) for key in keys])
    return np.select([at < how.test, at < how.test + how.validation], [TEST, VALIDATION], TRAIN)


def _uniform(seed: int, key: str) -> float:
    """A number in [0, 1) from the first 53 bits of a hash; the same on every machine."""
    hashed = hashlib.blake2b(f"{seed}\x1f{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(hashed, "big") >> 11) / 2**53


# --- column ---------------------------------------------------------------------------------------------


def _column(rows: pd.DataFrame, how: Deal) -> np.ndarray:
    """The parts that a column names; validation is carved from train where no row names it."""
    assert how.column is not None, "the schema asks for a column here"
    words = pd.Series(texts(rows[how.column]), dtype="str").str.lower()
    named = {part: int((words == part).sum()) for part in PARTS}
    if others := len(rows) - sum(named.values()):
        gaps = int(words.isna().sum())
        shown = ", ".join(f"{part} {count}" for part, count in named.items())
        raise DataRejected(
            f"split.column: {quoted(how.column)} names no part in {others} of {len(rows)} rows "
            f"({gaps} empty, {others - gaps} other words; {shown})",
            fix="every row must say train, validation or test",
        )
    codes = np.select([words == "test", words == "validation"], [TEST, VALIDATION], TRAIN)
    if not named["validation"]:
        train = codes == TRAIN
        only = Deal(how.validation, 0.0, how.target, how.kind, how.seed, None, how.content)
        carve = _random if how.kind == "regression" else _carve_classes
        codes[train] = carve(rows[train], only)
    return codes


def _carve_classes(rows: pd.DataFrame, how: Deal) -> np.ndarray:
    return _spread(_strata(rows, how), how)


STRATEGIES: dict[str, Callable[[pd.DataFrame, Deal], np.ndarray]] = {
    "random": _random,
    "stratified": _stratified,
    "group": _group,
    "time": _time,
    "key": _key,
    "column": _column,
}
"""Name to function: rows (n, columns) and a `Deal` to codes (n,) into `PARTS`."""
