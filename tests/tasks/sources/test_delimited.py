"""CSV bytes: everything that other readers guess at is refused with its place, and its twin passes."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import DataFormatError, DataRejected, ModelyardError, ResourceLimit, UnsafeInput
from tasks.sources import columns, delimited

GOOD = b"a,b\n1,x\n2,y\n"


def refused(data: bytes, delimiter: str = ",") -> ModelyardError:
    with pytest.raises(ModelyardError) as caught:
        delimited.parse(data, "t.csv", delimiter)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) <= 500
    return caught.value


def parsed(data: bytes, delimiter: str = ",") -> dict[str, list[str | None]]:
    return delimited.parse(data, "t.csv", delimiter).to_pydict()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "t.csv: is empty (0 bytes)"),
        (b"\n", "t.csv: holds only blank characters"),
        (b"  \r\n \t\n", "t.csv: holds only blank characters"),
        (b"\xef\xbb\xbf", "t.csv: holds only a byte order mark"),
        (b"\xef\xbb\xbf\n\n", "t.csv: holds only blank characters"),
        (bytes(64), "t.csv: got a NUL byte (NUL at byte offset 0); expected UTF-8 text"),
        (b"a,b\n1,\x00\n", "NUL at byte offset 6"),
        (b"\x1f\x8b\x08\x00rest", "t.csv: got gzip data; expected CSV text"),
        (b"PK\x03\x04rest", "t.csv: got a zip archive or an Excel workbook; expected CSV text"),
        (b"\x89PNG\r\n\x1a\nrest", "t.csv: got a PNG image; expected CSV text"),
        (b"PAR1....PAR1", "t.csv: got a Parquet file; expected CSV text; give the name the ending .parquet"),
        (
            "a,b\n1,2\n".encode("utf-16"),
            "t.csv: got UTF-16 text (byte order mark at offset 0); expected UTF-8",
        ),
        ("a,b\n1,2\n".encode("utf-32"), "t.csv: got UTF-32 text"),
        ("a,b\n1,2\n".encode("utf-16-le"), "t.csv: got UTF-16 or UTF-32 text (NUL at byte offset 1)"),
        (b"a,b\n1,caf\xe9\n", "t.csv: not UTF-8: byte 0xe9 at offset 9 (line 2); save it as UTF-8"),
        (b"a,b\n1,\xc3", "t.csv: not UTF-8: byte 0xc3 at offset 6 (line 2)"),
        (b"a,b\n1,\xc0\xaf\n", "t.csv: not UTF-8: byte 0xc0 at offset 6 (line 2)"),
        (b"a,b,c\n1,2,3\n4,5\n", "t.csv row 2: expected 3 fields, got 2"),
        (b"a,b\n1,2,3\n4,5\n", "t.csv row 1: expected 2 fields, got 3"),
        (b"a,b,\n1,2\n3,4\n", "t.csv row 1: expected 3 fields, got 2 (2 such rows; the others: 2)"),
        (b"a,b\n1,2,\n3,4,\n", "t.csv row 1: expected 2 fields, got 3 (2 such rows; the others: 2)"),
        (b'a,b\n1,"x\ny"\n\n2\n', "t.csv row 2: expected 2 fields, got 1"),
        (b'a,b\n1,"x\n2,y\n', "t.csv row 1: expected a closing quote, got the end of the file"),
        (b'a,b\n1,x\n2,x"y\n', "t.csv row 2: expected quotes around a whole field, got a stray one"),
        (b'a,b\n1,"x"y\n', "t.csv row 1: expected quotes around a whole field, got a stray one"),
        (b'a"b,c\n1,2\n', "t.csv header: expected quotes around a whole field"),
        (b'a,b\n1,"x"y\n2,"z"\n', "t.csv row 1: expected quotes around a whole field, got a stray one"),
        (b'a,b\n1,"z"\n2,x"y"\n', "t.csv row 2: expected quotes around a whole field, got a stray one"),
        (b"a;b\n1;2\n", "t.csv header: expected fields separated by ',', got 1 field that holds ';'"),
        (b"a\tb\n1\t2\n", "t.csv header: expected fields separated by ',', got 1 field that holds '\\t'"),
    ],
)
def test_bytes_that_are_no_csv(data: bytes, words: str) -> None:
    error = refused(data)
    assert type(error) is DataFormatError
    assert words in str(error)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a,b,a\n1,2,3\n", "two columns are called 'a': columns 1 and 3"),
        (b"a,,c\n1,2,3\n", "t.csv column 2: the name is empty"),
        (b'a,""\n1,2\n', "t.csv column 2: the name is empty"),
        (b"a, \n1,2\n", "t.csv column 2: the name is empty"),
        (b"a, b\n1,2\n", "t.csv column 2: the name ' b' begins or ends with white space"),
        (
            "a,b\u200bc\n1,2\n".encode(),
            "t.csv column 2: the name 'b\\\\u200bc' holds the invisible character U+200B",
        ),
        (b"a,b\x07\n1,2\n", "holds the invisible character U+0007"),
        ("a,p\u0430y\n1,2\n".encode(), "mixes Latin and Cyrillic letters that look alike"),
        (b"1,2\n3,4\n", "t.csv: no header row: all 2 column names are numbers"),
        (b"a," + b"x" * 300 + b"\n1,2\n", "has 300 characters; use at most 200"),
        (b"a,b\n", "t.csv: 0 rows: there is a header and nothing below it"),
        (b"a,b", "t.csv: 0 rows"),
    ],
)
def test_names_that_would_be_confused(data: bytes, words: str) -> None:
    error = refused(data)
    assert type(error) is DataRejected
    assert words in str(error)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GOOD, {"a": ["1", "2"], "b": ["x", "y"]}),
        (b"\xef\xbb\xbf" + GOOD, {"a": ["1", "2"], "b": ["x", "y"]}),
        (GOOD.replace(b"\n", b"\r\n"), {"a": ["1", "2"], "b": ["x", "y"]}),
        (GOOD.replace(b"\n", b"\r"), {"a": ["1", "2"], "b": ["x", "y"]}),
        (b"\n\na,b\n\n1,x\n\n2,y\n\n", {"a": ["1", "2"], "b": ["x", "y"]}),
        (b'a,b\n1,"x\ny"\n2,"p ""q"""\n', {"a": ["1", "2"], "b": ["x\ny", 'p "q"']}),
        (b'a,b\n"",""\n,NA\n', {"a": ["", None], "b": ["", "NA"]}),
        (b'"a","b"\n"""","x"', {"a": ['"'], "b": ["x"]}),
        ("Größe,名前\n1,é\n".encode(), {"Größe": ["1"], "名前": ["é"]}),
        ("цена,b\n1,2\n".encode(), {"цена": ["1"], "b": ["2"]}),
        (b"only\n1\n2\n", {"only": ["1", "2"]}),
        (b"PAR1,b\n1,2\n", {"PAR1": ["1"], "b": ["2"]}),
        (b"a,2020\n1,2\n", {"a": ["1"], "2020": ["2"]}),
    ],
)
def test_positive_twins(data: bytes, expected: dict[str, list[str | None]]) -> None:
    assert parsed(data) == expected


def test_tabs() -> None:
    assert parsed(b"a\tb\n1,5\tx\n", "\t") == {"a": ["1,5"], "b": ["x"]}
    assert "got 1 field that holds ','" in str(refused(b"a,b\n1,2\n", "\t"))


def test_one_bad_row_far_down_is_found_by_its_number() -> None:
    rows = [b"%d,x" % i for i in range(200_000)]
    rows[123_456] = b"7"
    assert "row 123457: expected 2 fields, got 1" in str(refused(b"a,b\n" + b"\n".join(rows)))


def test_a_bad_byte_far_down_is_found_across_chunks() -> None:
    text = "ab,b\n" + "é,x\n" * 6_000_000  # 30 MB: two chunks, the first of which ends inside a character
    data = text.encode()
    delimited.check_text(data, "t.csv")
    broken = data[:-3] + b"\xff" + data[-2:]
    with pytest.raises(DataFormatError, match=rf"byte 0xff at offset {len(data) - 3} \(line 6000001\)"):
        delimited.check_text(broken, "t.csv")


def test_many_bad_rows_are_counted_and_the_first_listed() -> None:
    error = refused(b"a,b\n" + b"1,2,3\n" * 50)
    assert "row 1: expected 2 fields, got 3 (50 such rows; the others: 2, 3," in str(error)
    assert "20, …)" in str(error)


def test_a_field_longer_than_a_block_is_read() -> None:
    text = "x" * (9 * 2**20)
    assert parsed(f"a,b\n1,{text}\n".encode())["b"] == [text]
    assert "row 2: expected 2 fields, got 1" in str(refused(f"a,b\n1,{text}\n2\n".encode()))


def test_a_name_longer_than_any_reader_takes_is_refused() -> None:
    assert "t.csv header: can't be read" in str(refused(b"a," + b"x" * 200_000 + b"\n1,2\n"))


def test_a_pickle_is_unsafe() -> None:
    assert type(refused(b"\x80\x04\x95\x10\x00\x00\x00")) is UnsafeInput


def test_too_many_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MAX_COLUMNS", 2)
    error = refused(b"a,b,c\n1,2,3\n")
    assert type(error) is ResourceLimit
    assert "holds 3 columns; the limit is 2" in str(error)
    assert parsed(GOOD)


def test_cell_values_stay_out_of_messages() -> None:
    assert "secret" not in str(refused(b"a,b\nsecret,secret,secret\n"))
    assert "secret" not in str(refused(b'a,b\nsecret,sec"ret\n'))


cell = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(cell, min_size=n, max_size=n), min_size=1, max_size=8)
    )
)
def test_what_the_csv_module_writes_is_read_back(rows: list[list[str]]) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow([f"c{i}" for i in range(len(rows[0]))])
    writer.writerows(rows)
    table = delimited.parse(file.getvalue().encode(), "t.csv", ",")
    assert [list(row) for row in zip(*table.to_pydict().values(), strict=True)] == rows


@given(st.binary(max_size=60) | st.text('a1,"\n\r\t; ', max_size=30).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        table = delimited.parse(data, "t.csv", ",")
    except ModelyardError as error:
        assert error.exit_code in (3, 9)
    else:
        assert table.num_rows > 0
