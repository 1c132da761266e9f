from __future__ import annotations

import dataclasses
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.config import Columns, Encode, Fit, Neuron, Register
from tasks.dataset import Dataset
from tasks.errors import ArtifactTampered, RegistryConflict
from tasks.features.schema import types_of
from tasks.fit import fit
from tasks.learning import scoring
from tasks.records import (
    CleanRecord,
    EvaluateRecord,
    FileRecord,
    GateResult,
    ModelVersion,
    RegisterRecord,
    Score,
    SplitRecord,
    Step,
    Suggestion,
    ValidateRecord,
    Verdict,
)
from tasks.register import register
from tasks.registry import backend, fetching, promotion, reproduce, tracking, versions
from tasks.registry.ledger import Ledger
from tasks.tables import table as table_of

ROWS = 120


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ready database: making one costs seconds, copying it a moment."""
    folder = tmp_path_factory.getbasetemp() / "mlflow-template" / "mlflow"
    if not (folder / "mlflow.db").exists():
        folder.mkdir(parents=True)
        (folder / ".mlflow.db.new").write_bytes(b"left by a process that died")
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            backend.connect(folder.parent)
    return folder / "mlflow.db"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the steps before hand over, from a network that was really fitted."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("raw", "split", "scores"):
        (folder / name).mkdir()
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"area": rng.normal(100, 20, ROWS), "rooms": rng.integers(1, 6, ROWS)})
    rows["town"] = rng.choice(["north", "south"], ROWS)
    rows["garden"] = np.where(rng.random(ROWS) < 0.3, np.nan, 40.0)
    rows["price"] = rows["area"] * 1000 + rows["rooms"] * 5000
    rows.index = pd.RangeIndex(ROWS, name="row")
    table_of.save(folder / "raw", Dataset(rows), types_of(rows), ROWS)
    part = pd.Series(np.resize(["train", "train", "validation", "test"], ROWS), rows.index, name="part")
    part.to_frame().to_parquet(folder / "split" / "parts.parquet")
    raw = ValidateRecord(
        step=Step(name="validate"), folder=folder / "raw", fingerprint="f" * 64,
        files=(FileRecord(name="a.csv", rows=ROWS, sha256="0" * 64),), read=ROWS, kept=ROWS, quarantined=0,
        reasons={}, findings=(), expectations=1, columns=tuple(rows.columns),
        types=types_of(rows),
    )  # fmt: skip
    cleaned = CleanRecord(
        step=Step(name="clean"), folder=folder / "raw", digest="c" * 64, read=ROWS, kept=ROWS, dropped=0,
        quarantined=0, operations=(),
    )  # fmt: skip
    parts = SplitRecord(
        step=Step(name="split"), folder=folder / "split", hash="d" * 64, train=60, validation=30, test=30
    )
    fitted = fit.fn(
        raw, cleaned, parts, kind="regression", target="price", columns=Columns(), exclude=(), clean=(),
        encode=Encode(), network=Neuron(), settings=Fit(epochs=2, device="cpu"), metric="mae", seed=0,
        work=folder / "work",
    )  # fmt: skip
    test = part.index[part == "test"]
    answers = scoring.load(fitted.folder).predict(rows.loc[test]).values
    frame = pd.DataFrame({"truth": rows.loc[test, "price"], "candidate": answers}, index=test)
    frame.to_parquet(folder / "scores" / "predictions.parquet")
    evaluated = EvaluateRecord(
        step=Step(name="evaluate"), folder=folder / "scores", metric="mae", higher_is_better=False, rows=30,
        scores=(
            Score(name="candidate", value=1.0, low=0.5, high=1.5, metrics={"mae": 1.0, "r2": float("nan")}),
            Score(name="median", value=2.0, low=1.5, high=2.5, metrics={"mae": 2.0}),
        ),
        verdicts=(Verdict(against="median", verdict="better", difference=1.0, low=0.5, high=1.5),),
        gate=(GateResult(criterion="better_than median", passed=True, reason="better than median"),),
        slices=(),
    )  # fmt: skip
    return {"raw": raw, "cleaned": cleaned, "parts": parts, "fitted": fitted, "evaluated": evaluated}


@pytest.fixture
def home(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow").mkdir()
    shutil.copy(empty_store, tmp_path / "mlflow" / "mlflow.db")
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ModelVersion]:
    """Stands in for the fresh process, which costs seconds; the versions that it was asked about."""
    asked: list[ModelVersion] = []

    class Nobody:
        def __enter__(self) -> Nobody:
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(reproduce, "Stranger", Nobody)
    monkeypatch.setattr(reproduce, "reproduce", lambda uri, known, sample, stranger: asked.append(known))
    return asked


@pytest.fixture
def step(home: Path, made: dict[str, Any]) -> Callable[..., RegisterRecord]:
    """Runs the step in a new run; `inputs` tells one candidate from another."""

    def call(inputs: str = "a" * 64, policy: str = "auto", **changes: Any) -> RegisterRecord:
        run = tracking.start_run(tracking.connect(home), "prices", home, tags={})
        return register.fn(
            run, **{**made, **changes.pop("records", {})}, rules=Register(name="prices", champion=policy),
            inputs=inputs, tags={"modelyard.project": "prices", "modelyard.git": "abc"}, root=home, **changes,
        )  # fmt: skip

    return call


def uri(home: Path) -> str:
    return tracking.connect(home)


def test_a_fitted_network_is_registered_and_repeats_its_answers_in_a_fresh_process(
    home: Path, step: Callable[..., RegisterRecord], made: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    record = step()

    assert record.outcome == "registered"
    assert record.model is not None
    assert record.model.aliases == ("champion", "challenger")
    champion = tracking.champion(uri(home), "prices", home / "cache")
    assert champion is not None
    assert champion.folder is not None
    assert (champion.version, champion.inputs) == (1, "a" * 64)
    names = sorted(path.name for path in champion.folder.iterdir())
    assert names == ["encoder.json", "manifest.json", "seen.safetensors", "weights.safetensors"]
    assert capfd.readouterr() == ("", "")


def test_a_refused_candidate_makes_no_version(
    home: Path, step: Callable[..., RegisterRecord], made: dict[str, Any], asked: list[ModelVersion]
) -> None:
    refused = dataclasses.replace(
        made["evaluated"], gate=(GateResult(criterion="x", passed=False, reason="worse than ridge"),)
    )

    advice = (Suggestion(command="modelyard sweep prices", why="searches"),)
    record = step(records={"evaluated": refused}, advice=advice)

    assert record.next == advice
    assert (record.outcome, record.reasons, record.model) == ("rejected", ("worse than ridge",), None)
    assert versions.versions(uri(home), "prices") == []
    assert asked == []


def test_the_same_inputs_never_make_a_second_version(
    home: Path, step: Callable[..., RegisterRecord], asked: list[ModelVersion]
) -> None:
    step()
    record = step()

    assert (record.outcome, record.next) == ("skipped", ())
    assert record.reasons == ("version 1 was made from the same data, configuration and code",)
    assert record.model is not None
    assert record.model.aliases == ("champion", "challenger")
    assert len(versions.versions(uri(home), "prices")) == 1
    assert len(asked) == 1


def test_a_manual_policy_leaves_the_champion_to_a_person(
    home: Path, step: Callable[..., RegisterRecord], asked: list[ModelVersion]
) -> None:
    first = step().model
    second = step("b" * 64, policy="manual", champion=first).model

    assert second is not None
    assert second.aliases == ("challenger",)
    assert versions.alias(uri(home), "prices", "champion") == 1
    assert versions.decision(uri(home), second) == "challenger"


def judged(made: dict[str, Any], value: float) -> EvaluateRecord:
    """The evaluation, had the candidate's error been `value`."""
    candidate, *others = made["evaluated"].scores
    return dataclasses.replace(
        made["evaluated"], scores=(dataclasses.replace(candidate, value=value), *others)
    )


def test_a_champion_that_moved_and_was_judged_on_other_rows_is_a_conflict(
    home: Path, step: Callable[..., RegisterRecord], made: dict[str, Any], asked: list[ModelVersion]
) -> None:
    step()

    with pytest.raises(RegistryConflict, match=r"no champion.*version 1 is champion"):
        step("b" * 64, records={"raw": dataclasses.replace(made["raw"], fingerprint="9" * 64)})

    assert versions.alias(uri(home), "prices", "champion") == 1
    assert versions.alias(uri(home), "prices", "challenger") == 1


@pytest.mark.parametrize(("error", "champion"), [(0.9, 2), (1.0, 1), (1.1, 1), (float("nan"), 1)])
def test_of_a_champion_that_moved_and_a_candidate_the_better_one_stays(
    error: float,
    champion: int,
    home: Path,
    step: Callable[..., RegisterRecord],
    made: dict[str, Any],
    asked: list[ModelVersion],
) -> None:
    step()

    record = step("b" * 64, records={"evaluated": judged(made, error)})

    assert record.outcome == "registered"
    assert record.model is not None
    assert versions.alias(uri(home), "prices", "champion") == champion
    assert versions.alias(uri(home), "prices", "challenger") == 2
    if champion == 1:
        assert record.reasons[0].startswith("superseded by version 1: mae ")
        assert versions.decision(uri(home), record.model) == "superseded by version 1"
        assert step("b" * 64).outcome == "skipped"
    assert Ledger(home, "prices").replay() == {"champion": champion, "challenger": 2}


def test_a_version_that_a_crash_left_undecided_is_finished(
    home: Path,
    step: Callable[..., RegisterRecord],
    asked: list[ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(promotion, "admit", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            step()
    (left,) = versions.versions(uri(home), "prices")
    assert left.aliases == ()

    record = step()

    assert record.outcome == "skipped"
    assert record.model is not None
    assert (record.model.version, record.model.aliases) == (1, ("champion", "challenger"))
    assert "undecided" in record.reasons[0]


def test_a_model_that_a_crash_left_without_version_is_not_uploaded_again(
    home: Path,
    step: Callable[..., RegisterRecord],
    asked: list[ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(versions, "create", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            step()

    assert step().outcome == "registered"
    assert len(list((home / "mlflow" / "artifacts" / "prices" / "models").iterdir())) == 1


def test_a_version_that_fails_its_trial_gets_no_alias(
    home: Path,
    step: Callable[..., RegisterRecord],
    asked: list[ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ArtifactTampered("answers otherwise")

    with monkeypatch.context() as patch:
        patch.setattr(reproduce, "reproduce", fail)
        with pytest.raises(ArtifactTampered):
            step()
    (left,) = versions.versions(uri(home), "prices")
    assert left.aliases == ()
    assert versions.decision(uri(home), left) == "failed"

    assert step().model == dataclasses.replace(left, aliases=("champion", "challenger"))


def test_the_trial_is_raw_test_rows_with_the_answers_that_were_judged(
    home: Path,
    step: Callable[..., RegisterRecord],
    made: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    asked: list[ModelVersion],
) -> None:
    samples: list[reproduce.Sample] = []
    monkeypatch.setattr(reproduce, "reproduce", lambda uri, known, sample, stranger: samples.append(sample))

    step()

    (sample,) = samples
    assert isinstance(sample.data, pd.DataFrame)
    assert list(sample.data.columns) == ["area", "rooms", "town", "garden"]
    assert (sample.data.index % 4 == 3).all()
    assert sample.data["garden"].isna().any()
    assert scoring.load(made["fitted"].folder).predict(sample.data).values == pytest.approx(sample.values)


def test_a_version_says_what_made_it(
    home: Path, step: Callable[..., RegisterRecord], made: dict[str, Any], asked: list[ModelVersion]
) -> None:
    known = step().model
    assert known is not None
    client = backend.client(uri(home))

    entry = client.get_model_version("prices", "1")
    run = client.get_run(known.run_id)
    (model,) = client.search_logged_models([run.info.experiment_id])

    assert entry.tags["modelyard.data"] == "f" * 64
    assert entry.tags["modelyard.split"] == "d" * 64
    assert entry.tags["modelyard.weights"] == made["fitted"].digest
    assert entry.tags["modelyard.state"] == made["fitted"].state_hash
    assert entry.tags["modelyard.git"] == "abc"
    assert entry.tags["modelyard.gate"] == "better than median"
    assert entry.tags["modelyard.decision"] == "promoted"
    assert json.loads(entry.tags["modelyard.metric"]) == {
        "metric": "mae", "higher_is_better": False, "target": "price", "value": 1.0, "low": 0.5, "high": 1.5,
        "verdicts": {"median": "better"},
    }  # fmt: skip
    moved = json.loads(entry.tags["modelyard.ledger"])
    assert (moved["phase"], moved["moves"]["champion"], moved["run_id"]) == ("done", [None, 1], known.run_id)
    assert entry.description.startswith("# prices\n")
    assert len(entry.description) <= 5000
    assert [data.dataset.name for data in run.inputs.dataset_inputs] == [
        "prices train", "prices validation", "prices test",
    ]  # fmt: skip
    assert model.source_run_id == run.info.run_id
    assert [(m.key, m.value, m.dataset_name) for m in model.metrics] == [("test_mae", 1.0, "prices test")]
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "prices", "version": "1"}]
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["card.md"]


def test_a_champion_is_none_before_the_first_and_a_conflict_once_it_vanished(
    home: Path, step: Callable[..., RegisterRecord], asked: list[ModelVersion]
) -> None:
    assert tracking.champion(uri(home), "prices", home / "cache") is None
    step()
    backend.client(uri(home)).delete_model_version("prices", "1")

    with pytest.raises(RegistryConflict, match=r"no alias champion.*version 1 was promoted"):
        tracking.champion(uri(home), "prices", home / "cache")


def test_an_alias_that_a_person_moved_is_believed(
    home: Path, step: Callable[..., RegisterRecord], asked: list[ModelVersion]
) -> None:
    first = step().model
    step("b" * 64, champion=first)
    backend.client(uri(home)).set_registered_model_alias("prices", "champion", "1")

    champion = tracking.champion(uri(home), "prices", home / "cache")

    assert champion is not None
    assert champion.version == 1
    assert [known.version for known in tracking.versions(uri(home), "prices")] == [2, 1]


def stored_bundle(home: Path) -> Path:
    (found,) = (home / "mlflow" / "artifacts" / "prices" / "models").glob("*/artifacts/artifacts/bundle")
    return found


@pytest.mark.parametrize("name", ["manifest.json", "weights.safetensors", "encoder.json", "seen.safetensors"])
def test_a_changed_file_of_the_champion_is_refused(
    name: str, home: Path, step: Callable[..., RegisterRecord], asked: list[ModelVersion]
) -> None:
    step()
    path = stored_bundle(home) / name
    path.write_bytes(path.read_bytes()[:-1] + b"~")

    with pytest.raises(ArtifactTampered, match=name.partition(".")[0]):
        tracking.champion(uri(home), "prices", home / "cache")

    assert list((home / "cache").iterdir()) == []


def test_a_champion_whose_files_are_gone_is_refused(
    home: Path, step: Callable[..., RegisterRecord], asked: list[ModelVersion]
) -> None:
    step()
    shutil.rmtree(stored_bundle(home))

    with pytest.raises(ArtifactTampered, match="version 1 of model 'prices'"):
        tracking.champion(uri(home), "prices", home / "cache")


def test_a_damaged_copy_in_the_cache_is_fetched_again(
    home: Path, step: Callable[..., RegisterRecord], asked: list[ModelVersion]
) -> None:
    step()
    folder = fetching.version(uri(home), "prices", 1, home / "cache").folder
    assert folder is not None
    (folder / "weights.safetensors").write_bytes(b"")

    again = fetching.version(uri(home), "prices", 1, home / "cache")

    assert again.folder == folder
    assert (folder / "weights.safetensors").stat().st_size > 0


def test_a_version_of_another_maker_is_never_champion(home: Path) -> None:
    client = backend.client(uri(home))
    client.create_registered_model("prices")
    client.create_model_version("prices", str(home))
    client.set_registered_model_alias("prices", "champion", "1")

    with pytest.raises(RegistryConflict, match="modelyard did not make it"):
        tracking.champion(uri(home), "prices", home / "cache")
    with pytest.raises(RegistryConflict, match="no version 7"):
        tracking.version(uri(home), "prices", 7, home / "cache")


def test_names_are_compared_exactly(
    home: Path, step: Callable[..., RegisterRecord], asked: list[ModelVersion]
) -> None:
    step()

    assert versions.versions(uri(home), "Prices") == []
    assert versions.find(uri(home), "price", "a" * 64) is None


def test_of_two_that_saw_the_same_champion_one_wins_and_one_is_told(
    home: Path,
    step: Callable[..., RegisterRecord],
    asked: list[ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = step().model
    with monkeypatch.context() as patch:
        late = promotion.Decision(model=first, outcome="challenger", entry=None)
        patch.setattr(promotion, "admit", lambda *_, **__: late)
        step("b" * 64, champion=first)
        step("c" * 64, champion=first)
    two, three = (known for known in reversed(versions.versions(uri(home), "prices")) if known.version > 1)
    outcomes: dict[int, str] = {}

    def compete(known: ModelVersion) -> None:
        decided = promotion.admit(uri(home), home, known, seen=1, to_champion=True)
        outcomes[known.version] = decided.outcome

    threads = [threading.Thread(target=compete, args=(rival,)) for rival in (two, three)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes.values()) == ["promoted", "superseded"]
    (winner,) = (number for number, outcome in outcomes.items() if outcome == "promoted")
    assert versions.alias(uri(home), "prices", "champion") == winner
