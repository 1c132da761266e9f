from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.config import BetterThan, Columns, Encode, Evaluate, Limit, NotWorseThan
from tasks.dataset import Dataset
from tasks.errors import ArtifactTampered, ConfigError, DataRejected
from tasks.evaluate import evaluate
from tasks.features.schema import types_of
from tasks.ladder import ahead, baselines
from tasks.ladder.baselines import Answer
from tasks.ladder.rows import read_rows
from tasks.learning import scoring
from tasks.predictions import Predictions
from tasks.records import (
    CleanRecord,
    EvaluateRecord,
    FitRecord,
    ModelVersion,
    SplitRecord,
    Step,
    ValidateRecord,
    from_json,
    to_json,
)
from tasks.tables import table as table_of

STEP = Step(name="made")


@dataclass
class Yard:
    """Stored rows of one made project, and models that answer what they are told."""

    home: Path
    data: Dataset
    part: pd.Series
    target: str
    kind: str

    def write(self) -> None:
        for name in ("raw", "clean", "split"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        raw = self.data.rows.copy()
        raw["junk"] = "only in the raw rows"
        table_of.save(self.home / "raw", Dataset(raw, self.data.pixels), types_of(raw), len(raw))
        self.data.save(self.home / "clean")
        self.part.to_frame("part").to_parquet(self.home / "split" / "parts.parquet")

    @property
    def test(self) -> pd.DataFrame:
        return self.data.rows.loc[self.part.index[self.part == "test"]]

    def model(self, name: str) -> Path:
        folder = self.home / name
        folder.mkdir(exist_ok=True)
        (folder / scoring.MANIFEST).write_text(name)
        return folder

    def fitted(self, **changes) -> FitRecord:
        return FitRecord(
            step=STEP, folder=self.model("fitted"), digest="w", state_hash="s", device="cpu",
            precision="float32", parameters=1, best_epoch=1, train_seconds=2.5, stopped="epochs",
            history=(), **changes,
        )  # fmt: skip

    def run(self, **changes) -> EvaluateRecord:
        rows = len(self.data)
        given = {
            "raw": ValidateRecord(
                step=STEP, folder=self.home / "raw", fingerprint="f", files=(), read=rows, kept=rows,
                quarantined=0, reasons={}, findings=(), expectations=1, columns=tuple(self.data.rows.columns),
                types=types_of(self.data.rows),
            ),
            "cleaned": CleanRecord(
                step=STEP, folder=self.home / "clean", digest="d", read=rows, kept=rows, dropped=0,
                quarantined=0, operations=(),
            ),
            "parts": SplitRecord(
                step=STEP, folder=self.home / "split", hash="h", train=1, validation=1, test=1
            ),
            "fitted": self.fitted(),
            "gate": (),
            "columns": Columns(),
            "encode": Encode(),
            "target": self.target,
            "kind": self.kind,
            "seed": 0,
            "champion": None,
            "work": self.home / "work",
        }  # fmt: skip
        return evaluate.fn(**{**given, **changes})


@pytest.fixture
def answers(monkeypatch) -> dict[str, object]:
    """What the model of each folder name answers: a function of the raw rows, or an error to raise."""
    told: dict[str, object] = {}

    class Scorer:
        def __init__(self, name):
            self.name = name

        def predict(self, data):
            return told[self.name](data)

        def has_seen(self, rows):
            seen = told.get(f"{self.name} has seen", ())
            return rows.index.isin(list(seen))

    def load(folder: Path):
        if isinstance(told[folder.name], Exception):
            raise told[folder.name]
        return Scorer(folder.name)

    monkeypatch.setattr(scoring, "load", load)
    return told


def parts_of(rows: pd.DataFrame, seed: int) -> pd.Series:
    names = np.random.default_rng(seed).choice(["train", "validation", "test"], len(rows), p=[0.5, 0.1, 0.4])
    return pd.Series(names, index=rows.index)


@pytest.fixture
def prices(tmp_path, houses) -> Yard:
    rows = houses.copy()
    rows.index = pd.Index(np.arange(len(rows)) * 3 + 100, name="row")  # ids, not positions
    yard = Yard(tmp_path, Dataset(rows), parts_of(rows, 1), "price", "regression")
    yard.write()
    return yard


@pytest.fixture
def digits(tmp_path) -> Yard:
    rng = np.random.default_rng(2)
    labels = rng.choice(3, 400, p=[0.5, 0.3, 0.2])
    pixels = rng.integers(0, 120, (400, 4, 4))
    pixels[labels == 1, :, :2] += 20
    pixels[labels == 2, :, 2:] += 20
    rows = pd.DataFrame({"label": labels, "part": ""}, index=pd.RangeIndex(400, name="row"))
    yard = Yard(
        tmp_path, Dataset(rows, pixels.astype(np.uint8)), parts_of(rows, 5), "label", "classification"
    )
    yard.write()
    return yard


MAE = Evaluate(metric="mae", baselines=("median", "ridge"), slices=("town", "area"))
ACCURACY = Evaluate(metric="accuracy", baselines=("majority", "logistic", "svm"), slices=("label",))


def good(yard: Yard, noise: float = 0.02):
    """A regressor that is off by a share of the truth, told by the raw rows' ids."""

    def predict(rows: pd.DataFrame) -> Predictions:
        truth = yard.data.rows.loc[rows.index, "price"].to_numpy()
        return Predictions(truth * (1 + noise * np.random.default_rng(0).normal(size=len(truth))))

    return predict


def sure(yard: Yard, wrong_every: int = 40):
    """A classifier that errs on every so-many-th row."""

    def predict(pixels: np.ndarray) -> Predictions:
        truth = yard.test["label"].to_numpy()
        said = truth.copy()
        said[::wrong_every] = (said[::wrong_every] + 1) % 3
        probabilities = np.full((len(truth), 3), 0.05)
        probabilities[np.arange(len(truth)), said] = 0.9
        return Predictions(said, probabilities, np.arange(3))

    return predict


def test_baselines_that_were_answered_beside_the_training_are_not_fitted_again(prices, answers, monkeypatch):
    answers["fitted"] = lambda rows: Predictions(np.full(len(rows), 1e5))
    early = {"median": Answer(Predictions(np.full(len(prices.test), 2e5)), 7.0)}
    asked = []
    monkeypatch.setattr(ahead, "collected", lambda question: asked.append(question) or early)
    done = prices.run(rules=Evaluate(metric="mae", baselines=("median", "ridge")))
    seconds = {score.name: score.seconds for score in done.scores}
    assert seconds["median"] == 7.0
    assert 0 < seconds["ridge"] < 7.0, "one that is missing is fitted here"
    assert asked[0].names == ("median", "ridge")
    assert asked[0].learned_from == ("train",)


def test_regression_from_raw_rows_to_a_judged_ladder(prices, answers):
    answers["fitted"] = good(prices)
    gate = (
        BetterThan(better_than="ridge"),
        NotWorseThan(not_worse_than="champion"),
        Limit(metric="rmse", at_most=50_000),
        Limit(metric="mae", at_most=50_000, slice="town", min_rows=5),
    )
    found = prices.run(rules=MAE, gate=gate)
    assert found.passed and found.reasons == ()
    assert [score.name for score in found.scores] == ["candidate", "median", "ridge"]
    assert [verdict.verdict for verdict in found.verdicts] == ["better", "better"]
    assert (found.metric, found.higher_is_better, found.rows) == ("mae", False, len(prices.test))
    candidate = found.score("candidate")
    assert candidate.low < candidate.value < candidate.high
    assert candidate.intervals["mae"] == (candidate.low, candidate.high)
    assert set(candidate.metrics) == {"rmse", "mae", "rmsle", "r2"}
    assert candidate.seconds >= 2.5  # training is part of its cost
    assert {s.column for s in found.slices} == {"town", "area"}
    assert sum(s.rows for s in found.slices) == 2 * found.rows
    assert from_json(EvaluateRecord, to_json(found)) == found


def test_predictions_hold_every_rung_by_row_id(prices, answers):
    answers["fitted"] = good(prices)
    found = prices.run(rules=MAE)
    frame = pd.read_parquet(found.folder / "predictions.parquet")
    assert list(frame.columns) == ["truth", "candidate", "median", "ridge"]
    assert frame.index.name == "row"
    assert frame.index.tolist() == prices.test.index.tolist()
    assert frame["truth"].tolist() == prices.test["price"].tolist()
    error = (frame["candidate"] - frame["truth"]).abs().mean()
    assert found.score("candidate").value == pytest.approx(error)
    assert frame["median"].nunique() == 1


def test_images_from_raw_pixels_to_a_judged_ladder(digits, answers):
    seen = []
    predict = sure(digits)
    answers["fitted"] = lambda pixels: seen.append(pixels) or predict(pixels)
    gate = (BetterThan(better_than="logistic"), Limit(metric="accuracy", at_least=0.85, slice="label"))
    found = digits.run(rules=ACCURACY, gate=gate)
    assert found.passed
    positions = np.flatnonzero(digits.part == "test")
    assert np.array_equal(seen[0], digits.data.pixels[positions])
    assert [(s.value, s.rows) for s in found.slices] == [
        (str(k), int(n)) for k, n in digits.test["label"].value_counts().sort_index().items()
    ]
    assert math.isnan(found.score("svm").metrics["log_loss"])
    assert "no probabilities" in found.score("svm").note
    frame = pd.read_parquet(found.folder / "predictions.parquet")
    assert frame["candidate_confidence"].tolist() == pytest.approx([0.9] * len(frame))
    wrong = frame["candidate"] != frame["truth"]
    assert wrong.sum() == math.ceil(len(frame) / 40)
    assert frame.loc[wrong, "candidate_loss"].min() > frame.loc[~wrong, "candidate_loss"].max()


def test_all_rungs_answer_the_same_rows_and_none_sees_their_target(prices, answers, monkeypatch):
    seen = {}
    predict = good(prices)

    def watched(name):
        return lambda rows: seen.update({name: rows}) or predict(rows)

    answers.update(fitted=watched("fitted"), crown=watched("crown"))
    original = baselines.Fitted.predict
    fitted_on = []
    monkeypatch.setattr(
        baselines.Fitted,
        "predict",
        lambda self, data: seen.update({id(self): data.rows}) or original(self, data),
    )
    fit = baselines.fit
    monkeypatch.setattr(
        baselines, "fit", lambda n, train, p: fitted_on.append(train.rows) or fit(n, train, p)
    )
    crown = ModelVersion(name="prices", version=3, folder=prices.model("crown"))
    prices.run(rules=MAE, champion=crown)
    assert len(seen) == 4
    expected = prices.test.index.tolist()
    for rows in seen.values():
        assert rows.index.tolist() == expected
        assert "price" not in rows.columns
    assert ["junk" in rows.columns for rows in seen.values()].count(True) == 2  # models get raw rows
    train = prices.part.index[prices.part == "train"].tolist()
    assert [rows.index.tolist() for rows in fitted_on] == [train, train]


def test_poisoned_test_and_validation_rows_leave_every_baseline_as_it_was(prices, answers):
    answers["fitted"] = good(prices)
    before = pd.read_parquet(prices.run(rules=MAE).folder / "predictions.parquet")
    held_out = prices.part != "train"
    prices.data.rows.loc[held_out, "price"] *= 1000
    prices.data.rows.loc[prices.part == "validation", ["area", "rooms"]] = 99
    prices.write()
    changed = prices.run(rules=MAE, work=prices.home / "again")
    after = pd.read_parquet(changed.folder / "predictions.parquet")
    assert (after["truth"] == before["truth"] * 1000).all()
    assert after["median"].equals(before["median"])
    assert after["ridge"].equals(before["ridge"])


def test_the_champion_is_scored_again_on_the_same_rows(prices, answers):
    answers.update(fitted=good(prices), crown=good(prices))
    crown = ModelVersion(name="prices", version=3, inputs="abc", folder=prices.model("crown"))
    gate = (NotWorseThan(not_worse_than="champion"), BetterThan(better_than="champion"))
    found = prices.run(rules=MAE, gate=gate, champion=crown)
    last = found.verdicts[-1]
    assert (last.against, last.verdict, last.difference) == ("champion", "indistinguishable", 0.0)
    assert math.isnan(last.low) and math.isnan(last.high)
    assert [result.passed for result in found.gate] == [True, True, False]
    assert found.gate[1].reason.endswith("answer every row alike in mae")
    assert found.score("champion").note == "version 3"
    assert "champion" in pd.read_parquet(found.folder / "predictions.parquet").columns
    assert not any("champion" in line for line in found.warnings)


@pytest.mark.parametrize(
    ("crown", "reason"),
    [
        (ArtifactTampered("weights.safetensors is not what the manifest says"), "weights.safetensors is not"),
        (lambda rows: 1 / 0, "it raised ZeroDivisionError"),
        (lambda rows: Predictions(np.zeros(3)), "it did not answer each of the"),
    ],
)
def test_a_champion_that_can_not_answer_closes_the_gate(prices, answers, crown, reason):
    answers.update(fitted=good(prices), crown=crown)
    version = ModelVersion(name="prices", version=3, folder=prices.model("crown"))
    found = prices.run(rules=MAE, gate=(NotWorseThan(not_worse_than="champion"),), champion=version)
    assert not found.passed
    assert reason in found.reasons[0]
    assert reason in found.score("champion").error
    assert math.isnan(found.score("champion").value)
    assert found.verdicts[-1].verdict == "undefined"
    assert found.warnings[0].startswith("champion failed: ")
    assert "champion" not in pd.read_parquet(found.folder / "predictions.parquet").columns


def test_a_champion_of_another_target_or_without_its_files_can_not_be_compared(digits, answers):
    other = Predictions(np.full(len(digits.test), "cat"), np.ones((len(digits.test), 1)), np.array(["cat"]))
    answers.update(fitted=sure(digits), crown=lambda pixels: other)
    gate = (NotWorseThan(not_worse_than="champion"),)
    version = ModelVersion(name="digits", version=3, folder=digits.model("crown"))
    found = digits.run(rules=ACCURACY, gate=gate, champion=version)
    assert not found.passed
    assert "trained for another target" in found.reasons[0]
    found = digits.run(rules=ACCURACY, gate=gate, champion=replace(version, folder=None))
    assert not found.passed
    assert "was not fetched" in found.reasons[0]


def test_a_champion_is_judged_only_on_rows_that_it_was_not_trained_on(prices, answers):
    seen = list(prices.test.index[:40])

    def knows_by_heart(rows):
        """Right on every row that it has seen, worse than the candidate on the others."""
        truth = prices.data.rows.loc[rows.index, "price"].to_numpy()
        off = np.where(rows.index.isin(seen), 0.0, 0.5 * truth)
        return Predictions(truth + off)

    answers.update(fitted=good(prices), crown=knows_by_heart)
    answers["crown has seen"] = seen
    version = ModelVersion(name="prices", version=3, folder=prices.model("crown"))
    found = prices.run(rules=MAE, gate=(BetterThan(better_than="champion"),), champion=version)
    left = len(prices.test) - 40
    assert found.score("champion").note == f"version 3, on the {left} test rows that it was not trained on"
    assert found.warnings[0] == f"champion: {found.score('champion').note}"
    assert found.verdicts[-1].verdict == "better"
    assert found.fewer == (found.score("champion"),)
    assert (found.score("champion").rows, found.score("candidate").rows) == (left, len(prices.test))
    assert found.gate[1].reason.endswith(f", on {left} of the {len(prices.test)} test rows")
    assert "candidate is better than champion in mae by" in found.gate[1].reason
    assert found.score("candidate").value == prices.run(rules=MAE, gate=()).score("candidate").value

    answers["crown has seen"] = list(prices.test.index[:-5])
    again = ModelVersion(name="prices", version=4, folder=prices.model("crown"))
    found = prices.run(rules=MAE, gate=(NotWorseThan(not_worse_than="champion"),), champion=again)
    assert not found.passed
    assert "under another split" in found.reasons[0]
    assert "modelyard retrain PROJECT --set split.exclude_seen=true" in found.reasons[0]


def test_the_first_model_needs_no_champion(prices, answers):
    answers["fitted"] = good(prices)
    found = prices.run(rules=MAE, gate=(NotWorseThan(not_worse_than="champion"),))
    assert found.passed
    assert found.gate[1].reason == "no champion yet"


@pytest.mark.parametrize("listed", [("ridge",), ("median", "ridge")])
def test_the_dummy_is_always_asked_and_has_to_be_beaten(prices, answers, listed):
    rules = MAE.model_copy(update={"baselines": listed})
    answers["fitted"] = good(prices)
    found = prices.run(rules=rules, gate=())
    assert found.passed
    assert [score.name for score in found.scores] == ["candidate", "median", "ridge"]
    assert [result.criterion for result in found.gate] == ["better_than: median"]
    middle = prices.data.rows["price"].median()
    answers["constant"] = lambda rows: Predictions(np.full(len(rows), middle))
    found = prices.run(rules=rules, gate=(), fitted=replace(prices.fitted(), folder=prices.model("constant")))
    assert not found.passed
    assert "indistinguishable from median" in found.reasons[0]


def test_a_dummy_that_is_asked_for_with_a_margin_is_asked_for_once(prices, answers):
    answers["fitted"] = good(prices)
    found = prices.run(rules=MAE, gate=(BetterThan(better_than="median", by=1e9),))
    assert [result.criterion for result in found.gate] == ["better_than: median by 1e+09"]
    assert not found.passed


def test_probabilities_worse_than_the_shares_of_the_classes_are_warned_about(digits, answers):
    answers["fitted"] = sure(digits)
    assert not any("log_loss" in line for line in digits.run(rules=ACCURACY).warnings)

    def certain(pixels):
        """Almost always right, and sure of it where it is not."""
        right = sure(digits)(pixels)
        classes = right.classes.tolist()
        values = right.values.copy()
        values[::8] = [classes[(classes.index(v) + 1) % len(classes)] for v in values[::8]]
        probabilities = (values[:, None] == right.classes).astype(float)
        return Predictions(values, probabilities, right.classes)

    answers["certain"] = certain
    found = digits.run(rules=ACCURACY, fitted=replace(digits.fitted(), folder=digits.model("certain")))
    assert found.passed
    assert any("log_loss" in line and "worse than majority's" in line for line in found.warnings)


def test_a_baseline_that_raises_is_reported_and_closes_its_criteria_only(prices, answers, monkeypatch):
    answers["fitted"] = good(prices)
    fit = baselines.fit

    def fragile(name, train, problem):
        if name == "ridge":
            raise MemoryError
        return fit(name, train, problem)

    monkeypatch.setattr(baselines, "fit", fragile)
    gate = (BetterThan(better_than="median"), BetterThan(better_than="ridge"))
    found = prices.run(rules=MAE, gate=gate)
    assert [result.passed for result in found.gate] == [True, False]
    assert found.score("ridge").error == "scikit-learn raised MemoryError"
    assert found.warnings == ("ridge failed: scikit-learn raised MemoryError",)


def test_a_network_that_gains_nothing_is_told_so(prices, answers):
    answers["fitted"] = good(prices, noise=0.5)
    found = prices.run(rules=MAE, gate=(BetterThan(better_than="ridge"),))
    assert not found.passed
    assert "worse than median" in found.reasons[0]
    assert "worse than ridge" in found.reasons[1]
    assert "the candidate is worse than ridge, which is simpler" in found.warnings


def test_a_small_test_set_is_named(prices, answers):
    keep = prices.part.index[prices.part == "test"][:30]
    prices.part[(prices.part == "test") & ~prices.part.index.isin(keep)] = "validation"
    prices.write()
    answers["fitted"] = good(prices)
    assert "the test set has 30 rows" in prices.run(rules=MAE).warnings[0]


def test_a_floor_may_be_set_in_another_metric_than_the_projects(prices, answers):
    answers["fitted"] = good(prices)
    floor = Limit(metric="rmsle", at_most=1e-9, slice="town", min_rows=1)
    found = prices.run(rules=MAE, gate=(floor,))
    assert "3 of 3 slices break at_most 1e-09; the worst: rmsle 0.0" in found.reasons[0]
    assert found.slices[0].score > 100  # the record's slices stay in the project's metric


def test_what_did_not_change_is_not_done_again(prices, answers):
    answers.update(fitted=good(prices), crown=good(prices, noise=0.2))
    crown = ModelVersion(name="prices", version=3, folder=prices.model("crown"))
    first = prices.run(rules=MAE, champion=crown)
    again = prices.run(rules=MAE, champion=replace(crown, aliases=("champion",)))
    assert (first.step.status, again.step.status) == ("ran", "reused")
    assert replace(again, step=first.step) == first
    for change in (
        {"champion": None},
        {"seed": 1},
        {"exclude": ("rooms",)},
        {"gate": (BetterThan(better_than="ridge"),)},
        {"encode": Encode(target="log")},
    ):
        other = prices.run(rules=MAE, **{"champion": crown, **change})
        assert other.step.status == "ran", change
    (crown.folder / scoring.MANIFEST).write_text("repaired")
    mended = prices.run(rules=MAE, champion=crown)
    assert mended.step.why.startswith("changed: champion")


def test_two_evaluations_are_equal_but_for_time(prices, answers):
    answers["fitted"] = good(prices)
    one = prices.run(rules=MAE)
    two = prices.run(rules=MAE, work=prices.home / "elsewhere")
    timeless = [tuple(replace(score, seconds=0.0) for score in found.scores) for found in (one, two)]
    assert timeless[0] == timeless[1]
    assert (one.verdicts, one.slices) == (two.verdicts, two.slices)


def test_a_candidate_that_can_not_be_opened_is_an_error_and_leaves_nothing(prices, answers):
    answers["fitted"] = ArtifactTampered("the weights changed")
    with pytest.raises(ArtifactTampered):
        prices.run(rules=MAE)
    assert list((prices.home / "work" / "evaluate").iterdir()) == []


def test_an_unknown_slice_is_named_before_anything_is_scored(prices, answers):
    answers["fitted"] = lambda rows: pytest.fail("scored")
    with pytest.raises(ConfigError, match=r"evaluate.slices.0: no column 'twn'"):
        prices.run(rules=MAE.model_copy(update={"slices": ("twn",)}))


def test_a_row_that_the_stored_rows_lack_is_named(prices):
    part = prices.part.copy()
    part.loc[9999] = "test"
    with pytest.raises(DataRejected, match="row 9999"):
        read_rows(prices.home / "raw", prices.home / "clean", part, "price", "regression")


def test_baselines_learn_from_the_rows_that_the_candidate_learned_from(prices, answers, monkeypatch):
    answers["fitted"] = lambda data: Predictions(np.zeros(len(data)))
    seen = []

    def counted(name, train, test, problem):
        seen.append((len(train), problem.balanced))
        return Answer(Predictions(np.zeros(len(test))), 0.1)

    monkeypatch.setattr(baselines, "answer", counted)
    rules = Evaluate(metric="mae", baselines=("median",))
    record = prices.run(rules=rules)
    refitted = prices.fitted(learned_from=("train", "validation"), balanced=True)
    again = prices.run(rules=rules, fitted=refitted)
    counts = prices.part.value_counts()
    assert seen == [(counts["train"], False), (counts["train"] + counts["validation"], True)]
    assert (record.step.status, again.step.status) == ("ran", "ran")
