"""Do test rows stay test rows when data changes, and is the better of two models champion then?

A table of 300, 1,000 or 10,000 rows is split, and again after rows were added, removed or changed, in another
order. Of the test rows that stand unchanged in both tables, those that were test rows before are counted: a
champion that was trained before has seen the others. Then two models compete by the comparison and the gate
of a real run: a tree on two weak columns that knows each of its rows by heart, and a linear model on all
columns, which is better. Each is once champion and once candidate.

    .venv/bin/python tests/benchmarks/membership.py [--histories 20] [--served]

`--served` does the same once through `modelyard retrain`, with the servers up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tasks.config import NotWorseThan, Split  # noqa: E402
from tasks.errors import DataRejected  # noqa: E402
from tasks.ladder import rungs  # noqa: E402
from tasks.ladder.baselines import Answer  # noqa: E402
from tasks.ladder.comparison import CANDIDATE  # noqa: E402
from tasks.ladder.gate import CHAMPION, judge  # noqa: E402
from tasks.predictions import Predictions  # noqa: E402
from tasks.split import planned  # noqa: E402
from tasks.splitting.assign import assign_splits  # noqa: E402
from tasks.splitting.parts import PARTS  # noqa: E402
from tasks.tables.opening import of_frame  # noqa: E402

SIZES = (300, 1000, 10_000)
CHANGES = ("added", "removed", "changed", "all three")
SHARES = (0.0, 0.05, 0.1, 0.2)
STRATEGIES = {"classification": ("stratified", "random"), "regression": ("stratified", "random")}
FEATURES = ["a", "b", "c", "d"]
WEAK = ["c", "d"]


def table(rows: int, seed: int) -> pd.DataFrame:
    """Four numbers, and two targets that mostly follow the first two."""
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(rng.normal(size=(rows, 4)).round(3), columns=FEATURES)
    level = 2 * made["a"] + 2 * made["b"] + 0.7 * made["c"] + rng.normal(0, 0.5, rows)
    made["price"] = level.round(2)
    made["label"] = np.select([level < -2.5, level < 1], ["low", "middle"], "high")
    return made.rename_axis("row")


def changed(old: pd.DataFrame, how: str, share: float, seed: int) -> pd.DataFrame:
    """The table later: ids tell which rows are the same."""
    rng, count = np.random.default_rng(seed + 1000), round(share * len(old))
    each = [count] * 3 if how != "all three" else [count // 3 + (count > 0)] * 3
    new = old.copy()
    if how in ("removed", "all three"):
        new = new.drop(rng.choice(new.index, each[0], replace=False))
    if how in ("changed", "all three"):
        which = rng.choice(new.index, each[1], replace=False)
        new = new.drop(which)
        more = table(each[1], seed + 2000)
        new = pd.concat([new, more.set_index(which + 1_000_000)])
    if how in ("added", "all three"):
        more = table(each[2], seed + 3000)
        new = pd.concat([new, more.set_index(more.index + 2_000_000)])
    return new.sample(frac=1, random_state=seed).rename_axis("row")


def parts_of(rows: pd.DataFrame, kind: Any, strategy: str, shuffle: int) -> pd.Series:
    """Part by row id; `shuffled` draws rows by their positions, as a plain random split does."""
    if strategy == "shuffled":
        order = np.random.default_rng(shuffle).permutation(len(rows))
        codes = np.select([order < 0.2 * len(rows), order < 0.35 * len(rows)], [2, 1], 0)
        return pd.Series(np.array(PARTS)[codes], index=rows.index)
    target, other = ("label", "price") if kind == "classification" else ("price", "label")
    plan = planned(rows, Split(strategy=strategy), target=target, kind=kind, seed=0, drop=(other,))
    return assign_splits(of_frame(rows), plan).parts


def answers(
    model: Any, columns: list[str], train: pd.DataFrame, test: pd.DataFrame, kind: str
) -> Predictions:
    """What a model that learned from some rows says to others."""
    target = "label" if kind == "classification" else "price"
    model.fit(train[columns], train[target])
    if kind == "regression":
        return Predictions(model.predict(test[columns]))
    likely = model.predict_proba(test[columns])
    classes = np.asarray(model.classes_, dtype=object)
    return Predictions(classes[likely.argmax(axis=1)], likely, classes)


def passes(
    kind: Any, better: bool, old: pd.DataFrame, new: pd.DataFrame, before: pd.Series, after: pd.Series
) -> bool:
    """Whether a candidate trained on the new table passes the gate against a champion of the old one."""
    linear = (LogisticRegression(max_iter=500) if kind == "classification" else Ridge()), FEATURES
    tree = DecisionTreeClassifier if kind == "classification" else DecisionTreeRegressor
    weak = tree(random_state=0), WEAK
    ours, theirs = (linear, weak) if better else (weak, linear)
    test = new[after == "test"]
    learned = old.index[before != "test"]
    champion = Answer(answers(*theirs, old.loc[learned], test, kind), 0.0)
    unseen = ~test.index.isin(learned)
    try:
        rungs._enough(int(unseen.sum()), len(unseen), "made")
    except DataRejected as error:
        champion = Answer(None, 0.0, error=str(error))
    if champion.predictions is not None and not unseen.all():
        champion = Answer(champion.predictions, 0.0, unseen=unseen)
    asked = {CANDIDATE: Answer(answers(*ours, new[after == "train"], test, kind), 0.0), CHAMPION: champion}
    metric = "accuracy" if kind == "classification" else "mae"
    truth = test["label" if kind == "classification" else "price"].to_numpy()
    truth = truth.astype(object) if kind == "classification" else truth
    compared = rungs.compare_all(kind, metric, truth, asked, 0)
    scores = rungs.score_rungs(asked, metric, compared)
    gate = (NotWorseThan(not_worse_than=CHAMPION),)
    return judge(gate, metric=metric, scores=scores, verdicts=compared.verdicts, slices={})[0].passed


def kept(after: pd.Series, before: pd.Series) -> float:
    """Share of the test rows that stand unchanged in both tables and were test rows before."""
    same = after.index[(after == "test").to_numpy() & after.index.isin(before.index)]
    return float((before[same] == "test").mean())


def line(kind: Any, strategy: str, rows: int, histories: int) -> str:
    """A row of the table."""
    stayed: dict[tuple[str, float], list[float]] = {}
    wins = []
    for at, (how, share) in enumerate(product(CHANGES, SHARES)):
        for seed in range(histories):
            old = table(rows, seed)
            new = changed(old, how, share, seed)
            before, after = (parts_of(some, kind, strategy, seed) for some in (old, new))
            stayed.setdefault((how, share), []).append(kept(after, before))
            if (at + seed) % len(CHANGES) == 0:  # each share has as many as there are histories
                wins.append([passes(kind, better, old, new, before, after) for better in (True, False)])
    means = {change: 100 * float(np.mean(values)) for change, values in stayed.items()}
    most = " | ".join(f"{means[how, SHARES[-1]]:.1f}" for how in CHANGES)
    won = " | ".join(f"{count} of {len(wins)}" for count in np.sum(wins, axis=0))
    return f"| {kind} | {strategy} | {rows:,} | {most} | {min(means.values()):.1f} | {won} |"


# --- through the command line ---------------------------------------------------------------------------


def served(place: Path) -> list[str]:
    """A champion of 300 rows; then 10 are removed and 30 added, and a better and a worse model follow."""
    (place / "data").mkdir()
    old = table(300, 0)
    old.drop(columns="price").to_csv(place / "made.csv", index=False)
    call(place, "new", "made", str(place / "made.csv"), "--target", "label")
    gate = settings("gate=[{not_worse_than: champion}]", "fit.bagging=false")
    poor = settings("network={kind: mlp, hidden: [4]}", "fit.epochs=2", "fit.learning_rate=0.001")
    good = settings("network={kind: neuron}", "fit.epochs=60")
    call(place, "up")
    try:
        lines = [told(place, "first, poor", *gate, *poor)]
        raw = next((place / "data/made/raw").iterdir())
        later = pd.concat([old.iloc[:290], table(30, 1)])
        later.drop(columns="price").to_csv(raw, index=False)
        lines.append(told(place, "later, better", *gate, *good))
        lines.append(told(place, "later, worse", *gate, *poor))
    finally:
        call(place, "down")
    return lines


def settings(*assignments: str) -> tuple[str, ...]:
    """Words of a command line."""
    return tuple(word for each in assignments for word in ("--set", each))


def told(place: Path, name: str, *words: str) -> str:
    """What a retraining came to."""
    document = json.loads(call(place, "retrain", "made", *words, "--json"))
    scores = {score["name"]: score for score in document["scores"]}
    champion = scores.get("champion")
    rival = "none" if champion is None else f"{champion['value']:.3f}"
    notes = "; ".join(text for text in document["warnings"] if "champion" in text)
    return f"| {name} | {document['outcome']} | {scores['candidate']['value']:.3f} | {rival} | {notes} |"


def call(place: Path, *words: str) -> str:
    """Standard output of a command."""
    program = [sys.executable, "-m", "flows.cli", *words, "--root", str(place)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--histories", type=int, default=20)
    words.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    words.add_argument("--served", action="store_true")
    asked = words.parse_args()
    if asked.served:
        with tempfile.TemporaryDirectory() as place:
            print("\n".join(served(Path(place))))
        return
    for kind, strategies in STRATEGIES.items():
        for strategy in (*strategies, "shuffled"):
            for rows in asked.sizes:
                print(line(kind, strategy, rows, asked.histories), flush=True)


if __name__ == "__main__":
    main()
