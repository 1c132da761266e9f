"""Suite files that are wrong, and what comes of each kind of expectation."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tasks.checks import suite
from tasks.errors import ConfigError, DataRejected

MARK = "zebra-4711"
BETWEEN = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "x", "min_value": 0, "max_value": 10},
}


def write(path: Path, *expectations, **more) -> Path:
    file = path / "expectations.json"
    file.write_text(json.dumps({"name": "tiny", "expectations": list(expectations), **more}))
    return file


@pytest.fixture
def rows() -> pd.DataFrame:
    frame = {"x": [1.0, 2.0, 300.0, None], "k": ["a", "b", MARK, None], "row": [1, 2, 3, 4]}
    return pd.DataFrame(frame, index=pd.Index([10, 11, 12, 13], name="row"))


def judge(tmp_path: Path, rows: pd.DataFrame | None, *expectations, show_values: bool = False):
    asked = suite.load(write(tmp_path, *expectations))
    return suite.run(asked, rows, tmp_path / "docs", show_values=show_values)


def expect(type: str, severity: str = "critical", **kwargs):
    return {"type": f"expect_{type}", "kwargs": kwargs, "severity": severity}


# --- files ------------------------------------------------------------------------------------------


def test_a_suite_is_read(tmp_path) -> None:
    read = suite.load(write(tmp_path, {**BETWEEN, "severity": "info", "meta": {"notes": "why"}}))
    [entry] = read.entries
    assert (read.name, entry.severity, entry.notes, entry.columns) == ("tiny", "warn", "why", ("x",))
    assert entry.rule == "min_value 0, max_value 10"
    assert len(read.digest) == 64


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not a readable JSON suite"),
        ("{", "not a readable JSON suite"),
        ('{"name": "a", "expectations": [NaN]}', "NaN is no JSON number"),
        ("[]", "expected a JSON object"),
        ("\x00", "not a readable JSON suite"),
        ('{"name": "a", "expectations": []}', "holds no expectations"),
        ('{"name": "a"}', "holds no expectations"),
        ('{"name": "a", "expectation": []}', "expectation: unknown key; did you mean 'expectations'?"),
        ('{"expectations": [{"type": "t"}]}', "name: got None"),
        ('{"name": "../../up", "expectations": [{"type": "t"}]}', "expected letters"),
        ('{"name": "a", "expectations": [3]}', "expectations[0]: expected an object with a 'type'"),
        ('{"name": "a", "expectations": [{"type": "t", "kwarg": {}}]}', "did you mean 'kwargs'?"),
        ('{"name": "a", "expectations": [{"type": "t", "kwargs": []}]}', "must be objects"),
        ('{"name": "a", "expectations": [{"type": "t", "severity": "critcal"}]}', "did you mean 'critical'?"),
        ('{"name": "a", "expectations": [{"type": "t", "severity": ["info"]}]}', "severity: got"),
    ],
)
def test_broken_files(tmp_path, text, told) -> None:
    file = tmp_path / "expectations.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        suite.load(file)
    assert told in str(caught.value)
    assert "expectations.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_names_the_nearest(tmp_path) -> None:
    write(tmp_path, BETWEEN)
    with pytest.raises(ConfigError, match=r"did you mean 'expectations\.json'"):
        suite.load(tmp_path / "expectation.json")
    with pytest.raises(ConfigError, match="can't be read"):
        suite.load(tmp_path)


@pytest.mark.parametrize(
    ("expectation", "told"),
    [
        (
            expect("column_value_to_be_between", column="x"),
            "did you mean 'expect_column_values_to_be_between'?",
        ),
        (
            expect("column_values_to_be_between", column="x", min_valu=1),
            "unknown argument 'min_valu', did you mean 'min_value'?",
        ),
        (expect("column_values_to_be_between", min_value=1), "column: field required"),
        (expect("column_values_to_be_in_set", column="x"), "value_set: field required"),
        (expect("column_values_to_be_between", column="x", min_value="low"), "min_value: "),
        (expect("column_values_to_be_between", column="x"), "cannot both be None"),
    ],
)
def test_unknown_types_and_arguments(tmp_path, rows, expectation, told) -> None:
    with pytest.raises(ConfigError) as caught:
        judge(tmp_path, rows, BETWEEN, expectation)
    assert told in str(caught.value)
    assert "expectations[1]" in str(caught.value)
    assert "\n" not in str(caught.value)


# --- outcomes ---------------------------------------------------------------------------------------


def test_outcomes_come_in_the_order_of_the_suite(tmp_path, rows) -> None:
    outcomes = judge(
        tmp_path,
        rows,
        expect("column_mean_to_be_between", column="k", min_value=1),
        expect("column_values_to_be_between", column="x", min_value=0, max_value=10),
        expect("column_values_to_be_between", "warning", column="x", min_value=0, max_value=10),
        expect("column_max_to_be_between", column="x", max_value=10),
        expect("table_row_count_to_be_between", min_value=1),
        expect("column_values_to_be_between", column="xx", min_value=0),
        expect("column_values_to_not_be_null", column="k"),
        expect("column_values_to_be_between", column="x", min_value=0, max_value=10, mostly=0.5),
        expect("compound_columns_to_be_unique", column_list=["x", "row"]),
        expect("column_pair_values_a_to_be_greater_than_b", "info", column_A="row", column_B="x"),
    )
    assert [outcome.word for outcome in outcomes] == [
        "could not run",
        "quarantined",
        "warn",
        "fail",
        "pass",
        "could not run",
        "quarantined",
        "pass",
        "pass",
        "warn",
    ]
    assert outcomes[0].could_not_run.endswith("(k is str)")
    assert (outcomes[1].rows, outcomes[1].unexpected) == ((12,), 1)
    assert outcomes[1].percent == pytest.approx(100 / 3)
    assert outcomes[3].rows is None
    assert outcomes[4].observed == "4"
    assert outcomes[5].could_not_run == "column 'xx' is not in the data; did you mean 'x'?"
    assert outcomes[6].rows == (13,)


def test_same_expectation_twice_is_judged_twice(tmp_path, rows) -> None:
    assert [outcome.word for outcome in judge(tmp_path, rows, BETWEEN, BETWEEN)] == ["quarantined"] * 2


def test_without_rows_nothing_is_judged(tmp_path) -> None:
    [outcome] = judge(tmp_path, None, BETWEEN)
    assert (outcome.word, outcome.could_not_run) == ("could not run", suite.UNJUDGED)
    assert (tmp_path / "docs" / "index.html").is_file()


def test_a_fall_of_the_whole_suite_is_no_pass(tmp_path, rows, monkeypatch) -> None:
    from great_expectations.datasource.fluent.interfaces import Batch

    def fall(*_, **__):
        raise RuntimeError(MARK)

    monkeypatch.setattr(Batch, "validate", fall)
    with pytest.raises(DataRejected, match="Great Expectations failed on this data: RuntimeError") as caught:
        judge(tmp_path, rows, BETWEEN)
    assert MARK not in str(caught.value)


def test_a_result_that_is_missing_is_no_pass(tmp_path, rows, monkeypatch) -> None:
    from great_expectations.datasource.fluent.interfaces import Batch

    true = Batch.validate

    def forgetful(*args, **kwargs):
        found = true(*args, **kwargs)
        found.results = found.results[:1]
        return found

    monkeypatch.setattr(Batch, "validate", forgetful)
    with pytest.raises(DataRejected, match="only 1 of 2 expectations were evaluated"):
        judge(tmp_path, rows, BETWEEN, BETWEEN)


# --- silence ----------------------------------------------------------------------------------------

LEAKY = (
    expect("column_values_to_be_in_set", column="k", value_set=["a", "b"]),
    expect("column_distinct_values_to_be_in_set", column="k", value_set=["a", "b"]),
    expect("column_most_common_value_to_be_in_set", column="k", value_set=["q"]),
    expect("column_value_lengths_to_be_between", column="k", max_value=2),
    expect("column_mean_to_be_between", column="k", min_value=1),
    expect("column_max_to_be_between", column="k", max_value=1),
    expect("column_values_to_be_between", column="k", max_value=1),
    expect("column_values_to_be_dateutil_parseable", column="k"),
    expect("column_values_to_match_regex", column="k", regex="^a$"),
    expect("column_pair_values_to_be_equal", column_A="k", column_B="x"),
)


def holds_mark(folder: Path, outcomes) -> bool:
    return MARK in str(outcomes) or any(
        MARK.encode() in p.read_bytes() for p in folder.rglob("*") if p.is_file()
    )


def test_no_cell_value_leaves_unless_asked(tmp_path, rows) -> None:
    assert not holds_mark(tmp_path / "docs", judge(tmp_path, rows, *LEAKY))
    shown = judge(tmp_path, rows, *LEAKY, show_values=True)
    assert holds_mark(tmp_path / "docs", ())
    assert shown[0].examples == (repr(MARK),)


def test_it_leaves_the_process_as_it_was(tmp_path, rows, capfd) -> None:
    logger = logging.getLogger("great_expectations")
    logger.setLevel(logging.INFO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.socket.connect", lambda *_: pytest.fail("something was sent"))
        judge(tmp_path, rows, *LEAKY)
    assert logger.level == logging.INFO
    assert capfd.readouterr() == ("", "")


def test_great_expectations_is_imported_late() -> None:
    code = "import sys, tasks.validate; sys.exit('great_expectations' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode
        == 0
    )


# --- the suites that ship ---------------------------------------------------------------------------


@pytest.mark.parametrize("project", ["digits", "prices"])
def test_shipped_suites_say_why(project) -> None:
    read = suite.load(Path(__file__).parents[3] / "data" / project / "expectations.json")
    assert read.name == project
    assert len(read.entries) >= 10
    assert all(entry.notes for entry in read.entries)
    assert {entry.severity for entry in read.entries} == {"error", "warn"}
