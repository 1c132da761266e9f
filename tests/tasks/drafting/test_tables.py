from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.drafting import looking, tables
from tasks.drafting.guesses import Asked
from tasks.errors import ConfigError, DataRejected
from tasks.tables import rowgroups


def said(draft, column):
    """What was decided about a column, and why."""
    return " / ".join(g.line for g in draft.guesses if g.column == column)


@pytest.fixture
def trees(drafted, table):
    return drafted(table, target="kind")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("Id", "key, no feature; unique integer"),
        ("tag", "key, no feature; unique text"),
        ("country", "left out; constant"),
        ("empty", "left out; all 240 values are missing"),
        ("note", "free text, no feature"),
        ("code", "left out; suspected leak"),
        ("plot_id", "no feature; 48 values in 240 rows"),
    ],
)
def test_what_is_of_no_use_is_left_out_with_its_reason(trees, column, words) -> None:
    assert column in trees.tree["columns"]["drop"]
    assert words in said(trees, column)


def test_the_rest_is_kept(trees, table) -> None:
    kept = {"height", "girth", "soil", "felled", "planted", "rings", "height_again"}
    assert {*table.columns} - {*trees.tree["columns"]["drop"], "kind"} == kept


def test_marks_padding_and_dates_are_read(trees) -> None:
    assert trees.tree["clean"] == (
        {"trim": ("soil",)}, {"missing": {"girth": ("?",)}}, {"types": {"girth": "number"}},
    )  # fmt: skip
    assert "'?' in 6 rows, every other value is a number" in said(trees, "girth")
    assert "a number; dates from 2001" in said(trees, "planted")
    assert "5 whole numbers, which have an order" in said(trees, "rings")
    assert "true and false" in said(trees, "felled")


@pytest.mark.parametrize(("rows", "how", "width"), [(240, "standard", 64), (2_400, "quantile", 256)])
def test_the_network_is_a_small_one_beside_a_linear_model_or_one_with_bins(
    drafted, table, rows, how, width
) -> None:
    times = rows // len(table)
    many = pd.concat([table] * times, ignore_index=True).assign(Id=range(rows))
    tree = drafted(many, target="kind").tree
    assert tree["encode"] == {"numeric": how}
    assert tree["network"]["hidden"] == (width, width)
    assert ("linear" in tree["network"], "bins" in tree["network"]) == (rows == 240, rows == 2_400)
    assert tree["presets"]["best"]["network"] == {"members": 10}
    assert tree["fit"]["bagging"]
    assert "refit" not in tree["fit"]


@pytest.mark.parametrize(
    ("values", "many", "budget", "quick"),
    [
        (lambda i: i * 0.37, True, tables.LONG, tables.BUDGET),
        (lambda i: i * 0.37, False, tables.BUDGET, {}),
        (lambda i: i % 4, True, tables.BUDGET, {}),
    ],
)
def test_a_number_is_learned_for_longer_from_many_rows(
    drafted, table, monkeypatch, values, many, budget, quick
) -> None:
    monkeypatch.setattr(tables, "FEW_ROWS", 100)
    monkeypatch.setattr(tables, "MANY_ROWS", len(table) if many else 20_000)
    tree = drafted(table.assign(kind=[values(i) for i in range(len(table))]), target="kind").tree
    assert tree["fit"].items() >= budget.items()
    assert tree["presets"]["quick"]["fit"] == {"bagging": False, **quick}


@pytest.mark.parametrize(("bytes_a_cell", "bagging"), [(1, True), (10**9, False)])
def test_members_of_a_table_that_is_read_in_pieces_hold_out_the_same_rows(
    table, tmp_path, monkeypatch, bytes_a_cell, bagging
) -> None:
    monkeypatch.setattr(rowgroups, "CELL_BYTES", bytes_a_cell)
    table.to_parquet(tmp_path / "table.parquet")
    tree = looking.draft(tmp_path / "table.parquet", Asked(target="kind")).tree
    assert tree["fit"]["bagging"] is bagging


def test_questions_are_open(trees) -> None:
    asked = {(g.what, g.column) for g in trees.open}
    assert {("split", "plot_id"), ("split", "planted"), ("columns.drop", "code")} <= asked


def test_the_setting_that_takes_a_column_back_names_the_others(trees) -> None:
    (guess,) = [g for g in trees.guesses if g.column == "tag"]
    assert guess.override == "columns.drop=[Id, country, empty, note, plot_id, code]"


def test_imbalanced_classes_are_weighed(trees) -> None:
    assert trees.tree["evaluate"]["metric"] == "balanced_accuracy"
    assert trees.tree["fit"]["class_weights"] == "balanced"


def test_even_classes_are_not(drafted, table) -> None:
    draft = drafted(table.assign(kind=np.arange(len(table)) % 2), target="kind")
    assert draft.tree["evaluate"]["metric"] == "accuracy"
    assert draft.tree["fit"]["class_weights"] == "none"


def test_copy_of_a_column(drafted, table) -> None:
    draft = drafted(table.assign(tall=table["height"]), target="kind")
    assert "every value equals that of 'height'" in said(draft, "tall")


def test_numbers_with_separators_are_not_taken_for_words(drafted, table) -> None:
    worth = [f"{1 + i % 9},{i:03d} EUR" for i in range(len(table))]
    draft = drafted(
        table.assign(worth=worth, day=[f"{1 + i % 28}/3/2020" for i in range(len(table))]), target="kind"
    )
    assert "numbers written with separators or units" in said(draft, "worth")
    assert "written in another way than 2020-12-31" in said(draft, "day")


def test_codes_with_leading_zeros_are_no_numbers(drafted, table) -> None:
    draft = drafted(
        table.assign(area=[f"{i % 40:03d}" if i % 9 else "?" for i in range(len(table))]), target="kind"
    )
    assert {"missing": {"girth": ("?",), "area": ("?",)}} in draft.tree["clean"]
    assert {"types": {"girth": "number"}} in draft.tree["clean"]


# --- target and task ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rename", "chosen"), [({"kind": "target"}, "target"), ({"kind": "Species"}, "Species")]
)
def test_a_name_says_what_the_target_is(drafted, table, rename, chosen) -> None:
    assert drafted(table.rename(columns=rename)).tree["target"] == chosen


def test_the_last_and_only_text_is_the_target(drafted, table) -> None:
    assert drafted(table[["height", "rings", "kind"]]).tree["target"] == "kind"


def test_one_decision_is_asked_for(drafted, table) -> None:
    with pytest.raises(
        ConfigError, match=r"which column is to be predicted\? .*--target kind \| soil \| felled"
    ):
        drafted(table[["kind", "soil", "height", "felled", "rings"]])


def test_a_target_that_does_not_exist(drafted, table) -> None:
    with pytest.raises(ConfigError, match="no column 'kin'; did you mean 'kind'"):
        drafted(table, target="kin")


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (lambda i: i % 4, "classification"),
        (lambda i: i % 40, "regression"),
        (lambda i: (i % 2) * 1.5, "classification"),
        (lambda i: i * 0.37, "regression"),
        (lambda i: i % 3 == 0, "classification"),
    ],
)
def test_task(drafted, table, values, task) -> None:
    draft = drafted(table.assign(kind=[values(i) for i in range(len(table))]), target="kind")
    assert draft.tree["task"] == task


def test_the_task_can_be_named(drafted, table) -> None:
    whole = table.assign(kind=np.arange(len(table)) % 4)
    draft = drafted(whole, target="kind", task="regression")
    assert (draft.tree["task"], draft.tree["evaluate"]["metric"]) == ("regression", "rmse")


def test_words_are_no_regression(drafted, table) -> None:
    with pytest.raises(DataRejected, match="--task regression: target 'kind' holds no numbers alone"):
        drafted(table, target="kind", task="regression")


def test_a_long_tail_is_judged_by_its_absolute_error(drafted, table) -> None:
    price = np.exp(np.random.default_rng(0).normal(8, 1, len(table))).round(2)
    draft = drafted(table.assign(kind=price), target="kind")
    assert draft.tree["evaluate"]["metric"] == "mae"
    assert any(g.what == "encode.target" for g in draft.guesses)


def test_rows_without_a_target_fit_the_budget(drafted, table) -> None:
    table.loc[:23, "kind"] = None
    draft = drafted(table, target="kind")
    assert draft.tree["validate"]["quarantine"] == 0.11
    assert "24 of 240 rows have no value there" in said(draft, "kind")


def test_rare_classes_are_set_aside_by_the_suite(drafted, table) -> None:
    table.loc[:3, "kind"] = "yew"
    draft = drafted(table, target="kind")
    assert "1 of 4 classes have fewer than 10 rows, 4 in all" in said(draft, "kind")
    (rule,) = [
        e for e in draft.expectations if e["kwargs"].get("column") == "kind" and "value_set" in e["kwargs"]
    ]
    assert rule["kwargs"]["value_set"] == ["ash", "elm", "oak"]
    assert draft.tree["validate"]["quarantine"] == 0.03


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "ash"}, "nothing to predict"),
        ({"kind": lambda t: [f"k{i}" for i in range(len(t))]}, "too many for classes"),
        (
            {"kind": lambda t: ["ash" if i < 235 else "oak" for i in range(len(t))]},
            "1 of 2 classes has 10 rows",
        ),
        ({"kind": pd.Timestamp("2020-01-01")}, "nothing to predict"),
    ],
)
def test_a_target_that_teaches_nothing(drafted, table, change, words) -> None:
    with pytest.raises(DataRejected, match=words):
        drafted(table.assign(**change), target="kind")


def test_nothing_to_learn_from(drafted, table) -> None:
    with pytest.raises(DataRejected, match="no column is left to learn from: Id: key"):
        drafted(table[["Id", "country", "kind"]], target="kind")


def test_numbers_without_an_end_fit_the_budget(drafted, table) -> None:
    table.loc[[3, 9, 70], "height"] = np.inf
    draft = drafted(table, target="kind")
    assert "3 rows hold a number that is not finite" in said(draft, "height")
    assert draft.tree["validate"]["quarantine"] == 0.03
    (rule,) = [
        e for e in draft.expectations if e["kwargs"].get("column") == "height" and "max_value" in e["kwargs"]
    ]
    assert 10 < rule["kwargs"]["max_value"] < 50
