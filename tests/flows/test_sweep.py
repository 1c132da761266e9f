"""A small sweep on a managed server: trials, children, a diff that is accepted; going on; rows kept apart."""

from __future__ import annotations

import io
import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from flows import past
from flows.commands import sweeping
from flows.commands.options import Common
from flows.sweeping import winner
from tasks.errors import ConfigError
from tasks.registry import backend, tracking

SPACE = "sweep: {space: {fit.learning_rate: {low: 0.001, high: 0.1, log: true}, network.dropout: [0.0, 0.2]}}"
NETWORK = "network: {kind: mlp, hidden: [24], dropout: 0.0}   # small"
QUICK = "fit: {epochs: 4, batch_size: 32, learning_rate: 0.0001, metric: log_loss}   # by hand"
"""Hardly learns anything: nearly every trial is better."""


@pytest.fixture(scope="module")
def make(yard: Any, make_project: Callable[..., Path]) -> Callable[..., Path]:
    """Makes a project of rings with a space of its own in the yard."""

    def write(name: str, frame: pd.DataFrame | None = None, space: str = SPACE, fit: str = QUICK) -> Path:
        folder = make_project(yard.root, name, frame, network=f"{NETWORK}\n{space}", fit=fit)
        return folder / "project.yaml"

    return write


@pytest.fixture(scope="module")
def swept(yard: Any, make: Callable[..., Path]) -> tuple[Path, str, dict[str, Any]]:
    """The project's file, what stood in it, and the document of a sweep of three trials."""
    path = make("swept")
    before = path.read_text()
    answer = yard("sweep", "swept", "--trials", "2", "--json")
    assert answer.code == 0, answer.err
    return path, before, answer.document


def children(yard: Any, run_id: str, project: str = "swept") -> list[Any]:
    uri = tracking.connect(yard.root)
    client = backend.client(uri)
    experiment = client.get_experiment_by_name(tracking.sweeps(project))
    wanted = f"tags.mlflow.parentRunId = '{run_id}'"
    return list(client.search_runs([experiment.experiment_id], wanted, order_by=["start_time ASC"]))


def test_the_present_configuration_is_trial_0_and_the_gain_is_told_with_its_bias(swept) -> None:
    path, before, document = swept
    assert [row["rank"] for row in document["trials"]] == [1, 2, 3]
    values = [row["log_loss"] for row in document["trials"]]
    assert values == sorted(values)
    present = next(row for row in document["trials"] if row["trial"] == 0)
    assert (present["fit.learning_rate"], present["network.dropout"]) == (0.0001, 0.0)
    assert document["best"] == document["trials"][0]["trial"] != 0
    assert document["gain"] == present["log_loss"] - values[0]
    assert document["gain"] > 0
    told = " ".join(document["sentences"])
    assert f"log_loss on {document['rows']['validation']} validation rows" in told
    assert "picked among 3 trials" in told
    assert "selection bias" in told
    assert "`modelyard train swept` judges on test rows" in told
    assert document["accepted"] is False
    assert path.read_text() == before


def test_children_are_legible_and_the_parent_leads_to_the_best(yard, swept) -> None:
    document = swept[2]
    runs = children(yard, document["run_id"])
    assert [run.info.run_name for run in runs] == ["trial 00 (present)", "trial 01", "trial 02"]
    assert all(run.info.status == "FINISHED" for run in runs)
    assert all(set(run.data.params) == {"fit.learning_rate", "network.dropout"} for run in runs)
    by_id = {row["run_id"]: row["log_loss"] for row in document["trials"]}
    assert {run.info.run_id: run.data.metrics["log_loss"] for run in runs} == by_id
    assert document["best_run_id"] == document["trials"][0]["run_id"]
    client = backend.client(tracking.connect(yard.root))
    curve = client.get_metric_history(document["best_run_id"], "validation_metric")
    assert [point.step for point in curve] == [1, 2, 3, 4]

    parent = client.get_run(document["run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["trials.complete"] == 3
    note = parent.data.tags["mlflow.note.content"]
    assert f"/runs/{document['best_run_id']}" in note
    assert "| rank | trial | state | log_loss | fit.learning_rate |" in note
    names = {entry.path for entry in client.list_artifacts(document["run_id"])}
    assert {"trials.json", "space.yaml", "winner.diff", "sweep.json", "config.yaml"} <= names
    assert {"path": "trials.json", "type": "table"} in json.loads(parent.data.tags["mlflow.loggedArtifacts"])
    table = json.loads(past.text(client.tracking_uri, document["run_id"], "trials.json"))
    found = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [(row["trial"], row["run_id"]) for row in found] == [
        (row["trial"], row["run_id"]) for row in document["trials"]
    ]


def test_a_sweep_is_no_training(yard, swept) -> None:
    assert tracking.recent_runs(tracking.connect(yard.root), "swept", 5) == []
    work = yard.root / "data" / "swept" / "work"
    assert not (work / "fit").exists()
    assert [path.name for path in (work / "sweep").glob("*/trial")] == []


def test_the_same_sweep_goes_on_and_is_accepted(yard, swept) -> None:
    path, before, document = swept
    mode = path.stat().st_mode & 0o777
    answer = yard("sweep", "swept", "--trials", "2", "--accept", "--json")
    again = answer.document
    assert again["sweep"] == document["sweep"]
    assert again["trials"] == document["trials"]  # nothing was tried twice
    assert again["run_id"] != document["run_id"]
    assert len(children(yard, again["run_id"])) == 3  # all on one page, the newest
    rate = document["trials"][0]["fit.learning_rate"]
    assert again["changes"]["fit.learning_rate"] == rate
    after = path.read_text()
    assert after == before.replace("learning_rate: 0.0001", f"learning_rate: {rate}").replace(
        "dropout: 0.0}", f"dropout: {document['trials'][0]['network.dropout']}}}"
    )
    assert again["accepted"] is True
    assert path.stat().st_mode & 0o777 == mode
    with pytest.raises(ConfigError, match="changed while the sweep went on"):
        winner.accept(yard.root, again)
    assert "+fit: {epochs: 4" in again["diff"]
    client = backend.client(tracking.connect(yard.root))
    assert client.get_run(again["run_id"]).data.tags["modelyard.accepted"] == "true"


def test_test_rows_are_never_looked_at(yard, make, ring_rows: pd.DataFrame) -> None:
    """With other values in the test rows each trial ends in the same bits."""
    from tasks.splitting import parts

    # The parts are named by a column: changed rows would else change theirs.
    named = ring_rows.assign(
        part=np.resize(["train", "train", "test", "train", "validation"], len(ring_rows))
    )
    sweep = ("--set", "split={strategy: column, column: part}", "--trials", "1", "--json")
    make("kept", named)
    first = yard("sweep", "kept", *sweep).document
    folder = next((yard.root / "data" / "kept" / "work" / "split").glob("*/parts.parquet")).parent
    dealt = parts.load(folder)
    poisoned = named.copy()
    unseen = dealt.index[dealt == "test"]
    poisoned.loc[unseen, "x"] = [5 + i / 100 for i in range(len(unseen))]
    make("poisoned", poisoned)
    other = yard("sweep", "poisoned", *sweep).document
    spoiled = next((yard.root / "data" / "poisoned" / "work" / "split").glob("*/parts.parquet")).parent
    assert (parts.load(spoiled) == dealt).all()
    assert [row["log_loss"] for row in other["trials"]] == [row["log_loss"] for row in first["trials"]]
    assert "evaluate" not in {path.name for path in folder.parents[1].iterdir()}


def test_a_failing_trial_is_counted_with_its_reason(yard, make) -> None:
    make(
        "failing", space="sweep: {space: {fit.learning_rate: [0.01, 0.02], fit.weight_decay: [0.0, 1.0e+6]}}"
    )
    document = yard("sweep", "failing", "--trials", "4", "--json").document
    assert document["counts"]["complete"] > 1, "nothing was tried after it"
    failed = next(row for row in document["trials"] if row["state"] == "failed")
    assert failed["fit.weight_decay"] == 1e6
    assert failed["rank"] is None
    assert failed["reason"].startswith("TRAINING_DIVERGED: ")
    ended = {run.info.run_id: run.info.status for run in children(yard, document["run_id"], "failing")}
    assert ended[failed["run_id"]] == "FAILED"


def test_what_was_killed_goes_on(yard, make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that is stopped within a trial ends in what one that never was ends in."""
    from tasks.learning import checkpoints, training

    monkeypatch.setattr(checkpoints, "SHARE", math.inf)  # a checkpoint after each epoch, however short
    make("whole")
    whole = yard("sweep", "whole", "--trials", "2", "--json").document
    make("cut")
    real, seen = training._Loop.run_epoch, []

    def stop(loop: Any) -> Any:
        seen.append(loop)
        if len(seen) == 7:  # in trial 1, after two of its epochs
            raise KeyboardInterrupt
        return real(loop)

    monkeypatch.setattr(training._Loop, "run_epoch", stop)
    assert yard("sweep", "cut", "--trials", "2", "--json").code == 130
    before = len(seen)
    document = yard("sweep", "cut", "--trials", "2", "--json").document
    assert len(seen) - before == 2 + 4  # went on from its checkpoint
    kept = ("trial", "state", "log_loss", "fit.learning_rate", "network.dropout")
    cut, plain = ([[row[key] for key in kept] for row in d["trials"]] for d in (document, whole))
    assert cut == plain
    statuses = [run.info.status for run in children(yard, document["run_id"], "cut")]
    assert statuses == ["FINISHED"] * 3


def test_only_a_person_at_a_terminal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, pipe = Console(force_terminal=True, file=io.StringIO()), Console(file=io.StringIO())
    for words, asked in (("y\n", True), ("n\n", False), ("\n", False)):
        stdin = io.StringIO(words)
        monkeypatch.setattr(sys, "stdin", stdin)
        assert not sweeping._asks(Common(), screen, "demo")  # nobody types
        monkeypatch.setattr(stdin, "isatty", lambda: True)
        assert not sweeping._asks(Common(json=True), screen, "demo")
        assert not sweeping._asks(Common(), pipe, "demo")
        assert stdin.tell() == 0
        assert sweeping._asks(Common(), screen, "demo") is asked


def test_refusals(yard, make) -> None:
    path = make("strict", space="sweep: {space: {fit.learning_rat: [1, 2]}}")
    assert yard("sweep", "swept").code == 2
    answer = yard("sweep", "strict", "--trials", "1")
    assert answer.code == 2
    assert "no setting that a sweep can change; did you mean 'fit.learning_rate'?" in answer.err
    path.write_text(path.read_text().replace("learning_rat:", "learning_rate:"))
    answer = yard("sweep", "strict", "--trials", "1", "--name", "../x")
    assert (answer.code, "--name '../x'" in answer.err) == (2, True)


def test_a_study_about_something_else_is_not_gone_on_with(yard, make) -> None:
    path = make("named")
    assert yard("sweep", "named", "--trials", "1", "--name", "mine", "--json").code == 0
    path.write_text(path.read_text().replace("epochs: 4", "epochs: 3"))
    answer = yard("sweep", "named", "--trials", "1", "--name", "mine")
    assert answer.code == 2
    assert "sweep 'mine': what its trials were made of has changed: fit" in answer.err
    shutil.rmtree(path.parent / "work" / "sweep" / "mine")
    document = yard("sweep", "named", "--minutes", "0.0001", "--name", "mine", "--json").document
    assert (document["best"], document["trials"], document["diff"]) == (None, [], "")
