from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tasks.records import (
    CleanRecord,
    EvaluateRecord,
    FileRecord,
    FitRecord,
    GateResult,
    RunRef,
    Score,
    SliceScore,
    SplitRecord,
    Step,
    ValidateRecord,
    Verdict,
)
from tasks.registry import card


@pytest.fixture
def facts() -> card.Facts:
    step, nowhere = Step(name="x"), Path("nowhere")
    return card.Facts(
        name="prices",
        run=RunRef(uri="sqlite:///x", experiment_id="1", run_id="run7"),
        manifest={
            "task": "regression",
            "target": "price",
            "columns": [{"name": "area", "type": "number"}],
            "image_shape": None,
            "classes": None,
            "network": {"kind": "mlp"},
        },
        raw=ValidateRecord(
            step=step, folder=nowhere, fingerprint="f1", read=100, kept=99, quarantined=1, reasons={},
            files=(FileRecord(name="a.csv", rows=100, sha256="0"),), findings=(), expectations=3,
            columns=("area", "price"), types={"area": "number", "price": "number"},
        ),
        cleaned=CleanRecord(
            step=step, folder=nowhere, digest="c", read=100, kept=97, dropped=2, quarantined=1, operations=()
        ),
        parts=SplitRecord(step=step, folder=nowhere, hash="h1", train=60, validation=17, test=20),
        fitted=FitRecord(
            step=step, folder=nowhere, digest="w1", state_hash="s1", device="cpu", precision="float32",
            parameters=1234, best_epoch=4, train_seconds=3.2, stopped="epochs", history=(),
            warnings=("overfitting after epoch 4",),
        ),
        evaluated=EvaluateRecord(
            step=step, folder=nowhere, metric="mae", higher_is_better=False, rows=20,
            scores=(
                Score(name="median", value=50_000.4, low=40_000, high=60_000, metrics={}),
                Score(name="candidate", value=0.12345, low=0.1, high=0.2, metrics={}),
                Score(name="boosting", value=float("nan"), low=0, high=0, metrics={}, error="it | broke"),
            ),
            verdicts=(Verdict(against="median", verdict="better", difference=1.0, low=0.5, high=1.5),),
            slices=(
                SliceScore(column="town", value="good", rows=9, score=1.0, low=0.5, high=1.5),
                SliceScore(column="town", value="bad|<script>\n", rows=11, score=2.0, low=1.5, high=2.5),
            ),
            gate=(GateResult(criterion="better_than median", passed=True, reason="better than median"),),
        ),
        requirements=("torch==2.13.0",),
        tags={"modelyard.git": "abc123"},
    )  # fmt: skip


def test_the_card_shows_the_ladder_with_the_candidate_first(facts: card.Facts) -> None:
    lines = card.render(facts).splitlines()

    table = [line for line in lines if line.startswith(("| candidate", "| median", "| boosting"))]
    assert table == [
        "| candidate | 0.1235 | 0.1 to 0.2 |  |",
        "| median | 50,000 | 40,000 to 60,000 | better |",
        "| boosting | failed: it \\| broke | |  |",
    ]
    assert "- held: better than median" in lines


@pytest.mark.parametrize(
    "needed",
    [
        "100 read = 97 kept + 2 dropped + 1 quarantined",
        "60 train, 17 validation, 20 test",
        "overfitting after epoch 4",
        "`torch==2.13.0`",
        "git: `abc123`",
        "weights sha256: `w1`",
        "models:/prices@champion",
    ],
)
def test_the_card_speaks_of(needed: str, facts: card.Facts) -> None:
    assert needed in card.render(facts)


def test_the_worst_slice_stands_first_whichever_direction_is_better(facts: card.Facts) -> None:
    def first(facts: card.Facts) -> str:
        return next(line for line in card.render(facts).splitlines() if line.startswith("| town"))

    turned = dataclasses.replace(facts.evaluated, higher_is_better=True)
    assert "bad" in first(facts)
    assert "good" in first(dataclasses.replace(facts, evaluated=turned))


def test_a_cell_value_can_neither_end_its_cell_nor_begin_a_tag(facts: card.Facts) -> None:
    assert "| town | bad\\|&lt;script> | 11 |" in card.render(facts)


def test_probabilities_are_offered_by_classifiers_only(facts: card.Facts) -> None:
    manifest = {**facts.manifest, "classes": [0, 1], "columns": None, "image_shape": [28, 28]}

    assert "probabilities" not in card.render(facts)
    text = card.render(dataclasses.replace(facts, manifest=manifest))
    assert 'params={"output": "probabilities"}' in text
    assert "uint8 28 x 28" in text


@pytest.mark.parametrize(
    ("columns", "shape", "words"),
    [
        ([{"name": "review", "type": "text"}], None, "raw rows of one column (the text `review`)"),
        ([{"name": "review", "type": "text"}], None, "# a DataFrame of raw rows with the column 'review'"),
        ([{"name": "review", "type": "text"}], None, "in another language"),
        ([{"name": "a", "type": "text"}, {"name": "b", "type": "text"}], None, "raw rows of 2 columns"),
        (None, [32, 32, 3], "uint8 32 x 32 x 3 in colour"),
        (None, [28, 28], "uint8 28 x 28 in grey"),
        (None, [28, 28], "A picture of something else"),
    ],
)
def test_the_card_says_what_the_model_reads(columns, shape, words, facts: card.Facts) -> None:
    manifest = {**facts.manifest, "columns": columns, "image_shape": shape}
    assert words in card.render(dataclasses.replace(facts, manifest=manifest))


def test_a_short_card_is_left_alone_and_a_long_one_ends_at_a_section(facts: card.Facts) -> None:
    text = card.render(facts)

    assert card.shorten(text) == text
    short = card.shorten(text, 1200)
    assert len(short) <= 1200
    assert short.rstrip().endswith("among the artifacts of the run.*")
    kept = short[: short.index("\n\n*The whole card")]
    assert text.startswith(kept + "\n\n## ")


def test_a_pretrained_beginning_is_told_with_its_licence(facts: card.Facts) -> None:
    assert "pretrained" not in card.render(facts)
    base = {"name": "tiny|1", "licence": "mit", "sha256": "0123456789abcdefXXX", "frozen": "160"}
    text = card.render(dataclasses.replace(facts, fitted=dataclasses.replace(facts.fitted, base=base)))
    assert "`tiny\\|1` (licence mit, sha256 `0123456789abcdef`); 160 of its parameters stayed" in text
