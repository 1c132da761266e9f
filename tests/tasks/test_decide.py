"""Whether to train: every reason for it and against it, alone and together, and nothing measured in vain."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from tasks import sources
from tasks.config import Columns, Retrain, TableSource
from tasks.decide import decide
from tasks.drift.profile import profile
from tasks.errors import ConfigError, DataFormatError, DataRejected
from tasks.ladder import fresh as ladder
from tasks.records import ModelVersion, Training, to_json

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SOURCE = TableSource(kind="table", path="rows.csv")


def before(**ago):
    """A moment before NOW, as records tell it."""
    return (NOW - timedelta(**ago)).isoformat()


def rows(seed=0, count=400, shift=0.0):
    rng = np.random.default_rng(seed)
    town = pd.Series(rng.choice(["north", "south"], count), dtype="str")
    area = rng.normal(size=count).round(4) + shift
    return pd.DataFrame({"area": area, "town": town, "price": rng.gamma(3.0, 2.0, count).round(3)})


@pytest.fixture
def project(tmp_path):
    rows().to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path


@pytest.fixture
def last(project):
    return Training(
        run_id="1a2b3c4d" * 4,
        outcome="registered",
        ended=before(days=2),
        fingerprint=sources.fingerprint(SOURCE, project),
        settings="as it was",
        code="as it was",
        seen=None,
        fresh=None,
    )


@pytest.fixture
def ask(project, last):
    """`decide` on a project where nothing has changed; the words change one thing each."""

    def question(rules=None, **changes):
        champion = ModelVersion(name="toy", version=3, created=before(days=2), folder=project)
        words = {
            "source": SOURCE,
            "columns": Columns(),
            "target": "price",
            "kind": "regression",
            "metric": "mae",
            "seed": 0,
            "project": project,
            "settings": "as it was",
            "code": "as it was",
            "last": last,
            "champion": champion,
            "profile": to_json(profile(rows(), leave_out=())),
            "automatic": True,
            "force": False,
            "now": NOW,
        }
        return decide.fn(**{**words, "rules": Retrain(**(rules or {})), **changes})

    return question


def fresh(value, count=360):
    """What scoring the champion would find, in place of scoring it."""
    measure = ladder.Measure(value=value, low=value - 1, high=value + 1)
    counted = {"read": count, "seen": 0, "bad": 0, "dropped": 0, "unknown": 0}
    return lambda *_: ladder.Fresh(rows=count, metrics={"mae": measure}, notes=(), **counted)


# --- what settles it at once ------------------------------------------------------------------------------


def test_nothing_new_is_no_reason(ask):
    found = ask()
    assert not found.train
    assert found.reasons == (
        "same data and configuration as when run 1a2b3c4d registered on 2026-11-22 12:00 UTC",
        "champion version 3 is 2.0 days old",
    )
    assert (found.drift, found.standing, found.fresh, found.warnings) == (None, None, None, ())


def test_the_first_time(ask):
    found = ask(last=None, champion=None, profile=None)
    assert found.train
    assert found.reasons[0].startswith("first time")


def test_force_beats_a_cool_down(ask):
    assert ask({"cool_down_hours": 1000}, force=True).train


def test_a_cool_down_beats_every_reason(ask, last):
    rules = {"cool_down_hours": 72, "max_age_days": 0}
    found = ask(rules, last=replace(last, fingerprint="other"), settings="changed")
    assert not found.train
    assert found.reasons == (
        "cooling down until 2026-11-25 12:00 UTC: run 1a2b3c4d registered on 2026-11-22 12:00 UTC "
        "(retrain.cool_down_hours is 72)",
    )
    assert ask(rules | {"cool_down_hours": 48}, settings="changed").train  # it ends to the minute


# --- what is new -------------------------------------------------------------------------------------------


def test_new_data(ask, last):
    found = ask(last=replace(last, fingerprint="f" * 64))
    assert found.train
    assert found.reasons[0].startswith(f"new data: its fingerprint is {found.fingerprint[:12]}, run 1a2b3c4d")


def test_new_data_may_be_no_reason(ask, last):
    found = ask({"new_data": False}, last=replace(last, fingerprint="f" * 64))
    assert not found.train
    assert "the data is new, which is no reason by itself (retrain.new_data is off)" in found.reasons


def test_a_changed_configuration(ask):
    found = ask(settings="changed")
    assert found.train
    assert found.reasons[0].startswith("changed configuration: ")


def test_a_rejected_training_would_be_rejected_again(ask, last):
    found = ask(last=replace(last, outcome="rejected", seen=3))
    assert not found.train
    assert "when run 1a2b3c4d was rejected" in found.reasons[0]


def test_a_rejected_one_may_hold_against_another_champion(ask, last):
    found = ask(last=replace(last, outcome="rejected", seen=2))
    assert found.train
    assert found.reasons == (
        "another champion: run 1a2b3c4d was rejected on 2026-11-22 12:00 UTC against version 2, "
        "now it is version 3",
    )


def test_a_champion_that_is_gone(ask):
    assert ask(champion=None).train
    assert not ask(champion=None, automatic=False).train  # it waits for a person
    assert "there is no champion" in ask(champion=None, automatic=False).reasons


def test_a_rejection_without_any_champion_is_no_reason_to_repeat_it(ask, last):
    assert not ask(champion=None, last=replace(last, outcome="rejected", seen=None)).train


def test_changed_code_alone_is_told_and_is_no_reason(ask):
    found = ask(code="changed")
    assert not found.train
    assert found.reasons[-1] == (
        "code or libraries changed since, which is no reason by itself (--force trains)"
    )


def test_age(ask, last):
    assert not ask({"max_age_days": 2.5}).train
    found = ask({"max_age_days": 1.5})
    assert found.train
    assert found.reasons == ("champion version 3 is 2.0 days old (retrain.max_age_days is 1.5)",)
    recent = replace(last, outcome="rejected", seen=3, ended=before(hours=3))
    assert not ask({"max_age_days": 1.5}, last=recent).train  # it was tried today


def test_a_clock_that_went_back_makes_nothing_old(ask):
    young = ModelVersion(name="toy", version=3, created=before(days=-400))
    assert "champion version 3 is 0.0 days old" in ask({"max_age_days": 1}, champion=young).reasons


# --- fresh rows --------------------------------------------------------------------------------------------


def test_rows_are_read_only_where_something_is_to_be_measured(ask, project, last, monkeypatch):
    monkeypatch.setattr("tasks.sources.read", lambda *_: pytest.fail("read"))
    ask()
    ask({"drift": 0.25, "floor": 2.0})  # no fresh rows, and the data is the same
    ask({"drift": 0.25}, force=True)
    ask({"drift": 0.25, "cool_down_hours": 100}, last=replace(last, fingerprint="other"))
    ask({"drift": 0.25, "fresh": "rows.csv"}, champion=None)


def test_drift_of_fresh_rows(ask, project):
    rows(1).drop(columns="price").to_csv(project / "calm.csv", index=False)
    rows(1, shift=2.0).to_csv(project / "moved.csv", index=False)
    calm = ask({"drift": 0.25, "fresh": "calm.csv"})
    assert not calm.train
    assert [shift.column for shift in calm.drift.columns] == ["area", "town"]
    assert any(reason.startswith("no drift: ") for reason in calm.reasons)
    moved = ask({"drift": 0.25, "fresh": str(project / "moved.csv")})
    assert moved.train
    assert moved.reasons[0].startswith(f"drift: area {moved.drift.columns[0].psi:.2f} (PSI, more than 0.25")
    assert moved.drift.moved == 1


def test_drift_of_new_data_where_no_rows_are_named_as_fresh(ask, project, last):
    rows(1, shift=2.0).to_csv(project / "rows.csv", index=False)
    found = ask({"drift": 0.25, "new_data": False})
    assert found.train
    assert [reason.split(":")[0] for reason in found.reasons] == ["drift"]
    both = ask({"drift": 0.25})
    assert [reason.split(":")[0] for reason in both.reasons] == ["new data", "drift"]


def test_what_a_training_answered_is_no_reason_again(ask, project, last):
    rows(1, shift=2.0).to_csv(project / "moved.csv", index=False)
    rules = {"drift": 0.25, "fresh": "moved.csv"}
    answered = replace(last, fresh=ask(rules).fresh)
    again = ask(rules, last=answered)
    assert not again.train
    assert any(reason.endswith("which that training answered") for reason in again.reasons)
    rows(2, shift=2.0).to_csv(project / "moved.csv", index=False)
    assert ask(rules, last=answered).train  # other rows


def test_the_floor(ask, project, monkeypatch):
    rows(1).to_csv(project / "fresh.csv", index=False)
    rules = {"floor": 2.0, "fresh": "fresh.csv"}
    monkeypatch.setattr(ladder, "score_fresh", fresh(1.5))
    held = ask(rules)
    assert not held.train
    assert "the champion's mae 1.5 (0.5 … 2.5) on 360 fresh rows holds the floor 2" in held.reasons
    monkeypatch.setattr(ladder, "score_fresh", fresh(2.5))
    missed = ask(rules)
    assert missed.train
    assert "misses the floor 2" in missed.reasons[0]
    assert not missed.standing.held


def test_a_floor_of_a_metric_that_is_better_the_higher(ask, project, monkeypatch):
    rows(1).to_csv(project / "fresh.csv", index=False)
    found = ladder.Measure(value=0.7, low=0.6, high=0.8)
    scored = replace(fresh(0)(), metrics={"r2": found})
    monkeypatch.setattr(ladder, "score_fresh", lambda *_: scored)
    assert ask({"floor": 0.8, "fresh": "fresh.csv"}, metric="r2").train
    assert not ask({"floor": 0.6, "fresh": "fresh.csv"}, metric="r2").train


@pytest.mark.parametrize(
    ("count", "value", "message"),
    [
        (20, 9.0, "the floor was not measured: 20 labelled fresh rows are too few"),
        (360, float("nan"), "the floor was not measured: mae is undefined on the fresh rows"),
    ],
)
def test_a_floor_that_cannot_be_measured_is_told_and_is_no_reason(
    ask, project, monkeypatch, count, value, message
):
    rows(1).to_csv(project / "fresh.csv", index=False)
    monkeypatch.setattr(ladder, "score_fresh", fresh(value, count))
    found = ask({"floor": 2.0, "fresh": "fresh.csv"})
    assert not found.train
    assert found.warnings == (message,)


def test_too_few_rows_measure_nothing(ask, project):
    rows(1, count=49, shift=9.0).to_csv(project / "few.csv", index=False)
    found = ask({"drift": 0.25, "floor": 2.0, "fresh": "few.csv"})
    assert not found.train
    assert found.warnings == ("49 fresh rows are too few to measure anything; 50 are needed",)


def test_rows_without_labels_measure_drift_alone(ask, project):
    rows(1).drop(columns="price").to_csv(project / "fresh.csv", index=False)
    found = ask({"drift": 0.25, "floor": 2.0, "fresh": "fresh.csv"})
    assert found.drift is not None
    assert found.warnings == ("the floor was not measured: the fresh rows have no column 'price'",)


@pytest.mark.parametrize("known", [None, {"format": "of another version"}])
def test_a_champion_without_a_profile(ask, project, known):
    rows(1, shift=9.0).to_csv(project / "fresh.csv", index=False)
    found = ask({"drift": 0.25, "fresh": "fresh.csv"}, profile=known)
    assert not found.train
    assert found.warnings == ("no drift was measured: version 3 was trained without a profile",)


def test_a_category_that_looks_like_a_number_is_read_as_the_category_that_it_was(ask, project):
    def coded(seed):
        codes = pd.Series(np.random.default_rng(seed).choice(["1.10", "2.20"], 400), dtype="str")
        return rows(seed).assign(town=codes)

    known = profile(coded(0), leave_out=())
    coded(1).to_csv(project / "fresh.csv", index=False)
    found = ask({"drift": 0.25, "fresh": "fresh.csv"}, profile=to_json(known))
    assert found.drift.moved == 0


# --- what cannot be read -----------------------------------------------------------------------------------


def test_fresh_rows_that_cannot_be_read_are_refused_by_name(ask, project):
    (project / "torn.csv").write_text("area,town,price\n1,2\n")
    with pytest.raises(DataFormatError, match=r"^retrain\.fresh torn\.csv: .*expected 3 fields"):
        ask({"drift": 0.25, "fresh": "torn.csv"})
    with pytest.raises(DataFormatError, match=r"^retrain\.fresh .*nowhere\.csv: no such file"):
        ask({"drift": 0.25, "fresh": "nowhere.csv"})
    rows(1).drop(columns="town").to_csv(project / "short.csv", index=False)
    with pytest.raises(DataRejected, match=r"^retrain\.fresh short\.csv: no column 'town'"):
        ask({"drift": 0.25, "fresh": "short.csv"})


def test_a_source_that_is_gone(ask, project):
    (project / "rows.csv").unlink()
    with pytest.raises(ConfigError, match=r"there is no 'rows\.csv'"):
        ask()
