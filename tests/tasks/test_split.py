"""split: every strategy deals every row once, in proportion, by its seed; what it must refuse."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.config import Split
from tasks.dataset import Dataset
from tasks.errors import ConfigError, DataRejected
from tasks.records import CleanRecord, Step
from tasks.split import deal, parts_hash, split
from tasks.splitting import parts as parts_file


def table(count=100, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"x": rng.normal(size=count), "y": rng.integers(0, classes, count).astype(str)})
    rows.index = pd.Index(np.arange(count) * 2, name="row")
    return rows


def dealt(rows, strategy="random", *, seed=0, kind="classification", images=False, target="y", **rules):
    return deal(rows, Split(strategy=strategy, **rules), target=target, kind=kind, seed=seed, images=images)


def counts(parts):
    return tuple(int((parts == part).sum()) for part in parts_file.PARTS)


def stored(tmp_path, rows, pixels=None):
    folder = tmp_path / "cleaned"
    folder.mkdir(exist_ok=True)
    Dataset(rows, pixels).save(folder)
    return CleanRecord(
        step=Step(name="clean"),
        folder=folder,
        digest="d",
        read=len(rows),
        kept=len(rows),
        dropped=0,
        quarantined=0,
        operations=(),
    )


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
    parts = dealt(rows, strategy, **rules)
    assert parts.index.equals(rows.index)
    assert set(parts) == {"train", "validation", "test"}
    train, validation, test = counts(parts)
    assert train + validation + test == 300
    assert 0.08 < validation / 300 < 0.24
    pd.testing.assert_series_equal(parts, dealt(rows, strategy, **rules))
    if strategy != "time":
        assert not parts.equals(dealt(rows, strategy, seed=1, **rules))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_official_test_set_stays_and_validation_is_a_share_of_the_rest(strategy):
    rows = full().assign(part=["train"] * 250 + ["test"] * 50, digest=[f"d{i}" for i in range(300)])
    rows["p"] = "train"
    parts = dealt(rows, strategy, images=True, validation=0.1, **STRATEGIES[strategy])
    assert (parts == "test").tolist() == [False] * 250 + [True] * 50
    assert counts(parts)[1] == pytest.approx(25, abs=10 if strategy in ("key", "group") else 1)


def test_rows_of_no_official_part_are_dealt_like_any_other():
    rows = table(100).assign(part="", digest=[f"d{i}" for i in range(100)])
    assert counts(dealt(rows, images=True)) == (65, 15, 20)
    tabular = table(100).assign(part="test")
    assert counts(dealt(tabular)) == (65, 15, 20)


@pytest.mark.parametrize(
    ("count", "expected"), [(100, (65, 15, 20)), (10, (6, 2, 2)), (7, (5, 1, 1)), (4, (2, 1, 1))]
)
@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_shares_are_met_to_the_row(count, expected, kind):
    rows = table(count, classes=1)
    assert counts(dealt(rows)) == expected
    if kind == "classification":
        assert counts(dealt(rows, "stratified")) == expected
    else:
        assert counts(dealt(rows.assign(y=rows["x"]), "stratified", kind="regression")) == expected


@pytest.mark.parametrize(
    ("strategy", "count"), [("random", 2), ("random", 1), ("random", 0), ("stratified", 3), ("key", 2)]
)
def test_an_empty_part_is_refused_with_the_counts(strategy, count):
    with pytest.raises(DataRejected) as caught:
        dealt(table(count, classes=1), strategy)
    assert f"split: {count} rows ({count} to be dealt) would give train " in str(caught.value)


def test_nothing_but_test_rows_is_refused():
    rows = table(9).assign(part="test", digest="d")
    with pytest.raises(
        DataRejected, match=r"9 rows \(0 to be dealt\) would give train 0, validation 0, test 9"
    ):
        dealt(rows, images=True)


# --- stratified -----------------------------------------------------------------------------------------


@given(sizes=st.lists(st.integers(2, 40), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_classes_keep_their_shares_and_all_are_met_in_train(sizes, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    assume(len(labels) >= 12)
    rows = pd.DataFrame({"x": np.arange(len(labels)), "y": np.random.default_rng(seed).permutation(labels)})
    parts = dealt(rows, "stratified", seed=seed)
    total = len(labels)
    assert counts(parts)[2] == int(total * 0.2 + 0.5)
    for label, size in enumerate(sizes):
        inside = parts[rows["y"] == label]
        assert (inside == "train").any()
        # one row of each class is set aside for train, hence a little more slack than rounding alone
        assert abs((inside == "test").sum() - 0.2 * size) <= 1.5 + 0.2 * len(sizes) * size / total
        assert abs((inside == "validation").sum() - 0.15 * size) <= 2.0 + 0.2 * len(sizes) * size / total


def test_a_class_of_one_row_is_refused_by_count_not_by_name():
    rows = table(40, classes=2)
    rows.loc[rows.index[:2], "y"] = ["secret", "hidden"]
    with pytest.raises(DataRejected) as caught:
        dealt(rows, "stratified")
    assert "2 of 4 classes of 'y' have one row only" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_number_is_stratified_by_its_quantiles():
    rows = table(1000).assign(y=np.exp(np.random.default_rng(3).normal(size=1000) * 2))
    parts = dealt(rows, "stratified", kind="regression")
    tenth = pd.qcut(rows["y"], 10, labels=False)
    shares = pd.crosstab(tenth, parts)
    assert shares["test"].between(19, 21).all()
    assert shares["validation"].between(14, 16).all()


# --- group, time ----------------------------------------------------------------------------------------


@given(sizes=st.lists(st.integers(1, 30), min_size=10, max_size=40), seed=st.integers(0, 50))
def test_no_group_stands_in_two_parts_and_shares_are_near(sizes, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    rows = pd.DataFrame({"g": groups, "y": 0.0})
    parts = dealt(rows, "group", column="g", seed=seed, kind="regression")
    assert (parts.groupby(groups).nunique() == 1).all()
    assert abs((parts == "test").sum() - 0.2 * len(rows)) <= 1.5 * max(sizes)
    assert abs((parts == "validation").sum() - 0.15 * len(rows)) <= 1.5 * max(sizes)


@pytest.mark.parametrize("sizes", [[98, 1, 1], [60, 30, 10], [2, 2, 2]])
def test_three_groups_are_enough_whatever_their_sizes(sizes):
    rows = pd.DataFrame({"g": np.repeat(list("abc"), sizes), "y": 0.0})
    parts = dealt(rows, "group", column="g", kind="regression")
    assert parts[rows["g"] == "a"].unique().tolist() == ["train"] or max(sizes) == 2
    assert set(parts) == {"train", "validation", "test"}


def test_one_giant_group_goes_to_train_and_two_groups_are_too_few():
    rows = pd.DataFrame({"g": ["giant"] * 60 + list("abcdefgh") * 5, "y": 0.0})
    parts = dealt(rows, "group", column="g", kind="regression")
    assert set(parts[:60]) == {"train"}
    with pytest.raises(DataRejected, match="no part may be empty"):
        dealt(rows.assign(g=["a", "b"] * 50), "group", column="g", kind="regression")


@given(times=st.lists(st.integers(0, 60), min_size=12, max_size=60).filter(lambda t: len(set(t)) >= 3))
def test_time_runs_from_train_to_test_and_ties_stay_together(times):
    rows = pd.DataFrame({"t": times, "y": 0.0})
    parts = dealt(rows, "time", column="t", kind="regression")
    oldest_first = [rows["t"][parts == part] for part in parts_file.PARTS]
    assert oldest_first[0].max() < oldest_first[1].min()
    assert oldest_first[1].max() < oldest_first[2].min()


def test_time_meets_the_shares_where_no_tie_stands_in_the_way():
    rows = table(100).assign(t=pd.date_range("2020-01-01", periods=100)[::-1])
    parts = dealt(rows, "time", column="t")
    assert counts(parts) == (65, 15, 20)
    assert set(parts.iloc[:20]) == {"test"}


def test_time_needs_times_and_enough_of_them():
    rows = table(30).assign(t=["2020-01-01"] * 30, two=[1] * 15 + [2] * 15)
    with pytest.raises(ConfigError, match=r"'t' holds str, not times; put \{types: \{t: date\}\} into clean"):
        dealt(rows, "time", column="t")
    with pytest.raises(DataRejected, match="2 distinct times in 30 rows, and 3 parts need as many"):
        dealt(rows, "time", column="two")


@pytest.mark.parametrize("strategy", ["group", "time", "key"])
def test_a_column_with_gaps_is_refused_with_the_count(strategy):
    rows = table(30).assign(c=[None, *range(28), None])
    with pytest.raises(DataRejected, match="'c' has no value in 2 of 30 rows"):
        dealt(rows, strategy, column="c")


# --- key ------------------------------------------------------------------------------------------------

cell = st.one_of(st.none(), st.integers(-1000, 1000), st.floats(-1e6, 1e6), st.sampled_from(["a", "b c", ""]))


@given(
    before=st.lists(st.tuples(cell, st.integers(-9, 9)), min_size=1, max_size=12),
    after=st.lists(st.tuples(cell, st.one_of(st.none(), st.floats(-9, 9))), max_size=12),
    seed=st.integers(0, 2**63 - 1),
)
def test_appended_rows_move_no_row(before, after, seed):
    # Enough fixed rows that no part is empty; the appended ones change the columns' types, too.
    base = [(i * 0.5, i) for i in range(60)]
    old = pd.DataFrame([*base, *before], columns=["a", "b"]).assign(y=0)
    new = pd.DataFrame([*base, *before, *after], columns=["a", "b"]).assign(y=0)
    first, second = (dealt(rows, "key", seed=seed) for rows in (old, new))
    assert first.tolist() == second.iloc[: len(first)].tolist()


def test_a_key_deals_by_its_column_alone_and_its_salt_is_the_seed():
    rows = table(2000).assign(id=[f"house-{i // 2}" for i in range(2000)])
    parts = dealt(rows, "key", column="id")
    assert parts.tolist() == dealt(rows.assign(x=0.0), "key", column="id").tolist()
    assert (parts.groupby(rows["id"]).nunique() == 1).all()
    assert counts(parts)[2] == pytest.approx(400, abs=60)
    assert counts(parts)[1] == pytest.approx(300, abs=60)
    other = dealt(rows, "key", column="id", seed=1)
    assert 0.3 < (parts == other).mean() < 0.7


def test_the_key_split_of_one_known_row_never_changes():
    rows = pd.DataFrame({"id": [f"k{i}" for i in range(12)], "y": 0})
    found = "".join(part[1] for part in dealt(rows, "key", column="id", seed=7))
    assert found == KNOWN


KNOWN = "rrararerreee"
"""Second letters of the parts (r train, a validation, e test): a release must not move a row."""


def test_without_a_key_equal_features_go_together_whatever_their_target():
    rows = table(200)
    twice = pd.concat([rows, rows.assign(y="other")], ignore_index=True)
    parts = dealt(twice, "key")
    assert parts[:200].tolist() == parts[200:].tolist()


# --- column ---------------------------------------------------------------------------------------------


def test_a_column_names_the_parts_in_any_case():
    rows = table(6).assign(p=["Train", "TEST", "validation", "train", "test", "train"])
    parts = dealt(rows, "column", column="p")
    assert parts.tolist() == ["train", "test", "validation", "train", "test", "train"]


def test_validation_is_carved_from_train_when_no_row_names_it():
    rows = table(200, classes=2).assign(p=["train"] * 160 + ["test"] * 40)
    rows["y"] = ["rare"] * 16 + ["often"] * 184
    parts = dealt(rows, "column", column="p", validation=0.25)
    assert counts(parts) == (120, 40, 40)
    assert (parts[:16] == "validation").sum() in (3, 4, 5)
    numbers = dealt(rows.assign(y=rows["x"]), "column", column="p", validation=0.25, kind="regression")
    assert counts(numbers) == (120, 40, 40)


def test_a_carved_class_of_one_row_stays_in_train():
    rows = table(50, classes=2).assign(p=["train"] * 40 + ["test"] * 10)
    rows.iloc[0, rows.columns.get_loc("y")] = "alone"
    assert dealt(rows, "column", column="p").iloc[0] == "train"


def test_other_words_and_gaps_are_refused_with_counts():
    rows = table(6).assign(p=["train", "val", None, "test ", "test", "train"])
    with pytest.raises(DataRejected) as caught:
        dealt(rows, "column", column="p")
    assert "'p' names no part in 3 of 6 rows (1 empty, 2 other words; train 2, validation 0, test 1)" in str(
        caught.value
    )


def test_a_column_without_test_rows_is_refused():
    with pytest.raises(DataRejected, match="train 42, validation 8, test 0"):
        dealt(table(50).assign(p="train"), "column", column="p")


@pytest.mark.parametrize("strategy", ["group", "time", "key", "column"])
def test_a_misspelt_column_is_a_configuration_error(strategy):
    with pytest.raises(
        ConfigError, match=r"split\.column: no column 'grupo' in the cleaned rows; did you mean 'group'"
    ):
        dealt(table(10).assign(group=1), strategy, column="grupo")
    with pytest.raises(ConfigError, match=r"split\.column: 'y' is the target"):
        dealt(table(10), strategy, column="y")


# --- the task -------------------------------------------------------------------------------------------


def test_the_task_saves_and_hashes_the_parts_and_is_reused(tmp_path):
    cleaned = stored(tmp_path, table(60))
    first = split.fn(cleaned, Split(), "y", "classification", 0, tmp_path / "work")
    again = split.fn(cleaned, Split(), "y", "classification", 0, tmp_path / "work")
    other = split.fn(cleaned, Split(), "y", "classification", 1, tmp_path / "work")
    assert (first.train, first.validation, first.test) == (39, 9, 12)
    parts = parts_file.load(first.folder)
    assert (parts.index.name, parts.name) == ("row", "part")
    assert parts.tolist() == dealt(table(60)).tolist()
    assert first.hash == parts_hash(parts)
    assert first.hash == hashlib.sha256("".join(f"{r}\t{p}\n" for r, p in parts.items()).encode()).hexdigest()
    assert (again.step.status, again.hash) == ("reused", first.hash)
    assert (other.step.status, other.step.why) == ("ran", "changed: seed")
    assert other.hash != first.hash


def test_the_task_refuses_an_example_in_two_parts_and_leaves_nothing(tmp_path):
    rows = table(20).assign(p=["train"] * 15 + ["test"] * 5)
    rows.iloc[17, :2] = rows.iloc[3, :2]
    cleaned = stored(tmp_path, rows)
    with pytest.raises(DataRejected) as caught:
        split.fn(
            cleaned,
            Split(strategy="column", column="p", validation=0.2),
            "y",
            "regression",
            0,
            tmp_path / "w",
        )
    assert "1 examples stand in more than one part" in str(caught.value)
    assert "row 35 (test)" in str(caught.value)
    assert list((tmp_path / "w" / "split").iterdir()) == []
    assert json.loads((tmp_path / "w" / "refused" / "leaks.json").read_text())["pairs"][0]["other"] == 35


def test_the_task_refuses_an_image_in_two_parts(tmp_path):
    rows = table(40).rename(columns={"y": "label"}).assign(part=["train"] * 30 + ["test"] * 10)
    rows["digest"] = [f"d{i}" for i in range(39)] + ["d0"]
    rows["label"] = 1
    cleaned = stored(tmp_path, rows, np.zeros((40, 2, 2), dtype=np.uint8))
    with pytest.raises(DataRejected, match="1 examples stand in more than one part"):
        split.fn(cleaned, Split(), "label", "classification", 0, tmp_path / "work")
    rows.iloc[39, rows.columns.get_loc("label")] = 2
    warned = split.fn(
        stored(tmp_path, rows, np.zeros((40, 2, 2), dtype=np.uint8)),
        Split(),
        "label",
        "classification",
        0,
        tmp_path / "work",
    )
    assert len(warned.warnings) == 1
    assert warned.warnings[0].startswith("2 rows have the same features as a row of another part")


def test_the_task_refuses_a_column_that_tells_the_answer_unless_it_is_dropped_or_trusted(tmp_path):
    rows = table(200).assign(copy=lambda rows: rows["y"])
    cleaned, work = stored(tmp_path, rows), tmp_path / "work"
    with pytest.raises(DataRejected, match=r"the column 'copy' alone predicts .* split\.trusted"):
        split.fn(cleaned, Split(), "y", "classification", 0, work)
    warned = split.fn(cleaned, Split(leaks="warn"), "y", "classification", 0, work)
    assert [text.split(" alone")[0] for text in warned.warnings] == ["the column 'copy'"]
    for quiet in (
        split.fn(cleaned, Split(), "y", "classification", 0, work, drop=("copy",)),
        split.fn(cleaned, Split(trusted=("copy",)), "y", "classification", 0, work),
    ):
        assert quiet.warnings == ()
    with pytest.raises(ConfigError, match=r"split\.trusted: no column 'copi' .* did you mean 'copy'"):
        split.fn(cleaned, Split(trusted=("copi",)), "y", "classification", 0, work)


def test_the_task_refuses_a_group_in_two_parts_under_any_strategy(tmp_path):
    rows = table(200).assign(film=lambda rows: [f"film {i // 5}" for i in range(len(rows))])
    cleaned, work = stored(tmp_path, rows), tmp_path / "work"
    with pytest.raises(DataRejected, match=r"values of 'film', .* row \d+ \(train\) ~ row \d+ \(test\)"):
        split.fn(cleaned, Split(apart="film"), "y", "classification", 0, work)
    by_film = Split(strategy="group", column="film", apart="film")
    assert split.fn(cleaned, by_film, "y", "classification", 0, work).warnings == ()
    with pytest.raises(ConfigError, match=r"split\.apart: no column 'movie'"):
        split.fn(cleaned, Split(apart="movie"), "y", "classification", 0, work)
