"""Fingerprints: the same for the same content, another for any other."""

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks import config, sources
from tasks.config import Columns, TableSource

CSV = b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(20))


def fingerprint(path: Path) -> str:
    return sources.fingerprint(TableSource(kind="table", path=str(path)), path.parent)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    name=st.from_regex(r"\A[a-z]{1,8}\.(csv|tsv|txt)(\.gz)?\Z"),
    level=st.integers(0, 9),
    moment=st.integers(0, 2**31),
)
def test_name_time_and_packing_do_not_matter(tmp_path: Path, name: str, level: int, moment: int) -> None:
    plain, other = tmp_path / "plain.csv", tmp_path / "other" / name
    other.parent.mkdir(exist_ok=True)
    plain.write_bytes(CSV)
    other.write_bytes(gzip.compress(CSV, level, mtime=moment) if name.endswith(".gz") else CSV)
    os.utime(other, (moment, moment))
    assert fingerprint(other) == fingerprint(plain)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(place=st.integers(0, len(CSV) - 1), mask=st.integers(1, 255))
def test_any_changed_byte_matters(tmp_path: Path, place: int, mask: int) -> None:
    plain, other = tmp_path / "plain.csv", tmp_path / "other.csv"
    plain.write_bytes(CSV)
    changed = bytearray(CSV)
    changed[place] ^= mask
    other.write_bytes(changed)
    assert fingerprint(other) != fingerprint(plain)
    other.write_bytes(gzip.compress(CSV + bytes([mask])))
    assert fingerprint(other) != fingerprint(plain)


def test_a_folder_is_its_files_in_order(tmp_path: Path) -> None:
    one, two = pa.table({"a": [1]}), pa.table({"a": [2]})
    prints = []
    for name, tables in (("x", (one, two)), ("y", (one, two)), ("z", (two, one)), ("w", (one,))):
        folder = tmp_path / name
        folder.mkdir()
        for i, table in enumerate(tables):
            pq.write_table(table, folder / f"{name}{i}.parquet")
        prints.append(fingerprint(folder))
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_reading_gives_the_same_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(CSV)
    source = TableSource(kind="table", path="t.csv")
    loaded = sources.read(source, tmp_path, "a", Columns())
    assert loaded.fingerprint == sources.fingerprint(source, tmp_path)
    assert loaded.files[0].name == "t.csv"


def test_the_house_prices_are_as_their_card_says() -> None:
    root = Path(__file__).parents[3]
    project = config.load(root, "prices")
    loaded = sources.read(
        project.config.source, project.folder, project.config.target, project.config.columns
    )
    rows = loaded.dataset.rows
    assert rows.shape == (2930, 74)
    assert rows["Sale_Price"].agg(["min", "median", "max"]).tolist() == [12_789, 160_000, 755_000]
    assert rows.isna().sum().loc[lambda count: count > 0].to_dict() == {
        "Mas_Vnr_Type": 1775,
        "Misc_Feature": 2824,
    }
    assert rows["Sale_Type"].eq("WD ").sum() == rows["Sale_Type"].str.strip().eq("WD").sum() > 2000
    assert sorted(rows["BsmtFin_SF_1"].unique()) == list(range(8))
    assert not rows.duplicated().any()
    assert loaded.findings == ()
    assert loaded.files[0].sha256 in (project.folder / "README.md").read_text(encoding="utf-8")


def test_an_unknown_kind_is_a_bug() -> None:
    with pytest.raises(TypeError, match="no reader for str"):
        sources.fingerprint("table", Path())  # type: ignore[arg-type]
