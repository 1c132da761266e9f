"""assign_splits: every strategy assigns each row once, in proportion, by its seed; what it must refuse."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.config import Split
from tasks.errors import ConfigError, DataRejected
from tasks.split import planned
from tasks.splitting import parts as parts_file
from tasks.splitting.assign import assign_splits
from tasks.tables.opening import of_frame


def table(count=100, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"x": rng.normal(size=count), "y": rng.integers(0, classes, count).astype(str)})
    rows.index = pd.Index(np.arange(count) * 2, name="row")
    return rows


def split(rows, strategy="random", *, seed=0, kind="classification", images=False, target="y", **rules):
    plan = planned(
        rows, Split(strategy=strategy, **rules), target=target, kind=kind, seed=seed, images=images
    )
    return assign_splits(of_frame(rows), plan).parts


def counts(parts):
    return tuple(int((parts == part).sum()) for part in parts_file.PARTS)


# --- every strategy -------------------------------------------------------------------------------------

STRATEGIES = {
    "random": {},
    "stratified": {},
    "group": {"column": "g"},
    "time": {"column": "t"},
    "key": {},
    "column": {"column": "p"},
}


def full(count=300):
    rows = table(count)
    rows["g"] = np.arange(count) % 40
    rows["t"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(count) // 2, unit="D")
    rows["p"] = (["train"] * 7 + ["test"] * 3) * (count // 10)
    return rows


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_deal_is_whole_and_repeats_with_its_seed(strategy):
    rows = full()
    rules = STRATEGIES[strategy]
    parts = split(rows, strategy, **rules)
    assert parts.index.equals(rows.index)
    assert set(parts) == {"train", "validation", "test"}
    train, validation, test = counts(parts)
    assert train + validation + test == 300
    assert 0.08 < validation / 300 < 0.24
    pd.testing.assert_series_equal(parts, split(rows, strategy, **rules))
    if strategy != "time":
        assert not parts.equals(split(rows, strategy, seed=1, **rules))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_official_test_set_stays_and_validation_is_a_share_of_the_rest(strategy):
    rows = full().assign(part=["train"] * 250 + ["test"] * 50, digest=[f"d{i}" for i in range(300)])
    rows["p"] = "train"
    parts = split(rows, strategy, images=True, validation=0.1, **STRATEGIES[strategy])
    assert (parts == "test").tolist() == [False] * 250 + [True] * 50
    assert counts(parts)[1] == pytest.approx(25, abs=10 if strategy in ("key", "group") else 1)


def test_rows_of_no_official_part_are_dealt_like_any_other():
    rows = table(100).assign(part="", digest=[f"d{i}" for i in range(100)])
    assert counts(split(rows, images=True)) == (65, 15, 20)
    tabular = table(100).assign(part="test")
    assert counts(split(tabular)) == (65, 15, 20)


@pytest.mark.parametrize(
    ("count", "expected"), [(100, (65, 15, 20)), (10, (6, 2, 2)), (7, (5, 1, 1)), (4, (2, 1, 1))]
)
@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_shares_are_met_to_the_row(count, expected, kind):
    rows = table(count, classes=1)
    assert counts(split(rows)) == expected
    if kind == "classification":
        assert counts(split(rows, "stratified")) == expected
    else:
        assert counts(split(rows.assign(y=rows["x"]), "stratified", kind="regression")) == expected


@pytest.mark.parametrize(
    ("strategy", "count"), [("random", 2), ("random", 1), ("random", 0), ("stratified", 3), ("key", 2)]
)
def test_an_empty_part_is_refused_with_the_counts(strategy, count):
    with pytest.raises(DataRejected) as caught:
        split(table(count, classes=1), strategy)
    assert f"split: {count} rows ({count} to assign) would give train " in str(caught.value)


def test_nothing_but_test_rows_is_refused():
    rows = table(9).assign(part="test", digest="d")
    with pytest.raises(
        DataRejected, match=r"9 rows \(0 to assign\) would give train 0, validation 0, test 9"
    ):
        split(rows, images=True)


# --- stratified -----------------------------------------------------------------------------------------


@given(sizes=st.lists(st.integers(2, 40), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_classes_keep_their_shares_and_all_are_met_in_train(sizes, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    assume(len(labels) >= 12)
    rows = pd.DataFrame({"x": np.arange(len(labels)), "y": np.random.default_rng(seed).permutation(labels)})
    parts = split(rows, "stratified", seed=seed)
    total = len(labels)
    assert counts(parts)[2] == int(total * 0.2 + 0.5)
    for label, size in enumerate(sizes):
        inside = parts[rows["y"] == label]
        assert (inside == "train").any()
        # one row of each class is set aside for train, hence a little more slack than rounding alone
        assert abs((inside == "test").sum() - 0.2 * size) <= 1.5 + 0.2 * len(sizes) * size / total
        assert abs((inside == "validation").sum() - 0.15 * size) <= 2.0 + 0.2 * len(sizes) * size / total


@pytest.mark.parametrize("sizes", [[2], [4, 4, 3]])
def test_every_class_keeps_train_rows_however_large_the_other_parts_are(sizes):
    one = np.repeat(np.arange(len(sizes)), sizes) if len(sizes) > 1 else np.arange(sizes[0])
    rows = pd.DataFrame({"x": np.concatenate([one + 10 * label for label in range(6)])})
    rows["y"] = np.repeat(list("abcdef"), len(one))
    parts = split(rows, "stratified", validation=0.45, test=0.45)
    assert (parts[parts == "train"].groupby(rows["y"]).size() > 0).sum() == 6


def test_a_class_of_one_row_is_refused_by_count_not_by_name():
    rows = table(40, classes=2)
    rows.loc[rows.index[:2], "y"] = ["secret", "hidden"]
    with pytest.raises(DataRejected) as caught:
        split(rows, "stratified")
    assert "2 of 4 classes of 'y' have one row only" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("turn", [np.exp, np.negative, lambda numbers: (numbers * 10_000).astype(int)])
def test_a_number_is_stratified_by_its_quantiles(turn):
    rows = table(3000).assign(y=turn(np.random.default_rng(3).normal(size=3000) * 2))
    parts = split(rows, "stratified", kind="regression")
    tenth = pd.qcut(rows["y"], 10, labels=False)
    shares = pd.crosstab(tenth, parts)
    assert shares["test"].between(59, 61).all()
    assert shares["validation"].between(44, 46).all()


# --- group, time ----------------------------------------------------------------------------------------


@given(sizes=st.lists(st.integers(1, 30), min_size=10, max_size=40), seed=st.integers(0, 50))
def test_no_group_stands_in_two_parts_and_shares_are_near(sizes, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    rows = pd.DataFrame({"g": groups, "y": 0.0})
    parts = split(rows, "group", column="g", seed=seed, kind="regression")
    assert (parts.groupby(groups).nunique() == 1).all()
    assert abs((parts == "test").sum() - 0.2 * len(rows)) <= 1.5 * max(sizes)
    assert abs((parts == "validation").sum() - 0.15 * len(rows)) <= 1.5 * max(sizes)


@pytest.mark.parametrize("sizes", [[98, 1, 1], [60, 30, 10], [2, 2, 2]])
def test_three_groups_are_enough_whatever_their_sizes(sizes):
    rows = pd.DataFrame({"g": np.repeat(list("abc"), sizes), "y": 0.0})
    parts = split(rows, "group", column="g", kind="regression")
    assert parts[rows["g"] == "a"].unique().tolist() == ["train"] or max(sizes) == 2
    assert set(parts) == {"train", "validation", "test"}


def test_one_giant_group_goes_to_train_and_two_groups_are_too_few():
    rows = pd.DataFrame({"g": ["giant"] * 60 + list("abcdefgh") * 5, "y": 0.0})
    parts = split(rows, "group", column="g", kind="regression")
    assert set(parts[:60]) == {"train"}
    with pytest.raises(DataRejected, match="no part may be empty"):
        split(rows.assign(g=["a", "b"] * 50), "group", column="g", kind="regression")


@given(times=st.lists(st.integers(0, 60), min_size=12, max_size=60).filter(lambda t: len(set(t)) >= 3))
def test_time_runs_from_train_to_test_and_ties_stay_together(times):
    rows = pd.DataFrame({"t": times, "y": 0.0})
    parts = split(rows, "time", column="t", kind="regression")
    oldest_first = [rows["t"][parts == part] for part in parts_file.PARTS]
    assert oldest_first[0].max() < oldest_first[1].min()
    assert oldest_first[1].max() < oldest_first[2].min()


def test_time_meets_the_shares_where_no_tie_stands_in_the_way():
    rows = table(100).assign(t=pd.date_range("2020-01-01", periods=100)[::-1])
    parts = split(rows, "time", column="t")
    assert counts(parts) == (65, 15, 20)
    assert set(parts.iloc[:20]) == {"test"}


def test_time_needs_times_and_enough_of_them():
    rows = table(30).assign(t=["2020-01-01"] * 30, two=[1] * 15 + [2] * 15)
    with pytest.raises(
        ConfigError, match=r"'t' holds text, not times; put \{types: \{t: date\}\} into clean"
    ):
        split(rows, "time", column="t")
    with pytest.raises(DataRejected, match="2 distinct times in 30 rows, and 3 parts need as many"):
        split(rows, "time", column="two")


@pytest.mark.parametrize("strategy", ["group", "time", "key"])
def test_a_column_with_gaps_is_refused_with_the_count(strategy):
    rows = table(30).assign(c=[None, *range(28), None])
    with pytest.raises(DataRejected, match="'c' has no value in 2 of 30 rows"):
        split(rows, strategy, column="c")


# --- key ------------------------------------------------------------------------------------------------

cell = st.one_of(st.none(), st.integers(-1000, 1000), st.floats(-1e6, 1e6))


@given(
    before=st.lists(st.tuples(cell, st.integers(-9, 9)), min_size=1, max_size=12),
    after=st.lists(st.tuples(cell, st.one_of(st.none(), st.floats(-9, 9))), max_size=12),
    seed=st.integers(0, 2**63 - 1),
)
def test_appended_rows_move_no_row(before, after, seed):
    # Enough fixed rows that no part is empty; whole numbers become floats by the gaps of appended ones.
    base = [(i * 0.5, i) for i in range(60)]
    old = pd.DataFrame([*base, *before], columns=["a", "b"]).assign(y=0)
    new = pd.DataFrame([*base, *before, *after], columns=["a", "b"]).assign(y=0)
    first, second = (split(rows, "key", seed=seed) for rows in (old, new))
    assert first.tolist() == second.iloc[: len(first)].tolist()


def test_a_key_deals_by_its_column_alone_and_its_salt_is_the_seed():
    rows = table(2000).assign(id=[f"house-{i // 2}" for i in range(2000)])
    parts = split(rows, "key", column="id")
    assert parts.tolist() == split(rows.assign(x=0.0), "key", column="id").tolist()
    assert (parts.groupby(rows["id"]).nunique() == 1).all()
    assert counts(parts)[2] == pytest.approx(400, abs=60)
    assert counts(parts)[1] == pytest.approx(300, abs=60)
    other = split(rows, "key", column="id", seed=1)
    assert 0.3 < (parts == other).mean() < 0.7


def test_the_key_split_of_one_known_row_never_changes():
    rows = pd.DataFrame({"id": [f"k{i}" for i in range(12)], "y": 0})
    found = "".join(part[1] for part in split(rows, "key", column="id", seed=7))
    assert found == KNOWN


KNOWN = "rreeaeararre"
"""Second letters of the parts (r train, a validation, e test): a release must not move a row."""


def test_without_a_key_equal_features_go_together_whatever_their_target():
    rows = table(200)
    twice = pd.concat([rows, rows.assign(y="other")], ignore_index=True)
    parts = split(twice, "key")
    assert parts[:200].tolist() == parts[200:].tolist()


# --- column ---------------------------------------------------------------------------------------------


def test_a_column_names_the_parts_in_any_case():
    rows = table(6).assign(p=["Train", "TEST", "validation", "train", "test", "train"])
    parts = split(rows, "column", column="p")
    assert parts.tolist() == ["train", "test", "validation", "train", "test", "train"]


def test_validation_is_carved_from_train_when_no_row_names_it():
    rows = table(200, classes=2).assign(p=["train"] * 160 + ["test"] * 40)
    rows["y"] = ["rare"] * 16 + ["often"] * 184
    parts = split(rows, "column", column="p", validation=0.25)
    assert counts(parts) == (120, 40, 40)
    assert (parts[:16] == "validation").sum() in (3, 4, 5)
    numbers = split(rows.assign(y=rows["x"]), "column", column="p", validation=0.25, kind="regression")
    assert counts(numbers) == (120, 40, 40)


def test_a_carved_class_of_one_row_stays_in_train():
    rows = table(50, classes=2).assign(p=["train"] * 40 + ["test"] * 10)
    rows.iloc[0, rows.columns.get_loc("y")] = "alone"
    assert split(rows, "column", column="p").iloc[0] == "train"


def test_other_words_and_gaps_are_refused_with_counts():
    rows = table(6).assign(p=["train", "val", None, "test ", "test", "train"])
    with pytest.raises(DataRejected) as caught:
        split(rows, "column", column="p")
    assert "'p' names no part in 3 of 6 rows (1 empty, 2 other words; train 2, validation 0, test 1)" in str(
        caught.value
    )


def test_a_column_without_test_rows_is_refused():
    with pytest.raises(DataRejected, match="train 42, validation 8, test 0"):
        split(table(50).assign(p="train"), "column", column="p")


@pytest.mark.parametrize("strategy", ["group", "time", "key", "column"])
def test_a_misspelt_column_is_a_configuration_error(strategy):
    with pytest.raises(
        ConfigError, match=r"split\.column: no column 'grupo' in the cleaned rows; did you mean 'group'"
    ):
        split(table(10).assign(group=1), strategy, column="grupo")
    with pytest.raises(ConfigError, match=r"split\.column: 'y' is the target"):
        split(table(10), strategy, column="y")


# --- rows keep their part -------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["random", "stratified"])
@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("change", ["add", "remove", "reorder"])
def test_test_rows_stay_test_rows_when_the_data_changes(strategy, kind, change):
    rows = table(2000, classes=3).reset_index(drop=True)
    rows = rows.assign(y=rows["x"] ** 2) if kind == "regression" else rows
    old = rows.iloc[:1700] if change == "add" else rows
    new = {"add": rows, "remove": rows.iloc[:1700], "reorder": rows.sample(frac=1, random_state=1)}[change]
    before, after = (split(some, strategy, kind=kind) for some in (old, new))
    both = before.index.intersection(after.index)
    tests = both[after[both] == "test"]
    assert (before[tests] == "test").mean() >= (1.0 if change == "reorder" else 0.95)
    assert counts(after)[2] == round(0.2 * len(new))


def test_bins_of_a_number_are_large_enough_to_stay():
    kept = []
    for seed in range(10):
        rows = table(300, seed=seed).assign(y=lambda rows: rows["x"] ** 2)
        before = split(rows, "stratified", kind="regression", seed=seed)
        after = split(rows.sample(240, random_state=seed), "stratified", kind="regression", seed=seed)
        kept.append((before[after.index[after == "test"]] == "test").mean())
    assert np.mean(kept) > 0.94


def test_another_target_or_another_id_moves_no_row():
    rows = table(300).assign(id=np.arange(300))
    rules, how = Split(), {"target": "y", "kind": "classification", "seed": 0, "drop": ("id",)}
    before = assign_splits(of_frame(rows), planned(rows, rules, **how)).parts
    other = rows.assign(id=rows["id"] + 1, y="same")
    assert assign_splits(of_frame(other), planned(other, rules, **how)).parts.equals(before)


@given(extra=st.lists(st.integers(1, 12), min_size=1, max_size=8), seed=st.integers(0, 50))
def test_few_groups_change_part_when_groups_are_added(extra, seed):
    sizes = np.random.default_rng(seed).integers(1, 12, 200)
    rows = pd.DataFrame({"g": np.repeat(np.arange(200), sizes), "y": 0.0})
    more = pd.DataFrame({"g": np.repeat(np.arange(200, 200 + len(extra)), extra), "y": 0.0})
    how = {"strategy": "group", "column": "g", "kind": "regression", "seed": seed}
    before = split(rows, **how)
    after = split(pd.concat([rows, more], ignore_index=True), **how).iloc[: len(rows)]
    assert (before.to_numpy() == after.to_numpy()).mean() > 0.9


def test_equal_features_come_into_one_part_though_their_classes_have_other_cuts():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"x": rng.integers(0, 40, 400), "y": np.where(rng.random(400) < 0.1, "rare", "usual")}
    )
    parts = split(rows, "stratified")
    assert parts.groupby(rows["x"]).nunique().max() == 1
    assert counts(parts)[2] == pytest.approx(80, abs=12)
    assert (parts[rows["y"] == "rare"] == "test").sum() == pytest.approx(8, abs=5)


def test_features_that_stand_for_too_many_rows_go_to_train():
    rows = pd.DataFrame({"x": [*range(100), *[1000] * 100], "y": 0.0})
    parts = split(rows, kind="regression")
    assert set(parts[100:]) == {"train"}
    assert counts(parts) == (130, 30, 40)


def test_too_few_different_rows_are_refused_by_their_kind():
    with pytest.raises(DataRejected, match="rows with equal features stay together"):
        split(pd.DataFrame({"x": [0, 1] * 50, "y": 0.0}), kind="regression")


# --- rows that a champion learned from --------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["random", "stratified", "key"])
def test_rows_that_were_learned_from_never_become_test_rows(strategy):
    rows = table(300)
    seen = rows.index.to_numpy()[np.random.default_rng(1).random(300) < 0.7]
    rules = Split(strategy=strategy, exclude_seen=True)
    plan = planned(rows, rules, target="y", kind="classification", seed=5)
    parts = assign_splits(of_frame(rows), plan, seen=seen).parts
    assert counts(parts) == (195, 45, 60)
    assert not (parts[seen] == "test").any()
    assert (assign_splits(of_frame(rows), plan).parts[seen] == "test").any()


def test_a_group_of_which_one_row_was_learned_from_never_becomes_a_test_group():
    rows = full().assign(g=np.arange(300) // 5)
    plan = planned(
        rows, Split(strategy="group", column="g", exclude_seen=True), target="y", kind="regression", seed=0
    )
    parts = assign_splits(of_frame(rows), plan, seen=rows.index.to_numpy()[:200:5]).parts
    assert set(parts[:200]) == {"train", "validation"}
    assert (parts.groupby(rows["g"]).nunique() == 1).all()
    assert counts(parts)[2] == 60


def test_fewer_rows_that_nobody_learned_from_make_a_smaller_test_set_and_too_few_are_refused():
    rows = table(300)
    plan = planned(rows, Split(), target="y", kind="classification", seed=0)
    assert counts(assign_splits(of_frame(rows), plan, seen=rows.index.to_numpy()[:260]).parts) == (
        215,
        45,
        40,
    )
    with pytest.raises(DataRejected, match="learned from all but 20 of 300 rows, too few to choose 60"):
        assign_splits(of_frame(rows), plan, seen=rows.index.to_numpy()[:280])


@pytest.mark.parametrize("strategy", ["time", "column"])
def test_a_strategy_that_names_the_test_rows_itself_excludes_none(strategy):
    with pytest.raises(ValueError, match="says by itself which rows are test rows"):
        Split(strategy=strategy, column="t", exclude_seen=True)
