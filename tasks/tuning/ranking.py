"""The trials of a study in order of merit, and what may honestly be said about the first of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tasks.tuning.study import State, Trial
from tasks.wording import number, share

ORDER: tuple[State, ...] = ("complete", "pruned", "failed")


def ranked(trials: Iterable[Trial], *, higher_is_better: bool) -> list[Trial]:
    """Best first; of equal ones the earlier, so that the present configuration needs to be beaten."""

    def merit(trial: Trial) -> tuple[int, float, int]:
        value = 0.0 if trial.value is None else trial.value
        return ORDER.index(trial.state), -value if higher_is_better else value, trial.number

    return sorted(trials, key=merit)


def counts(trials: Iterable[Trial]) -> dict[str, int]:
    """How many trials ended in each way."""
    found = Counter(trial.state for trial in trials)
    return {state: found[state] for state in ORDER}


def table(trials: Sequence[Trial], metric: str) -> list[dict[str, Any]]:
    """One row a trial, in the given order: rank, how it ended, the metric, each searched setting."""
    return [
        {
            "rank": rank if trial.value is not None else None,
            "trial": trial.number,
            "state": trial.state,
            metric: trial.value,
            **trial.settings,
            "epochs": trial.epochs,
            "seconds": trial.seconds,
            "reason": trial.reason,
            "run_id": trial.run_id,
        }
        for rank, trial in enumerate(trials, start=1)
    ]


def gain(best: Trial, present: Trial, *, higher_is_better: bool) -> float | None:
    """How much better the best is than the present configuration, in the metric; None if that failed."""
    if best.value is None or present.value is None:
        return None
    return best.value - present.value if higher_is_better else present.value - best.value


def sentences(
    trials: Sequence[Trial], project: str, metric: str, rows: str, *, higher_is_better: bool
) -> list[str]:
    """What came of a search, for people.

    Args:
        trials: All of them, best first.
        project: Its name.
        metric: What they were judged by.
        rows: What they were judged on, in words: how many validation rows.
        higher_is_better: Direction of the metric.
    """
    present = next((trial for trial in trials if trial.number == 0), None)
    if present is None:
        return ["the time was too short for the present configuration; the same command goes on"]
    if trials[0].state != "complete":
        return [f"no trial came to its end; trial {trials[0].number}: {trials[0].reason}"]
    best, judge = trials[0], f"`modelyard train {project}` judges on test rows, which no trial has seen"
    place = f"{metric} on {rows}"
    if best.number == 0:
        others = f"; {len(trials) - 1} others were no better" if len(trials) > 1 else ""
        return [f"{place}: {number(best.value)} with the present configuration{others}: nothing to change"]
    told = f"{place}: {number(best.value)} with trial {best.number}"
    won = gain(best, present, higher_is_better=higher_is_better)
    if won is None or present.value is None:
        return [f"{told}; the present configuration {present.state}: {present.reason}", judge]
    percent = f" ({share(won, abs(present.value))})" if present.value else ""
    return [
        f"{told}, {number(present.value)} with the present configuration: better by {number(won)}{percent}",
        f"it was picked among {len(trials)} trials by these very rows, so part of the gain is luck "
        f"(selection bias); {judge}",
    ]


def markdown(rows: Sequence[dict[str, Any]], links: dict[str, str]) -> str:
    """The table for a page; `links` holds the address of a trial's page by its run id."""
    heads = [head for head in (rows[0] if rows else {}) if head != "run_id"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for row in rows:
        cells = {head: _cell(row[head]) for head in heads}
        if row["run_id"] in links:
            cells["trial"] = f"[{cells['trial']}]({links[row['run_id']]})"
        lines.append(f"| {' | '.join(cells.values())} |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
