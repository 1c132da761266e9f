"""A project whose parts are all its own: one file beside `data/`, named in the settings, nothing forked."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

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
    "source": 'source: {kind: "parts_of_rings:load", options: {rows: 300}}',
    "clean": 'clean: [{trim: [colour]}, {"parts_of_rings:radius": {name: radius}}]',
    "network": 'network: {kind: "parts_of_rings:Net", options: {width: 24}}',
    "evaluate": 'evaluate: {metric: "parts_of_rings:cost", baselines: [majority, "parts_of_rings:neighbours"]}',
    "gate": 'gate: [{better_than: majority}, {not_worse_than: "parts_of_rings:neighbours"},'
    ' {metric: "parts_of_rings:cost", at_most: 0.5}]\n'
    'steps: [{run: "parts_of_rings:look", after: split, options: {least: 10}}]',
}


@pytest.fixture(scope="module")
def own(yard, make_project) -> Path:
    """The yard with a project of own parts."""
    (yard.root / "parts_of_rings.py").write_text(textwrap.dedent(PARTS))
    return make_project(yard.root, "own", **SETTINGS)


@pytest.fixture(scope="module")
def done(yard, own) -> dict[str, Any]:
    """Its training."""
    answer = yard("train", "own", "--json")
    assert answer.code == 0, answer.err
    return answer.document


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
    again = yard("train", "own", "--json").document
    assert {step["name"]: step["status"] for step in again["steps"]}["fit"] == "reused"
    assert again["outcome"] == "skipped"
    path.write_text(path.read_text() + "\n# another version\n")
    third = yard("train", "own", "--json").document
    assert {step["name"]: step["status"] for step in third["steps"]} == {
        "validate": "reused", "clean": "ran", "split": "reused", "fit": "ran", "evaluate": "ran",
        "register": "ran",
    }  # fmt: skip
    assert third["outcome"] != "skipped"


def test_a_step_that_refuses_ends_the_run(done, yard, own):
    refused = yard(
        "train",
        "own",
        "--json",
        "--set",
        'steps=[{run: "parts_of_rings:look", after: split, options: {least: 900}}]',
    )
    assert refused.code == 3
    assert "fewer than 900" in refused.document["error"]["message"]


@pytest.mark.parametrize(
    ("setting", "told"),
    {
        'network.kind="parts_of_rings:Nett"': r"network.kind: no 'Nett' in .*parts_of_rings.py; did you mean 'Net'",
        'network.kind="parts_of_ring:Net"': "network.kind: no module 'parts_of_ring'; looked in ",
        'evaluate.metric="parts_of_rings:radius"': "no attribute higher_is_better",
        "network.options={widht: 3}": r"can't be called with \(spec, widht=…\)",
        'network.kind="os:system"': "is Python's own",
    }.items(),
)
def test_a_part_that_is_not_there_is_told_before_anything_starts(yard, own, setting, told):
    import re

    answer = yard("train", "own", "--json", "--set", setting)
    assert answer.code == 2
    error = answer.document["error"]
    assert re.search(told, f"{error['message']}; {error['fix']}"), error
