"""A project of texts through validate, clean and split: what is set aside, dropped and warned of."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tasks.clean import clean
from tasks.config import Columns, Normalise, Only, Split, TextsSource, Validate
from tasks.dataset import TEXTUAL
from tasks.errors import DataRejected
from tasks.records import CleanRecord, ValidateRecord
from tasks.split import split
from tasks.validate import validate

SUITE = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "text_tokens", "min_value": 1, "max_value": 50},
    "severity": "critical",
}
OPERATIONS = (Only(only={"label": ("a", "b")}), Normalise(normalise=("text",)))


def reviews() -> list[dict[str, object]]:
    """Sixty texts of two labels, each with a topic of twelve."""
    return [{"text": f"film number {i}", "label": "ab"[i % 2], "topic": i % 12} for i in range(60)]


class Yard:
    """A project of texts in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "expectations.json").write_text(json.dumps({"name": "t", "expectations": [SUITE]}))

    def validated(self, rows: list[dict[str, object]], budget: float = 0.2) -> ValidateRecord:
        (self.folder / "r.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        source, columns = TextsSource(kind="texts", path="r.jsonl"), Columns(text="text")
        rules, work = Validate(quarantine=budget), self.folder / "work"
        return validate.fn(source, rules, "label", "classification", columns, self.folder, work)

    def cleaned(self, rows: list[dict[str, object]]) -> CleanRecord:
        return clean.fn(self.validated(rows), OPERATIONS, "label", 0.2, self.folder / "work", "text")

    def warnings(self, rows: list[dict[str, object]], rules: Split) -> tuple[str, ...]:
        work = self.folder / "work"
        dealt = split.fn(self.cleaned(rows), rules, "label", "classification", 0, work, (), "text")
        return dealt.warnings


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def test_texts_that_are_missing_or_hold_no_word_are_set_aside(yard: Yard) -> None:
    rows = reviews()
    rows[3]["text"], rows[4]["text"], rows[5]["text"] = None, " ", "…"
    record = yard.validated(rows)
    assert (record.read, record.kept) == (60, 57)
    assert record.reasons["text: text missing"] == 2
    assert set(TEXTUAL) <= set(record.columns)
    with pytest.raises(DataRejected, match="3 of 60 rows"):
        yard.validated(rows, budget=0.01)


def test_what_describes_a_text_or_stands_beside_it_is_no_feature(yard: Yard) -> None:
    rows = [{**row, "note": None if i else "x"} for i, row in enumerate(reviews())]
    assert yard.validated(rows).findings == ()


def test_texts_are_dropped_by_label_and_where_they_stand_twice(yard: Yard) -> None:
    rows = reviews()
    rows[0]["label"] = rows[2]["label"] = "neither"
    rows += [{**rows[1], "topic": 99}, {"text": "<b>Film</b>", "label": "a"}, {"text": "Film", "label": "a"}]
    record = yard.cleaned(rows)
    assert dict(record.operations) == {"only": 2, "normalise": 1, "duplicates": 2}
    assert record.kept == 59
    kept = pd.read_parquet(record.folder / "rows.parquet")["text"].tolist()
    assert kept.count("film number 1") == kept.count("Film") == 1


def test_one_text_with_two_labels_stays_in_one_part_and_is_warned_of_where_it_cant(yard: Yard) -> None:
    rows, by_topic = reviews(), Split(strategy="group", column="topic")
    assert yard.warnings(rows, by_topic) == ()
    rows += [{**row, "label": "ba"[i % 2], "topic": 1000 + i} for i, row in enumerate(rows[:30])]
    assert yard.warnings(rows, Split()) == ()
    (told,) = yard.warnings(rows, by_topic)
    assert "the same features as a row of another part" in told
