"""Film sentences: the networks and rungs for texts beside their peers: accuracy, seconds, memory, over seeds.

A fifth of the rows is test, an eighth of the rest validation. What counts (rungs, linear peers) learns from
both; `wide`, `wide_deep` and `rnn` too, since they are refitted; `encoder` and the peers' networks only pick
their epoch on validation rows. Settings are those of the project `sentiment` and of the README. Duplicate
sentences are left out. Each line is a process of its own with one thread: CPU seconds are of one training,
from texts to weights; memory is the process's peak, with everything that it imports. Peers are in
`sentiment_peers.py`. What is not there is skipped; `encoder` needs `make text`, takes minutes, and so has
seeds of its own.

    .venv/bin/python tests/benchmarks/sentiment.py [--data rt-polarity ...] [--models wide rnn ...]
        [--seeds 3] [--encoder-seeds 1] [--polarity FOLDER]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from sentiment_peers import peak  # beside this file
from sklearn.model_selection import GroupShuffleSplit, train_test_split

ROOT = Path(__file__).resolve().parents[2]
DATA = ("rt-polarity", "sentiment", "sentiment by film")
PEERS = (
    "majority", "tfidf-logistic", "naive-bayes", "nb-svm", "svm-words-characters",
    "kim-cnn", "bilstm", "bilstm-packed",
)  # fmt: skip
RUNGS = {"rung ngrams": "ngrams"}
NETWORKS = ("wide", "wide_deep", "rnn", "encoder")
MODELS = (*PEERS, *RUNGS, *NETWORKS)


def polarity(folder: Path) -> pd.DataFrame:
    """rt-polarity: 10,662 sentences, half of them positive (Pang & Lee, 2005)."""
    parts = []
    for label in ("neg", "pos"):
        lines = (folder / f"rt-polarity.{label}").read_text("latin-1").split("\n")
        parts.append(pd.DataFrame({"text": [line.strip() for line in lines if line.strip()], "label": label}))
    return pd.concat(parts, ignore_index=True)


def reviews() -> pd.DataFrame:
    """The sentences of the project `sentiment`, with the film that each is about."""
    from tasks import config, sources

    project = config.load(ROOT, "sentiment")
    c = project.config
    rows = sources.read(c.source, project.folder, c.target, c.columns).dataset.rows
    rows = rows.rename(columns={"category": "label", "movie_name": "film"})
    return rows.loc[rows["label"].isin(["fresh", "rotten"]), ["text", "label", "film"]]


def split(rows: pd.DataFrame, by_film: bool, seed: int) -> dict[str, np.ndarray]:
    """Positions of train, validation and test."""
    labels = rows["label"].to_numpy()
    if by_film:
        shuffled = GroupShuffleSplit(1, test_size=0.2, random_state=seed)
        known, test = next(shuffled.split(labels, groups=rows["film"]))
    else:
        known, test = train_test_split(
            np.arange(len(rows)), test_size=0.2, stratify=labels, random_state=seed
        )
    train, validation = train_test_split(known, test_size=0.125, stratify=labels[known], random_state=seed)
    return {"train": train, "validation": validation, "test": test}


def network(name: str, rows: pd.DataFrame, at: dict[str, np.ndarray], seed: int) -> dict[str, float]:
    """Test accuracy, CPU seconds of training, and of an epoch with its validation."""
    from tasks import config, fit
    from tasks.dataset import Dataset
    from tasks.learning import scoring, training

    c = config.load(ROOT, "sentiment").config
    settings = c.fit
    kind = {"wide": config.Wide(), "rnn": config.Rnn(), "encoder": config.Pretrained()}.get(name, c.network)
    if name == "encoder":  # as the README has it
        settings = config.Fit(epochs=2, batch_size=32, learning_rate=0.0001, schedule="one_cycle")
    train, validation, test = (Dataset(rows.iloc[at[part]]) for part in ("train", "validation", "test"))
    began = time.process_time()
    encoder = fit.fit_encoder(
        train, target="label", kind="classification", columns=config.Columns(text="text"), exclude=(),
        encode=c.encode, network=kind,
    )  # fmt: skip
    known, held_out = (fit.encode_examples(part, encoder, "label") for part in (train, validation))
    metric = settings.metric or c.evaluate.metric
    task = fit.make_task(encoder, validation.rows["label"], settings, metric, "classification")
    how = {"seed": seed, "device": "cpu", "precision": fit.precision_of(settings, "cpu", train, kind)}
    make = partial(fit.new_network, kind, encoder, seed)
    with tempfile.TemporaryDirectory() as place:
        folder, prepared = Path(place) / "first", time.process_time()
        trained = training.train(make(), known, held_out, task, settings, checkpoint=folder, **how)
        epoch = (time.process_time() - prepared) / len(trained.history)
        trained = fit.refit(trained, make, known, held_out, task, settings, folder, how)
    seconds, again = time.process_time() - began, make()
    again.load_state_dict(trained.weights)
    raw = {"columns": [{"name": "text", "type": "text"}], "clean": [], "unused": []}
    found = scoring.Scorer(raw, encoder, again.eval()).predict(test.rows[["text"]]).values
    right = float((found == test.rows["label"]).mean())
    return {"right": right, "seconds": seconds, "epoch": epoch}


def rung(name: str, rows: pd.DataFrame, at: dict[str, np.ndarray], seed: int) -> dict[str, float]:
    """Test accuracy and CPU seconds of a rung."""
    from tasks import config
    from tasks.dataset import Dataset
    from tasks.ladder import baselines

    known = Dataset(rows.iloc[np.concatenate([at["train"], at["validation"]])])
    problem = baselines.Problem(
        "classification", "label", config.Columns(text="text"), config.Encode(), (), seed
    )
    began = time.process_time()
    fitted = baselines.fit(name, known, problem)
    seconds, test = time.process_time() - began, rows.iloc[at["test"]]
    found = fitted.predict(Dataset(test)).values
    return {"right": float((found == test["label"]).mean()), "seconds": seconds}


def line(folder: Path, name: str, seeds: list[int]) -> None:
    """What a child does: one of ours over seeds, as JSON."""
    import torch

    torch.set_num_threads(1)
    rows, found = pd.read_parquet(folder / "rows.parquet"), []
    for seed in seeds:
        at = dict(np.load(folder / f"{seed}.npz"))
        one = rung(RUNGS[name], rows, at, seed) if name in RUNGS else network(name, rows, at, seed)
        found.append(one)
    print(json.dumps({"found": found, "peak": peak()}))


def measured(folder: Path, name: str, seeds: list[int]) -> dict:
    """What the child of one line says."""
    one = "1"
    here = {"OMP_NUM_THREADS": one, "OPENBLAS_NUM_THREADS": one, "MKL_NUM_THREADS": one}
    peers = [sys.executable, str(Path(__file__).with_name("sentiment_peers.py")), str(folder), name]
    ours = [sys.executable, __file__, "--line", str(folder), "--models", name, "--at"]
    command = [*(peers if name in PEERS else ours), *map(str, seeds)]
    paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = os.environ | here | {"PYTHONPATH": paths}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def wilson(right: float, rows: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927)."""
    z = 1.96
    middle = (right + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(right * (1 - right) / rows + z * z / (4 * rows * rows))
    return middle - half, middle + half


def table_of(data_set: str, rows: pd.DataFrame, asked: argparse.Namespace) -> Table:
    """One line a model."""
    seeds = range(max(asked.seeds, asked.encoder_seeds))
    splits = {seed: split(rows, data_set.endswith("film"), seed) for seed in seeds}
    table = Table(title=f"{data_set}: {len(rows):,} sentences, {len(splits[0]['test']):,} test rows a seed")
    for column in ("", "accuracy, %", "95 %", "by seed", "CPU s", "s an epoch", "peak MB"):
        table.add_column(column, justify="right" if column else "left")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows[["text", "label"]].to_parquet(folder / "rows.parquet")
        for seed, at in splits.items():
            np.savez(folder / f"{seed}.npz", **at)
        for name in asked.models:
            count = asked.encoder_seeds if name == "encoder" else asked.seeds
            if name == "encoder" and not importlib.util.find_spec("transformers"):
                table.add_row(name, "skipped: `make text` has not run", "", "", "", "", "")
                continue
            said = measured(folder, name, list(range(count)))
            right, seconds = ([one[key] for one in said["found"]] for key in ("right", "seconds"))
            distinct = len(np.unique(np.concatenate([splits[seed]["test"] for seed in range(count)])))
            low, high = wilson(float(np.mean(right)), distinct)
            epochs = [one["epoch"] for one in said["found"] if one.get("epoch") is not None]
            print(f"{data_set}, {name}: {100 * np.mean(right):.2f} %", file=sys.stderr)  # it may take long
            table.add_row(
                name, f"{100 * np.mean(right):.1f}", f"{100 * low:.1f} to {100 * high:.1f}",
                " ".join(f"{100 * value:.1f}" for value in right), f"{np.mean(seconds):.1f}",
                f"{np.mean(epochs):.2f}" if epochs else "", f"{said['peak']:,.0f}",
            )  # fmt: skip
    return table


def main() -> None:
    """Prints one table a data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--encoder-seeds", type=int, default=1)
    parser.add_argument("--polarity", type=Path, default=ROOT.parent / "shared" / "data" / "rt-polarity")
    parser.add_argument("--line", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--at", type=int, nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.line:
        line(asked.line, asked.models[0], asked.at)
        return
    for data_set in asked.data:
        try:
            rows = polarity(asked.polarity) if data_set == "rt-polarity" else reviews()
        except Exception as error:  # a file or a package that is not there
            Console().print(f"{data_set}: skipped, {error}")
            continue
        rows = rows.drop_duplicates("text", ignore_index=True).astype("str")
        Console(width=120).print(table_of(data_set, rows, asked))
    Console().print("95 %: Wilson's interval of the mean accuracy, over the distinct test rows of all seeds")


if __name__ == "__main__":
    main()
