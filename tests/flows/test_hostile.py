"""Suites and project files that try to run code: each is refused by `check`, and no marker fires."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MARKER = "touched-by-hostile"
SHELL = f"@pd.io.common.os.system('touch {MARKER}') == 0"
CODE = f"from pathlib import Path\nPath({MARKER!r}).touch()\ndef part(*_, **__): return None\n"


def entry(kind: str = "expect_column_values_to_be_between", **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs}


SUITES: dict[str, dict[str, Any]] = {
    "pandas condition": entry(column="x", min_value=-10, row_condition=SHELL, condition_parser="pandas"),
    "condition without a parser": entry(column="x", min_value=-10, row_condition=SHELL),
    "condition of another grammar": entry(
        column="x", min_value=-10, row_condition='col("x") > 0', condition_parser="great_expectations"
    ),
    "condition for Spark": entry(column="x", min_value=-10, row_condition="x > 0", condition_parser="spark"),
    "condition as an object": entry(
        column="x", min_value=-10, row_condition={"type": "pass_through", "pass_through_filter": SHELL}
    ),
    "condition on a pair": entry(
        "expect_column_pair_values_to_be_equal", column_A="x", column_B="y", row_condition=SHELL
    ),
    "condition on the table": entry("expect_table_row_count_to_equal", value=1, row_condition=SHELL),
    "evaluation parameter": entry(column="x", min_value={"$PARAMETER": "now() - timedelta(days=1)"}),
    "parameter in a set": entry(
        "expect_column_values_to_be_in_set", column="x", value_set={"$PARAMETER": "p"}
    ),
    "parameter in a list": entry(
        "expect_column_values_to_be_in_set", column="x", value_set=[{"$PARAMETER": "p"}]
    ),
    "query": entry("unexpected_rows_expectation", unexpected_rows_query="SELECT 1"),
    "query of two sources": entry(
        "expect_query_results_to_match_comparison", base_query="SELECT 1", comparison_query="SELECT 1"
    ),
    "another table": entry("expect_table_row_count_to_equal_other_table", other_table_name="secrets"),
    "schema that is fetched": entry(
        "expect_column_values_to_match_json_schema", column="x", json_schema={"$ref": "file:///etc/passwd"}
    ),
    "a class of its own": entry("expect_column_values_to_be_hostile", column="x"),
    "a class by import path": entry("hostile:Expectation", column="x"),
    "column as an object": entry(column={"$PARAMETER": "p"}),
    "regex as an object": entry("expect_column_values_to_match_regex", column="colour", regex={"a": 1}),
    "regex of a megabyte": entry("expect_column_values_to_match_regex", column="colour", regex="a" * 10**6),
    "broken regex": entry("expect_column_values_to_match_regex", column="colour", regex="(" * 50),
    "library of the metadata": entry(
        "expect_column_values_to_be_increasing", column="x", library_metadata={"x": SHELL}
    ),
}

PROJECTS: dict[str, tuple[str, str]] = {
    "loader in data": ("source", 'source: {kind: "data.rings.raw.evil:part"}'),
    "loader of Python": ("source", f'source: {{kind: "os:system", options: {{command: touch {MARKER}}}}}'),
    "loader of an installed package": ("source", 'source: {kind: "pip:main"}'),
    "loader of ours": ("source", 'source: {kind: "tasks.store.files:replacing"}'),
    "network in data": ("network", 'network: {kind: "data.rings.raw.evil:part"}'),
    "network of Python": ("network", 'network: {kind: "subprocess:run"}'),
    "network of torch": ("network", 'network: {kind: "torch:load", options: {f: x}}'),
    "operation in data": ("clean", 'clean: [{"data.rings.raw.evil:part": {}}]'),
    "operation by a dotted attribute": ("clean", 'clean: [{"os.path:os": {}}]'),
    "metric in data": ("evaluate", 'evaluate: {metric: "data.rings.raw.evil:part", baselines: [majority]}'),
    "baseline in data": (
        "evaluate",
        'evaluate: {metric: accuracy, baselines: [majority, "data.rings.raw.evil:part"]}',
    ),
    "path out of the project": ("source", "source: {kind: table, path: ../../../etc/passwd}"),
    "object in YAML": ("target", f'target: !!python/object/apply:os.system ["touch {MARKER}"]'),
    "suite out of the project": ("validate", "validate: {suite: ../../evil.json}"),
}


@pytest.fixture
def hostile(fresh: Any, make_project: Callable[..., Path], tmp_path: Path, monkeypatch: Any) -> Any:
    """Makes a hostile project in a root of its own, and checks it there."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "root"

    def check(suite: dict[str, Any] | None = None, **changes: str) -> Any:
        folder = make_project(root, **changes)
        (folder / "raw" / "evil.py").write_text(CODE)
        (root / "evil.json").write_text("{}")
        if suite is not None:
            (folder / "expectations.json").write_text(json.dumps({"name": "rings", "expectations": [suite]}))
        answer = type(fresh)(root)("check", "rings", "--json")
        assert answer.code in (2, 3, 9), answer.err
        assert "Traceback" not in answer.err
        assert not list(tmp_path.rglob(MARKER))
        return answer

    return check


@pytest.mark.parametrize("name", list(SUITES))
def test_a_hostile_suite_is_refused_by_place(name: str, hostile: Any) -> None:
    answer = hostile(SUITES[name])
    assert answer.code == 2
    assert "expectations.json: expectations[0]" in answer.err


@pytest.mark.parametrize("name", list(PROJECTS))
def test_a_hostile_project_is_refused(name: str, hostile: Any) -> None:
    key, line = PROJECTS[name]
    answer = hostile(**{key: line})
    assert answer.err.count("error[") == 1


@pytest.mark.parametrize("command", ["projects", "status", "plan rings", "history rings", "compare rings"])
def test_commands_that_only_read_run_no_code_of_a_project_unsaid(
    command: str, fresh: Any, make_project: Callable[..., Path], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "root"
    make_project(root, network='network: {kind: "told_of_y:part"}')
    (root / "told_of_y.py").write_text(CODE)
    answer = type(fresh)(root)(*command.split(), "--json")
    fired = bool(list(tmp_path.rglob(MARKER)))
    assert fired == ("note: imports told_of_y, which network.kind names" in answer.err)
