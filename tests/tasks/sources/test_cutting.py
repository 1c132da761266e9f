"""A file in pieces reads as the whole file does, wherever it is cut; what is broken is named by its place."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import DataFormatError, DataRejected, ModelyardError, ResourceLimit, UnsafeInput
from tasks.sources import cutting, delimited


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def in_pieces(data: bytes, size: int, delimiter: str = ",") -> pa.Table:
    return pa.concat_tables(cutting.tables(chunks(data, size), "t.csv", delimiter))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n1,x\n2,y\n",
        b"a,b\n1,x\n2,y",
        b"\xef\xbb\xbfa,b\r\n1,x\r\n2,y\r\n",
        b"a,b\r1,x\r2,y\r",
        b"\n\na,b\n\n1,x\n\n\n2,y\n\n",
        b'"a c","b ""d""",",e"\n1,"x\ny",2\n,"",3\n',
        b'a\n"1\r\n\r\n2"\n\n"""\n"""\n',
        "a,é\n1,ü\n2,漢字\n".encode(),
    ],
)
def test_any_cut_reads_the_same(data: bytes, size: int) -> None:
    assert in_pieces(data, size).to_pydict() == delimited.parse(data, "t.csv", ",").to_pydict()


cell = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(cell, min_size=n, max_size=n), min_size=1, max_size=12)
    ),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.integers(1, 40),
)
def test_what_the_csv_module_writes_reads_the_same(
    rows: list[list[str]], end: str, every: bool, size: int
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL if every else csv.QUOTE_MINIMAL)
    writer.writerow([f"c{i}" for i in range(len(rows[0]))])
    writer.writerows(rows)
    data = file.getvalue().encode()
    try:
        whole = delimited.parse(data, "t.csv", ",")
    except ModelyardError as error:
        with pytest.raises(type(error)):
            in_pieces(data, size)
    else:
        assert in_pieces(data, size).to_pydict() == whole.to_pydict()


@given(st.binary(max_size=60) | st.text('a1,"\n\r\t; ', max_size=40).map(str.encode), st.integers(1, 12))
def test_any_bytes_are_read_or_refused_as_the_whole_is(data: bytes, size: int) -> None:
    try:
        whole = delimited.parse(data, "t.csv", ",")
    except ModelyardError:
        with pytest.raises(ModelyardError) as caught:
            in_pieces(data, size)
        assert caught.value.exit_code in (3, 9)
    else:
        assert in_pieces(data, size).to_pydict() == whole.to_pydict()


GOOD = b"".join(b"%d,x\n" % i for i in range(50))


@pytest.mark.parametrize("size", [1, 10, 64, 10_000])
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (b"1,2,3\n", "t.csv row 51: expected 2 fields, got 3"),
        (b'1,x"y"\n', "t.csv row 51: expected quotes around a whole field, got a stray one"),
        (b'1,"x"y\n', "t.csv row 51: expected quotes around a whole field, got a stray one"),
        (b"1,\x00\n", f"NUL at byte offset {4 + len(GOOD) + 2}"),
        (b"1,\xff\n", f"byte 0xff at offset {4 + len(GOOD) + 2} (line 52)"),
        (b"1,\xc3\n", f"byte 0xc3 at offset {4 + len(GOOD) + 2} (line 52)"),
    ],
)
def test_a_bad_row_is_named_by_its_place_in_the_file(bad: bytes, words: str, size: int) -> None:
    data = b"a,b\n" + GOOD + bad + b"9,z\n" * 20
    with pytest.raises(DataFormatError) as whole:
        delimited.parse(data, "t.csv", ",")
    with pytest.raises(DataFormatError) as caught:
        in_pieces(data, size)
    assert words in str(caught.value)
    assert str(caught.value) == str(whole.value)


@pytest.mark.parametrize("end", [b"\r", b"\r\n"])
def test_rows_are_counted_with_any_line_end(end: bytes) -> None:
    data = (b"a,b\n" + GOOD + b'1,x"y"\n').replace(b"\n", end)
    with pytest.raises(DataFormatError, match="row 51: expected quotes"):
        in_pieces(data, 16)


def test_an_open_quote_is_named_by_its_row() -> None:
    with pytest.raises(DataFormatError, match="row 51: expected a closing quote, got the end of the file"):
        in_pieces(b"a,b\n" + GOOD + b'1,"x\n' + GOOD, 32)


def test_a_row_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "MAX_RECORD", 1000)
    with pytest.raises(ResourceLimit, match="a row of more than 1,000 bytes"):
        in_pieces(b'a,b\n1,"' + b"x\n" * 2000, 64)


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", DataFormatError, "is empty"),
        (b"\xef\xbb\xbf", DataFormatError, "holds only a byte order mark"),
        (b"\n \n\n", DataFormatError, "holds only blank characters"),
        (b"a,b\n", DataRejected, "0 rows"),
        (b"a,b\n\n\n", DataRejected, "0 rows"),
        (b"a,a\n1,2\n", DataRejected, "two columns are called 'a'"),
        ("a,b\n1,2\n".encode("utf-16"), DataFormatError, "got UTF-16 text"),
        (b"a;b\n1;2\n", DataFormatError, "1 field that holds ';'"),
        (b"\x80\x04\x95\x10\x00\x00\x00", UnsafeInput, "pickle"),
    ],
)
def test_what_is_no_csv_is_refused_as_a_whole_file_is(data: bytes, kind: type, words: str, size: int) -> None:
    with pytest.raises(ModelyardError, match=words) as caught:
        in_pieces(data, size)
    assert type(caught.value) is kind


def test_tabs() -> None:
    assert in_pieces(b"a\tb\n1,5\tx\n2\ty\n", 4, "\t").to_pydict() == {"a": ["1,5", "2"], "b": ["x", "y"]}
