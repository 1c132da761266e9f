"""Tables as files: which file is read how, folders, links, pipes and limits."""

import gzip
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import sources
from tasks.config import Columns, TableSource
from tasks.dataset import place
from tasks.errors import (
    ConfigError,
    DataFormatError,
    DataRejected,
    ModelyardError,
    ResourceLimit,
    UnsafeInput,
)
from tasks.features.schema import ROW
from tasks.sources import files

CSV = b"code,size,price\n007,1,10.5\n,2,11\n"


def read(
    project: Path, path: str | Path, target: str | None = "price", columns: Columns | None = None
) -> sources.Loaded:
    return sources.read(TableSource(kind="table", path=str(path)), project, target, columns or Columns())


def refused(project: Path, path: str | Path, kind: type[ModelyardError]) -> str:
    with pytest.raises(ModelyardError) as caught:
        read(project, path)
    assert type(caught.value) is kind, str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["t.csv", "t.CSV", "t.csv.gz", "t.tsv", "t.tab.gz", "t.txt", "table", "t.parquet", "blob"]
)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    data = CSV.replace(b",", b"\t") if ".t" in name and "x" not in name else CSV
    if name in ("t.parquet", "blob"):
        table = pa.table({"code": ["007", None], "size": [1, 2], "price": [10.5, 11.0]})
        pq.write_table(table, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    rows = read(tmp_path, name).dataset.rows
    assert [str(kind) for kind in rows.dtypes] == ["str", "int64", "float64"]
    assert rows["code"][0] == "007"
    assert rows["code"].isna().tolist() == [False, True]
    assert rows["price"].tolist() == [10.5, 11.0]
    assert rows.index.name == ROW


def test_gz_is_a_name_not_a_promise(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(CSV)
    assert len(read(tmp_path, "t.csv.gz").dataset) == 2


@pytest.mark.parametrize("packed", [gzip.compress(gzip.compress(CSV)), b"\x89PNG\r\n\x1a\n", b"PK\x03\x04"])
def test_bytes_of_another_format(tmp_path: Path, packed: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(packed)
    assert "t.csv: got " in refused(tmp_path, "t.csv", DataFormatError)


def test_gzip_that_ends_in_the_middle_or_is_damaged(tmp_path: Path) -> None:
    whole = gzip.compress(CSV * 100)
    (tmp_path / "t.csv.gz").write_bytes(whole[:-10])
    assert "damaged gzip data: ends in the middle" in refused(tmp_path, "t.csv.gz", DataFormatError)
    (tmp_path / "t.csv.gz").write_bytes(whole[:-6] + b"\0\0" + whole[-4:])
    assert "damaged gzip data" in refused(tmp_path, "t.csv.gz", DataFormatError)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(CSV))
    read(tmp_path, "t.csv.gz")


def test_gzip_named_csv_names_the_cure(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(gzip.compress(CSV))
    message = refused(tmp_path, "t.csv", DataFormatError)
    assert message == "t.csv: got gzip data; expected CSV text; give the name the ending .csv.gz"
    (tmp_path / "t.csv").rename(tmp_path / "t.csv.gz")
    read(tmp_path, "t.csv.gz")


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 300_000))
    monkeypatch.setattr(files, "RATIO_FREE", 1000)
    assert "expand to 1,200,004 bytes or more; the limit is 200 times" in refused(
        tmp_path, "t.csv.gz", ResourceLimit
    )
    monkeypatch.undo()
    monkeypatch.setattr(files, "MAX_BYTES", 1_000_000)
    assert "the limit is 1,000,000" in refused(tmp_path, "t.csv.gz", ResourceLimit)
    (tmp_path / "big.csv").write_bytes(b"a,b\n" + b"1,2\n" * 300_000)
    assert "big.csv: holds 1,200,004 bytes or more" in refused(tmp_path, "big.csv", ResourceLimit)
    monkeypatch.undo()
    assert len(read(tmp_path, "t.csv.gz", target="a").dataset) == 300_000


def test_target(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(CSV)
    assert len(read(tmp_path, "t.csv", target=None).dataset) == 2
    with pytest.raises(DataRejected, match=r"t\.csv: no column 'prise', the target; did you mean 'price'\?"):
        read(tmp_path, "t.csv", target="prise")


def test_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "houses.csv").write_bytes(CSV)
    assert "there is no 'house.csv' in" in (message := refused(tmp_path, "house.csv", ConfigError))
    assert message.endswith("did you mean 'houses.csv'?")
    read(tmp_path, "houses.csv")


def test_links_out_of_the_project(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "secret.csv").write_bytes(CSV)
    (project / "link.csv").symlink_to(tmp_path / "secret.csv")
    assert "link.csv: leads out of its folder" in refused(project, "link.csv", UnsafeInput)
    assert "leads out of its folder" in refused(project, "../secret.csv", UnsafeInput)
    (project / "own.csv").write_bytes(CSV)
    (project / "inner.csv").symlink_to("own.csv")
    assert len(read(project, "inner.csv").dataset) == 2
    assert len(read(project, tmp_path / "secret.csv").dataset) == 2  # named outright, as --source does


def test_pipes_folders_and_devices(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert "got a pipe, a socket or a device; expected a file" in refused(tmp_path, "pipe.csv", UnsafeInput)
    (tmp_path / "folder.csv").mkdir()
    assert "folder.csv: got a folder" in refused(tmp_path, "folder.csv", UnsafeInput)
    assert "null: got a pipe, a socket or a device" in refused(tmp_path, "/dev/null", UnsafeInput)


def test_a_forbidden_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_bytes(CSV)

    def deny(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "open", deny)
        assert refused(tmp_path, "t.csv", DataFormatError) == "t.csv: can't be read: Permission denied"
    read(tmp_path, "t.csv")


def folder(tmp_path: Path) -> Path:
    houses = tmp_path / "houses"
    houses.mkdir()
    for i, sizes in enumerate(([1, 2, 3], [4, 5])):
        pq.write_table(
            pa.table({"size": sizes, "price": [float(s) for s in sizes]}), houses / f"part-{i}.parquet"
        )
    return houses


def test_a_folder_of_parquet_files(tmp_path: Path) -> None:
    houses = folder(tmp_path)
    for extra in ("_SUCCESS", "_metadata", ".part-0.parquet.crc"):
        (houses / extra).write_bytes(b"")
    loaded = read(tmp_path, "houses")
    assert loaded.dataset.rows["size"].tolist() == [1, 2, 3, 4, 5]
    assert loaded.dataset.rows.index.tolist() == [0, 1, 2, 3, 4]
    assert [(file.name, file.rows) for file in loaded.files] == [
        ("houses/part-0.parquet", 3),
        ("houses/part-1.parquet", 2),
    ]
    assert place(4, loaded.files) == "houses/part-1.parquet row 2"
    (tmp_path / "houses").rename(tmp_path / "houses.parquet")
    assert len(read(tmp_path, "houses.parquet").dataset) == 5


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pa.table({"size": [1], "cost": [1.0]}), "part-2.parquet: its columns differ from those of houses/"),
        (pa.table({"price": [1.0], "size": [1]}), "part-2.parquet: its columns differ"),
        (pa.table({"size": [1]}), "differ from those of houses/part-0.parquet at 'price'"),
        (pa.table({"size": [1], "price": [1.0], "more": [1]}), "at 'more'"),
        (pa.table({"size": [1.5], "price": [1.0]}), "'size' has type double, in houses/part-0.parquet int64"),
    ],
)  # fmt: skip
def test_a_folder_with_differing_schemas(tmp_path: Path, table: pa.Table, words: str) -> None:
    houses = folder(tmp_path)
    pq.write_table(table, houses / "part-2.parquet")
    assert words in refused(tmp_path, "houses", DataRejected)
    (houses / "part-2.parquet").unlink()
    read(tmp_path, "houses")


def test_other_things_in_a_folder(tmp_path: Path) -> None:
    houses = folder(tmp_path)
    (houses / "notes.csv").write_bytes(CSV)
    assert "houses/notes.csv: no Parquet file" in refused(tmp_path, "houses", DataRejected)
    (houses / "notes.csv").unlink()
    (houses / "label=..%2Fx").mkdir()
    assert "houses/label=..%2Fx: no Parquet file" in refused(tmp_path, "houses", DataRejected)
    (houses / "label=..%2Fx").rmdir()
    (tmp_path / "out.parquet").write_bytes((houses / "part-0.parquet").read_bytes())
    (houses / "part-9.parquet").symlink_to(tmp_path / "out.parquet")
    assert "houses/part-9.parquet: leads out of its folder" in refused(tmp_path, "houses", UnsafeInput)
    (tmp_path / "empty").mkdir()
    assert "empty: no Parquet file in this folder" in refused(tmp_path, "empty", DataFormatError)


def test_doubts_are_findings_with_row_ids(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,price\n1,1\n2,2\n?,3\n4,4\n")
    (finding,) = read(tmp_path, "t.csv").findings
    assert (finding.rule, finding.column, finding.rows) == ("numbers_read_as_text", "a", (2,))
    assert read(tmp_path, "t.csv", columns=Columns(categorical=("a",))).findings == ()


def test_control_characters_in_a_name_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m.csv").write_bytes(b"")
    assert "a\\x1b[31m.csv: is empty" in refused(tmp_path, "a\x1b[31m.csv", DataFormatError)


def test_frames_go_through_pandas_and_back(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.1, None], "c": ["NA", "None"], "d": [True, False]})
    frame["e"] = pd.to_datetime(["2020-01-01 00:00:00", "2021-06-30 12:34:56"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        rows = read(tmp_path, name, target="a").dataset.rows
        pd.testing.assert_frame_equal(rows, frame.rename_axis(ROW), check_index_type=False)
