"""Tables in pieces: any piece size gives the same cells, read by declared type and not by neighbours."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks import features, sources
from tasks.config import Columns, TableSource
from tasks.errors import ConfigError, DataFormatError, DataRejected, ResourceLimit, UnsafeInput
from tasks.features.schema import series
from tasks.sources import cutting, pieces

KINDS = ("number", "integer", "date", "boolean", "text", "category")
COLUMNS = [{"name": kind, "type": kind} for kind in KINDS]


def read(path: Path, rows: int = 1000, columns: list[dict[str, str]] | None = None) -> pd.DataFrame:
    names = [column["name"] for column in columns or COLUMNS]
    frames = list(pieces.read(path, path.name, names, rows))
    assert all(len(frame) == rows for frame in frames[:-1])
    return pd.concat([typed(frame, columns or COLUMNS) for frame in frames], ignore_index=True)


def typed(cells: pa.Table | pd.DataFrame, columns: list[dict[str, str]]) -> pd.DataFrame:
    """What a model makes of raw cells, with a mark for each that it can't read."""
    found: dict[str, pd.Series] = {}
    for column in columns:
        read = features.read(cells[column["name"]], features.TYPES[column["type"]])
        found[column["name"]] = series(read.values).astype(NULLABLE.get(column["type"], object))
        found[f"{column['name']} bad"] = pd.Series(read.unreadable)
    return pd.DataFrame(found)


NULLABLE = {"number": "float64", "integer": "Int64", "boolean": "boolean", "date": "datetime64[us]"}


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    count = 500
    frame = pd.DataFrame(
        {
            "number": rng.normal(0, 1e6, count),
            "integer": rng.integers(-(2**40), 2**40, count),
            "date": pd.Timestamp("2019-01-01") + pd.to_timedelta(rng.integers(0, 10**9, count), unit="s"),
            "boolean": rng.random(count) < 0.5,
            "text": rng.choice(["007", "x", "NA", "é, ü", '"q"'], count),
            "category": rng.choice(["007", "10", "10.5", "True"], count),
        }
    )
    frame["number"] = frame["number"].mask(rng.random(count) < 0.1)
    return frame


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "parquet"])
@pytest.mark.parametrize("size", [3, 64, 9999])
def test_any_piece_size_reads_as_the_whole_file_does(
    rows: pd.DataFrame, ending: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "CHUNK", 7 * size)
    path = tmp_path / f"rows.{ending}"
    if ending == "parquet":
        rows.to_parquet(path, row_group_size=37)
    else:
        rows.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    source = TableSource(kind="table", path=str(path))
    whole = sources.read(source, tmp_path, None, Columns(types={kind: kind for kind in KINDS})).dataset.rows
    expected = typed(whole, COLUMNS)
    pd.testing.assert_frame_equal(read(path, size), expected, check_exact=True)


ODD = """|1|1.5|-0|1e400|inf| 5|007|9007199254740993|x|1_0|٣|NaN|0x1F|true|False|TRUE|yes|0|a b|2020-06
|2020-01-01|2020-01-01 10:00|2020-01-01T00:00:00.123456789|2020-02-30|2020-01-01T00:00+05|1999-12-31T23:59Z"""


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(st.sampled_from(ODD.replace("\n", "").split("|")), min_size=1, max_size=12),
    size=st.integers(1, 12),
)
def test_how_a_cell_reads_depends_on_no_other(cells: list[str], size: int, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = [",".join(f'"{cell}"' if cell else "" for _ in KINDS) for cell in cells]

    def written(*lines: str, rows: int) -> pd.DataFrame:
        path.write_text("\n".join([",".join(KINDS), *lines]) + "\n", encoding="utf-8")
        return read(path, rows)

    expected = pd.concat([written(line, rows=1) for line in lines], ignore_index=True)
    pd.testing.assert_frame_equal(written(*lines, rows=size), expected, check_exact=True)


def test_what_does_not_fit_is_left_for_the_model_to_refuse(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("number,date,boolean\n1,2020-01-01,true\nx,2020-02-30,maybe\n,,\n")
    columns = [{"name": name, "type": name} for name in ("number", "date", "boolean")]
    found = read(path, columns=columns)
    for name in ("number", "date", "boolean"):
        assert found[f"{name} bad"].tolist() == [False, True, False], name
        assert found[name].isna().tolist() == [False, True, True], name


def test_whole_numbers_in_a_text_column_stay_whole_beside_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"code": pa.array([12, None, 7]), "flag": [True, None, False]}), path)
    columns = [{"name": "code", "type": "text"}, {"name": "flag", "type": "boolean"}]
    found = read(path, 3, columns)
    assert found["code"].tolist()[::2] == ["12", "7"]
    assert found["flag"].tolist()[::2] == [True, False]


def test_types_of_parquet_that_a_model_reads_alike(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    moments = pa.array(["2020-01-01T10:00:00", None]).cast(pa.timestamp("ns"))
    table = pa.table(
        {
            "number": pa.array([3, None], pa.int16()),
            "integer": pa.array([3.0, None], pa.float32()),
            "date": moments.cast(pa.timestamp("ns", "Europe/Berlin")),
            "boolean": pa.array(["true", None]).dictionary_encode(),
            "text": pa.array(["a", None], pa.large_string()).dictionary_encode(),
            "category": pa.array([1.0, None], pa.float64()),
            "other": pa.array([1, 2]),
        }
    )
    pq.write_table(table, path)
    found = read(path, 1)
    assert found["number"].tolist()[0] == found["integer"].tolist()[0] == 3.0
    assert found["date"][0] == pd.Timestamp("2020-01-01 10:00")
    assert found["boolean"][0]
    assert found["text"][0] == "a"
    assert found["category"][0] == "1"
    assert not found.filter(like="bad").any().any()


def test_a_folder_is_read_by_name(tmp_path: Path) -> None:
    for name in ("b.csv", "a.parquet", "_SUCCESS", ".hidden", "c.tsv.gz"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in pieces.members(tmp_path)] == ["a.parquet", "b.csv", "c.tsv.gz"]
    assert pieces.members(tmp_path / "b.csv") == [tmp_path / "b.csv"]
    assert pieces.name_of(tmp_path / "b.csv", tmp_path) == f"{tmp_path.name}/b.csv"


@pytest.mark.parametrize("size", [1, 3])
def test_json_lines_are_read_as_texts(tmp_path: Path, size: int) -> None:
    path = tmp_path / "new.jsonl.gz"
    lines = ['{"id": 1, "text": "Good."}', '{"text": "007", "id": 2}', '{"id": 3}']
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert pieces.members(tmp_path) == [path]
    found = pa.concat_tables(pieces.read(path, path.name, ["text"], size))
    assert found["text"].to_pylist() == ["Good.", "007", None]
    with pytest.raises(DataRejected, match="column 'body' is missing"):
        list(pieces.read(path, path.name, ["body"], size))


def test_folders_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        pieces.members(tmp_path / "none")
    home = tmp_path / "tables"
    home.mkdir()
    with pytest.raises(DataFormatError, match="no table in this folder"):
        pieces.members(home)
    (tmp_path / "outside.csv").write_text("a\n1\n")
    (home / "link.csv").symlink_to(tmp_path / "outside.csv")
    with pytest.raises(UnsafeInput, match=r"tables/link.csv: leads out"):
        pieces.members(home)
    (home / "link.csv").unlink()
    (home / "picture.png").write_bytes(b"x")
    with pytest.raises(DataRejected, match=r"tables/picture.png: no table in a folder of tables"):
        pieces.members(home)


@pytest.mark.parametrize(
    ("name", "data", "kind", "words"),
    [
        ("t.csv", b"number\n", DataRejected, "0 rows"),
        ("t.csv", b"nmber\n1\n", DataRejected, "t.csv: column 'number' is missing; did you mean 'nmber'"),
        ("t.csv", gzip.compress(b"number\n1\n"), DataFormatError, "got gzip data"),
        ("t.csv", b"PAR1" + bytes(9000) + b"PAR1", DataFormatError, "got a Parquet file; expected CSV text"),
        ("t.csv.gz", gzip.compress(b"number\n1\n" * 999)[:-9], DataFormatError, "ends in the middle"),
        (
            "t.csv.gz",
            gzip.compress((b"number\n" + b"1" * 9999 + b"\n") * 8000),
            ResourceLimit,
            "limit is 200 times",
        ),
        ("t.parquet", b"", DataFormatError, "it is empty"),
        ("t.parquet", b"number\n1\n", DataFormatError, "mark PAR1 is missing"),
        ("t.parquet", b"PAR1" + bytes(900) + b"PAR1", DataFormatError, "not a readable Parquet file"),
    ],
)
def test_files_that_are_refused(name: str, data: bytes, kind: type, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(kind, match=words):
        read(path, columns=[{"name": "number", "type": "number"}])


def test_a_damaged_page_far_down_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    values = np.random.default_rng(0).normal(size=20_000)
    pq.write_table(pa.table({"number": values}), path, row_group_size=5000, write_page_checksum=True)
    columns = [{"name": "number", "type": "number"}]
    assert len(read(path, 4096, columns)) == 20_000
    with pytest.raises(DataRejected, match="column 'other' is missing"):
        read(path, columns=[{"name": "other", "type": "number"}])
    path.write_bytes(path.read_bytes()[:-60] + bytes(40) + path.read_bytes()[-20:])
    with pytest.raises(DataFormatError, match="not a readable Parquet file"):
        read(path, 4096, columns)


def test_no_more_than_a_piece_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("number\n" + "1\n" * 100_000)
    monkeypatch.setattr(pieces, "CHUNK", 1000)
    lengths: list[int] = []
    parse = cutting.delimited.parse
    monkeypatch.setattr(
        cutting.delimited, "parse", lambda data, *rest: lengths.append(len(data)) or parse(data, *rest)
    )
    frames = pieces.read(path, "rows.csv", ["number"], 4096)
    assert len(next(frames)) == 4096
    assert sum(lengths) < 12_000  # nothing is read ahead
    assert sum(map(len, frames)) == 100_000 - 4096
    assert max(lengths) < 1100
