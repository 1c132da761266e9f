"""Great Expectations at work: in memory, silent, and with its results stripped of cell values.

The only module that imports it, and itself imported only when a suite runs: 2.5 s. Its context is
ephemeral, sends nothing, and writes nothing but the Data Docs it is asked for. Its results hold cell
values by default (`partial_unexpected_list`, a column's minimum, exception texts); they are removed
here, before anything is rendered.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults
from great_expectations.data_context.types.resource_identifiers import (
    ExpectationSuiteIdentifier,
    ValidationResultIdentifier,
)
from great_expectations.exceptions import ExpectationNotFoundError
from great_expectations.expectations.registry import (
    get_expectation_impl,
    list_registered_expectation_implementations,
)

from tasks.checks.suite import UNJUDGED, Entry, Outcome, Suite
from tasks.errors import ConfigError, DataRejected, did_you_mean, quoted
from tasks.features.schema import ROW
from tasks.spans import span

EXAMPLES = 5
"""Cell values that an outcome quotes, at most, when values may be shown."""

_COUNTS = (
    "element_count",
    "missing_count",
    "missing_percent",
    "unexpected_count",
    "unexpected_percent",
    "unexpected_percent_total",
    "unexpected_percent_nonmissing",
)
_STATISTICS = (
    "expect_table_row_count",
    "expect_table_column_count",
    "expect_column_mean",
    "expect_column_stdev",
    "expect_column_unique_value_count",
    "expect_column_proportion",
)
"""Beginnings of the types whose observed value is a statistic of many cells, never one of them."""

_OURS = {"id", "meta", "notes", "description", "severity", "result_format", "catch_exceptions"}
_OURS |= {"rendered_content", "batch_id", "windows"}
"""Fields of an expectation that are no arguments of it."""


def judge(suite: Suite, rows: pd.DataFrame | None, docs: Path, *, show_values: bool) -> tuple[Outcome, ...]:
    """What `suite.run` promises."""
    with _quiet():
        context = _context(docs)
        expectations = [_build(suite, position) for position in range(len(suite.entries))]
        built = context.suites.add(gx.ExpectationSuite(name=suite.name, expectations=expectations))
        if rows is None:
            _publish(context, docs)
            return tuple(entry.outcome(could_not_run=UNJUDGED) for entry in suite.entries)
        try:
            return _judge(context, suite, built, rows, docs, show_values)
        except DataRejected:
            raise
        except Exception as error:  # whatever it was, data that was not judged has not passed
            told = f"{type(error).__name__}: {quoted(str(error))}" if show_values else type(error).__name__
            raise DataRejected(
                f"{suite.path.name}: Great Expectations failed on this data: {told}",
                fix="take expectations out until it runs",
            ) from None  # the cause's text may hold cell values


@contextmanager
def _quiet() -> Iterator[None]:
    # Its log holds tracebacks with cell values, and the libraries that it wraps warn.
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _context(docs: Path) -> Any:
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(docs.resolve()),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={"docs": site},
        analytics_enabled=False,
        progress_bars={"globally": False},
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _build(suite: Suite, position: int) -> Any:
    """The expectation at `position` as Great Expectations' own object."""
    entry = suite.entries[position]
    place = f"{suite.path.name}: expectations[{position}]"
    try:
        kind = get_expectation_impl(entry.type)
    except ExpectationNotFoundError:
        near = did_you_mean(entry.type, list_registered_expectation_implementations())
        raise ConfigError(f"{place}: unknown type {quoted(entry.type)}; {near}") from None
    severity = "critical" if entry.severity == "error" else "warning"
    meta = {"notes": entry.notes, "position": position}
    try:
        return kind(**entry.kwargs, severity=severity, meta=meta)
    except Exception as error:  # pydantic v1's, or a TypeError of the class itself
        raise ConfigError(f"{place} {entry.type}: {_explain(error, kind)}") from None


def _explain(error: Exception, kind: Any) -> str:
    """One line about the arguments that an expectation refuses."""
    problems: list[Any] = error.errors() if hasattr(error, "errors") else []
    own = [name for name in kind.__fields__ if name not in _OURS]
    lines: list[str] = []
    for problem in problems:
        name = ".".join(str(part) for part in problem["loc"] if part != "__root__")
        if problem["type"] == "value_error.extra":
            lines.insert(0, f"unknown argument {quoted(name)}, {did_you_mean(name, own)}")
        else:
            lines.append(f"{name}: {problem['msg']}" if name else problem["msg"])
    return "; ".join(dict.fromkeys(lines[:3])) or f"{type(error).__name__}: {quoted(str(error))}"


def _judge(
    context: Any, suite: Suite, built: Any, rows: pd.DataFrame, docs: Path, show_values: bool
) -> tuple[Outcome, ...]:
    asset = context.data_sources.add_pandas("data").add_dataframe_asset("rows")
    # The row id must reach the results under a name that no column has.
    frame = rows.rename_axis(index=ROW)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    form = {"result_format": "COMPLETE", "include_unexpected_rows": False}
    found = batch.validate(built, result_format=form)
    # They come in another order than the suite's.
    results = {result.expectation_config.meta["position"]: result for result in found.results}
    if len(results) != len(suite.entries):
        raise DataRejected(
            f"{suite.path.name}: only {len(results)} of {len(suite.entries)} expectations were evaluated",
            fix="report the suite; data that was not judged has not passed",
        )
    outcomes = tuple(
        _outcome(entry, results[position], rows, show_values) for position, entry in enumerate(suite.entries)
    )
    for position, outcome in enumerate(outcomes):
        _strip(results[position], outcome, show_values)
    _document(context, suite, found)
    _publish(context, docs)
    return outcomes


def _outcome(entry: Entry, result: Any, rows: pd.DataFrame, show_values: bool) -> Outcome:
    """One of Great Expectations' results in our own words."""
    absent = [name for name in entry.columns if name not in rows.columns]
    if absent:
        near = did_you_mean(absent[0], [str(name) for name in rows.columns])
        return entry.outcome(could_not_run=f"column {quoted(absent[0])} is not in the data; {near}")
    raised = _raised(result.exception_info)
    if raised:
        types = ", ".join(f"{name} is {rows[name].dtype}" for name in entry.columns)
        told = raised if show_values else raised.partition(":")[0]
        return entry.outcome(could_not_run=f"{told} ({types})" if types else told)
    body = result.result
    listed = body.get("unexpected_index_list")
    examples = body.get("partial_unexpected_list", [])[:EXAMPLES] if show_values else ()
    return entry.outcome(
        success=bool(result.success),
        unexpected=_number(body.get("unexpected_count"), int),
        percent=_number(body.get("unexpected_percent"), float),
        observed=_observed(entry, body, show_values),
        rows=None if listed is None else tuple(sorted({int(place[ROW]) for place in listed})),
        examples=tuple(quoted(value) for value in examples),
    )


def _raised(info: Mapping[str, Any] | None) -> str:
    """`Class: message` of what an expectation raised; empty when it ran."""
    told = dict(info or {})
    # One entry of its own, or one for each metric that failed.
    inner = [told] if "raised_exception" in told else [i for i in told.values() if isinstance(i, Mapping)]
    for item in inner:
        if item.get("raised_exception"):
            # A chained traceback begins with its cause, whose last line is `Class: message`.
            cause, _, _ = str(item.get("exception_traceback") or "").partition("\n\nThe above exception")
            return cause.strip().splitlines()[-1] if cause.strip() else "an exception"
    return ""


def _observed(entry: Entry, body: Mapping[str, Any], show_values: bool) -> str:
    value = body.get("observed_value")
    if value is None or not (show_values or entry.type.startswith(_STATISTICS)):
        return ""
    return f"{value:,.6g}" if isinstance(value, float) else quoted(value)


def _number(value: Any, kind: type[Any]) -> Any:
    return None if value is None else kind(value)  # numpy scalars can't become JSON


def _strip(result: Any, outcome: Outcome, show_values: bool) -> None:
    """Removes from a result, in place, every cell value that may not be shown."""
    keep = {*_COUNTS}
    if show_values:
        keep |= {"partial_unexpected_list", "partial_unexpected_counts"}
    if outcome.observed:
        keep |= {"observed_value"}
    result.result = {key: value for key, value in result.result.items() if key in keep}
    if outcome.could_not_run:
        told = {"raised_exception": True, "exception_message": outcome.could_not_run}
        result.exception_info = {**told, "exception_traceback": ""}


def _document(context: Any, suite: Suite, found: Any) -> None:
    key = ValidationResultIdentifier(
        expectation_suite_identifier=ExpectationSuiteIdentifier(suite.name),
        run_id=RunIdentifier(run_name="validate"),
        batch_identifier="rows",
    )
    context.validation_results_store.set(key, found)


def _publish(context: Any, docs: Path) -> None:
    with span("Data Docs"):
        context.build_data_docs()
    for animation in docs.rglob("*.gif"):  # 3.4 MB of how-to that no page shows
        animation.unlink()
