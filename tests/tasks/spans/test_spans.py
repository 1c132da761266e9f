"""Spans: own seconds alone, all of them add up, and nothing is kept unless somebody measures."""

from __future__ import annotations

import builtins
import sys
import threading
from pathlib import Path

import pytest

from tasks import spans
from tasks.spans import ledger as stopwatch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass only where the test says so."""
    now = [0.0]
    monkeypatch.setattr(stopwatch, "_now", lambda: (now[0], now[0] / 2))
    return now


def taken(ledger: spans.Ledger) -> dict[tuple[str, str], float]:
    return {(row.step, row.cause): row.seconds for row in ledger.spent if row.seconds}


def test_a_span_is_charged_for_its_own_seconds_alone(clock) -> None:
    with spans.measuring() as ledger:
        clock[0] += 1
        with spans.step("fit", "books"):
            clock[0] += 2
            with spans.span("training"):
                clock[0] += 4
            with spans.span("training"):
                clock[0] += 8
        clock[0] += 16
    assert taken(ledger) == {("", "other"): 17, ("fit", "books"): 2, ("fit", "training"): 12}
    assert sum(row.seconds for row in ledger.spent) == 31
    assert sum(row.cpu_seconds for row in ledger.spent) == 15.5


def test_a_block_that_raises_is_closed(clock) -> None:
    with spans.measuring() as ledger:
        with pytest.raises(KeyError), spans.step("fit"), spans.span("training"):
            clock[0] += 1
            raise KeyError
        clock[0] += 2
    assert taken(ledger) == {("fit", "training"): 1, ("", "other"): 2}


def test_what_runs_beside_takes_no_time(clock) -> None:
    def beside() -> None:
        with stopwatch.kept(ledger), spans.span("beside"):
            clock[0] += 3

    with spans.measuring() as ledger:
        thread = threading.Thread(target=beside)
        with spans.span("waiting"):
            thread.start()
            thread.join()
    assert taken(ledger) == {("", "waiting"): 3}


def test_nothing_is_kept_when_nobody_measures() -> None:
    plain = builtins.__import__
    with spans.span("training"):
        assert stopwatch._LEDGER.get() is None
    assert builtins.__import__ is plain


def test_a_decorated_function_is_charged_each_time(clock) -> None:
    @spans.span("work")
    def work(seconds: float) -> float:
        clock[0] += seconds
        return seconds

    with spans.measuring() as ledger:
        assert work(1) + work(2) == 3
    assert taken(ledger) == {("", "work"): 3}


def test_imports_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy" / "__init__.py").write_text("import time, heavy.inner\ntime.sleep(0.02)\n")
    (tmp_path / "heavy" / "inner.py").write_text("import time\ntime.sleep(0.02)\n")
    (tmp_path / "light.py").write_text("import heavy\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("tasks.spans.imports.LIBRARIES", {"heavy"})
    plain = builtins.__import__
    try:
        with spans.measuring() as ledger:
            exec("import light")
            charged = [row.seconds for row in ledger.spent if row.cause == "import heavy"]
            exec("import heavy, heavy.inner")
        assert {row.cause for row in ledger.spent} == {"other", "import heavy"}
        assert charged[0] > 0.04
        assert [row.seconds for row in ledger.spent if row.cause == "import heavy"] == charged
    finally:
        for name in ("heavy", "heavy.inner", "light"):
            sys.modules.pop(name, None)
    assert builtins.__import__ is plain
