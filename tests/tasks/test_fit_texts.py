"""Texts through the step that trains: what is learned, what is told, and which kinds of network read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.config import Cnn, Columns, Encode, Fit, Mlp, Neuron, Rnn, Wide, WideDeep, Words
from tasks.dataset import TEXTUAL, Dataset
from tasks.errors import ConfigError
from tasks.features.schema import types_of
from tasks.fit import fit
from tasks.learning import scoring
from tasks.learning.words import TextInputs
from tasks.records import CleanRecord, FitRecord, SplitRecord, Step, ValidateRecord
from tasks.registry import pack
from tasks.splitting import parts
from tasks.tables import table as table_of

SETTINGS = Fit(epochs=8, batch_size=16, learning_rate=0.01, schedule="one_cycle", refit=True)


def reviews(rows: int = 180) -> Dataset:
    """Made sentences, of which two words tell the class and, added up, the stars."""
    rng = np.random.default_rng(1)
    good = rng.random(rows) < 0.5
    telling = np.where(
        good[:, None], rng.choice(["warm", "fine"], (rows, 2)), rng.choice(["dull", "weak"], (rows, 2))
    )
    texts = [" ".join(rng.permutation([*words, *rng.choice(list("abcdefgh"), 5)])) for words in telling]
    frame = pd.DataFrame({"text": pd.Series(texts, dtype="str"), "label": np.where(good, "fresh", "rotten")})
    frame["stars"] = good * 4.0 + rng.normal(size=rows) / 4
    for name in TEXTUAL:
        frame[name] = 1
    frame.index.name = "row"
    return Dataset(frame)


def fitted(folder: Path, data: Dataset | None = None, **changes: Any) -> FitRecord:
    data, step = data or reviews(), Step(name="made")
    for name in ("raw", "split"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    table_of.save(folder / "raw", data, types_of(data.rows), len(data))
    dealt = pd.Series(np.resize([*["train"] * 4, "validation", "test"], len(data)), index=data.rows.index)
    dealt.to_frame("part").to_parquet(folder / "split" / parts.FILE)
    n = len(data)
    told: dict[str, Any] = {
        "kind": "classification", "target": "label", "columns": Columns(text="text"), "exclude": (),
        "clean": (), "encode": Encode(), "metric": "log_loss", "seed": 0, "network": Wide(),
        "settings": SETTINGS, "work": folder / "work",
    }  # fmt: skip
    raw = ValidateRecord(
        step=step, folder=folder / "raw", fingerprint="f", files=(), read=n, kept=n, quarantined=0,
        reasons={}, findings=(), expectations=1, columns=tuple(data.rows.columns),
        types={**types_of(data.rows), "text": "text"},
    )  # fmt: skip
    cleaned = CleanRecord(
        step=step, folder=folder / "raw", digest="c", read=n, kept=n, dropped=0, quarantined=0, operations=()
    )
    split = SplitRecord(step=step, folder=folder / "split", hash="s", train=1, validation=1, test=1)
    return fit.fn(raw, cleaned, split, **told | changes)


@pytest.mark.parametrize(
    "network",
    [Wide(), WideDeep(hidden=8, embedding=8), Rnn(hidden=8, embedding=8, dropout=0, word_dropout=0),
     Mlp(hidden=(16,), dropout=0), Neuron()],
    ids=lambda network: network.kind,
)  # fmt: skip
def test_texts_become_a_model_that_takes_raw_texts(tmp_path: Path, network: Any) -> None:
    data = reviews()
    record = fitted(tmp_path, network=network, settings=SETTINGS.model_copy(update={"learning_rate": 0.02}))
    model = scoring.load(record.folder)
    assert model.manifest["columns"] == [{"name": "text", "type": "text"}]
    assert {column["name"] for column in model.manifest["identity"]} == {"text", "label"}
    answers = model.predict(data.rows[["text"]])
    assert (answers.values == data.rows["label"]).mean() > 0.9
    # What else the rows hold, and the rows beside it, change no answer.
    alone = model.predict(pd.DataFrame({"text": data.rows["text"][:1]}))
    assert answers.probabilities is not None and alone.probabilities is not None
    np.testing.assert_allclose(alone.probabilities[0], answers.probabilities[0], atol=1e-6)
    assert np.isfinite(model.predict(pd.DataFrame({"text": ["", None, "絵"]})).probabilities).all()
    seen = model.has_seen(data.rows)
    assert seen[np.arange(len(data)) % 6 != 5].all()
    schema = pack.signature(model.manifest, data.rows[["text"]]).inputs
    assert [(column.name, str(column.type)) for column in schema] == [("text", "Any")]


@pytest.mark.parametrize("network", [Wide(), WideDeep(hidden=8, embedding=8)], ids=lambda n: n.kind)
def test_a_number_is_learned_from_texts(tmp_path: Path, network: Any) -> None:
    data = reviews()
    record = fitted(tmp_path, network=network, kind="regression", target="stars", metric="mae")
    answers = scoring.load(record.folder).predict(data.rows[["text"]])
    assert np.abs(answers.values - data.rows["stars"]).mean() < 1.0  # the median is off by 2


def test_changing_test_rows_changes_nothing_that_was_learned(tmp_path: Path) -> None:
    other = reviews()
    test = np.arange(len(other)) % 6 == 5
    other.rows.loc[test, "text"] = "never seen words 123"
    before, after = fitted(tmp_path / "a"), fitted(tmp_path / "b", other)
    assert (before.state_hash, before.digest) == (after.state_hash, after.digest)
    encoder = scoring.load(after.folder).encoder.inputs
    assert isinstance(encoder, TextInputs)
    assert "never" not in encoder.vocabulary
    changed = reviews()
    changed.rows.loc[0, "text"] = "never seen words 123"
    assert fitted(tmp_path / "c", changed).state_hash != before.state_hash


def test_texts_that_are_cut_are_told(tmp_path: Path) -> None:
    data = reviews()
    data.rows.loc[:17, "text"] = "dull " * 20
    record = fitted(tmp_path, data, encode=Encode(words=Words(length=10)))
    assert any("10.0% of the train texts are longer" in warning for warning in record.warnings)
    assert not any("longer" in warning for warning in fitted(tmp_path / "whole", data).warnings)


def test_what_can_not_read_texts_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'cnn' needs images; use 'mlp' for tables and 'wide' for texts"):
        fitted(tmp_path, network=Cnn())
