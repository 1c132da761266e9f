"""Predicting: answers in order whatever the piece size, whole or absent, and never into the input."""

from __future__ import annotations

import gzip
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flows.scoring import answers, streaming
from flows.scoring.chosen import Chosen
from tasks import sources
from tasks.config import Columns, TableSource
from tasks.errors import ConfigError, DataFormatError, DataRejected
from tasks.features.schema import types_of
from tasks.ladder.intervals import Interval
from tasks.learning import scoring
from tasks.learning.encode import Encoder, ImageInputs, TableInputs
from tasks.learning.targets import Labels, Scale
from tasks.predictions import Predictions
from tasks.records import ModelVersion
from tasks.sources import pieces

CONFIG: Any = SimpleNamespace(register_as=SimpleNamespace(name="made"))
INTERVAL = Interval(level=0.9, kind="ratio", width=0.1, rows=60)


def make_rows(count: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(0, 3, count), "n": rng.integers(0, 99, count)})
    frame["town"] = rng.choice(["north", "south", "07"], count)
    frame["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 10**6, count), unit="m")
    frame["x"] = frame["x"].mask(rng.random(count) < 0.1)
    frame["y"] = np.exp(frame["n"] / 50 + frame["x"].fillna(0) / 9)
    return frame


def write_bundle(folder: Path, target: Labels | Scale) -> Path:
    folder.mkdir()
    rows = make_rows(300, seed=9)
    encoder = Encoder(TableInputs.fit(rows, ["x", "n", "day"], ["town"], "standard"), target)
    network = {"kind": "mlp", "hidden": [33], "dropout": 0.0, "members": 1, "bins": 0, "bin_width": 8}
    network["embedding"] = 4
    columns = [{"name": n, "type": kind} for n, kind in types_of(rows).items() if n != "y"]
    identity = [*columns, {"name": "y", "type": "number"}]
    kind = "regression" if isinstance(target, Scale) else "classification"
    what = scoring.Bundle(kind, "y", network, columns, None, [{"trim": ["town"]}], ["y"], identity)
    weights = scoring.make_network(network, encoder).state_dict()
    scoring.save(folder, what, encoder, weights, rows)
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle", Scale.fit(make_rows(300, seed=9)["y"], "log"))


@pytest.fixture
def predict(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`streaming.predict` with a model of its own instead of a registry's."""

    def run(source: Path, name: str = "out.parquet", **more: Any) -> tuple[Any, pd.DataFrame]:
        folder, interval = more.pop("folder", bundle), more.pop("interval", None)
        model = ModelVersion(name="made", version=7, folder=folder)
        chosen = Chosen(model=model, folder=folder, interval=interval)
        monkeypatch.setattr(streaming, "choose", lambda *_: chosen)
        done = streaming.predict(CONFIG, tmp_path, source, tmp_path / name, **more)
        read = pd.read_parquet if done.output.suffix == ".parquet" else pd.read_csv
        return done, read(done.output)

    return run


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_any_piece_size_answers_as_the_whole_file_does_bit_for_bit(
    ending: str, bundle: Path, predict: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, path = make_rows(2 * scoring.BATCH + 17), tmp_path / f"rows.{ending}"
    rows.to_csv(path, index=False) if ending == "csv" else rows.to_parquet(path, row_group_size=3001)
    whole = sources.read(TableSource(kind="table", path=str(path)), tmp_path, None, Columns())
    expected = scoring.load(bundle).predict(whole.dataset.rows).values
    for chunk, batches in ((10_000, 1), (77_777, 2), (2**22, 8)):
        monkeypatch.setattr(pieces, "CHUNK", chunk)
        monkeypatch.setattr(streaming, "ROWS", batches * scoring.BATCH)
        done, found = predict(path, force=True)
        assert (done.rows, done.bad) == (len(rows), 0)
        np.testing.assert_array_equal(found["prediction"].to_numpy(), expected)


def test_a_wide_table_gets_shorter_pieces() -> None:
    assert streaming._rows_of(3) == streaming.ROWS
    assert streaming._rows_of(10_000) == scoring.BATCH
    assert streaming._rows_of(400) % scoring.BATCH == 0


def test_bad_rows_are_marked_wherever_they_stand(
    predict: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "ROWS", 16)
    monkeypatch.setattr(scoring, "BATCH", 16)
    rows = make_rows(100).astype("object")
    for row in (3, 16, 99):
        rows.loc[row, "n"] = "many"
    rows.to_csv(tmp_path / "rows.csv", index=False)
    told: list[int] = []
    done, found = predict(tmp_path / "rows.csv", interval=INTERVAL, tell=told.append)
    assert (done.rows, done.bad, done.bounded) == (100, 3, True)
    assert told == [16] * 6 + [4]
    assert np.flatnonzero(found["error"].notna()).tolist() == [3, 16, 99]
    assert set(found["error"].dropna()) == {"column 'n' holds no whole number"}
    for name in ("prediction", "low", "high"):
        assert np.flatnonzero(found[name].isna()).tolist() == [3, 16, 99]
    assert (found["model_version"] == 7).all()


def test_csv_and_parquet_say_the_same(predict: Any, tmp_path: Path) -> None:
    make_rows(50).to_csv(tmp_path / "rows.csv", index=False)
    _, one = predict(tmp_path / "rows.csv", "out.parquet", interval=INTERVAL)
    _, two = predict(tmp_path / "rows.csv", "out.csv", interval=INTERVAL)
    assert list(one.columns) == ["prediction", "low", "high", "model_version", "error"]
    pd.testing.assert_frame_equal(one.drop(columns="error"), two.drop(columns="error"), check_exact=True)
    np.testing.assert_allclose(one["high"] / one["prediction"], np.exp(0.1))
    np.testing.assert_allclose(one["prediction"] / one["low"], np.exp(0.1))


def test_without_an_interval_there_are_no_ends(predict: Any, tmp_path: Path) -> None:
    make_rows(5).to_csv(tmp_path / "rows.csv", index=False)
    done, found = predict(tmp_path / "rows.csv")
    assert done.bounded is False
    assert list(found.columns) == ["prediction", "model_version", "error"]


@pytest.mark.parametrize("classes", [(0, 1, 5), ("a", "b", "é"), (False, True)])
def test_labels_keep_their_type_beside_an_error(
    classes: tuple[Any, ...], predict: Any, tmp_path: Path
) -> None:
    folder = write_bundle(tmp_path / "labels", Labels(classes, (1,) * len(classes)))
    rows = make_rows(40).astype("object")
    rows.loc[1, "x"] = "wide"
    rows.to_csv(tmp_path / "rows.csv", index=False)
    done, found = predict(tmp_path / "rows.csv", folder=folder, interval=INTERVAL)
    assert done.bounded is None
    assert list(found.columns) == ["prediction", "probability", "model_version", "error"]
    given = found["prediction"].drop(1)
    assert set(given) <= set(classes)
    expected = answers.columns({"classes": list(classes)}, None, folder=False).field("prediction").type
    assert str(expected) in ("int64", "string", "bool")
    assert pd.isna(found["prediction"][1])
    assert found["probability"].drop(1).between(1 / len(classes) - 1e-9, 1).all()


def test_a_folder_is_answered_in_order_of_names(predict: Any, tmp_path: Path) -> None:
    home = tmp_path / "tables"
    home.mkdir()
    rows = make_rows(30)
    rows.iloc[20:].to_csv(home / "c.tsv", index=False, sep="\t")
    rows.iloc[10:20].to_parquet(home / "b.parquet")
    (home / "a.csv.gz").write_bytes(gzip.compress(rows.iloc[:10].to_csv(index=False).encode()))
    (home / "_SUCCESS").touch()
    rows.to_csv(tmp_path / "rows.csv", index=False)
    _, together = predict(home)
    _, alone = predict(tmp_path / "rows.csv", "alone.parquet")
    assert list(together.columns) == ["file", "prediction", "model_version", "error"]
    assert together["file"].tolist() == ["a.csv.gz"] * 10 + ["b.parquet"] * 10 + ["c.tsv"] * 10
    np.testing.assert_allclose(together["prediction"], alone["prediction"], rtol=1e-6)


def test_a_file_that_breaks_late_leaves_nothing(predict: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(pieces, "CHUNK", 1000)
    monkeypatch.setattr(streaming, "ROWS", 16)
    monkeypatch.setattr(scoring, "BATCH", 16)
    text = make_rows(2000).to_csv(index=False)
    (tmp_path / "rows.csv").write_text(text + "1,2\n")
    told: list[int] = []
    with pytest.raises(DataFormatError, match=r"rows.csv row 2001: expected 5 fields, got 2"):
        predict(tmp_path / "rows.csv", tell=told.append)
    assert sum(told) > 1500  # much was written already
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "rows.csv"}
    (tmp_path / "out.parquet").write_text("precious")
    with pytest.raises(DataFormatError):
        predict(tmp_path / "rows.csv", force=True)
    assert (tmp_path / "out.parquet").read_text() == "precious"


def test_a_missing_column_is_told_with_its_file(predict: Any, tmp_path: Path) -> None:
    home = tmp_path / "tables"
    home.mkdir()
    make_rows(9).to_csv(home / "a.csv", index=False)
    make_rows(9).rename(columns={"town": "twon"}).to_csv(home / "b.csv", index=False)
    with pytest.raises(DataRejected, match=r"tables/b.csv: column 'town' is missing; did you mean 'twon'"):
        predict(home)
    assert not (tmp_path / "out.parquet").exists()


def test_never_into_the_input(predict: Any, tmp_path: Path) -> None:
    rows, home = tmp_path / "rows.csv", tmp_path / "tables"
    make_rows(5).to_csv(rows, index=False)
    home.mkdir()
    (tmp_path / "link.csv").hardlink_to(rows)
    before = rows.read_bytes()
    for source, output in ((rows, "rows.csv"), (rows, "link.csv"), (home, "tables/out.csv")):
        with pytest.raises(ConfigError, match="lies in the input"):
            predict(source, output, force=True)
    assert rows.read_bytes() == before
    with pytest.raises(ConfigError, match="no such file or folder"):
        predict(tmp_path / "none.csv")


def idx_folder(folder: Path, shape: tuple[int, int] = (28, 28)) -> np.ndarray:
    """Four IDX files as MNIST has them: 40 train and 20 test images; returns all pixels."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    found = []
    for part, count in (("train", 40), ("t10k", 20)):
        pixels = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        head = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in pixels.shape)
        labels = bytes([0, 0, 8, 1]) + count.to_bytes(4, "big") + bytes(i % 10 for i in range(count))
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + pixels.tobytes()))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
        found.append(pixels)
    return np.concatenate(found)


@pytest.fixture
def seeing(tmp_path: Path) -> Path:
    """A bundle that takes images of 28 x 28 pixels."""
    encoder = Encoder(ImageInputs((28, 28), (10.0,), (5.0,)), Labels((0, 1), (3, 3)))
    identity = [{"name": "digest", "type": "text"}]
    network = {"kind": "neuron"}
    what = scoring.Bundle("classification", "label", network, None, [28, 28], [], ["label"], identity)
    folder = tmp_path / "seeing"
    folder.mkdir()
    weights = scoring.make_network(network, encoder).state_dict()
    scoring.save(folder, what, encoder, weights, pd.DataFrame({"digest": ["a"]}))
    return folder


def test_images(seeing: Path, predict: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "ROWS", 32)
    pixels = idx_folder(tmp_path / "images")
    done, found = predict(tmp_path / "images", folder=seeing)
    assert done.rows == 60
    np.testing.assert_array_equal(found["prediction"], scoring.load(seeing).predict(pixels).values)


def test_images_that_are_refused(seeing: Path, predict: Any, tmp_path: Path) -> None:
    idx_folder(tmp_path / "small", (8, 8))
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DataRejected, match=r"\[28, 28\]"):
        predict(tmp_path / "small", folder=seeing)
    with pytest.raises(DataFormatError, match="no picture in this folder"):
        predict(tmp_path / "pictures", folder=seeing)


def test_pictures_at_any_depth_and_one_alone(
    seeing: Path, predict: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "ROWS", 4)
    place, pixels = tmp_path / "pictures", np.random.default_rng(0).integers(0, 256, (9, 28, 28), np.uint8)
    names = [f"{i}.png" if i < 3 else f"deep/er/{i}.png" for i in range(9)]
    (place / "deep" / "er").mkdir(parents=True)
    for name, one in zip(names, pixels, strict=True):
        Image.fromarray(one).save(place / name)
    (place / "2.png").write_bytes((place / "2.png").read_bytes()[:200])
    (place / ".hidden").write_bytes(b"x")
    done, found = predict(place, folder=seeing)
    assert (done.rows, done.bad) == (9, 1)
    assert found["file"].tolist() == names
    assert found["error"].dropna().to_dict() == {2: "can't be decoded: cut short"}
    expected = scoring.load(seeing).predict(pixels).values
    sound = found["error"].isna().to_numpy()
    np.testing.assert_array_equal(found["prediction"][sound], expected[sound])
    assert pd.isna(found["prediction"][2])
    _, alone = predict(place / "1.png", name="one.csv", folder=seeing)
    assert alone[["file", "prediction"]].to_numpy().tolist() == [["1.png", expected[1]]]


def test_an_answer_for_every_row_in_the_columns_that_were_promised() -> None:
    given = Predictions(np.array([3, 7, 1]), np.full((3, 3), 0.5), np.array([1, 3, 7]))
    schema = answers.columns({"classes": [1, 3, 7]}, None, folder=True)
    table = answers.table(schema, given, {1: "no good"}, version=4, interval=None, file="a.csv")
    assert table.schema == schema
    assert table["prediction"].to_pylist() == [3, None, 1]
    assert table["error"].to_pylist() == [None, "no good", None]
    assert table["file"].to_pylist() == ["a.csv"] * 3


def test_the_command_needs_no_prefect() -> None:
    code = (
        "import sys, flows.commands.predicting, flows.commands.evaluating; "
        "import flows.scoring.streaming, flows.scoring.evaluating; print('prefect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- with a registry and a server --------------------------------------------------------------------


@pytest.fixture(scope="session")
def rents(yard: Any, make_project: Any) -> dict[str, Any]:
    """A regression, registered: its document."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.uniform(-3, 3, 600), "y": rng.normal(size=600)}).round(4)
    frame["colour"] = rng.choice(["red", "blue"], 600)
    frame["ring"] = (20 + 5 * frame["x"] + rng.normal(0, 1, 600)).round(3)
    changes = {
        "task": "task: regression",
        "split": "split: {strategy: random, validation: 0.15, test: 0.3}",
        "evaluate": "evaluate: {metric: mae, baselines: [median]}",
        "gate": "gate: []",
    }
    make_project(yard.root, "rents", frame, **changes)
    answer = yard("train", "rents", "--json")
    assert answer.code == 0, answer.err
    return answer.document


def test_a_version_carries_an_interval_that_holds_nine_of_ten(yard, rents, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"x": rng.uniform(-3, 3, 3000), "y": rng.normal(size=3000), "colour": "red"})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    answer = yard("predict", "rents", tmp_path / "rows.csv", "-o", tmp_path / "out.csv")
    assert answer.code == 0, answer.err
    assert "3,000 rows, by rents version 1" in answer.out
    found = pd.read_csv(tmp_path / "out.csv")
    truth = 20 + 5 * frame["x"] + rng.normal(0, 1, 3000)
    share = ((found["low"] <= truth) & (truth <= found["high"])).mean()
    assert share == pytest.approx(0.9, abs=0.07)  # from 180 test rows: a standard error of 0.022


def test_a_version_without_interval_says_so(yard, rents, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr("tasks.ladder.intervals.TAG", "modelyard.no_such_tag")
    (tmp_path / "rows.csv").write_text("x,y,colour\n1,2,red\n")
    answer = yard("predict", "rents", tmp_path / "rows.csv", "-o", tmp_path / "out.csv")
    assert "carries no prediction interval" in answer.out
    assert (tmp_path / "out.csv").read_text().startswith("prediction,model_version,error\n")


def test_the_flow_writes_a_file_of_its_own_in_the_project(yard, trained, ring_rows: pd.DataFrame) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    from flows.operate import history
    from flows.predict import predict as flow
    from flows.servers.prefect_server import connected, prefect_server

    home = yard.root / "data" / "rings"
    ring_rows.head(30).to_csv(home / "raw" / "new.csv", index=False)
    words = ("rings", "raw/new.csv", "raw/answers-{date}.parquet")
    with prefect_server(yard.root) as server, connected(server):
        document = flow(*words, root=str(yard.root))
        with pytest.raises(ConfigError, match="exists"):
            flow(*words, root=str(yard.root))
        with get_client(sync_client=True) as client:
            key = ArtifactFilter(key=ArtifactFilterKey(any_=["rings-predictions"]))
            (found,) = client.read_artifacts(artifact_filter=key)
        history.settle(None, 0)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    assert document["output"] == str(home / "raw" / f"answers-{today}.parquet")
    assert (document["rows"], document["bad"], document["project"]) == (30, 0, "rings")
    assert len(pd.read_parquet(document["output"])) == 30
    assert "| rows | 30 |" in found.data
    assert "rings version 1" in found.data


def test_names_by_date() -> None:
    from flows.predict import dated

    now = datetime(2026, 7, 31, 3, 0, 9, tzinfo=UTC)
    assert dated("answers-{date}.csv", now) == "answers-2026-07-31.csv"
    assert dated("{date}T{time}Z.csv", now) == "2026-07-31T030009Z.csv"
