"""The expectations that a suite may state, and what each of their arguments may be.

A suite is data, and Great Expectations would run some of it as code: on pandas it hands every `row_condition`
to `DataFrame.query`, whatever its parser; queries and evaluation parameters reach further still. So the list
is closed, and an argument is plain JSON of the form that its expectation takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tasks.errors import ConfigError, did_you_mean, quoted

MAX_REGEX = 500
"""Longest regular expression, in characters."""

CODE = ("row_condition", "condition_parser")
"""Arguments that pandas would evaluate as code."""

Form = tuple[str, Callable[[Any], bool]]
"""What an argument is called in messages, and whether a value is one."""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool, int, float))


def _is_regex(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > MAX_REGEX:
        return False
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _list_of(form: Form) -> Form:
    name, holds = form
    return f"a list, each {name}", lambda value: isinstance(value, list) and all(map(holds, value))


def _one_of(*words: Any) -> Form:
    return f"one of {', '.join(map(str, words))}", lambda value: value in words


def _lists(keys: tuple[str, ...], value: Any) -> bool:
    """Whether an object has those keys alone, each a list of scalars or of pairs of scalars."""
    if not isinstance(value, dict) or not set(value) <= set(keys):
        return False
    return all(isinstance(items, list) for items in value.values()) and all(
        _is_scalar(item) or (isinstance(item, list) and all(map(_is_scalar, item)))
        for items in value.values()
        for item in items
    )


TEXT: Form = ("text", lambda value: isinstance(value, str))
NUMBER: Form = ("a number", _is_number)
LIMIT: Form = ("a number, a date as text, or null", lambda v: _is_scalar(v) and not isinstance(v, bool))
COUNT: Form = ("a whole number or null", lambda v: v is None or type(v) is int)
TRUTH: Form = ("true or false", lambda value: isinstance(value, bool))
SHARE: Form = ("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1)
REGEX: Form = (f"a regular expression of at most {MAX_REGEX} characters", _is_regex)
SCALAR: Form = ("text, a number, true, false or null", _is_scalar)
PAIR: Form = ("a pair of values", lambda v: isinstance(v, list) and len(v) == 2 and all(map(_is_scalar, v)))
PARTITION: Form = (
    "lists of bins, values, weights and tail_weights",
    partial(_lists, ("bins", "values", "weights", "tail_weights")),
)
QUANTILES: Form = ("lists of quantiles and value_ranges", partial(_lists, ("quantiles", "value_ranges")))

Forms = Mapping[str, Form]

_COLUMN: Forms = {"column": TEXT}
_CELLS: Forms = {"column": TEXT, "mostly": SHARE}
_BETWEEN: Forms = {"min_value": LIMIT, "max_value": LIMIT, "strict_min": TRUTH, "strict_max": TRUTH}
_SET: Forms = {"value_set": _list_of(SCALAR)}
_MATCH_ON: Forms = {"match_on": _one_of("any", "all")}
_PAIRS: Forms = {
    "column_A": TEXT,
    "column_B": TEXT,
    "mostly": SHARE,
    "ignore_row_if": _one_of("both_values_are_missing", "either_value_is_missing", "neither"),
}
_COLUMNS: Forms = {
    "column_list": _list_of(TEXT),
    "mostly": SHARE,
    "ignore_row_if": _one_of("all_values_are_missing", "any_value_is_missing", "never"),
}

ALLOWED: dict[str, Forms] = {
    "expect_column_to_exist": {**_COLUMN, "column_index": COUNT},
    "expect_column_type_to_be": {**_COLUMN, "type_": TEXT},
    "expect_column_distinct_values_to_be_in_set": {**_COLUMN, **_SET},
    "expect_column_distinct_values_to_contain_set": {**_COLUMN, **_SET},
    "expect_column_distinct_values_to_equal_set": {**_COLUMN, **_SET},
    "expect_column_most_common_value_to_be_in_set": {**_COLUMN, **_SET, "ties_okay": TRUTH},
    "expect_column_kl_divergence_to_be_less_than": {
        **_COLUMN,
        "partition_object": PARTITION,
        "threshold": NUMBER,
        "internal_weight_holdout": SHARE,
        "tail_weight_holdout": SHARE,
        "bucketize_data": TRUTH,
    },
    "expect_column_quantile_values_to_be_between": {
        **_COLUMN,
        "quantile_ranges": QUANTILES,
        "allow_relative_error": TRUTH,
    },
    **{
        f"expect_column_{what}_to_be_between": {**_COLUMN, **_BETWEEN}
        for what in (
            "max", "min", "mean", "median", "stdev", "sum", "unique_value_count",
            "proportion_of_unique_values", "proportion_of_non_null_values",
        )
    },
    **{
        f"expect_column_values_to_{what}": _CELLS
        for what in (
            "be_null", "not_be_null", "be_unique", "be_dateutil_parseable", "be_json_parseable",
        )
    },
    "expect_column_values_to_be_between": {**_CELLS, **_BETWEEN},
    "expect_column_value_lengths_to_be_between": {**_CELLS, **_BETWEEN},
    "expect_column_value_lengths_to_equal": {**_CELLS, "value": NUMBER},
    "expect_column_values_to_be_in_set": {**_CELLS, **_SET},
    "expect_column_values_to_not_be_in_set": {**_CELLS, **_SET},
    "expect_column_values_to_be_increasing": {**_CELLS, "strictly": TRUTH},
    "expect_column_values_to_be_decreasing": {**_CELLS, "strictly": TRUTH},
    "expect_column_values_to_be_of_type": {**_CELLS, "type_": TEXT},
    "expect_column_values_to_be_in_type_list": {**_CELLS, "type_list": _list_of(TEXT)},
    "expect_column_values_to_match_regex": {**_CELLS, "regex": REGEX},
    "expect_column_values_to_not_match_regex": {**_CELLS, "regex": REGEX},
    "expect_column_values_to_match_regex_list": {**_CELLS, **_MATCH_ON, "regex_list": _list_of(REGEX)},
    "expect_column_values_to_not_match_regex_list": {**_CELLS, "regex_list": _list_of(REGEX)},
    "expect_column_values_to_match_strftime_format": {**_CELLS, "strftime_format": TEXT},
    "expect_column_value_z_scores_to_be_less_than": {**_CELLS, "threshold": NUMBER, "double_sided": TRUTH},
    "expect_column_values_to_not_be_outliers": {
        **_CELLS, "method": _one_of("iqr", "std"), "multiplier": NUMBER,
    },
    "expect_column_pair_values_a_to_be_greater_than_b": {**_PAIRS, "or_equal": TRUTH},
    "expect_column_pair_values_to_be_equal": _PAIRS,
    "expect_column_pair_values_to_be_in_set": {**_PAIRS, "value_pairs_set": _list_of(PAIR)},
    "expect_compound_columns_to_be_unique": _COLUMNS,
    "expect_select_column_values_to_be_unique_within_record": _COLUMNS,
    "expect_multicolumn_sum_to_equal": {**_COLUMNS, "sum_total": NUMBER},
    "expect_multicolumn_values_to_be_equal": _COLUMNS,
    "expect_table_row_count_to_be_between": _BETWEEN,
    "expect_table_row_count_to_equal": {"value": COUNT},
    "expect_table_column_count_to_be_between": _BETWEEN,
    "expect_table_column_count_to_equal": {"value": COUNT},
    "expect_table_columns_to_match_ordered_list": {"column_list": _list_of(TEXT)},
    "expect_table_columns_to_match_set": {"column_set": _list_of(TEXT), "exact_match": TRUTH},
}  # fmt: skip
"""Type of an expectation to its arguments, each with its form."""


def check(kind: str, kwargs: Mapping[str, Any], place: str) -> None:
    """Refuse an expectation that is not in the list, or an argument of another form.

    Args:
        kind: Its type.
        kwargs: Its arguments.
        place: Where it stands, for messages.

    Raises:
        ConfigError: Names the place, the value and what is accepted.
    """
    if kind not in ALLOWED:
        raise ConfigError(f"{place}: unknown type {quoted(kind)}; {did_you_mean(kind, ALLOWED)}")
    forms = ALLOWED[kind]
    for name, value in kwargs.items():
        where = f"{place} {kind}: kwargs.{name}"
        if name in CODE:
            raise ConfigError(
                f"{where}: got {quoted(value)}; a condition would be run as code, so none is accepted",
                fix="make the condition a column, or drop the rows by `clean`",
            )
        if name not in forms:
            raise ConfigError(f"{place} {kind}: unknown argument {quoted(name)}, {did_you_mean(name, forms)}")
        form, holds = forms[name]
        if not holds(value):
            raise ConfigError(f"{where}: got {quoted(value)}; expected {form}")
