from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import features
from tasks.errors import ArtifactTampered, DataRejected
from tasks.features.schema import types_of
from tasks.learning import scoring
from tasks.learning.encode import Encoder, ImageInputs, TableInputs
from tasks.learning.targets import Labels, Scale


@pytest.fixture
def bundle(tmp_path: Path, houses: pd.DataFrame) -> Path:
    houses["sold"] = pd.Timestamp("2020-05-01")
    houses["pool"] = houses.index % 2 == 0
    inputs = TableInputs.fit(houses, ["area", "rooms", "garden", "sold"], ["town", "pool"], "standard")
    encoder = Encoder(inputs, Scale.fit(houses["price"], "log"))
    network = {"kind": "neuron"}
    columns = [{"name": n, "type": kind} for n, kind in types_of(houses).items() if n != "price"]
    identity = [*columns, {"name": "price", "type": "number"}]
    what = scoring.Bundle(
        "regression", "price", network, columns, None, [{"trim": ["town"]}], ["price"], identity
    )
    weights = scoring.make_network(network, encoder).state_dict()
    scoring.save(tmp_path, what, encoder, weights, houses.iloc[:200])
    return tmp_path


@pytest.fixture
def rows(houses: pd.DataFrame) -> pd.DataFrame:
    return houses.assign(sold=pd.Timestamp("2020-05-01"), pool=houses.index % 2 == 0).drop(columns="price")


def test_text_of_a_csv_answers_like_the_frame_it_came_from(bundle: Path, rows: pd.DataFrame) -> None:
    model = scoring.load(bundle)
    as_text = rows.astype("str").mask(rows.isna())
    np.testing.assert_array_equal(model.predict(as_text).values, model.predict(rows).values)


def test_order_and_company_of_rows_change_no_answer(bundle: Path, rows: pd.DataFrame) -> None:
    model = scoring.load(bundle)
    together = model.predict(rows).values
    alone = model.predict(rows.iloc[[17]]).values
    np.testing.assert_allclose(alone[0], together[17], rtol=1e-6)
    np.testing.assert_allclose(model.predict(rows.iloc[::-1]).values[::-1], together, rtol=1e-6)


def test_no_rows_no_answers(bundle: Path, rows: pd.DataFrame) -> None:
    assert scoring.load(bundle).predict(rows.iloc[:0]).values.shape == (0,)


def test_bad_rows_are_named_and_the_others_answered(bundle: Path, rows: pd.DataFrame) -> None:
    model = scoring.load(bundle)
    rows = rows.astype("str").mask(rows.isna())
    rows.loc[3, "area"] = "large"
    rows.loc[5, "sold"] = "yesterday"
    rows.loc[6, "area"] = "inf"
    rows.loc[7, "pool"] = "maybe"
    answers, bad = model.predict_each(rows)
    assert bad == {
        3: "column 'area' holds no number",
        6: "column 'area' holds no number",
        5: "column 'sold' holds no date of ISO 8601 (2024-01-31)",
        7: "column 'pool' holds no truth value (true or false)",
    }
    assert np.isfinite(np.delete(answers.values, [3, 5, 6, 7])).all()
    with pytest.raises(DataRejected, match=r"4 of 300 rows can't be read; the first is row 4: column 'area'"):
        model.predict(rows)


def test_a_missing_column_names_the_nearest(bundle: Path, rows: pd.DataFrame) -> None:
    with pytest.raises(DataRejected, match=r"column 'garden' is missing; did you mean 'gardn'\?"):
        scoring.load(bundle).predict(rows.rename(columns={"garden": "gardn"}))


def test_a_table_model_refuses_images_and_an_image_model_tables(
    bundle: Path, rows: pd.DataFrame, tmp_path: Path
) -> None:
    encoder = Encoder(ImageInputs((8, 8), (10.0,), (5.0,)), Labels((0, 1), (3, 3)))
    network = {"kind": "neuron"}
    folder = tmp_path / "images"
    folder.mkdir()
    identity = [{"name": "digest", "type": "text"}]
    what = scoring.Bundle("classification", "label", network, None, [8, 8], [], [], identity)
    weights = scoring.make_network(network, encoder).state_dict()
    scoring.save(folder, what, encoder, weights, pd.DataFrame({"digest": ["a", "b"]}))
    model = scoring.load(folder)
    assert set(model.predict(np.zeros((3, 8, 8), dtype=np.uint8)).values) <= {0, 1}
    with pytest.raises(DataRejected, match="takes images, not a table"):
        model.predict(rows)
    with pytest.raises(DataRejected, match="takes a table, not images"):
        scoring.load(bundle).predict(np.zeros((3, 8, 8), dtype=np.uint8))


def test_rows_that_it_learned_from_are_known_again_however_they_are_stored(
    bundle: Path, houses: pd.DataFrame
) -> None:
    model = scoring.load(bundle)
    rows = houses.assign(sold=pd.Timestamp("2020-05-01"), pool=houses.index % 2 == 0)
    expected = np.arange(300) < 200
    np.testing.assert_array_equal(model.has_seen(rows), expected)
    shuffled = rows.sample(frac=1.0, random_state=0)
    np.testing.assert_array_equal(model.has_seen(shuffled), shuffled.index < 200)
    as_text = rows.astype("str").mask(rows.isna())
    np.testing.assert_array_equal(model.has_seen(as_text), expected)
    np.testing.assert_array_equal(model.has_seen(rows.astype({"rooms": "float32"})), expected)
    changed = rows.assign(price=rows["price"] + 1.0)  # the same house sold again is another row
    assert not model.has_seen(changed).any()


@pytest.mark.parametrize("name", scoring.PARTS)
def test_one_flipped_bit_is_refused(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[-20] ^= 1
    (bundle / name).write_bytes(bytes(data))
    with pytest.raises(ArtifactTampered, match=f"{name} in .* has sha256") as caught:
        scoring.load(bundle)
    assert caught.value.exit_code == 9


def test_a_bundle_that_is_not_one_is_refused(bundle: Path) -> None:
    manifest = json.loads((bundle / scoring.MANIFEST).read_text())
    manifest["network"] = {"kind": "mlp"}
    (bundle / scoring.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactTampered, match="holds no model that can be opened"):
        scoring.load(bundle)
    (bundle / scoring.MANIFEST).unlink()
    with pytest.raises(ArtifactTampered, match="holds no model that can be opened"):
        scoring.load(bundle)


def test_probabilities_are_a_softmax_even_of_large_outputs() -> None:
    outputs = np.array([[1000.0, 0.0], [0.0, np.log(3.0)]], dtype=np.float32)
    answers = scoring.decode(outputs, Labels(("no", "yes"), (1, 1)))
    assert answers.values.tolist() == ["no", "yes"]
    np.testing.assert_allclose(answers.probabilities, [[1.0, 0.0], [0.25, 0.75]], atol=1e-7)  # type: ignore[arg-type]


def test_class_weights_decide_the_label_and_leave_the_probabilities_alone() -> None:
    """Of a class as rare as one in ten, weighted outputs of even odds mean one in ten."""
    labels = Labels(("no", "yes"), (90, 10), balanced=True)
    outputs = np.array([[0.0, 0.0], [0.0, 0.1], [0.0, np.log(9.0)]], dtype=np.float32)
    answers = scoring.decode(outputs, labels)
    assert answers.values.tolist() == ["no", "yes", "yes"]
    np.testing.assert_allclose(answers.probabilities[:, 1], [0.1, 0.109, 0.5], atol=1e-3)  # type: ignore[index]
    np.testing.assert_allclose(answers.confidence, [0.9, 0.109, 0.5], atol=1e-3)  # type: ignore[arg-type]


def test_dates_whose_zones_differ_are_read() -> None:
    column = pd.Series(["2026-01-01T02:00:00+02:00", "2026-01-01T00:00:00+00:00", "soon", None])
    found = features.read(column, features.TYPES["date"])
    dates, bad = found.values.to_pandas(), found.unreadable
    assert bad.tolist() == [False, False, True, False]
    assert dates[0] == dates[1] == pd.Timestamp("2026-01-01")
