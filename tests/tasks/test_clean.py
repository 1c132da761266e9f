"""clean: rows accounted for, bad ones within the budget, duplicates resolved, outputs reused."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.clean import clean
from tasks.cleaning import content
from tasks.config import Keep, Missing, Rename, Trim, Types
from tasks.dataset import Dataset
from tasks.errors import ConfigError, DataRejected
from tasks.features.schema import ROW, types_of
from tasks.records import FileRecord, Step, ValidateRecord
from tasks.tables import table as table_of


def table(ids=None, **columns):
    rows = pd.DataFrame(columns)
    rows.index = pd.Index(range(len(rows)) if ids is None else ids, dtype="int64", name="row")
    return Dataset(rows)


def images(labels, pictures, parts):
    pixels = np.zeros((len(labels), 2, 2), dtype=np.uint8)
    pixels[:, 0, 0] = pictures
    digests = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pixels]
    return Dataset(table(label=labels, digest=digests, part=parts).rows, pixels)


def validated(tmp_path, data, *, quarantined=0):
    folder = tmp_path / "validated"
    folder.mkdir(exist_ok=True)
    types = types_of(data.rows)
    table_of.save(folder, data, types, len(data) + quarantined)
    read = len(data) + quarantined
    return ValidateRecord(
        step=Step(name="validate"),
        folder=folder,
        fingerprint="f",
        files=(FileRecord(name="sales.csv", rows=read, sha256=""),),
        read=read,
        kept=len(data),
        quarantined=quarantined,
        reasons={},
        findings=(),
        expectations=0,
        columns=tuple(data.rows.columns),
        types=types,
    )


def run(tmp_path, data, *operations, target="y", quarantine=0.5, quarantined=0):
    before = validated(tmp_path, data, quarantined=quarantined)
    return clean.fn(before, operations, target, quarantine, tmp_path / "work")


def test_every_row_that_was_read_is_accounted_for(tmp_path):
    data = table(a=["1", "x", "3", "3", "99"], y=[1.0, 2.0, 3.0, 3.0, 4.0], ids=[0, 2, 3, 5, 6])
    record = run(
        tmp_path, data, Types(types={"a": "number"}), Keep(keep={"a": (0, 10)}), quarantined=2, quarantine=0.5
    )
    assert (record.read, record.kept, record.dropped, record.quarantined) == (7, 2, 2, 3)
    assert record.operations == (("types", 4), ("keep", 1), ("duplicates", 1))
    kept = Dataset.load(record.folder).rows
    assert list(kept.index) == [0, 3]
    assert kept.index.name == ROW
    assert kept["a"].tolist() == [1.0, 3.0]


def test_set_aside_rows_are_listed_without_their_values(tmp_path):
    record = run(tmp_path, table(a=["1", "secret"], y=[1.0, 2.0]), Types(types={"a": "number"}))
    listed = pd.read_csv(record.folder / "quarantine.csv")
    assert listed.to_dict("records") == [
        {"row": 1, "place": "sales.csv row 2", "reason": "clean.0.types: 'a' can't be read as number"}
    ]
    assert "secret" not in (record.folder / "quarantine.csv").read_text()


def test_over_the_budget_the_data_is_refused_with_count_and_first_ten_places(tmp_path):
    data = table(a=["secret"] * 12 + ["1"] * 88, y=np.arange(100.0))
    with pytest.raises(DataRejected) as caught:
        run(tmp_path, data, Types(types={"a": "number"}), quarantine=0.1)
    message = str(caught.value)
    assert "12 of 100 rows are bad, at most 10 may be" in message
    assert "clean.0.types: 'a' can't be read as number: 12 rows" in message
    assert "sales.csv row 1, " in message
    assert "sales.csv row 10;" in message
    assert "row 11" not in message
    assert "secret" not in message
    assert list((tmp_path / "work" / "clean").iterdir()) == []


def test_the_budget_is_shared_with_validation_and_counts_rows_read(tmp_path):
    data = table(a=["x"] + ["1"] * 89, y=np.arange(90.0))
    record = run(tmp_path, data, Types(types={"a": "number"}), quarantined=10, quarantine=0.11)
    assert record.quarantined == 11
    with pytest.raises(DataRejected, match=r"11 of 100 rows are bad \(10 of them set aside by validate\)"):
        run(tmp_path, data, Types(types={"a": "number"}), quarantined=10, quarantine=0.10)


def test_a_target_is_never_filled_in_but_sets_its_row_aside(tmp_path):
    data = table(a=["p", "q", "r"], y=["yes", "NA", "no"])
    record = run(tmp_path, data, Missing(missing={"*": ("NA",)}))
    assert (record.kept, record.quarantined) == (2, 1)
    assert "the target 'y' is missing" in (record.folder / "quarantine.csv").read_text()


def test_the_target_keeps_its_name(tmp_path):
    with pytest.raises(ConfigError, match=r"clean\.1\.rename: 'y' is the target"):
        run(tmp_path, table(a=["p"], y=[1]), Trim(trim=("a",)), Rename(rename={"y": "z"}))
    with pytest.raises(ConfigError, match=r"target: no column 'prize'; did you mean 'price'"):
        run(tmp_path, table(price=[1]), target="prize")


def test_a_misspelt_column_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match=r"clean\.0\.trim: no column 'collor'; did you mean 'color'"):
        run(tmp_path, table(color=["p"], y=[1]), Trim(trim=("collor",)))


def test_no_row_left_is_refused(tmp_path):
    with pytest.raises(DataRejected, match="0 of 2 rows are left: 2 dropped, 0 set aside"):
        run(tmp_path, table(a=[1, 2], y=[1, 2]), Keep(keep={"a": (5, 9)}))


# --- duplicates -----------------------------------------------------------------------------------------


def test_of_exact_duplicates_the_first_stays_gaps_counting_as_equal(tmp_path):
    data = table(a=[None, "p", None, "p", "p"], n=[1.5, np.nan, 1.5, np.nan, 2.0], y=[1, 2, 1, 2, 2])
    record = run(tmp_path, data)
    assert list(Dataset.load(record.folder).rows.index) == [0, 1, 4]
    assert record.operations == (("duplicates", 2),)


def test_rows_that_cleaning_made_equal_are_duplicates_and_another_target_is_not(tmp_path):
    record = run(tmp_path, table(a=["x ", "x", "x"], y=[1, 1, 2]), Trim(trim=("a",)))
    assert list(Dataset.load(record.folder).rows.index) == [0, 2]


def test_a_bad_first_row_does_not_take_its_good_twin_along(tmp_path):
    data = table(a=["5", "5"], n=["x", "1"], y=[1, 1])
    record = run(tmp_path, data, Types(types={"n": "number"}), Missing(missing={"n": ("1",)}))
    assert list(Dataset.load(record.folder).rows.index) == [1]
    assert (record.quarantined, record.dropped) == (1, 0)


def test_images_are_duplicates_by_pixels_and_label_within_one_part(tmp_path):
    data = images([3, 3, 4, 3, 3], [7, 7, 7, 8, 7], ["train", "train", "train", "train", "test"])
    record = run(tmp_path, data, target="label")
    kept = Dataset.load(record.folder)
    assert list(kept.rows.index) == [0, 2, 3, 4]
    assert kept.pixels[:, 0, 0].tolist() == [7, 7, 8, 7]


def test_texts_are_duplicates_by_text_and_label(tmp_path):
    data = table(t=["a", "a", "a"], id=[1, 2, 3], y=["p", "p", "q"])
    before = validated(tmp_path, data)
    record = clean.fn(before, (), "y", 0.5, tmp_path / "work", "t")
    assert list(Dataset.load(record.folder).rows.index) == [0, 2]


# --- reuse and digest -----------------------------------------------------------------------------------


def test_an_unchanged_step_is_reused_and_a_changed_one_says_why(tmp_path):
    data = table(a=["x ", "y"], y=[1, 2])
    first = run(tmp_path, data)
    again = run(tmp_path, data)
    assert (first.step.status, again.step.status) == ("ran", "reused")
    assert again.digest == first.digest
    trimmed = run(tmp_path, data, Trim(trim=("a",)))
    assert (trimmed.step.status, trimmed.step.why) == ("ran", "changed: clean.0")
    assert trimmed.digest != first.digest
    other = run(tmp_path, table(a=["x ", "z"], y=[1, 2]))
    assert other.step.why.startswith("changed: ")
    assert "rows.rows.parquet" in other.step.why


def test_the_digest_knows_content_and_nothing_of_storage():
    data = images([1, 2, 3], [5, 6, 7], ["", "", ""])
    shuffled = data.take(np.array([2, 0, 1]))
    assert content.digest(shuffled) == content.digest(data)
    other = Dataset(data.rows, data.pixels.copy())
    other.pixels[1, 1, 1] = 9
    assert content.digest(other) != content.digest(data)


@given(
    numbers=st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62)), min_size=1, max_size=5),
    words=st.lists(st.one_of(st.none(), st.text(max_size=4)), min_size=5, max_size=5),
    where=st.integers(0, 4),
)
def test_any_changed_cell_changes_the_digest(numbers, words, where):
    words, at = words[: len(numbers)], where % len(numbers)

    def rows(n, t):
        return Dataset(pd.DataFrame({"n": pd.array(n, dtype="Int64"), "t": pd.Series(t, dtype="str")}))

    first = content.digest(rows(numbers, words))
    assert first == content.digest(rows(list(numbers), list(words)))
    for value in (0, None, 2**62 + 1):
        if numbers[at] != value:
            assert content.digest(rows([*numbers[:at], value, *numbers[at + 1 :]], words)) != first
    if words[at] != "other":
        assert content.digest(rows(numbers, [*words[:at], "other", *words[at + 1 :]])) != first


def test_a_number_reads_the_same_however_its_column_is_stored():
    forms = [
        pd.Series([1, 20]),
        pd.Series([1.0, 20.0]),
        pd.Series(["1", "20"]),
        pd.Series([1, 20], dtype="Int64"),
        pd.Series([1, "20"], dtype=object),
    ]
    assert {tuple(content.texts(form)) for form in forms} == {("1", "20")}
    assert content.texts(pd.Series([0.1, np.nan])) == ["0.1", None]
    assert content.texts(pd.Series(pd.to_datetime(["2020-01-01", None]))) == ["2020-01-01T00:00:00", None]
