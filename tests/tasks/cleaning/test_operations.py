"""Cleaning operations: what each does, that it is counted, and that no row looks at another."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.cleaning.operations import apply
from tasks.cleaning.reading import read_numbers
from tasks.cleaning.texts import normalised
from tasks.errors import ConfigError


def frame(**columns):
    rows = pd.DataFrame(columns)
    rows.index = pd.RangeIndex(100, 100 + len(rows), name="row")
    return rows


# --- each operation -----------------------------------------------------------------------------------


def test_trim_strips_and_folds_white_space_and_counts_the_cells():
    done = apply(frame(a=["  WD ", "two \t words", "fine", None]), [{"trim": ["a"]}])
    assert done.rows["a"].tolist()[:3] == ["WD", "two words", "fine"]
    assert done.rows["a"].isna().tolist() == [False, False, False, True]
    assert done.changed == (("trim", 2),)


@pytest.mark.parametrize(
    ("case", "expected"), [("lower", "north st"), ("upper", "NORTH ST"), ("title", "North St")]
)
def test_case_changes_text(case, expected):
    done = apply(frame(a=["nORTH sT", expected]), [{"case": {"a": case}}])
    assert done.rows["a"].tolist() == [expected, expected]
    assert done.changed == (("case", 1),)


def test_text_operations_leave_cells_that_hold_no_text():
    rows = frame(a=pd.Series([" x ", 5, None, True], dtype=object))
    done = apply(rows, [{"trim": ["a"]}, {"case": {"a": "upper"}}])
    assert done.rows["a"].tolist() == ["X", 5, None, True]
    assert done.changed == (("trim", 1), ("case", 1))
    assert apply(frame(a=[1, 2]), [{"trim": ["a"]}]).changed == (("trim", 0),)


def test_missing_marks_by_column_and_for_every_text_column():
    rows = frame(a=["NA", "x", "?"], b=["NA", "?", "y"], n=[1, 2, 3])
    done = apply(rows, [{"missing": {"*": ("NA",), "b": ("?",)}}])
    assert done.rows["a"].isna().tolist() == [True, False, False]
    assert done.rows["b"].isna().tolist() == [True, True, False]
    assert done.rows["n"].tolist() == [1, 2, 3]
    assert done.changed == (("missing", 3),)


def test_only_keeps_rows_with_a_named_value_and_counts_the_others():
    rows = frame(kind=["fresh", "plot", None, "rotten"], n=[1.0, 2.0, None, 1.0])
    done = apply(rows, [{"only": {"kind": ("fresh", "rotten")}}])
    assert done.dropped.tolist() == [101, 102]
    assert done.changed == (("only", 2),)
    assert apply(rows, [{"only": {"n": ("1",)}}]).dropped.tolist() == [101, 102]
    assert apply(rows.iloc[:0], [{"only": {"n": ("1",)}}]).changed == (("only", 0),)


def test_normalise_gives_texts_one_form_and_sets_aside_what_holds_none():
    rows = frame(a=["a <b>bold</b>&nbsp;move", "fine", "ﬁne\u200b  2²", "<br/> ", None, "&amp;lt;br&amp;gt;"])
    done = apply(rows, [{"normalise": ("a",)}])
    assert done.rows["a"].tolist()[:3] == ["a bold move", "fine", "fine 22"]
    assert done.changed == (("normalise", 2),)
    assert set(done.bad) == {103, 104, 105}
    assert "holds no text" in done.bad[103]


@given(st.text())
def test_a_normalised_text_stays_as_it_is(text):
    once = normalised(text)
    assert normalised(once) == once
    assert "  " not in once


@pytest.mark.parametrize("text", ["I <3 this, 5 > 4", "a < b > c", "so << good >>"])
def test_what_only_looks_like_markup_stays(text):
    assert normalised(text) == text


def test_markup_made_to_hurt_costs_no_more_than_its_length():
    assert normalised("<" * 100_000) == "<" * 100_000
    assert normalised("&amp;" + "amp;" * 50_000).startswith("&")


@pytest.mark.parametrize("column", [[-999, 4], [-999.0, 4.5], [4, 5]])
def test_a_numeric_mark_meets_numbers_too_and_the_type_does_not_tell_whether_it_did(column):
    done = apply(frame(n=column), [{"missing": {"n": ("-999", "none")}}])
    assert done.rows["n"].isna().tolist() == [value == -999 for value in column]
    assert str(done.rows["n"].dtype) == ("float64" if isinstance(column[0], float) else "Int64")


def test_scale_multiplies_and_leaves_gaps():
    done = apply(frame(feet=[10, 20, None]), [{"scale": {"feet": 0.3048}}])
    assert done.rows["feet"].tolist()[:2] == [pytest.approx(3.048), pytest.approx(6.096)]
    assert done.changed == (("scale", 2),)
    assert done.bad == {}


def test_scale_beyond_what_float32_holds_is_a_bad_row():
    done = apply(frame(n=[1.0, 2.0]), [{"scale": {"n": 3e38}}])
    assert done.rows["n"].tolist()[0] == 3e38
    assert list(done.bad.values()) == ["clean.0.scale: 'n' holds no number"]


def test_scale_over_the_largest_number_and_of_a_word_are_bad_rows():
    done = apply(frame(n=["1e308", "secret", "2"]), [{"scale": {"n": 1e10}}])
    assert set(done.bad) == {100, 101}
    assert done.rows["n"].tolist()[2] == 2e10
    assert "secret" not in " ".join(done.bad.values())
    assert done.bad[101] == "clean.0.scale: 'n' holds no number"


def test_rename_swaps_and_counts_columns_and_later_operations_see_the_new_names():
    done = apply(frame(a=[" x"], b=["y "]), [{"rename": {"a": "b", "b": "a"}}, {"trim": ["b"]}])
    assert done.rows.to_dict("records") == [{"b": "x", "a": "y "}]
    assert done.changed == (("rename", 2), ("trim", 1))


def test_two_columns_never_get_one_name():
    with pytest.raises(ConfigError, match=r"clean\.0\.rename: two columns would be called 'b'"):
        apply(frame(a=[1], b=[2]), [{"rename": {"a": "b"}}])


def test_keep_marks_rows_outside_its_closed_limits_and_removes_none():
    rows = frame(n=[1.0, 2.0, 3.0, 4.0, None])
    done = apply(rows, [{"keep": {"n": (2.0, 3.0)}}])
    assert list(done.dropped) == [100, 103, 104]
    assert len(done.rows) == 5
    assert done.changed == (("keep", 3),)
    assert list(apply(rows, [{"keep": {"n": (None, 2.5)}}]).dropped) == [102, 103, 104]
    assert list(apply(rows, [{"keep": {"n": (None, None)}}]).dropped) == [104]


def test_a_row_counts_once_it_is_out_for_nothing_more():
    rows = frame(n=["x", "1", "9"], t=[" a", " b", " c"])
    done = apply(rows, [{"types": {"n": "number"}}, {"keep": {"n": (0, 5)}}, {"trim": ["t"]}])
    assert set(done.bad) == {100}
    assert list(done.dropped) == [102]
    assert done.changed == (("types", 2), ("keep", 1), ("trim", 1))


def test_the_frame_that_came_in_is_not_changed():
    rows = frame(a=[" x "], n=["1"])
    before = rows.copy(deep=True)
    apply(rows, [{"trim": ["a"]}, {"types": {"n": "number"}}, {"rename": {"a": "b"}}])
    pd.testing.assert_frame_equal(rows, before)


# --- types ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "cell", "expected"),
    [
        ("number", " 1.5e3 ", 1500.0),
        ("number", "-.5", -0.5),
        ("number", Decimal("2.25"), 2.25),
        ("number", True, 1.0),
        ("integer", "9007199254740991", 9007199254740991),
        ("integer", "3.0", 3),
        ("integer", 4.0, 4),
        ("integer", "-9007199254740991", -(2**53) + 1),
        ("text", 3.0, "3"),
        ("text", 2.5, "2.5"),
        ("text", True, "true"),
        ("boolean", "Yes", True),
        ("boolean", " FALSE", False),
        ("boolean", 1.0, True),
        ("date", "2020-02-29", pd.Timestamp("2020-02-29")),
        ("date", "2020-01-01T00:00:00+02:00", pd.Timestamp("2019-12-31 22:00")),
        ("date", "9999-12-31", pd.Timestamp(9999, 12, 31)),
    ],
)
def test_types_read(kind, cell, expected):
    done = apply(frame(a=pd.Series([cell, None], dtype=object)), [{"types": {"a": kind}}])
    assert done.bad == {}
    assert done.rows["a"].iloc[0] == expected
    assert pd.isna(done.rows["a"].iloc[1])


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        *[
            ("number", text)
            for text in ("1,000", "0x1F", "1_000", "inf", "nan", "1e999", "1e39", "١", "12 ft")
        ],
        *[
            ("integer", text)
            for text in ("1.5", "9007199254740992", "9223372036854775808", "1e300", "x", "9" * 5000)
        ],
        *[("boolean", text) for text in ("2", "maybe")],
        *[("date", text) for text in ("1/2/2020", "2020-02-30", 20200101, "soon")],
    ],
)
def test_what_a_type_cannot_read_makes_a_bad_row_without_its_value(kind, cell):
    done = apply(frame(a=pd.Series([cell, None], dtype=object)), [{"types": {"a": kind}}])
    assert done.bad == {100: f"clean.0.types: 'a' can't be read as {kind}"}
    assert done.rows["a"].isna().all()


def test_types_count_cells_of_another_kind_only():
    done = apply(frame(a=[1, 2], b=["1", None]), [{"types": {"a": "integer", "b": "integer"}}])
    assert done.changed == (("types", 1),)
    assert [str(kind) for kind in done.rows.dtypes] == ["Int64", "Int64"]


def test_infinity_is_no_number():
    numbers, unreadable = read_numbers(pd.Series([1.0, np.inf, np.nan]))
    assert unreadable.tolist() == [False, True, False]
    assert np.isnan(numbers).tolist() == [False, True, True]


# --- names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "place"),
    [
        ({"trim": ["Sale_Tpye"]}, "clean.1.trim"),
        ({"types": {"Sale_Tpye": "text"}}, "clean.1.types"),
        ({"case": {"Sale_Tpye": "lower"}}, "clean.1.case"),
        ({"missing": {"*": ("NA",), "Sale_Tpye": ("-",)}}, "clean.1.missing"),
        ({"scale": {"Sale_Tpye": 2.0}}, "clean.1.scale"),
        ({"rename": {"Sale_Tpye": "x"}}, "clean.1.rename"),
        ({"keep": {"Sale_Tpye": (0, 1)}}, "clean.1.keep"),
    ],
)
def test_an_unknown_column_is_named_with_its_place_and_the_nearest_one(operation, place):
    with pytest.raises(ConfigError) as caught:
        apply(frame(Sale_Type=["WD"], Area=[1]), [{"trim": ["Sale_Type"]}, operation])
    assert str(caught.value) == f"{place}: no column 'Sale_Tpye'; did you mean 'Sale_Type'?"


def test_optional_columns_may_be_absent():
    operations = [{"scale": {"price": 0.001}}, {"keep": {"price": (1, None)}}, {"trim": ["t"]}]
    done = apply(frame(t=[" a"]), operations, optional={"price"})
    assert done.rows["t"].tolist() == ["a"]
    assert done.changed == (("scale", 0), ("keep", 0), ("trim", 1))


def test_no_rows_and_no_operations():
    assert apply(frame(a=["x"])[:0], [{"trim": ["a"]}, {"types": {"a": "number"}}]).changed == (
        ("trim", 0),
        ("types", 0),
    )
    assert apply(frame(a=["x"]), []).changed == ()


# --- no row looks at another ----------------------------------------------------------------------------

cells = st.sampled_from(["1", " 2 ", "3.5", "x", "NA", "", "-7", "yes", "2020-01-01", None, "a  b", "1e400"])
numbers = st.one_of(st.none(), st.integers(-5, 5), st.floats(-10, 10, allow_nan=False))
kinds = st.sampled_from(["number", "integer", "text", "date", "boolean"])
one_operation = st.one_of(
    st.builds(lambda a, b: {"types": {"a": a, "n": b}}, kinds, kinds),
    st.just({"trim": ("a", "b")}),
    st.builds(lambda case: {"case": {"b": case}}, st.sampled_from(["lower", "upper", "title"])),
    st.just({"missing": {"*": ("NA",), "n": ("-5", "0"), "a": ("",)}}),
    st.builds(lambda factor: {"scale": {"n": factor}}, st.floats(-4, 4)),
    st.builds(lambda low, high: {"keep": {"n": (low, high)}}, st.floats(-5, 5), st.floats(-5, 5)),
    st.just({"keep": {"a": (0.0, None)}}),
)


@given(
    rows=st.lists(st.tuples(cells, cells, numbers), min_size=1, max_size=8),
    operations=st.lists(one_operation, max_size=4),
    data=st.data(),
)
def test_removing_or_changing_other_rows_changes_nothing_for_a_row(rows, operations, data):
    table = pd.DataFrame(rows, columns=["a", "b", "n"])
    table = table.astype({"a": "str", "b": "str", "n": "float64"})
    whole = apply(table, operations)
    stays = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    stays[data.draw(st.integers(0, len(rows) - 1))] = True
    changed = table.copy()
    changed.loc[[not kept for kept in stays], "a"] = data.draw(cells)
    for others in (table[stays], changed):
        part = apply(others, operations)
        ids = table.index[stays]
        pd.testing.assert_frame_equal(part.rows.loc[ids], whole.rows.loc[ids])
        assert {row: why for row, why in part.bad.items() if row in ids} == {
            row: why for row, why in whole.bad.items() if row in ids
        }
        assert set(part.dropped) & set(ids) == set(whole.dropped) & set(ids)


@given(
    rows=st.lists(st.tuples(cells, cells, numbers), max_size=8),
    operations=st.lists(one_operation, max_size=4),
)
def test_no_row_is_ever_lost_and_none_is_bad_and_dropped(rows, operations):
    table = pd.DataFrame(rows, columns=["a", "b", "n"]).astype({"a": "str", "b": "str", "n": "float64"})
    done = apply(table, operations)
    assert list(done.rows.index) == list(table.index)
    assert not set(done.bad) & set(done.dropped)
    assert len(done.changed) == len(operations)
