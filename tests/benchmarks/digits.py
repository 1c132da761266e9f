"""Full MNIST: accuracy on the official test images against seconds of training, over seeds.

.venv/bin/python tests/benchmarks/digits.py FOLDER_WITH_THE_FOUR_IDX_FILES [--seeds 3]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import train_test_split

from tasks import config, fit, sources
from tasks.dataset import Dataset
from tasks.learning import devices, scoring, training

ROOT = Path(__file__).resolve().parents[2]


def one(settings: config.Config, data: Dataset, seed: int) -> tuple[float, float, float]:
    """Test accuracy, wall seconds and CPU seconds of training with one seed."""
    official = (data.rows["part"] == "test").to_numpy()
    known = np.flatnonzero(~official)
    labels = data.rows["label"].to_numpy()
    train, validation = train_test_split(known, test_size=0.1, stratify=labels[known], random_state=seed)
    parts = {"train": data.take(np.sort(train)), "validation": data.take(np.sort(validation))}
    encoder = fit.fit_encoder(
        parts["train"], target="label", kind="classification", columns=settings.columns, exclude=(),
        encode=settings.encode,
    )  # fmt: skip
    torch.manual_seed(seed)
    network = scoring.make_network(settings.network.model_dump(), encoder)
    examples = {name: fit.encode_examples(part, encoder, "label") for name, part in parts.items()}
    task = fit.make_task(
        encoder,
        parts["validation"].rows["label"],
        settings.fit,
        settings.fit.metric or "accuracy",
        "classification",
    )
    precision = devices.resolve_precision(settings.fit.precision, "cpu", convolutional=True)
    wall, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as checkpoint:
        trained = training.train(
            network, examples["train"], examples["validation"], task, settings.fit, seed=seed, device="cpu",
            precision=precision, checkpoint=Path(checkpoint),
        )  # fmt: skip
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    network.load_state_dict(trained.weights)
    answers = scoring.Scorer({}, encoder, network.eval()).predict(np.asarray(data.take(official).pixels))
    return float((answers.values == labels[official]).mean()), wall, cpu


def main() -> None:
    """Prints a line a seed, and the mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    project = config.load(ROOT, "digits", source=arguments.folder)
    settings = project.config
    data = sources.read(settings.source, project.folder, "label", settings.columns).dataset
    results = [one(settings, data, seed) for seed in range(arguments.seeds)]
    table = Table("seed", "test accuracy", "wall s", "CPU s")
    for seed, result in enumerate(results):
        table.add_row(str(seed), *(f"{value:.4g}" for value in result))
    table.add_row("mean", *(f"{value:.4g}" for value in np.mean(results, axis=0)))
    Console().print(table)


if __name__ == "__main__":
    main()
