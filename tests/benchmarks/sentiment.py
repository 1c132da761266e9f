"""Film sentences: test accuracy and CPU seconds of the rungs for texts and of the networks, over seeds.

A fifth of the rows is test, an eighth of the rest validation; rungs see both, as a network does that is
refitted. Duplicate sentences are left out. What is not there is skipped.

    .venv/bin/python tests/benchmarks/sentiment.py [--seeds 3] [--networks wide wide_deep rnn]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from tasks import config, fit, sources
from tasks.dataset import Dataset
from tasks.errors import Unavailable
from tasks.ladder.baselines import Problem, answer
from tasks.learning import scoring, training

ROOT = Path(__file__).resolve().parents[2]
POLARITY = ROOT.parent / "shared" / "data" / "rt-polarity"
COLUMNS = config.Columns(text="text")
SETTINGS = config.Fit(
    epochs=6, batch_size=64, learning_rate=0.003, schedule="one_cycle", metric="log_loss", refit=True
)
NETWORKS = {"wide": config.Wide(), "wide_deep": config.WideDeep(), "rnn": config.Rnn()}
RUNGS = ("majority", "logistic", "bayes", "svm", "ngrams")


def polarity() -> pd.DataFrame:
    """rt-polarity: 10,662 sentences, half of them positive (Pang & Lee, 2005)."""
    parts = []
    for label in ("neg", "pos"):
        lines = (POLARITY / f"rt-polarity.{label}").read_text("latin-1").split("\n")
        parts.append(pd.DataFrame({"text": [line.strip() for line in lines if line.strip()], "label": label}))
    return pd.concat(parts, ignore_index=True)


def reviews() -> pd.DataFrame:
    """The sentences of the project `sentiment`, with the film that each is about."""
    project = config.load(ROOT, "sentiment")
    c = project.config
    rows = sources.read(c.source, project.folder, c.target, c.columns).dataset.rows
    rows = rows.rename(columns={"category": "label", "movie_name": "film"})
    return rows.loc[rows["label"].isin(["fresh", "rotten"]), ["text", "label", "film"]]


def data_sets() -> Iterator[tuple[str, Dataset, str | None]]:
    """Name, sentences, and the column that a split goes by."""
    for name, read, group in (
        ("rt-polarity", polarity, None), ("sentiment", reviews, None), ("sentiment by film", reviews, "film")
    ):  # fmt: skip
        try:
            rows = read().drop_duplicates("text", ignore_index=True).astype("str")
        except (OSError, Unavailable) as error:
            Console().print(f"{name}: skipped, {error}")
        else:
            yield name, Dataset(rows), group


def split(data: Dataset, group: str | None, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of train, validation and test."""
    labels = data.rows["label"].to_numpy()
    if group is None:
        known, test = train_test_split(
            np.arange(len(data)), test_size=0.2, stratify=labels, random_state=seed
        )
    else:
        shuffled = GroupShuffleSplit(1, test_size=0.2, random_state=seed)
        known, test = next(shuffled.split(labels, groups=data.rows[group]))
    train, validation = train_test_split(known, test_size=0.125, stratify=labels[known], random_state=seed)
    return train, validation, test


def network(name: str, train: Dataset, validation: Dataset, test: Dataset, seed: int) -> float:
    """Test accuracy of a network that was refitted on both parts."""
    encoder = fit.fit_encoder(
        train, target="label", kind="classification", columns=COLUMNS, exclude=(), encode=config.Encode()
    )
    known, held_out = (fit.encode_examples(part, encoder, "label") for part in (train, validation))
    task = fit.make_task(encoder, validation.rows["label"], SETTINGS, "log_loss", "classification")
    how = {"seed": seed, "device": "cpu", "precision": "float32"}
    first, again = (fit.new_network(NETWORKS[name], encoder, seed) for _ in range(2))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "first"
        chosen = training.train(first, known, held_out, task, SETTINGS, checkpoint=folder, **how)
        chosen = fit.refit(chosen, again, known, held_out, task, SETTINGS, folder, how)
    again.load_state_dict(chosen.weights)
    model = scoring.Scorer(
        {"columns": [{"name": "text", "type": "text"}], "clean": [], "unused": []}, encoder, again
    )
    again.eval()
    return float((model.predict(test.rows[["text"]]).values == test.rows["label"]).mean())


def rung(name: str, known: Dataset, test: Dataset, seed: int) -> float:
    """Test accuracy of a rung."""
    problem = Problem("classification", "label", COLUMNS, config.Encode(), (), seed)
    found = answer(name, known, test, problem).predictions
    assert found is not None
    return float((found.values == test.rows["label"]).mean())


def main() -> None:
    """Prints a line for each rung and network on each split."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("data", "rung or network", "accuracy, %", "mean", "CPU s")
    for data_set, data, group in data_sets():
        for name in (*RUNGS, *arguments.networks):
            values, began = [], time.process_time()
            for seed in range(arguments.seeds):
                train, validation, test = split(data, group, seed)
                if name in RUNGS:
                    known = data.take(np.concatenate([train, validation]))
                    values.append(rung(name, known, data.take(test), seed))
                else:
                    values.append(
                        network(name, data.take(train), data.take(validation), data.take(test), seed)
                    )
            seconds = (time.process_time() - began) / arguments.seeds
            shown = " ".join(f"{100 * value:.2f}" for value in values)
            table.add_row(data_set, name, shown, f"{100 * np.mean(values):.2f}", f"{seconds:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
