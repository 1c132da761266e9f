"""What the test rows must not tell: the same example in two parts, or a column that is the answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from tasks.cleaning.content import texts
from tasks.cleaning.reading import read_numbers
from tasks.config import Task
from tasks.errors import quoted
from tasks.splitting.pairs import Leak, across, listed
from tasks.splitting.parts import PARTS

SUSPICIOUS = 0.98
"""Balanced accuracy, or R2 of ranks, from which one feature alone predicts the target too well."""

PROBE_ROWS = 5_000
"""Most rows of a part that the probe looks at; 73 features then take well under a second."""

PROBE_LEAVES = 64
"""A tree with so many leaves follows a copy of a skewed target, and cannot learn rows by heart."""

PROBE_LEAST = 10
"""Fewer validation rows than this are predicted by luck too often to warn."""

DEALS = 3
"""Ways to halve the rows in all of which a feature has to give the answer away."""


def prove(parts: pd.Series, rows: pd.DataFrame) -> None:
    """Asserts that every row is in exactly one part, and that no part is empty."""
    assert parts.index.is_unique and parts.index.equals(rows.index), "a row is in no part, or in two"
    assert set(parts) == set(PARTS), "a part is unknown, or empty"


def straddling(rows: pd.DataFrame, parts: pd.Series, columns: Sequence[str]) -> pd.DataFrame:
    """Rows that equal, in `columns` (gaps included), a row of another part.

    Args:
        rows: Cleaned rows.
        parts: Part of each, in the same order.
        columns: What is compared.

    Returns:
        Columns `example` (equal rows share a number) and `part`, by row id, example after example.
    """
    if not columns:
        return pd.DataFrame({"example": [], "part": []}, index=rows.index[:0])
    twice = rows.duplicated(subset=list(columns), keep=False).to_numpy()
    some = rows.loc[twice, list(columns)]
    example = some.groupby(list(columns), dropna=False, sort=False, observed=True).ngroup()
    found = pd.DataFrame({"example": example, "part": parts[twice].to_numpy()}, index=some.index)
    found = found[found.groupby("example")["part"].transform("nunique") > 1]
    return found.sort_values("example", kind="stable")


def copies(
    rows: pd.DataFrame, parts: pd.Series, columns: Sequence[str], files: pd.Series | None = None
) -> Leak | None:
    """What is said when an example, target included, stands in two parts; of pictures by their `files`."""
    what = "examples stand in more than one part, features and target alike"
    return _shared("copies", what, "keep each in one part only", straddling(rows, parts, columns), files)


def groups(rows: pd.DataFrame, parts: pd.Series, column: str, files: pd.Series | None = None) -> Leak | None:
    """What is said when a value of a column, gaps aside, stands in two parts."""
    there = rows[column].notna().to_numpy()
    what = f"values of {quoted(column)}, which split.disjoint_by keeps in one part each, stand in several"
    fix = f"split by it: split.strategy: group, split.column: {column}"
    return _shared("groups", what, fix, straddling(rows[there], parts[there], [column]), files)


def _shared(kind: str, what: str, fix: str, found: pd.DataFrame, files: pd.Series | None) -> Leak | None:
    """The leak of rows that straddle; None where there are none."""
    if found.empty:
        return None
    pairs, count = across(found, files), found["example"].nunique()
    told = f"{count} {what} ({len(found)} rows): {listed(pairs, count)}"
    return Leak(kind, told, fix, tuple(pairs))


def twins(rows: pd.DataFrame, parts: pd.Series, features: Sequence[str]) -> list[str]:
    """A warning when rows of two parts have the same features, whatever their target says."""
    found = straddling(rows, parts, features)
    if found.empty:
        return []
    return [
        f"{len(found)} rows have the same features as a row of another part, under another target "
        "or another value of a column that is no feature"
    ]


def giveaways(
    rows: pd.DataFrame, parts: pd.Series, features: Sequence[str], target: str, kind: Task
) -> list[Leak]:
    """A leak for each telltale feature that stays one however train and validation rows are halved.

    One lucky deal of some dozens of validation rows (iris) is no ground to refuse a split.
    """
    found = scores(rows, parts, features, target, kind)
    suspected = [name for name, score in found.items() if score >= SUSPICIOUS]
    sure = surely(rows[(parts != "test").to_numpy()], suspected, target, kind)
    fix = "or in split.allow_leaky if it may be known before"
    return [Leak("telltale", _told(name, found[name], kind), fix) for name in sure]


def surely(rows: pd.DataFrame, features: Sequence[str], target: str, kind: Task) -> dict[str, float]:
    """Those of the features that give the answer away however the rows are halved, with their last scores."""
    found = dict.fromkeys(features, 1.0)
    for deal in range(DEALS if found else 0):
        codes = np.random.default_rng(deal).permutation(len(rows)) % 2
        halves = pd.Series(np.where(codes == 0, "train", "validation"), index=rows.index)
        scored = scores(rows, halves, list(found), target, kind)
        found = {name: score for name, score in scored.items() if score >= SUSPICIOUS}
    return found


def _told(name: str, score: float, kind: Task) -> str:
    measure = "balanced accuracy" if kind == "classification" else "R2 of ranks"
    return (
        f"the column {quoted(name)} alone predicts the target ({measure} {score:.3f} on "
        "validation rows): if it is known only once the answer is, name it in columns.drop"
    )


def scores(
    rows: pd.DataFrame, parts: pd.Series, features: Sequence[str], target: str, kind: Task
) -> dict[str, float]:
    """How well each feature predicts the target all by itself; nothing where no score would mean anything.

    A small decision tree on that one feature is fitted on train rows and scored on validation rows:
    balanced accuracy for classes, R2 of ranks for numbers. Test rows are not looked at.
    """
    rng = np.random.default_rng(0)
    train, validation = (_sample(rows[(parts == part).to_numpy()], rng) for part in PARTS[:2])
    answers = _answers(train[target], validation[target], kind)
    if answers is None:
        return {}
    return {
        name: _probe(*_feature(train[name], validation[name], answers[0]), *answers, kind)
        for name in features
    }


def _sample(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    if len(rows) <= PROBE_ROWS:
        return rows
    return rows.iloc[np.sort(rng.choice(len(rows), PROBE_ROWS, replace=False))]


def _answers(train: pd.Series, validation: pd.Series, kind: Task) -> tuple[np.ndarray, np.ndarray] | None:
    """Targets of both parts as numbers, or None where no score would mean anything."""
    if kind == "regression":
        # By rank: one far-off price in validation would hide an exact copy from a tree's R2.
        raw = read_numbers(train)[0], read_numbers(validation)[0]
        numbers = _ranks(raw[0], np.sort(raw[0])), _ranks(raw[1], np.sort(raw[0]))
    else:
        known = {text: float(code) for code, text in enumerate(sorted({str(t) for t in texts(train)}))}
        numbers = (
            np.array([known[str(text)] for text in texts(train)]),
            np.array([known.get(str(text), -1.0) for text in texts(validation)]),
        )
    alike = len(np.unique(numbers[0])) < 2 or len(np.unique(numbers[1])) < 2
    return None if alike or len(validation) < PROBE_LEAST else numbers


def _feature(train: pd.Series, validation: pd.Series, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One feature of both parts as finite numbers; categories stand in the order of their mean target."""
    both = [_scalars(part) for part in (train, validation)]
    if both[0] is not None and both[1] is not None:
        # A tree only asks which of two numbers is greater; ranks keep that where its float32 would not.
        known = np.unique(both[0][~np.isnan(both[0])])
        return _ranks(both[0], known), _ranks(both[1], known)
    words = pd.Series(texts(train), dtype="str").fillna("\x00")
    means = pd.Series(answers).groupby(words).mean()
    codes = means.rank(method="first")
    seen = pd.Series(texts(validation), dtype="str").fillna("\x00").map(codes).fillna(0.0)
    return words.map(codes).to_numpy(dtype=np.float64), seen.to_numpy(dtype=np.float64)


def _scalars(column: pd.Series) -> np.ndarray | None:
    """Numbers and dates as float64 (n,) with NaN for missing; None for anything else."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return np.where(column.isna(), np.nan, column.astype("int64").to_numpy(dtype=np.float64))
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return None


def _ranks(numbers: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Twice the place of each number among the `known` ones, plus one where it is one of them.

    NaN goes far below all: a tree splits halfway, and what is new and small must not fall to the gaps.
    """
    places = np.searchsorted(known, numbers, "left") + np.searchsorted(known, numbers, "right")
    return np.where(np.isnan(numbers), -2.0 * len(known) - 2, places)


def _probe(x: np.ndarray, x_unseen: np.ndarray, y: np.ndarray, y_unseen: np.ndarray, kind: Task) -> float:
    tree = DecisionTreeRegressor if kind == "regression" else DecisionTreeClassifier
    model = tree(max_leaf_nodes=PROBE_LEAVES, random_state=0).fit(x[:, None], y)
    guesses = model.predict(x_unseen[:, None])
    if kind == "regression":
        return float(1 - np.square(y_unseen - guesses).sum() / np.square(y_unseen - y_unseen.mean()).sum())
    hits = pd.Series(guesses == y_unseen).groupby(y_unseen).mean()
    return float(hits.mean())
