"""What others train on small pictures, written out from their recipes: networks, optimisers, schedules.

Pictures come from memory, so no peer pays for decoding. Each is trained as its authors say, to the end
of its schedule, or until an accuracy on the test pictures that `until` names; looking costs no second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

MEAN, SPREAD = 0.1307, 0.3081
"""Of MNIST's pixels between 0 and 1, as pytorch/examples has them."""


@dataclass(frozen=True)
class Pictures:
    """uint8 (n, height, width) and labels 0 to 9, of a training and a test part."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


Curve = list[tuple[float, float]]
"""(CPU seconds of training so far, test accuracy), as often as the line looked."""


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained.

    Attributes:
        make: The network; it takes float32 (batch, 1, 28, 28).
        optimizer: From its parameters.
        batch: Rows of a batch.
        epochs: Of the whole schedule.
        decay: Factor of the learning rate after each epoch.
        held_out: Share of the training pictures that it does not learn from.
        looks: How often an epoch the test pictures are looked at.
        until: Test accuracy at which it may stop, where one is asked for.
    """

    make: Callable[[], nn.Module]
    optimizer: Callable[[Any], torch.optim.Optimizer]
    batch: int
    epochs: int
    decay: float = 1.0
    held_out: float = 0.0
    looks: int = 1


def examples() -> nn.Module:
    """pytorch/examples, mnist/main.py."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip


def keras() -> nn.Module:
    """Keras' page "Simple MNIST convnet", with Keras' initial weights."""
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, 10),
    )  # fmt: skip
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def lenet() -> nn.Module:
    """LeNet-5 with ReLU and max pooling."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, 10),
    )  # fmt: skip


RECIPES = {
    "pytorch/examples": Recipe(
        examples, lambda p: torch.optim.Adadelta(p, lr=1.0), batch=64, epochs=14, decay=0.7, looks=2
    ),
    "Keras convnet": Recipe(
        keras, lambda p: torch.optim.Adam(p, lr=1e-3, eps=1e-7), batch=128, epochs=15, held_out=0.1
    ),
    "LeNet-5": Recipe(lenet, lambda p: torch.optim.Adam(p, lr=1e-3), batch=64, epochs=5),
}


def train(recipe: Recipe, data: Pictures, seed: int, until: float | None) -> Curve:
    """Trains by the recipe, and says how good it was when."""
    torch.manual_seed(seed)
    net = recipe.make()
    optimizer = recipe.optimizer(net.parameters())
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, recipe.decay)
    kept = round(len(data.train) * (1 - recipe.held_out))
    pixels, labels = standardised(data.train[:kept]), torch.from_numpy(data.train_labels[:kept])
    test, truth = standardised(data.test), torch.from_numpy(data.test_labels)
    curve: Curve = []
    spent = 0.0
    for _ in range(recipe.epochs):
        for piece in portions(torch.randperm(kept).split(recipe.batch), recipe.looks):
            began = time.process_time()
            net.train()
            for rows in piece:
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(pixels[rows]), labels[rows]).backward()
                optimizer.step()
            spent += time.process_time() - began
            curve.append((spent, accuracy(net, test, truth)))
            if until is not None and curve[-1][1] >= until:
                return curve
        schedule.step()
    return curve


def portions(batches: tuple[Tensor, ...], count: int) -> Iterator[tuple[Tensor, ...]]:
    """An epoch's batches in `count` equal portions."""
    size = -(-len(batches) // count)
    return (batches[start : start + size] for start in range(0, len(batches), size))


def standardised(pixels: np.ndarray) -> Tensor:
    """float32 (n, 1, height, width)."""
    return ((torch.from_numpy(pixels).float() / 255 - MEAN) / SPREAD).unsqueeze(1)


@torch.no_grad()
def accuracy(net: nn.Module, pixels: Tensor, truth: Tensor) -> float:
    """Share of right answers."""
    net.eval()
    answers = torch.cat([net(part).argmax(1) for part in pixels.split(1000)])
    return float((answers == truth).float().mean())


CLASSIC: dict[str, Callable[[int], Any]] = {
    "logistic regression": lambda seed: LogisticRegression(tol=1e-3, max_iter=1000),
    "kNN, k=4": lambda seed: KNeighborsClassifier(4, weights="distance"),
    "random forest": lambda seed: RandomForestClassifier(100, random_state=seed),
}


def fit(name: str, data: Pictures, seed: int) -> Curve:
    """A classic model on pixels between 0 and 1; of kNN, which learns nothing, the answers' seconds count."""
    model = CLASSIC[name](seed)
    flat, test = (part.reshape(len(part), -1).astype(np.float32) / 255 for part in (data.train, data.test))
    began = time.process_time()
    model.fit(flat, data.train_labels)
    spent = time.process_time() - began
    answers = model.predict(test)
    spent = time.process_time() - began if name.startswith("kNN") else spent
    return [(spent, float((answers == data.test_labels).mean()))]
