"""What a person sees on a terminal, and what reaches a pipe."""

from __future__ import annotations

import io
import math
from pathlib import Path

from rich.console import Console

from flows import outcome, terminal
from tasks.records import Epoch, FitRecord, Step


def fitted() -> FitRecord:
    epoch = Epoch(
        epoch=1, train_loss=1, validation_loss=0.25, validation_metric=0.5, learning_rate=0.1, seconds=1
    )
    return FitRecord(
        step=Step(name="fit", seconds=2.0), folder=Path("x"), digest="", state_hash="", device="cpu",
        precision="float32", parameters=1234, best_epoch=1, train_seconds=1.0, stopped="epochs",
        history=(epoch,), warnings=("[odd] thing",),
    )  # fmt: skip


def watched(*, interactive: bool) -> str:
    """What a watcher writes while `fit` runs for one epoch and ends."""
    stream = io.StringIO()
    out = Console(file=stream, force_terminal=interactive, width=100)
    watcher = terminal.Watcher(out)
    with watcher.step("fit"):
        watcher.epoch(fitted().history[0], 2)
        if watcher._bar is not None:
            watcher._bar.refresh()
    watcher.end(fitted())
    return stream.getvalue()


def test_bar_on_a_terminal_only() -> None:
    assert "epoch 1/2" in watched(interactive=True)
    plain = watched(interactive=False)
    assert "\x1b" not in plain
    assert plain.splitlines() == [
        "✓ fit         2.0 s  1,234 parameters on cpu, best epoch 1 of 1",
        "  ! [odd] thing",
    ]


def test_failed_step_gets_a_cross() -> None:
    stream = io.StringIO()
    watcher = terminal.Watcher(Console(file=stream))
    try:
        with watcher.step("split"):
            raise ValueError
    except ValueError:
        pass
    assert stream.getvalue() == "✗ split\n"


def test_numbers_that_json_has_no_word_for() -> None:
    odd = {"a": [math.nan, 1.5, {"b": math.inf}], "c": "nan"}
    assert outcome.finite(odd) == {"a": [None, 1.5, {"b": None}], "c": "nan"}


def test_ladder_ends_with_the_candidate() -> None:
    scores = [
        {"name": "candidate", "value": 0.9, "low": 0.85, "high": 0.95, "metrics": {}},
        {"name": "majority", "value": 0.5, "low": 0.4, "high": 0.6, "metrics": {}},
    ]
    verdicts = [{"against": "majority", "verdict": "better", "difference": 0.4, "low": 0.3, "high": 0.5}]
    first, last = outcome.ladder(scores, verdicts)
    assert (first["rung"], first["candidate is"], first["by"]) == ("majority", "better", "0.4 (0.3 … 0.5)")
    assert (last["rung"], last["candidate is"]) == ("candidate", "")


def test_rows_are_shown_where_the_champion_was_judged_on_fewer() -> None:
    scores = [
        {"name": name, "value": 0.9, "low": 0.8, "high": 1.0, "rows": rows, "metrics": {}}
        for name, rows in (("majority", 114), ("champion", 60), ("broken", 0), ("candidate", 114))
    ]
    rows = {row["rung"]: row.get("rows") for row in outcome.ladder(scores, [])}
    assert rows == {"majority": "114", "champion": "60", "broken": "", "candidate": "114"}
    alike = [{**score, "rows": 114} for score in scores]
    assert all("rows" not in row for row in outcome.ladder(alike, []))


def test_a_rejection_says_what_to_do_next() -> None:
    summary = {
        "project": "made", "outcome": "rejected", "metric": "mae", "scores": [], "verdicts": [],
        "reasons": ["worse than [ridge]"], "model": None, "report": None, "run_id": "r", "seconds": 1.0,
        "next": [
            {"command": "modelyard train made --set 'network={kind: neuron}'", "why": "ridge is the best"},
            {"command": None, "why": "give more rows"},
        ],
    }  # fmt: skip
    stream = io.StringIO()
    terminal.show_summary(Console(file=stream, width=120, highlight=False), summary)
    lines = stream.getvalue().splitlines()
    at = lines.index("next    modelyard train made --set 'network={kind: neuron}'")
    assert lines[at + 1 : at + 3] == ["        ridge is the best", "next    give more rows"]
