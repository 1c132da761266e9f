"""How a run looks on a terminal, and in a pipe: plain lines, no colour, no bars."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from flows import outcome
from flows.audience import Audience
from tasks.records import CleanRecord, DecideRecord, Epoch, EvaluateRecord, FitRecord, RegisterRecord, RunRef

STEPS = ("decide", "validate", "clean", "split", "fit", "evaluate", "register")
PIPE_WIDTH = 120
COLOURS = {"better": "green", "worse": "red", "registered": "green", "rejected": "yellow", "skipped": "cyan"}


def console(*, stderr: bool = False) -> Console:
    """A console on standard output, or on standard error; wide enough for tables when piped."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False
    )


class Watcher(Audience):
    """A line for each step that ends; on a terminal a spinner, and a bar while a network trains."""

    def __init__(self, out: Console) -> None:
        self.out = out
        self.flow_run_id: str | None = None
        self.begun = 0
        self._step = ""
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def started(self, run: RunRef, flow_run_id: str) -> None:
        """Names the run."""
        self.flow_run_id = flow_run_id
        self.out.print(f"run {run.run_id}", style="dim")

    def waits(self, why: str) -> None:
        """Says what is waited for."""
        self.out.print(escape(why), style="dim", soft_wrap=True)

    def begin(self, step: str) -> None:
        """Shows that the step is at work; off a terminal nothing."""
        self.begun += 1
        self._step = step
        if not self.out.is_terminal:
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        # Ten times a second, as by default, is 3 % of the CPU that trains.
        self._bar = Progress(*columns, console=self.out, transient=True, refresh_per_second=3)
        self._task = self._bar.add_task(step, total=None)
        self._bar.start()

    def epoch(self, epoch: Epoch, total: int) -> None:
        """Moves the bar."""
        if self._bar is None or self._task is None:
            return
        text = f"{self._step}  {progress(epoch, total)}"
        self._bar.update(self._task, total=total, completed=epoch.epoch, description=text)

    def end(self, record: Any) -> None:
        """Prints the step's line: tick, name, seconds, what matters."""
        self._stop()
        self.out.print(f"[green]✓[/] {escape(line(record))}", soft_wrap=True)
        for warning in warnings(record):
            self.out.print(f"  [yellow]![/] {escape(warning)}", soft_wrap=True)

    def failed(self, step: str) -> None:
        """Prints the cross; the error itself is printed once, at the end."""
        self._stop()
        self.out.print(f"[red]✗[/] {step}")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Shows a step at work that no flow tells about."""
        self.begin(name)
        try:
            yield
        except BaseException:
            self.failed(name)
            raise

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None


def line(record: Any) -> str:
    """A step that ended: its name, how long it took, and what matters about it."""
    step = record.step
    how = f"{step.seconds:6.1f} s" if step.status == "ran" else "  reused"
    return f"{step.name:<9}{how}  {facts(record)}"


def warnings(record: Any) -> list[str]:
    """What a step wants to be known, besides its line."""
    return [*getattr(record, "warnings", ()), *(f.message for f in getattr(record, "findings", ()))]


def progress(epoch: Epoch, total: int) -> str:
    """How far a training is."""
    return f"epoch {epoch.epoch}/{total}  loss {epoch.validation_loss:.4f}"


def facts(record: Any) -> str:
    """What a step's line says about its record."""
    describe = _FACTS.get(record.step.name)
    if describe is None:  # a step of the project's own
        return ", ".join(f"{key} {value}" for key, value in getattr(record, "facts", {}).items())
    return describe(record)


def _decide_facts(record: DecideRecord) -> str:
    return f"{'train' if record.train else 'skip'}: {'; '.join(record.reasons)}"


def _clean_facts(record: CleanRecord) -> str:
    changed = ", ".join(f"{operation} {count:,}" for operation, count in record.operations if count)
    return f"{record.kept:,} rows kept, {record.dropped:,} dropped" + (f" ({changed})" if changed else "")


def _fit_facts(record: FitRecord) -> str:
    epochs = f"best epoch {record.best_epoch} of {len(record.history)}"
    taken_up = f", taken up after epoch {record.taken_up}" if record.taken_up else ""
    return f"{record.parameters:,} parameters on {record.device}, {epochs}{taken_up}"


def _evaluate_facts(record: EvaluateRecord) -> str:
    passed = sum(result.passed for result in record.gate)
    return f"{len(record.scores)} rungs on {record.rows:,} rows, gate {passed} of {len(record.gate)} passed"


def _register_facts(record: RegisterRecord) -> str:
    if record.model is None:
        return record.outcome
    aliases = f" ({', '.join(record.model.aliases)})" if record.model.aliases else ""
    return f"{record.outcome} {record.model.name} version {record.model.version}{aliases}"


_FACTS: dict[str, Callable[[Any], str]] = {
    "decide": _decide_facts,
    "validate": lambda r: (
        f"{r.read:,} rows read, {r.quarantined:,} quarantined, {r.expectations} expectations"
    ),
    "clean": _clean_facts,
    "split": lambda r: f"{r.train:,} train, {r.validation:,} validation, {r.test:,} test",
    "fit": _fit_facts,
    "evaluate": _evaluate_facts,
    "register": _register_facts,
}


def show_summary(out: Console, summary: dict[str, Any]) -> None:
    """The ladder, the reasons, the model, the report and what to do next; as far as there is any."""
    out.print()
    if summary["scores"]:
        title = f"{summary['project']}: {summary['metric']} on {outcome.judged(summary):,} test rows"
        out.print(table(title, outcome.ladder(summary["scores"], summary["verdicts"])))
    word = summary["outcome"]
    model = f"  {outcome.describe_model(summary['model'])}" if summary["model"] else ""
    out.print(f"[bold {COLOURS.get(word, 'white')}]{word}[/]{escape(model)}", soft_wrap=True)
    for reason in summary["reasons"]:
        out.print(f"  {escape(reason)}", soft_wrap=True)
    if summary["report"]:
        out.print(f"report  {escape(summary['report'])}", soft_wrap=True)
    out.print(f"run     {summary['run_id']}   {summary['seconds']:.1f} s", soft_wrap=True)
    for command, why in outcome.advice(summary):
        out.print(f"next    {escape(command or why)}", soft_wrap=True)
        if command:
            out.print(f"        {escape(why)}", style="dim", soft_wrap=True)
    out.print("next    modelyard ui     opens the pages of MLflow and Prefect", soft_wrap=True)


def show_steps(out: Console, summary: dict[str, Any]) -> None:
    """Each step of a finished run with its status, its time and why it ran or did not."""
    rows = [
        {"step": s["name"], "status": s["status"], "seconds": f"{s['seconds']:.1f}", "why": s["why"]}
        for s in summary["steps"]
    ]
    out.print(table("", rows))


def show_plain(out: Console, values: dict[str, Any]) -> None:
    """A record as indented lines, key by key."""
    out.print_json(data=values, highlight=out.is_terminal)


def table(title: str, rows: list[dict[str, str]]) -> Table:
    """A table with the keys of the first row as heads; numbers stand to the right."""
    made = Table(title=title or None, title_justify="left", title_style="bold", header_style="bold")
    for head in rows[0] if rows else []:
        right = head in ("value", "interval", "by", "rows", "version", "seconds")
        made.add_column(head, justify="right" if right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape(str(cell)) for cell in row.values()))
    return made
