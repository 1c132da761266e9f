"""A version is answered for only if its files are the registered ones, and as MLflow would answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import httpx
import numpy as np
import pandas as pd
import pytest

from tasks.errors import ArtifactTampered, RegistryConflict
from tasks.registry import backend
from tasks.registry.serving import model as serving


@pytest.fixture
def place(shelf: Any) -> Path:
    """The folder of version 1, as the artifact store keeps it."""
    number = shelf.add(seed=1)
    uri = backend.client(shelf.uri).get_model_version_download_uri("houses", str(number))
    return Path(urlparse(uri).path)


def load(shelf: Any, number: int = 1) -> serving.Served:
    return serving.load(shelf.uri, "houses", number, shelf.root / "cache")


def post(app: Any, body: str, kind: str) -> httpx.Response:
    """What an application answers to `/invocations`."""

    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.post("/invocations", content=body, headers={"Content-Type": kind})

    return asyncio.run(asked())


def without_trace(text: str) -> str:
    """A refusal less the stack trace that MLflow shows to the caller."""
    if "stack_trace" not in text:
        return text
    told = json.loads(text)
    told.pop("stack_trace")
    return json.dumps(told)


def split(rows: pd.DataFrame) -> str:
    return json.dumps({"dataframe_split": json.loads(rows.to_json(orient="split", index=False))})


REQUESTS: dict[str, Callable[[pd.DataFrame], tuple[str, str]]] = {
    "split": lambda rows: (split(rows), "application/json"),
    "records": lambda rows: (
        json.dumps({"dataframe_records": json.loads(rows.to_json(orient="records"))}),
        "application/json; charset=utf-8",
    ),
    "inputs": lambda rows: (
        json.dumps({"inputs": {name: rows[name].tolist() for name in ("area", "rooms", "town")}}),
        "application/json",
    ),
    "instances": lambda rows: (
        json.dumps({"instances": json.loads(rows.dropna().to_json(orient="records"))}),
        "application/json",
    ),
    "without an optional column": lambda rows: (split(rows.drop(columns="garden")), "application/json"),
    "no row": lambda rows: (split(rows[:0]), "application/json"),
    "with params": lambda rows: (
        json.dumps({**json.loads(split(rows)), "params": {"output": "value"}}),
        "application/json",
    ),
    "impossible params": lambda rows: (
        json.dumps({**json.loads(split(rows)), "params": {"output": "probabilities"}}),
        "application/json",
    ),
    "missing column": lambda rows: (split(rows.drop(columns="area")), "application/json"),
    "text for a number": lambda rows: (split(rows.assign(area="large")), "application/json"),
    "unreadable row": lambda rows: (split(rows.assign(garden="green")), "application/json"),
    "no JSON": lambda rows: ("{", "application/json"),
    "a list": lambda rows: ("[1]", "application/json"),
    "two keys": lambda rows: ('{"inputs": [], "instances": []}', "application/json"),
    "no known key": lambda rows: ('{"rows": []}', "application/json"),
    "other type": lambda rows: ("<a/>", "application/xml"),
    "other charset": lambda rows: (split(rows), "application/json; charset=latin-1"),
    "empty": lambda rows: ("", "application/json"),
}


def test_every_answer_is_that_of_mlflows_own_server(shelf: Any, place: Path, houses: pd.DataFrame) -> None:
    import mlflow
    from mlflow.pyfunc import scoring_server

    ours = load(shelf)
    theirs = scoring_server.init(mlflow.pyfunc.load_model(str(place)))
    statuses = {}
    for what, make in REQUESTS.items():
        body, kind = make(houses.drop(columns="price")[:5])
        expected = post(theirs, body, kind)
        got = ours.answer(body.encode(), kind)
        text = without_trace(expected.text)
        # MLflow's server repeats the rows of the request in some of its refusals; ours never does.
        text = re.sub(r"Failed to predict data '.*' *\. \\nError: ", "", text)
        shown = re.compile(r"of data '.*?' with schema")  # a gap is None in ours, NaN in theirs
        assert (what, got.status, shown.sub("", got.text)) == (
            what,
            expected.status_code,
            shown.sub("", text),
        )
        assert expected.headers["content-type"].startswith(got.media_type)
        statuses[what] = got.status
    assert [what for what, status in statuses.items() if status == 200] == list(REQUESTS)[:7]


def test_a_table_in_csv_is_answered_although_columns_have_gaps(
    shelf: Any, place: Path, houses: pd.DataFrame
) -> None:
    rows = houses.drop(columns="price")[:20]
    assert rows["garden"].isna().any()

    served = load(shelf)
    of_csv = served.answer(rows.to_csv(index=False).encode(), "text/csv; charset=utf-8")
    of_json = served.answer(split(rows).encode(), "application/json")

    assert (of_csv.status, of_csv.text) == (200, of_json.text)


def test_csv_that_cant_be_read_is_refused_by_place(shelf: Any) -> None:
    served = load(shelf, shelf.add(seed=1))
    for text, told in {
        'area,rooms\n"1': "expected a closing quote",
        "area\n1\n": "Model is missing inputs",
        "": "is empty (0 bytes)",
        "area,rooms,garden,town\n1,2.5,3,north\n": "column 'rooms' holds no whole number",
    }.items():
        got = served.answer(text.encode(), "text/csv")
        assert got.status == 400
        assert told in got.text


def test_a_row_is_answered_alike_whatever_stands_beside_it_and_however_it_comes(
    shelf: Any, houses: pd.DataFrame
) -> None:
    served = load(shelf, shelf.add(seed=1))
    rows = houses.drop(columns="price")[:8]
    whole = json.loads(served.answer(split(rows).encode(), "application/json").text)["predictions"]
    for at in range(len(rows)):
        one = json.loads(rows[at : at + 1].to_json(orient="records"))
        for cells in (one, [{name: None if c is None else str(c) for name, c in one[0].items()}]):
            body = json.dumps({"dataframe_records": cells})
            (answer,) = json.loads(served.answer(body.encode(), "application/json").text)["predictions"]
            assert answer == pytest.approx(whole[at], rel=1e-6)


def test_texts_that_look_like_gaps_are_texts(shelf: Any, houses: pd.DataFrame) -> None:
    shelf = replace(shelf, rows=houses.assign(town=np.where(houses.index % 2, "NA", "None")))
    served = load(shelf, shelf.add(seed=1))
    rows = shelf.rows.drop(columns="price")[:4]
    of_csv = served.answer(rows.to_csv(index=False).encode(), "text/csv")
    of_json = served.answer(split(rows).encode(), "application/json")
    assert (of_csv.status, of_csv.text, of_csv.unfamiliar) == (200, of_json.text, {})


def test_values_that_training_never_saw_are_counted(shelf: Any, houses: pd.DataFrame) -> None:
    served = load(shelf, shelf.add(seed=1))
    rows = houses.drop(columns="price")[:5].assign(town=["mars", None, "north", "mars", "west"])
    assert served.answer(split(rows).encode(), "application/json").unfamiliar == {"town": 3}


def test_the_answers_are_those_of_the_bundle(shelf: Any, place: Path, houses: pd.DataFrame) -> None:
    from tasks.learning import scoring

    served = load(shelf)
    rows = houses.drop(columns="price")
    expected = scoring.load(served.known.folder).predict(rows).values

    answer = served.answer(split(rows).encode(), "application/json")

    assert json.loads(answer.text)["predictions"] == pytest.approx(expected)


@pytest.mark.parametrize(
    "body",
    ['{"inputs":' + "[" * 100_000, '{"dataframe_split": {"columns": [[1]], "data": [[1]]}}', '{"inputs": 1}'],
)
def test_nonsense_is_the_callers_fault(body: str, shelf: Any, place: Path) -> None:
    answer = load(shelf).answer(body.encode(), "application/json")

    assert answer.status == 400
    assert json.loads(answer.text)["error_code"] in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE")
    assert answer.fault == ""


def test_a_fault_of_the_model_is_told_to_the_operator_alone(
    shelf: Any, place: Path, houses: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.learning.scoring import Scorer

    served = load(shelf)
    monkeypatch.setattr(Scorer, "predict", lambda self, data: 1 / 0)
    answer = served.answer(split(houses[:2]).encode(), "application/json")

    assert answer.status == 400
    assert answer.fault == "ZeroDivisionError: division by zero"
    assert "division" not in answer.text
    assert ".py" not in answer.text


def test_no_code_of_the_version_is_run(shelf: Any, place: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    for path in [*place.rglob("*.py")]:
        path.write_text(f"open({str(mark)!r}, 'w')\n" + path.read_text())
    text = (place / "MLmodel").read_text()
    (place / "MLmodel").write_text(text.replace("mlflow.pyfunc.loaders.code_model", "tasks_evil"))

    load(shelf)

    assert not mark.exists()


def swap(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


DAMAGE: dict[str, tuple[str, Callable[[str], str | None]]] = {
    "weights": ("artifacts/bundle/weights.safetensors", lambda text: text[:-1] + "\0"),
    "no MLmodel": ("MLmodel", lambda text: None),
    "no signature": ("MLmodel", lambda text: "flavors: {}\n"),
    "tagged YAML": ("MLmodel", lambda text: "signature: !!python/object/apply:os.getcwd []\n"),
    "other column": ("MLmodel", lambda text: swap(text, '"name": "area"', '"name": "aria"')),
    "other type": (
        "MLmodel",
        lambda text: swap(text, '[{"type": "double", ', '[{"type": "string", '),
    ),
    "other default": ("MLmodel", lambda text: swap(text, '"default": "value"', '"default": "probabilities"')),
    "no example": ("serving_input_example.json", lambda text: None),
    "example without answer": ("serving_input_example.json", lambda text: '{"inputs": [[1]]}'),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_version_is_refused(what: str, shelf: Any, place: Path) -> None:
    name, change = DAMAGE[what]
    path = place / name
    after = change(path.read_bytes().decode("latin-1"))
    if after is None:
        path.unlink()
    else:
        path.write_bytes(after.encode("latin-1"))

    with pytest.raises(ArtifactTampered, match=r"version 1 of model 'houses'|weights"):
        load(shelf)


def test_which_columns_are_optional_is_read_from_the_version(
    shelf: Any, place: Path, houses: pd.DataFrame
) -> None:
    rows = houses.drop(columns="price")[:2]

    assert load(shelf).answer(split(rows.drop(columns="garden")).encode(), "application/json").status == 200
    assert load(shelf).answer(split(rows.drop(columns="rooms")).encode(), "application/json").status == 400


def test_a_version_that_is_not_there_is_named(shelf: Any, place: Path) -> None:
    with pytest.raises(RegistryConflict, match="no version 9"):
        load(shelf, 9)
