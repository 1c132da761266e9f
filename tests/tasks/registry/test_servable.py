from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.features.schema import type_of
from tasks.learning import scoring
from tasks.learning.encode import Encoder, ImageInputs, TableInputs
from tasks.learning.targets import Labels, Scale
from tasks.registry import pack

FEATURES = ["area", "rooms", "garden", "town"]


def save(folder: Path, encoder: Encoder, columns: Any, shape: Any) -> dict[str, Any]:
    folder.mkdir()
    torch.manual_seed(0)
    network = scoring.make_network({"kind": "neuron"}, encoder)
    task = "classification" if isinstance(encoder.target, Labels) else "regression"
    bundle = scoring.Bundle(
        task=task,
        target="price",
        network={"kind": "neuron"},
        columns=columns,
        image_shape=shape,
        clean=[],
        unused=[],
        identity=[{"name": "id", "type": "integer"}],
    )
    scoring.save(folder, bundle, encoder, network.state_dict(), pd.DataFrame({"id": [1, 2]}))
    (folder / "record.json").write_text("{}")
    return json.loads((folder / "manifest.json").read_text())


def table_model(folder: Path, rows: pd.DataFrame) -> Path:
    encoder = Encoder(
        TableInputs.fit(rows, ["area", "rooms", "garden"], ["town"], "standard"),
        Scale.fit(rows["price"], "none"),
    )
    columns = [{"name": name, "type": type_of(rows[name].dtype)} for name in FEATURES]
    manifest = save(folder / "fitted", encoder, columns, None)
    return pack.write(
        folder, bundle=folder / "fitted", manifest=manifest, example=rows[FEATURES][:3], rows=rows,
        model_id="m-1", run_id="r-1", metadata={},
    )  # fmt: skip


def image_model(folder: Path, pixels: np.ndarray) -> Path:
    labels = pd.Series(["cat", "dog", "eel"] * (len(pixels) // 3))
    encoder = Encoder(ImageInputs.fit(pixels), Labels.fit(labels))
    manifest = save(folder / "fitted", encoder, None, list(pixels.shape[1:]))
    return pack.write(
        folder, bundle=folder / "fitted", manifest=manifest, example=pixels[:3], rows=None,
        model_id="m-1", run_id="r-1", metadata={},
    )  # fmt: skip


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (9, 4, 5)).astype(np.uint8)


def load(path: Path) -> Any:
    import mlflow

    return mlflow.pyfunc.load_model(str(path))


def test_a_table_model_answers_raw_rows_like_the_bundle(tmp_path: Path, houses: pd.DataFrame) -> None:
    model = load(table_model(tmp_path, houses))
    expected = scoring.load(tmp_path / "fitted").predict(houses).values

    assert model.predict(houses[FEATURES]) == pytest.approx(expected)
    # Which rows are sent decides a column's dtype where it has gaps: all of these must pass.
    whole = houses.assign(garden=7)
    assert model.predict(whole[FEATURES][:5]).shape == (5,)
    none = houses.assign(garden=None)
    assert model.predict(none[FEATURES][:5]) == pytest.approx(model.predict(none.drop(columns="garden")[:5]))


def test_an_image_model_answers_labels_or_probabilities(tmp_path: Path, pixels: np.ndarray) -> None:
    model = load(image_model(tmp_path, pixels))

    answer = model.predict(pixels)
    table = model.predict(pixels, params={"output": "probabilities"})

    assert list(table.columns) == ["cat", "dog", "eel"]
    assert table.sum(axis=1).to_numpy() == pytest.approx(np.ones(9))
    assert list(answer) == list(table.idxmax(axis=1))


def test_the_signature_speaks_of_raw_inputs(tmp_path: Path, houses: pd.DataFrame, pixels: np.ndarray) -> None:
    for name in ("table", "image"):
        (tmp_path / name).mkdir()
    table = load(table_model(tmp_path / "table", houses)).metadata.signature
    image = load(image_model(tmp_path / "image", pixels)).metadata.signature

    kinds = {spec.name: (str(spec.type), spec.required) for spec in table.inputs.inputs}
    assert kinds["area"] == ("Any", True)
    assert kinds["rooms"] == ("Any", True)
    assert kinds["town"] == ("Any", True)
    assert kinds["garden"][1] is False
    assert image.inputs.inputs[0].shape == (-1, 4, 5)
    assert image.inputs.inputs[0].type == np.dtype("uint8")
    assert str(image.outputs.inputs[0].type) == "DataType.string"


@pytest.mark.parametrize("output", ["probabilities", "nonsense"])
def test_an_impossible_wish_is_refused_by_name(output: str, tmp_path: Path, houses: pd.DataFrame) -> None:
    from mlflow.exceptions import MlflowException

    model = load(table_model(tmp_path, houses))

    with pytest.raises(MlflowException, match=r"params\.output.*" + output):
        model.predict(houses[FEATURES], params={"output": output})


def test_a_value_that_is_no_number_is_refused_with_its_row(tmp_path: Path, houses: pd.DataFrame) -> None:
    from mlflow.exceptions import MlflowException

    model = load(table_model(tmp_path, houses))
    bad = houses[FEATURES].astype({"garden": object})
    bad.loc[2, "garden"] = "green"

    with pytest.raises(MlflowException, match=r"row 3.*garden"):
        model.predict(bad)


def test_the_folder_holds_data_and_readable_code_only(tmp_path: Path, houses: pd.DataFrame) -> None:
    model = table_model(tmp_path, houses)
    files = [path for path in model.rglob("*") if path.is_file()]

    kinds = {path.suffix or path.name for path in files}
    assert kinds == {".json", ".py", ".safetensors", ".txt", ".yaml", "MLmodel"}
    assert not [path for path in files if b"\x80\x04\x95" in path.read_bytes() or path.name == "record.json"]
    text = (model / "MLmodel").read_text()
    assert str(tmp_path) not in text
    assert str(pack.PACKAGE) not in text
    assert "NaN" not in (model / "serving_input_example.json").read_text()


def test_the_model_brings_what_it_imports_and_no_more() -> None:
    found = pack.closure()

    assert {
        "__init__.py",
        "learning/scoring.py",
        "learning/encode.py",
        "networks/mlp.py",
        "networks/__init__.py",
    } <= set(found.files)
    assert {"mlflow", "torch", "pandas", "numpy", "pyarrow", "safetensors", *pack.ONLY_FOR} == set(
        found.packages
    )
    assert not {"config.py", "register.py", "store.py", "training.py"} & set(found.files)


def test_requirements_are_exact_and_carry_no_local_label() -> None:
    lines = pack.requirements()

    assert all(line.count("==") == 1 and "+" not in line for line in lines)
    assert {line.split("==")[0] for line in lines} == {
        "mlflow",
        "torch",
        "pandas",
        "numpy",
        "pyarrow",
        "safetensors",
    }


def test_only_a_pretrained_encoder_asks_for_the_packages_of_the_extra() -> None:
    assert pack.requirements({"kind": "rnn"}) == pack.requirements()
    pytest.importorskip("transformers", reason="the extra `text` is not installed: `make text`")
    names = {
        line.split("==")[0] for line in set(pack.requirements({"kind": "encoder"})) - set(pack.requirements())
    }
    assert names == {"transformers", "tokenizers"}


def test_a_users_own_network_travels_with_its_whole_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "src" / "mine_of_test"
    (package / "deep").mkdir(parents=True)
    for name in ("__init__.py", "deep/__init__.py", "deep/nets.py", "data.bin"):
        (package / name).write_text("")
    (tmp_path / "src" / "single_of_test.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "src"))

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    pack.stage_code(tmp_path / "a", {"kind": "mine_of_test.deep.nets:make"})
    (tmp_path / "src" / "single_of_test.py").write_text(
        "import beside_of_test, scipy\nfrom tasks import lease"
    )
    (tmp_path / "src" / "beside_of_test.py").write_text("")
    pack.stage_code(tmp_path / "b", {"kind": "neuron"}, [{"single_of_test:make": {}}])

    carried = {
        path.relative_to(tmp_path / "a" / "mine_of_test").as_posix()
        for path in (tmp_path / "a" / "mine_of_test").rglob("*.*")
    }
    assert carried == {"__init__.py", "deep/__init__.py", "deep/nets.py"}
    for place in ("single_of_test.py", "beside_of_test.py", "tasks/lease.py"):
        assert (tmp_path / "b" / place).exists(), "what it imports travels, too"
    assert not (tmp_path / "a" / "tasks" / "lease.py").exists()
    assert any(line.startswith("scipy==") for line in pack.requirements(None, [{"single_of_test:make": {}}]))


def _post(port: int, body: object) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("kind", ["table", "image"])
def test_the_scoring_server_parses_json_to_the_same_answers(
    kind: str, tmp_path: Path, houses: pd.DataFrame, pixels: np.ndarray
) -> None:
    # The parser and the predict path of `mlflow models serve`, without waiting for a server.
    from mlflow.pyfunc import scoring_server

    if kind == "table":
        model = load(table_model(tmp_path, houses))
        rows = houses[FEATURES][:6]
        body = {"dataframe_split": json.loads(rows.to_json(orient="split", index=False))}
        expected = model.predict(rows)
    else:
        model = load(image_model(tmp_path, pixels))
        body, expected = {"inputs": pixels.tolist()}, model.predict(pixels)
    text = json.dumps(body)

    answer = scoring_server.invocations(text, "application/json", model, model.metadata.get_input_schema())

    assert answer.status == 200, answer.response
    got = json.loads(answer.response)["predictions"]
    assert got == (pytest.approx(expected) if kind == "table" else list(expected))


@pytest.mark.skipif(
    not os.environ.get("MODELYARD_SLOW_TESTS"), reason="starts a server: 15 s; set MODELYARD_SLOW_TESTS=1"
)
def test_mlflows_own_server_answers_for_the_champion(
    shelf: Any, tmp_path: Path, houses: pd.DataFrame
) -> None:
    from tasks.registry import fetching

    shelf.promote(shelf.add(seed=1))
    champion = fetching.champion(shelf.uri, "houses", tmp_path / "cache")
    expected = scoring.load(champion.folder).predict(houses[FEATURES][:4]).values
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/houses@champion"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    server = subprocess.Popen(
        [*command, "--env-manager", "local", "-p", str(port)],
        env={**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": shelf.uri},
        cwd=tmp_path,  # none of our code lies there; what answers is what the model carries
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        body = {"dataframe_split": json.loads(houses[FEATURES][:4].to_json(orient="split", index=False))}
        for _ in range(240):
            try:
                status, answer = _post(port, body)
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.25)
        else:
            pytest.fail("the server did not come up in a minute")
        assert status == 200
        assert answer["predictions"] == pytest.approx(expected)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
