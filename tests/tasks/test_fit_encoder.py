"""A pretrained encoder through the step that trains it: whole in its bundle, fresh when its base changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.config import Columns, Encode, Fit, Pretrained
from tasks.dataset import Dataset
from tasks.errors import ConfigError
from tasks.fit import fit
from tasks.learning import devices, scoring, subwords
from tasks.records import CleanRecord, FitRecord, SplitRecord, Step, ValidateRecord
from tasks.splitting import parts


def reviews(count: int = 96) -> Dataset:
    """Texts of which one word tells the class."""
    good = np.random.default_rng(0).random(count) < 0.5
    words = [f"a {'good' if yes else 'bad'} film{' !' * (i % 5)}" for i, yes in enumerate(good)]
    return Dataset(
        pd.DataFrame({"text": pd.Series(words, dtype="str"), "label": np.where(good, "fresh", "rotten")})
    )


def fitted(folder: Path, network: Pretrained, **changes: Any) -> FitRecord:
    data, step = reviews(), Step(name="made")
    for name in ("raw", "split"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    data.save(folder / "raw")
    dealt = pd.Series(np.resize(["train", "train", "train", "validation"], len(data)), index=data.rows.index)
    dealt.to_frame("part").to_parquet(folder / "split" / parts.FILE)
    told: dict[str, Any] = {
        "kind": "classification", "target": "label", "columns": Columns(text="text"), "exclude": (),
        "clean": (), "encode": Encode(), "metric": "accuracy", "seed": 0, "network": network,
        "settings": Fit(epochs=8, batch_size=8, learning_rate=0.005, device="cpu"),
    }  # fmt: skip
    return fit.fn(
        ValidateRecord(
            step=step, folder=folder / "raw", fingerprint="f", files=(), read=96, kept=96, quarantined=0,
            reasons={}, findings=(), expectations=1, columns=("text", "label"),
        ),
        CleanRecord(
            step=step, folder=folder / "raw", digest="c", read=96, kept=96, dropped=0, quarantined=0,
            operations=(),
        ),
        SplitRecord(step=step, folder=folder / "split", hash="s", train=72, validation=24, test=0),
        work=folder / "work",
        **told | changes,
    )  # fmt: skip


def test_it_learns_and_answers_without_the_base_model(base_model: Path, tmp_path: Path) -> None:
    made = fitted(tmp_path, Pretrained(model=str(base_model), length=8))
    assert made.history[-1].train_loss < 0.5 < made.history[0].train_loss
    assert made.history[made.best_epoch - 1].validation_metric > 0.9
    assert (made.base["name"], made.base["licence"], made.base["frozen"]) == ("tiny", "apache-2.0", "160")
    shutil.rmtree(base_model)

    scorer = scoring.load(made.folder)
    assert scorer.manifest["columns"] == [{"name": "text", "type": "text"}]
    rows = pd.DataFrame({"text": ["a good film", "a bad film ! !", "bad"]})
    assert scorer.predict(rows).values.tolist() == ["fresh", "rotten", "rotten"]
    alone = [scorer.predict(rows.iloc[[i]]).probabilities[0] for i in range(3)]
    np.testing.assert_allclose(np.stack(alone), scorer.predict(rows).probabilities, atol=1e-5)
    assert scorer.encoder.inputs.base["licence"] == "apache-2.0"


def test_the_same_seed_gives_the_same_bits_and_another_base_model_trains_anew(
    base_model: Path, tmp_path: Path
) -> None:
    network = Pretrained(model=str(base_model), length=8)
    few = Fit(epochs=1, batch_size=8, device="cpu", refit=True)
    first = fitted(tmp_path / "a", network, settings=few)
    assert fitted(tmp_path / "b", network, settings=few).digest == first.digest
    assert fitted(tmp_path / "a", network, settings=few).step.status == "reused"

    import transformers

    body = transformers.AutoModel.from_pretrained(base_model, local_files_only=True)
    with torch.no_grad():
        body.embeddings.LayerNorm.weight.mul_(1.5)
    body.save_pretrained(base_model)
    again = fitted(tmp_path / "a", network, settings=few)
    assert (again.step.status, again.step.why) == ("ran", "changed: base.sha256")
    assert again.digest != first.digest


def test_what_it_did_not_read_is_said(base_model: Path, tmp_path: Path) -> None:
    made = fitted(tmp_path, Pretrained(model=str(base_model), length=6), settings=Fit(epochs=1, device="cpu"))
    assert [w for w in made.warnings if "longer than 6 subwords (network.length)" in w]


def test_a_table_is_refused(base_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"columns\.text"):
        fitted(tmp_path, Pretrained(model=str(base_model)), columns=Columns(categorical=("text",)))


def test_a_model_that_was_made_with_the_extra_says_so_where_it_is_missing(
    base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fitted(tmp_path, Pretrained(model=str(base_model), length=8), settings=Fit(epochs=1, device="cpu"))
    monkeypatch.setattr(subwords, "find_spec", lambda name: None)
    subwords.opened.cache_clear()
    with pytest.raises(ConfigError, match=r"needs the extra `text`.*make text"):
        scoring.load(made.folder)


def test_bfloat16_is_for_cpus_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda there=there: there)
        found = devices.resolve_precision("auto", "cpu", convolutional=False, encoder=True)
        assert found == expected


def test_where_the_base_model_lies_changes_nothing(base_model: Path, tmp_path: Path) -> None:
    network = Pretrained(model=str(base_model), length=8)
    few = Fit(epochs=1, batch_size=8, device="cpu")
    first = fitted(tmp_path / "a", network, settings=few)
    moved = Path(shutil.move(base_model, tmp_path / "elsewhere" / base_model.name))
    again = fitted(tmp_path / "b", network.model_copy(update={"model": str(moved)}), settings=few)
    assert (again.digest, again.state_hash) == (first.digest, first.state_hash)
