"""A project whose parts are all its own: one file beside `data/`, named in the settings, nothing forked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import testkit
from tasks.own import extension
from tasks.predictions import Predictions

PARTS = '''
"""Parts of a project's own: a loader, an operation, a network, a metric, a baseline, a step."""

import numpy as np
import pandas as pd
from sklearn.neighbors import KNeighborsClassifier
from torch import nn, relu

from tasks.dataset import Dataset
from tasks.errors import DataRejected


def load(project, rows):
    """The first rows of a CSV with a header of its own."""
    return pd.read_csv(project / "raw" / "rings.csv").head(rows)


def radius(rows, name):
    """A column for the distance from the middle."""
    rows[name] = np.hypot(rows["x"], rows["y"])
    return rows


class Net(nn.Module):
    """Two layers over the numbers."""

    def __init__(self, spec, width=16):
        super().__init__()
        self.first = nn.Linear(spec.numbers, width)
        self.last = nn.Linear(width, spec.outputs)

    def forward(self, numbers, codes):
        return self.last(relu(self.first(numbers)))


class Torn(Net):
    """Forgets that there are categories."""

    def forward(self, numbers, codes):
        return self.last(numbers)


def cost(truth, predictions):
    """A missed inner ring costs three, a missed outer one 1."""
    return np.where(truth == predictions.values, 0.0, np.where(truth == "inner", 3.0, 1.0))


cost.higher_is_better = False


def neighbours(seed):
    """Five nearest neighbours."""
    return KNeighborsClassifier(5)


def look(context, least):
    """Counts the train rows; too few are refused."""
    rows = Dataset.load(context.records["clean"].folder).rows
    (context.folder / "columns.txt").write_text(" ".join(rows.columns))
    if context.records["split"].train < least:
        raise DataRejected(f"{context.records['split'].train} train rows, fewer than {least}")
    return {"train": context.records["split"].train, "widest": float(rows["radius"].max()), "word": "good"}
'''
SETTINGS = {
    # What the operation makes is the answer, near enough: that is the point of it here.
    "split": "split: {strategy: stratified, validation: 0.15, test: 0.3, allow_leaky: [radius]}",
    "source": 'source: {kind: "parts_of_rings:load", options: {rows: 300}}',
    "clean": 'clean: [{trim: [colour]}, {"parts_of_rings:radius": {name: radius}}]',
    "network": 'network: {kind: "parts_of_rings:Net", options: {width: 24}}',
    "evaluate": 'evaluate: {metric: "parts_of_rings:cost",'
    ' baselines: [majority, "parts_of_rings:neighbours"]}',
    "gate": 'gate: [{better_than: majority}, {not_worse_than: "parts_of_rings:neighbours"},'
    ' {metric: "parts_of_rings:cost", at_most: 0.5}]\n'
    'steps: [{run: "parts_of_rings:look", after: split, options: {least: 10}}]',
}


@pytest.fixture(scope="module")
def own(yard, make_project) -> Path:
    """The yard with a project of own parts."""
    (yard.root / "parts_of_rings.py").write_text(textwrap.dedent(PARTS))
    extension.look_in(yard.root)
    return make_project(yard.root, "own", **SETTINGS)


@pytest.fixture(scope="module")
def done(yard, own) -> dict[str, Any]:
    """Its training."""
    answer = yard("train", "own", "--json")
    assert answer.code == 0, answer.err
    return answer.document


def test_the_parts_keep_their_contracts(own):
    """The tests that a user runs against a file of own parts."""
    import parts_of_rings as mine

    rows = pd.read_csv(own / "raw" / "rings.csv")
    testkit.check_loader(mine.load, own, "ring", rows=50)
    testkit.check_operation(mine.radius, rows.drop(columns="ring"), name="radius")
    testkit.check_network(mine.Net, width=8)
    wrong = Predictions(np.roll(rows["ring"].to_numpy(), 1), None, np.array(["inner", "outer"]))
    testkit.check_metric(mine.cost, truth=rows["ring"].to_numpy(), wrong=wrong)
    assert mine.cost(np.array(["inner"]), Predictions(np.array(["outer"])))[0] == 3.0


def test_a_project_of_own_parts_trains_and_registers(done):
    assert done["outcome"] == "registered", done["reasons"]
    assert done["data"]["rows"]["read"] == 300
    assert (done["metric"], done["higher_is_better"]) == ("cost", False)
    assert [score["name"] for score in done["scores"]] == ["candidate", "majority", "neighbours"]
    assert {"cost", "accuracy"} <= set(done["scores"][0]["metrics"])
    assert len(done["gate"]) == 3


def test_what_an_own_step_tells_is_kept(done, yard):
    (told,) = done["extras"]
    assert (told["name"], told["facts"]["word"]) == ("look-after-split", "good")
    assert told["facts"]["train"] == done["split"]["train"]
    from flows import past
    from tasks.registry import backend, tracking

    uri = tracking.connect(yard.root)
    run = past.find(uri, yard.root, done["run_id"])
    assert run["metrics"]["extra.look-after-split.train"] == done["split"]["train"]
    assert run["tags"]["extra.look-after-split.word"] == "good"
    listed = backend.client(uri).list_artifacts(done["run_id"], "extra/look-after-split")
    assert {Path(entry.path).name for entry in listed} == {"columns.txt", "record.json"}
    page = Path(done["report"]).read_text(encoding="utf-8")
    assert "look-after-split</th><td>word</td><td>good" in page


def test_the_registered_model_answers_where_the_file_is_not(done, yard, own, tmp_path):
    """In a fresh process, isolated from every path of this one."""
    from tasks.registry import tracking

    rows = pd.read_csv(own / "raw" / "rings.csv").drop(columns="ring").head(40)
    rows.to_parquet(tmp_path / "rows.parquet")
    code = """
import json, sys, mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
rows = pandas.read_parquet(sys.argv[3])
many, one = model.predict(rows), [model.predict(rows[i : i + 1])[0] for i in range(5)]
print(json.dumps({"many": list(many), "one": one, "file": sys.modules["parts_of_rings"].__file__}))
"""
    made = done["model"]
    words = [
        tracking.connect(yard.root),
        f"models:/{made['name']}/{made['version']}",
        tmp_path / "rows.parquet",
    ]
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code, *map(str, words)],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    answer = json.loads(ran.stdout.splitlines()[-1])
    assert answer["many"][:5] == answer["one"]
    truth = pd.read_csv(own / "raw" / "rings.csv")["ring"].head(40)
    assert np.mean(truth == answer["many"]) > 0.8
    assert Path(answer["file"]).parent.name == "code", "it came with the model"


def test_changed_code_of_a_part_runs_what_depends_on_it_again(done, yard, own):
    path = yard.root / "parts_of_rings.py"
    path.write_text(path.read_text() + "\n# another version\n")
    again = yard("train", "own", "--json").document
    assert {step["name"]: step["status"] for step in again["steps"]} == {
        "validate": "reused", "clean": "ran", "split": "reused", "fit": "ran", "evaluate": "ran",
        "register": "ran",
    }  # fmt: skip
    assert again["outcome"] != "skipped"


def test_a_step_that_refuses_ends_the_run(done, yard, own):
    steps = 'steps=[{run: "parts_of_rings:look", after: split, options: {least: 900}}]'
    refused = yard("train", "own", "--json", "--set", steps)
    assert refused.code == 3
    assert "fewer than 900" in refused.document["error"]["message"]


@pytest.mark.parametrize(
    ("setting", "told"),
    {
        'network.kind="parts_of_rings:Nett"': r"no 'Nett' in .*parts_of_rings.py; did you mean 'Net'",
        "network.options={widht: 3}": r"can't be called with \(spec, widht=…\)",
    }.items(),
)
def test_a_part_that_is_not_there_is_told_before_anything_starts(yard, own, setting, told):
    answer = yard("train", "own", "--json", "--set", setting)
    assert answer.code == 2
    error = answer.document["error"]
    assert re.search(told, f"{error['message']}; {error['fix']}"), error


# --- one step, two batches, a few batches by heart --------------------------------------------------


def test_one_step_again_on_a_former_runs_inputs(done, yard, own):
    from flows import past
    from tasks.registry import tracking

    uri = tracking.connect(yard.root)
    latest = past.find(uri, yard.root, "own")["run_id"]
    answer = yard("step", "fit", "--from-run", done["run_id"][:10], "--set", "fit.epochs=2", "--json")
    assert answer.code == 0, answer.err
    record = answer.document["record"]
    assert (record["step"]["status"], len(record["history"])) == ("ran", 2)
    assert Path(record["folder"]).is_relative_to(own / "work" / "untracked")
    split = yard("step", "split", "--from-run", done["run_id"], "--json").document["record"]
    assert split["hash"] == done["split"]["hash"]
    judged = yard("step", "evaluate", "--from-run", done["run_id"], "--json").document["record"]
    assert judged["scores"][0]["value"] == done["scores"][0]["value"]
    assert past.find(uri, yard.root, "own")["run_id"] == latest, "no run was recorded"


def test_a_step_needs_the_outputs_before_it(done, yard, own):
    refused = yard("step", "fit", "--from-run", "nothing")
    assert refused.code == 2
    assert "no run 'nothing'" in refused.err


def test_two_batches_through_every_step(yard, own):
    before = yard.versions("own")
    answer = yard("train", "own", "--fast-dev-run", "--json")
    assert answer.code == 0, answer.err
    steps = {record["step"]["name"]: record for record in answer.document["steps"]}
    assert list(steps) == ["validate", "clean", "split", "fit", "evaluate"]
    assert len(steps["fit"]["history"]) == 1
    assert steps["split"]["train"] <= 2 * 32 + 2
    assert "look-after-split" in answer.err
    assert yard.versions("own") == before


def test_an_error_of_a_part_is_not_called_ours(yard, own):
    kind = 'network={kind: "parts_of_rings:Torn"}'
    answer = yard("train", "own", "--fast-dev-run", "--json", "--set", kind)
    assert answer.code == 1
    error = answer.document["error"]
    assert error["code"] == "OWN_PART"
    assert re.search(r"parts_of_rings\.py, line \d+: RuntimeError: .*shapes", error["message"])


@pytest.mark.parametrize(("network", "learned"), [(None, True), ("{kind: neuron}", False)])
def test_a_few_batches_by_heart(yard, own, network, learned):
    plain = [f"network={network}", "clean=[]", "steps=[]", "split.allow_leaky=[]"]
    more = [] if network is None else [word for setting in plain for word in ("--set", setting)]
    answer = yard("train", "own", "--overfit-batches", "2", "--json", *more)
    assert answer.code == (0 if learned else 1), answer.err
    figures = answer.document["figures"]
    assert answer.document["learned"] is learned
    assert (figures["loss"] < 0.1 * figures["constant"]) is learned
    assert ("wired right" in answer.err) is learned
