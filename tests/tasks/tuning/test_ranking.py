"""What may be said about the best of many trials, and no more."""

from __future__ import annotations

from typing import Any

from tasks.tuning import ranking
from tasks.tuning.study import Trial


def trial(number: int, value: float | None, state: Any = "complete", **more: Any) -> Trial:
    return Trial(number=number, state=state, value=value, settings={"fit.epochs": number}, **more)


PRESENT, BETTER = trial(0, 0.5), trial(2, 0.4, run_id="b" * 32)
FAILED = trial(3, None, "failed", reason="TRAINING_DIVERGED: the loss | became nan")
PRUNED = trial(1, None, "pruned", reason="after epoch 2 of 9")
ALL = [PRESENT, PRUNED, BETTER, FAILED]


def test_order_is_by_value_then_by_how_it_ended() -> None:
    assert [t.number for t in ranking.ranked(ALL, higher_is_better=False)] == [2, 0, 1, 3]
    assert [t.number for t in ranking.ranked(ALL, higher_is_better=True)] == [0, 2, 1, 3]
    equal = [trial(0, 0.5), trial(1, 0.5)]
    assert ranking.ranked(reversed(equal), higher_is_better=True)[0].number == 0
    assert ranking.counts(ALL) == {"complete": 2, "pruned": 1, "failed": 1}


def said(trials: list[Trial], *, higher: bool = False) -> str:
    order = ranking.ranked(trials, higher_is_better=higher)
    return " ".join(ranking.sentences(order, "demo", "rmse", "120 validation rows", higher_is_better=higher))


def test_a_winner_is_told_with_its_bias_and_its_rows() -> None:
    text = said(ALL)
    assert "rmse on 120 validation rows: 0.4 with trial 2, 0.5 with the present configuration" in text
    assert "better by 0.1 (20.0 %)" in text
    assert "picked among 4 trials" in text
    assert "selection bias" in text
    assert "`modelyard train demo` judges on test rows" in text


def test_where_nothing_is_better_nothing_is_claimed() -> None:
    text = said(ALL, higher=True)
    assert "0.5 with the present configuration; 3 others were no better: nothing to change" in text
    assert "selection" not in text


def test_a_present_configuration_that_failed_leaves_no_gain() -> None:
    broken = trial(0, None, "failed", reason="RESOURCE_LIMIT: memory ran out")
    assert ranking.gain(BETTER, broken, higher_is_better=False) is None
    text = said([broken, BETTER])
    assert "the present configuration failed: RESOURCE_LIMIT: memory ran out" in text
    assert "better by" not in text


def test_no_trial_at_all() -> None:
    assert said([]) == "the time was too short for the present configuration; the same command goes on"
    lost = [FAILED, trial(0, None, "failed", reason="CONFIG: y")]
    assert said(lost) == "no trial came to its end; trial 0: CONFIG: y"


def test_the_table_as_a_page_links_to_trials_and_survives_bars() -> None:
    rows = ranking.table(ranking.ranked(ALL, higher_is_better=False), "rmse")
    assert rows[0] | {"seconds": 0} == {
        "rank": 1, "trial": 2, "state": "complete", "rmse": 0.4, "fit.epochs": 2, "epochs": 0, "seconds": 0,
        "reason": "", "run_id": "b" * 32,
    }  # fmt: skip
    assert [row["rank"] for row in rows] == [1, 2, None, None]
    lines = ranking.markdown(rows, {"b" * 32: "http://x"}).splitlines()
    assert lines[0] == "| rank | trial | state | rmse | fit.epochs | epochs | seconds | reason |"
    assert lines[2].startswith("| 1 | [2](http://x) | complete | 0.4 |")
    assert lines[5].count("\\|") == 1
