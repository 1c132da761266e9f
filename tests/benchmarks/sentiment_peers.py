"""What others would do with sentences, trained and timed: one peer in one process, for `sentiment.py`.

scikit-learn's and torch's own parts alone; nothing of ours is imported, so that the peak of memory is theirs.
Linear peers learn from train and validation rows; a network picks its best epoch on the validation rows.

    .venv/bin/python tests/benchmarks/sentiment_peers.py FOLDER PEER SEED [SEED ...]

FOLDER holds `rows.parquet` (text, label) and for each seed `SEED.npz`: positions of train, validation, test.
Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

WORD = r"[\w']+"
LONGEST = 64
"""Words of a sentence that a network reads."""


def peak() -> float:
    """Peak memory of this process in MB; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0.0
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


class Weighted:
    """NB-SVM (Wang & Manning, 2012): a linear SVM on binary counts times naive Bayes' log-ratios."""

    def __init__(self, c: float = 0.1, beta: float = 0.25) -> None:
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.svm import LinearSVC

        self.counts = CountVectorizer(ngram_range=(1, 2), binary=True, token_pattern=WORD)
        self.machine, self.beta = LinearSVC(C=c, random_state=0), beta

    def fit(self, texts: list[str], labels: np.ndarray) -> Weighted:
        x, (self.classes, y) = self.counts.fit_transform(texts), np.unique(labels, return_inverse=True)
        ahead, behind = (np.asarray(x[y == side].sum(axis=0)).ravel() + 1.0 for side in (1, 0))
        self.ratio = np.log(ahead / ahead.sum()) - np.log(behind / behind.sum())
        self.machine.fit(x.multiply(self.ratio).tocsr(), y)
        weights = self.machine.coef_[0]
        self.weights = (1 - self.beta) * np.abs(weights).mean() + self.beta * weights
        return self

    def predict(self, texts: list[str]) -> np.ndarray:
        x = self.counts.transform(texts).multiply(self.ratio).tocsr()
        return self.classes[(x @ self.weights + self.machine.intercept_[0] > 0).astype(int)]


def linear(name: str) -> Any:
    """A peer that counts."""
    from sklearn.dummy import DummyClassifier
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    if name == "majority":
        return DummyClassifier()
    if name == "tfidf-logistic":
        return make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression())
    if name == "naive-bayes":
        counts = CountVectorizer(ngram_range=(1, 2), binary=True, token_pattern=WORD)
        return make_pipeline(counts, MultinomialNB())
    if name == "nb-svm":
        return Weighted()
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORD)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return make_pipeline(make_union(words, characters), LinearSVC(C=0.3, random_state=0))


def tokens(text: str) -> list[str]:
    return re.findall(r"[\w']+|[^\w\s]", text.lower())[:LONGEST]


def module(kind: str, words: int) -> Any:
    """(batch, words) ids, 0 is padding -> (batch, 2)."""
    import torch
    from torch import Tensor, nn

    class Convolutional(nn.Module):
        """Kim (2014), small: 100 dimensions, 64 filters each of 3, 4 and 5 words, largest over time."""

        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(words, 100, padding_idx=0, sparse=True)
            nn.init.uniform_(self.words.weight, -0.25, 0.25)  # as in the paper
            self.filters = nn.ModuleList(nn.Conv1d(100, 64, width, padding=width - 1) for width in (3, 4, 5))
            self.output = nn.Linear(192, 2)

        def forward(self, ids: Tensor) -> Tensor:
            x = self.words(ids).transpose(1, 2)
            found = torch.cat([one(x).relu().amax(2) for one in self.filters], dim=1)
            return self.output(nn.functional.dropout(found, 0.5, self.training))

    class Recurrent(nn.Module):
        """100 dimensions, an LSTM of 128 each way, largest state over time; padded or packed."""

        def __init__(self, packed: bool) -> None:
            super().__init__()
            self.packed = packed
            self.words = nn.Embedding(words, 100, padding_idx=0)
            nn.init.uniform_(self.words.weight, -0.05, 0.05)  # as in Keras; torch's own learn far more slowly
            self.read = nn.LSTM(100, 128, batch_first=True, bidirectional=True)
            self.output = nn.Linear(256, 2)

        def forward(self, ids: Tensor) -> Tensor:
            x = nn.functional.dropout(self.words(ids), 0.5, self.training)
            if self.packed:
                long = (ids > 0).sum(1)
                x = nn.utils.rnn.pack_padded_sequence(x, long, batch_first=True, enforce_sorted=False)
                states = nn.utils.rnn.pad_packed_sequence(self.read(x)[0], batch_first=True)[0]
            else:
                states = self.read(x)[0]
            found = states.masked_fill((ids == 0).unsqueeze(2), -1.0).amax(1)
            return self.output(nn.functional.dropout(found, 0.5, self.training))

    return Convolutional() if kind == "kim-cnn" else Recurrent(kind == "bilstm-packed")


def network(kind: str, parts: dict[str, pd.DataFrame], seed: int) -> tuple[np.ndarray, float, float]:
    """Answers for the test rows, CPU seconds of training, CPU seconds an epoch."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    began = time.process_time()
    rows = Counter(word for text in parts["train"]["text"] for word in set(tokens(text)))
    known = {word: 2 + i for i, word in enumerate(sorted(word for word, n in rows.items() if n > 1))}
    classes = sorted(parts["train"]["label"].unique())

    def padded(texts: list[str]) -> torch.Tensor:
        ids = [torch.tensor([known.get(word, 1) for word in tokens(text)] or [1]) for text in texts]
        return nn.utils.rnn.pad_sequence(ids, batch_first=True)

    x, y = {}, {}
    for name in ("train", "validation"):
        x[name] = padded(list(parts[name]["text"]))
        y[name] = torch.tensor([classes.index(label) for label in parts[name]["label"]])
    net = module(kind, 2 + len(known))
    if kind == "kim-cnn":
        table = [net.words.weight]
        optimizers = [torch.optim.SparseAdam(table, 3e-3)]
        optimizers += [torch.optim.Adam([p for p in net.parameters() if p is not table[0]], 3e-3)]
    else:
        optimizers = [torch.optim.Adam(net.parameters(), 1e-3)]
    long, best, epochs, prepared = (x["train"] > 0).sum(1), (-1.0, {}), 5, time.process_time()
    for _ in range(epochs):
        net.train()
        order = torch.randperm(len(long))
        if kind == "kim-cnn":  # batches of like length; the others mix lengths, as most examples do
            order = torch.cat([block[long[block].argsort()] for block in order.split(16 * 50)])
        batches = order.split(50)
        for at in torch.randperm(len(batches)).tolist():
            ids, goal = x["train"][batches[at]], y["train"][batches[at]]
            ids = ids[:, : int((ids > 0).sum(1).max())]
            loss = nn.functional.cross_entropy(net(ids), goal)
            net.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
        right = float((answers(net, x["validation"]) == y["validation"]).float().mean())
        if right > best[0]:
            best = (right, {name: tensor.clone() for name, tensor in net.state_dict().items()})
    ended = time.process_time()
    net.load_state_dict(best[1])
    found = answers(net, padded(list(parts["test"]["text"])))
    return np.array(classes)[found.numpy()], ended - began, (ended - prepared) / epochs


def answers(net: Any, ids: Any) -> Any:
    import torch

    net.eval()
    with torch.no_grad():
        parts = [part[:, : int((part > 0).sum(1).max())] for part in ids.split(200)]
        return torch.cat([net(part).argmax(1) for part in parts])


def main() -> None:
    """One peer, over seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("peer")
    parser.add_argument("seeds", type=int, nargs="+")
    asked = parser.parse_args()
    rows, found = pd.read_parquet(asked.folder / "rows.parquet"), []
    for seed in asked.seeds:
        at = np.load(asked.folder / f"{seed}.npz")
        parts = {name: rows.iloc[at[name]] for name in ("train", "validation", "test")}
        if asked.peer in ("kim-cnn", "bilstm", "bilstm-packed"):
            import torch

            torch.set_num_threads(1)
            values, seconds, epoch = network(asked.peer, parts, seed)
        else:
            known = pd.concat([parts["train"], parts["validation"]])
            model, epoch = linear(asked.peer), None
            began = time.process_time()
            model.fit(list(known["text"]), known["label"].to_numpy())
            seconds = time.process_time() - began
            values = model.predict(list(parts["test"]["text"]))
        right = float((values == parts["test"]["label"].to_numpy()).mean())
        found.append({"right": right, "seconds": seconds, "epoch": epoch})
    json.dump({"found": found, "peak": peak()}, sys.stdout)


if __name__ == "__main__":
    main()
