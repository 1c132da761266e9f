from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.errors import ArtifactTampered, RegistryConflict, ResourceLimit
from tasks.learning import scoring
from tasks.learning.encode import Encoder, ImageInputs
from tasks.learning.targets import Labels
from tasks.records import ModelVersion
from tasks.registry import pack, reproduce

VERSION = ModelVersion(name="animals", version=3)


class Says:
    """A stranger that answers what a test wants."""

    def __init__(self, folder: Path, answer: dict[str, Any]) -> None:
        self.folder = folder
        self.answer = answer

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        self.request = request
        return self.answer


@pytest.fixture
def labels() -> reproduce.Sample:
    return reproduce.Sample(np.zeros((2, 4, 4), np.uint8), np.array(["cat", "dog"]), np.array([0.75, 0.5]))


@pytest.fixture
def numbers() -> reproduce.Sample:
    return reproduce.Sample(pd.DataFrame({"x": [1.0, 2.0]}), np.array([100.0, 0.0]), None)


def good(**changes: Any) -> dict[str, Any]:
    return {"values": ["cat", "dog"], "confidence": [0.75, 0.5], "tasks": "code/tasks/__init__.py", **changes}


def test_the_same_answers_pass(tmp_path: Path, labels: reproduce.Sample) -> None:
    stranger = Says(tmp_path, good())

    reproduce.reproduce("sqlite:///x", VERSION, labels, stranger)

    assert stranger.request["model_uri"] == "models:/animals/3"
    assert np.load(stranger.request["rows"]).shape == (2, 4, 4)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (good(values=["cat", "cat"]), ArtifactTampered, "1 of 2 labels"),
        (good(confidence=[0.75, 0.5001]), ArtifactTampered, "1 of 2 numbers"),
        (good(values=["cat"]), ArtifactTampered, "1 answers for 2 rows"),
        (good(tasks=None), RegistryConflict, "outside of the model"),
        ({"error": "ArtifactTampered", "message": "sha256"}, ArtifactTampered, "sha256"),
        ({"error": "MlflowException", "message": ""}, RegistryConflict, "MlflowException"),
        ({"error": "died", "message": "exit -9: Killed"}, RegistryConflict, "exit -9"),
    ],
)
def test_anything_else_fails_and_names_the_version(
    answer: dict[str, Any], error: type[Exception], words: str, tmp_path: Path, labels: reproduce.Sample
) -> None:
    with pytest.raises(error, match=r"version 3 of model 'animals'") as caught:
        reproduce.reproduce("sqlite:///x", VERSION, labels, Says(tmp_path, answer))

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("values", "agree"),
    [([100.0, 0.0], True), ([100.0005, 1e-6], True), ([100.01, 0.0], False), ([float("nan"), 0.0], False)],
)
def test_numbers_may_differ_by_rounding_only(
    values: list[float], agree: bool, numbers: reproduce.Sample
) -> None:
    assert (reproduce.differs(numbers, values, None) == "") is agree


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed image model and, beside it, the bundle that it was made from."""
    folder = tmp_path_factory.mktemp("model")
    pixels = np.random.default_rng(1).integers(0, 256, (6, 4, 4)).astype(np.uint8)
    encoder = Encoder(ImageInputs.fit(pixels), Labels.fit(pd.Series(["cat", "dog"] * 3)))
    torch.manual_seed(0)
    weights = scoring.make_network({"kind": "neuron"}, encoder).state_dict()
    bundle = scoring.Bundle(
        task="classification", target="animal", network={"kind": "neuron"}, columns=None,
        image_shape=[4, 4], clean=[], unused=[], identity=[{"name": "id", "type": "integer"}],
    )  # fmt: skip
    (folder / "bundle-made").mkdir()
    scoring.save(folder / "bundle-made", bundle, encoder, weights, pd.DataFrame({"id": [1, 2]}))
    manifest = json.loads((folder / "bundle-made" / "manifest.json").read_text())
    return pack.write(
        folder, bundle=folder / "bundle-made", manifest=manifest, example=pixels[:3], rows=None,
        model_id="m-1", run_id="r-1", metadata={},
    )  # fmt: skip


def ask(model: Path, rows: np.ndarray, seconds: float = 120) -> dict[str, Any]:
    with reproduce.Stranger() as stranger:
        np.save(stranger.folder / "rows.npy", rows)
        request = {
            "tracking_uri": "sqlite:///unused.db",
            "model_uri": str(model),
            "rows": str(stranger.folder / "rows.npy"),
            "probabilities": True,
        }
        return stranger.ask(request, seconds)


def test_a_fresh_process_runs_the_models_own_code_on_the_cpu(model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "model")
    # What the model's own copy says proves that it, and not the installed package, was run.
    scoring_file = copy / "code" / "tasks" / "learning" / "scoring.py"
    scoring_file.write_text(scoring_file.read_text() + "\nassert not torch.cuda.is_available()\nBATCH = 1\n")
    rows = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    expected = scoring.load(model.parent / "bundle-made").predict(rows)

    found = ask(copy, rows)

    assert str(found.get("tasks")).endswith("code/tasks/__init__.py"), found
    assert found["values"] == expected.values.tolist()
    assert found["confidence"] == pytest.approx(expected.probabilities.max(axis=1))


def test_damaged_weights_are_noticed_there(model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "model")
    weights = copy / "artifacts" / "bundle" / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)

    found = ask(copy, np.zeros((1, 4, 4), np.uint8))

    assert found["error"] == "ArtifactTampered"
    assert "weights.safetensors" in found["message"]


def test_a_stranger_that_takes_too_long_is_a_limit_and_is_gone(
    tmp_path: Path, labels: reproduce.Sample
) -> None:
    with reproduce.Stranger() as stranger:
        os.kill(stranger._process.pid, signal.SIGSTOP)
        with pytest.raises(ResourceLimit, match=r"more than 0 s"):
            reproduce.reproduce("sqlite:///x", VERSION, labels, stranger, seconds=0.1)

    assert stranger._process.returncode is not None
    assert not stranger.folder.exists()


def test_a_stranger_that_is_asked_nothing_goes_away() -> None:
    with reproduce.Stranger() as stranger:
        stranger._process.stdin.close()

        assert stranger._process.wait(60) == 0
        stranger._process.stdin = None


def test_a_stranger_that_was_called_ahead_is_the_one_that_is_asked() -> None:
    with reproduce.waiting_room():
        reproduce.call_ahead()
        reproduce.call_ahead()
        with reproduce.stranger() as early:
            assert early._process.poll() is None
            with reproduce.stranger() as late:
                assert late is not early


def test_a_stranger_that_nobody_asks_is_gone_with_the_room() -> None:
    reproduce.call_ahead()  # where no room is open, nobody comes
    with pytest.raises(KeyError), reproduce.waiting_room():
        reproduce.call_ahead()
        room = reproduce._ROOM.get()
        assert room is not None
        [waiting] = room
        raise KeyError
    assert waiting._process.returncode is not None
    assert not waiting.folder.exists()
