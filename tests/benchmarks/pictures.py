"""Digits and clothes: accuracy, CPU seconds and memory of ours beside what others train, in one run.

.venv/bin/python tests/benchmarks/pictures.py --mnist FOLDER --fashion FOLDER [--seeds 3] [--peers NAME ...]

A folder holds the four IDX files; the test pictures are the official ones, and a tenth of the others picks
our epoch. Digits train as the shipped project does, clothes as `modelyard new` drafts it. `--peers` alone
adds all of them, one seed each; pytorch/examples stops once it has what the table's last column asks for,
since its whole schedule takes ten minutes. Each line has a process of its own with one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
BOUNDS = {"mnist": 0.99, "fashion": 0.92}
"""Test accuracy to which the seconds are compared."""
OURS = ("quick", "standard")
FEW = 5000
"""Training pictures of the line that shows what few of them give."""
PEERS = (
    "pytorch/examples",
    "Keras convnet",
    "LeNet-5",
    "logistic regression",
    "kNN, k=4",
    "random forest",
)
STOPS = "pytorch/examples"


def read(folder: Path, few: int | None = None) -> Any:
    """The four files as a data set, or the first few training pictures of it and all test pictures."""
    from tasks import config, sources

    data = sources.read(config.IdxSource(kind="idx", path=str(folder)), ROOT, "label", config.Columns())
    rows = np.arange(len(data.dataset))
    official = (data.dataset.rows["part"] == "test").to_numpy()
    return data.dataset.take(rows[official | (rows < (few or len(rows)))])


def settings_of(name: str, folder: Path, preset: str) -> Any:
    """The shipped project for digits; for clothes the one that is drafted for this folder."""
    from tasks import config, drafting  # noqa: F401
    from tasks.drafting import folder as drafts
    from tasks.drafting import looking
    from tasks.drafting.guesses import Asked

    if name == "mnist":
        return config.load(ROOT, "digits", source=folder, settings=(f"preset={preset}",)).config
    draft = looking.draft(folder, Asked())
    chosen = replace(draft, tree={**draft.tree, "preset": preset})
    return drafts.config("clothes", chosen, str(folder))


def ours(settings: Any, data: Any, seed: int) -> dict[str, Any]:
    """One training; its CPU seconds, and how good it was at the end."""
    import torch
    from sklearn.model_selection import train_test_split

    from tasks import fit
    from tasks.learning import devices, scoring, training

    official = (data.rows["part"] == "test").to_numpy()
    known, labels = np.flatnonzero(~official), data.rows["label"].to_numpy()
    split = train_test_split(known, test_size=0.1, stratify=labels[known], random_state=seed)
    train, validation = (data.take(np.sort(rows)) for rows in split)
    encoder = fit.fit_encoder(
        train, target="label", kind="classification", columns=settings.columns, exclude=(),
        encode=settings.encode,
    )  # fmt: skip
    network = fit.new_network(settings.network, encoder, seed)
    examples = [fit.encode_examples(part, encoder, "label") for part in (train, validation)]
    metric = settings.fit.metric or settings.evaluate.metric
    task = fit.make_task(encoder, validation.rows["label"], settings.fit, metric, "classification")
    precision = devices.resolve_precision(settings.fit.precision, "cpu", convolutional=True)
    wall, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as checkpoint:
        trained = training.train(
            network, *examples, task, settings.fit, seed=seed, device="cpu", precision=precision,
            checkpoint=Path(checkpoint),
        )  # fmt: skip
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    network.load_state_dict(trained.weights)
    torch.set_num_threads(1)
    answers = scoring.Scorer({}, encoder, network.eval()).predict(np.asarray(data.take(official).pixels))
    right = float((answers.values == labels[official]).mean())
    return {"curve": [[cpu, right]], "wall": wall}


def theirs(line: str, data: Any, seed: int, bound: float) -> dict[str, Any]:
    """One peer's training."""
    import picture_peers as peers
    import torch

    torch.set_num_threads(1)
    official = (data.rows["part"] == "test").to_numpy()
    pixels, labels = np.asarray(data.pixels), data.rows["label"].to_numpy()
    pictures = peers.Pictures(pixels[~official], labels[~official], pixels[official], labels[official])
    if line in peers.CLASSIC:
        return {"curve": peers.fit(line, pictures, seed)}
    return {"curve": peers.train(peers.RECIPES[line], pictures, seed, bound if line == STOPS else None)}


def child(name: str, folder: Path, line: str, seed: int) -> None:
    """Prints one line's result as JSON."""
    few = FEW if line.endswith("few") else None
    data = read(folder, few)
    if (preset := line.removesuffix(" few")) in OURS:
        found = ours(settings_of(name, folder, preset), data, seed)
    else:
        found = theirs(line, data, seed, BOUNDS[name])
    print(json.dumps({**found, "memory": peak()}))


def peak() -> float:
    """Largest memory of this process so far, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def run(name: str, folder: Path, line: str, seed: int) -> dict[str, Any]:
    """One line in a process of its own."""
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, __file__, "--child", name, str(folder), line, str(seed)]
    done = subprocess.run(command, env={**os.environ, **one, **paths}, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share of `count` (Wilson, 1927)."""
    z = 1.96
    centre, spread = share + z**2 / (2 * count), (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    return (centre - z * spread) / (1 + z**2 / count), (centre + z * spread) / (1 + z**2 / count)


def reached(results: list[dict[str, Any]], bound: float) -> float | None:
    """CPU seconds to the bound: of a schedule that is only looked at when it ends, all of them, where the
    mean of the seeds has it; else the first look that has it, in the mean of the seeds."""
    if all(len(result["curve"]) == 1 for result in results):
        spent, right = np.mean([result["curve"][0] for result in results], axis=0)
        return float(spent) if right >= bound else None
    firsts = [next((s for s, right in r["curve"] if right >= bound), None) for r in results]
    return None if None in firsts else float(np.mean([first for first in firsts if first is not None]))


def table(name: str, lines: dict[str, list[dict[str, Any]]], count: int) -> None:
    """A row for each line, and how much sooner ours has the bound."""
    bound = BOUNDS[name]
    shown = Table(
        "line", "seeds", "accuracy %", f"95 % interval on {count:,} pictures", "CPU s", "MB",
        f"CPU s to {bound:.1%}", title=name,
    )  # fmt: skip
    times: dict[str, float] = {}
    for line, results in lines.items():
        ends = np.array([result["curve"][-1] for result in results])
        right = float(ends[:, 1].mean())
        low, high = wilson(right, count)
        first = reached(results, bound)
        if first is not None and not line.endswith("few"):
            times[line] = first
        shown.add_row(
            line, str(len(results)), f"{right:.2%}", f"{low:.2%} to {high:.2%}", f"{ends[:, 0].mean():.1f}",
            f"{max(result['memory'] for result in results):.0f}", "-" if first is None else f"{first:.1f}",
        )  # fmt: skip
    Console().print(shown)
    best = min((times[line] for line in OURS if line in times), default=None)
    for line in PEERS:
        if best is not None and line in times:
            Console().print(f"{name}: {line} takes {times[line] / best:.1f} times our seconds to {bound:.1%}")


def main() -> None:
    """A table for each data set."""
    if sys.argv[1:2] == ["--child"]:
        name, folder, line, seed = sys.argv[2:]
        child(name, Path(folder), line, int(seed))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--fashion", type=Path)
    parser.add_argument("--seeds", type=int, default=3, help="of our lines")
    parser.add_argument("--ours", nargs="*", choices=OURS, default=list(OURS))
    parser.add_argument("--peers", nargs="*", metavar="NAME", help=f"all, or some of: {', '.join(PEERS)}")
    arguments = parser.parse_args()
    peers = () if arguments.peers is None else arguments.peers or PEERS
    if unknown := set(peers) - set(PEERS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    for name in BOUNDS:
        if (folder := getattr(arguments, name)) is None:
            continue
        few = ["standard few"] if name == "mnist" and "standard" in arguments.ours else []
        lines: dict[str, list[dict[str, Any]]] = {}
        for line in (*arguments.ours, *few, *peers):
            for seed in range(1 if line in peers else arguments.seeds):
                found = run(name, folder.resolve(), line, seed)
                lines.setdefault(line, []).append(found)
                spent, right = found["curve"][-1]
                told = (
                    f"{name}, {line}, seed {seed}: {right:.2%} in {spent:.1f} CPU s, {found['memory']:.0f} MB"
                )
                Console().print(told)
        table(name, lines, 10_000)


if __name__ == "__main__":
    main()
