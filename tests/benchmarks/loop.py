"""What the training loop costs: CPU seconds beside a bare loop and the stock DataLoader; feeding alone.

.venv/bin/python tests/benchmarks/loop.py [--repeats 7]

All train the same network on the same made data with the same optimizer and schedule, in turns; the table has
medians, and of ratios the median of each turn's. `ours` is the whole loop: validation, checkpoints, a watcher
that moves a progress bar, a guard against losses that are not finite. `bare` is what one would write by hand,
with the same validation; `DataLoader` is the same with torch's own over a TensorDataset.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tasks.config import Fit
from tasks.learning import training
from tasks.learning.schedule import learning_rate
from tasks.learning.training import Examples, Task
from tasks.networks import InputSpec, Standardise, build
from tasks.networks.optimizers import adamw

Feed = Callable[[], Iterator[tuple[Tensor, ...]]]
Case = tuple[Callable[[], nn.Module], Examples, Fit]


def digits() -> Case:
    """The network of `digits` on 6,000 made images."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (6_000, 28, 28), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (6_000,), generator=generator)

    def make() -> nn.Module:
        network = build({"kind": "cnn"}, InputSpec(outputs=10, image=(1, 28, 28)))
        whole = nn.Sequential(Standardise((127.5,), (74.0,)), network)
        return whole.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    settings = Fit(epochs=3, batch_size=128, learning_rate=0.01, schedule="one_cycle")
    return make, Examples((pixels,), labels), settings


def prices() -> Case:
    """The network of `prices` on 2,000 made rows of 40 numbers and 40 categories."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(2_000, 40, generator=generator)
    codes = torch.randint(0, 6, (2_000, 40), generator=generator)
    options = {"members": 5, "bins": 32, "bin_width": 4, "embedding": 4}

    def make() -> nn.Module:
        return build({"kind": "mlp", **options}, InputSpec(outputs=1, numbers=40, levels=(6,) * 40))

    settings = Fit(epochs=30, batch_size=64, learning_rate=0.002)
    return make, Examples((numbers, codes), numbers[:, 0]), settings


def rows() -> Case:
    """A plain network of two layers on 200,000 made rows of 20 numbers, where feeding is a large part."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(200_000, 20, generator=generator)

    def make() -> nn.Module:
        options = {"hidden": (256, 256), "dropout": 0.0}
        return build({"kind": "mlp", **options}, InputSpec(outputs=1, numbers=20))

    settings = Fit(epochs=2, batch_size=4_096, learning_rate=0.002)
    return make, Examples((numbers,), numbers[:, 0]), settings


def loss_of(examples: Examples) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy for classes, squared error for numbers."""
    if not examples.targets.is_floating_point():
        return nn.functional.cross_entropy
    return lambda outputs, targets: nn.functional.mse_loss(
        outputs.squeeze(-1), targets.expand(outputs.shape[:-1])
    )


def ours(network: nn.Module, known: Examples, held_out: Examples, settings: Fit) -> None:
    """The whole loop, watched by a progress bar."""
    loss = loss_of(known)
    task = Task(loss, lambda outputs: float(loss(outputs, held_out.targets)), higher_is_better=False)
    with (
        tempfile.TemporaryDirectory() as place,
        Path(os.devnull).open("w") as nowhere,
        Progress(console=Console(file=nowhere, force_terminal=True), refresh_per_second=3) as bar,
    ):
        line = bar.add_task("fit", total=settings.epochs)
        with training.watching(lambda epoch, planned: bar.update(line, completed=epoch.epoch)):
            training.train(
                network, known, held_out, task, settings, seed=0, device="cpu", precision="float32",
                checkpoint=Path(place),
            )  # fmt: skip


def bare(network: nn.Module, held_out: Examples, settings: Fit, feed: Feed, batches: int) -> None:
    """What one writes by hand: forward, loss, backward, clip, step; then the validation rows."""
    loss = loss_of(held_out)
    optimizer = adamw(network.named_parameters(), settings.learning_rate, settings.weight_decay)
    step = 0
    for _ in range(settings.epochs):
        network.train()
        total = 0.0
        for *inputs, targets in feed():
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, settings.epochs * batches, settings)
            value = loss(network(*inputs), targets)
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            total += value.item() * len(targets)
            step += 1
        network.eval()
        with torch.no_grad():
            parts = zip(*(x.split(2048) for x in held_out.inputs), strict=True)
            outputs = torch.cat([network(*part) for part in parts])
            loss(outputs, held_out.targets).item()


def sliced(known: Examples, size: int) -> Feed:
    """Batches by an index into tensors."""

    def feed() -> Iterator[tuple[Tensor, ...]]:
        for picked in torch.randperm(len(known)).split(size):
            yield (*(x[picked] for x in known.inputs), known.targets[picked])

    return feed


def loaded(known: Examples, size: int) -> Feed:
    """Batches by torch's DataLoader."""
    stock = DataLoader(TensorDataset(*known.inputs, known.targets), batch_size=size, shuffle=True)
    return lambda: iter(stock)


def seconds(work: Callable[[], None]) -> float:
    """CPU seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def compared(case: Callable[[], Case], repeats: int) -> list[list[float]]:
    """CPU seconds of ours, bare and DataLoader in each of so many turns."""
    make, examples, settings = case()
    cut = len(examples) * 9 // 10
    known, held_out = (
        Examples(tuple(x[part] for x in examples.inputs), examples.targets[part])
        for part in (slice(cut), slice(cut, None))
    )
    batches = -(-cut // settings.batch_size)
    by_hand = [sliced(known, settings.batch_size), loaded(known, settings.batch_size)]
    turns = []
    for turn in range(repeats + 1):
        works: list[Callable[[nn.Module], None]] = [
            lambda network: ours(network, known, held_out, settings),
            *(
                lambda network, feed=feed: bare(network, held_out, settings, feed, batches)  # type: ignore[misc]
                for feed in by_hand
            ),
        ]
        order = range(3) if turn % 2 else range(2, -1, -1)
        spent = [0.0] * 3
        for i in order:
            torch.manual_seed(0)
            network = make()
            spent[i] = seconds(lambda work=works[i], network=network: work(network))  # type: ignore[misc]
        turns.append(spent)
    return turns[1:]  # the first pays for imports and for memory that is mapped


def feeding(repeats: int) -> tuple[float, float]:
    """Images a CPU second, sliced and standardised, by index and by DataLoader."""
    _, examples, _ = digits()
    standardise = Standardise((127.5,), (74.0,))

    def walk(feed: Feed, epochs: int) -> None:
        for _ in range(epochs):
            for pixels, _targets in feed():
                standardise(pixels)

    found = []
    for feed, epochs in ((sliced(examples, 128), 20), (loaded(examples, 128), 2)):
        walk(feed, 1)
        times = [seconds(lambda feed=feed, epochs=epochs: walk(feed, epochs)) for _ in range(repeats)]  # type: ignore[misc]
        found.append(len(examples) * epochs / statistics.median(times))
    return found[0], found[1]


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    table = Table("network and data", "ours, CPU s", "bare", "DataLoader", "ours / bare", "DataLoader / ours")
    for case in (digits, prices, rows):
        turns = compared(case, repeats)
        middle = [f"{statistics.median(spent):.3f}" for spent in zip(*turns, strict=True)]
        ratios = [
            statistics.median(t[0] / t[1] for t in turns),
            statistics.median(t[2] / t[0] for t in turns),
        ]
        table.add_row(case.__name__, *middle, *(f"{ratio:.3f}" for ratio in ratios))
    by_index, by_loader = feeding(repeats)
    table.add_section()
    table.add_row(
        "images a CPU second", f"{by_index:,.0f}", "", f"{by_loader:,.0f}", "", f"{by_loader / by_index:.3f}"
    )
    Console().print(table)


if __name__ == "__main__":
    main()
