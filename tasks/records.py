"""What steps hand to each other: small frozen records of paths, digests and counts.

Frames, tensors and handles never travel between steps; a record says where they lie and what their
bytes hash to. Every record is plain data, in JSON too: `to_json` and `from_json` are inverse.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tasks.record_json import from_json, to_json

__all__ = ["from_json", "to_json"]

Status = Literal["ran", "reused"]
Word = Literal["better", "indistinguishable", "worse", "undefined"]
Outcome = Literal["registered", "rejected", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """How one step went: `status` says whether it ran, `why` says why it had to or did not."""

    name: str
    status: Status = "ran"
    seconds: float = 0.0
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One input file: its name, data rows and the sha256 of its uncompressed content.

    A folder with a row a file is one record, too: `members` then names the files, in row order.
    """

    name: str
    rows: int
    sha256: str
    members: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule that was broken, by an expectation of the suite or by a check of ours."""

    rule: str
    severity: Literal["error", "warn"]
    message: str
    column: str | None = None
    count: int | None = None
    rows: tuple[int, ...] = ()
    """Ids of the first offending rows, at most ten."""


@dataclass(frozen=True, kw_only=True)
class ValidateRecord:
    """What `validate` found. `folder` holds the accepted rows as a stored `Dataset`."""

    step: Step
    folder: Path
    fingerprint: str
    files: tuple[FileRecord, ...]
    read: int
    kept: int
    quarantined: int
    reasons: dict[str, int]
    """Quarantined rows by reason."""
    findings: tuple[Finding, ...]
    """Warnings that were carried on; an error never leaves a record."""
    expectations: int
    columns: tuple[str, ...]
    types: dict[str, str]
    """Type of each column, declared or inferred: how every later step and the model read its cells."""


@dataclass(frozen=True, kw_only=True)
class CleanRecord:
    """What `clean` did. read = kept + dropped + quarantined, counted from the raw source on."""

    step: Step
    folder: Path
    digest: str
    read: int
    kept: int
    dropped: int
    quarantined: int
    operations: tuple[tuple[str, int], ...]
    """Each operation in order, with the number of cells or rows that it changed."""


@dataclass(frozen=True, kw_only=True)
class SplitRecord:
    """Which row went where. `folder/parts.parquet` maps each row id to its part.

    `folder/leaks.json` lists the pairs of rows that two parts share, or nearly do.
    """

    step: Step
    folder: Path
    hash: str
    """sha256 over (row id, part) in row order."""
    train: int
    validation: int
    test: int
    near: float = 0.0
    """Share of validation and test rows that are nearly the same as a train row."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One line of the training history."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_metric: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class FitRecord:
    """A trained network. `folder` is the bundle that would be registered."""

    step: Step
    folder: Path
    digest: str
    """sha256 of the weights file."""
    state_hash: str
    """sha256 of everything that was fitted besides the weights; depends on train rows only."""
    device: str
    precision: str
    parameters: int
    best_epoch: int
    train_seconds: float
    stopped: str
    """Why training ended: epochs, early, minutes."""
    history: tuple[Epoch, ...]
    taken_up: int = 0
    """Epochs that a run before this one had trained when it was stopped or died."""
    rows_at_once: int | None = None
    """Rows of a batch that were computed at once, where memory did not suffice for the whole batch."""
    learned_from: tuple[str, ...] = ("train",)
    """Parts whose rows the weights have learned from; a refit adds validation."""
    balanced: bool = False
    """Whether rare classes weighed more."""
    warnings: tuple[str, ...] = ()
    base: dict[str, str] = field(default_factory=dict)
    """The pretrained model that training began with: name, licence, sha256, and `frozen`, the number of its
    parameters that stayed as they were. Empty for none."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One rung on the test rows. `value` is the project's metric with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    rows: int = 0
    """Test rows that it was judged on: all of them, or of a champion those that it did not learn from."""
    seconds: float = 0.0
    note: str = ""
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The candidate against one rung; `difference` > 0 always means that the candidate is better."""

    against: str
    verdict: Word
    difference: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class SliceScore:
    """The candidate on the test rows where `column` has `value`."""

    column: str
    value: str
    rows: int
    score: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """One criterion of the gate, with the numbers that decided it."""

    criterion: str
    passed: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class EvaluateRecord:
    """The ladder. `folder` holds `predictions.parquet`, and `labels.parquet`: train rows to look at."""

    step: Step
    folder: Path
    metric: str
    higher_is_better: bool
    rows: int
    scores: tuple[Score, ...]
    verdicts: tuple[Verdict, ...]
    slices: tuple[SliceScore, ...]
    gate: tuple[GateResult, ...]
    warnings: tuple[str, ...] = ()
    method: str = ""
    """How the intervals of the metric are made."""

    @property
    def fewer(self) -> tuple[Score, ...]:
        """Models that were judged on fewer rows than the others: their scores can't be compared."""
        return tuple(score for score in self.scores if 0 < score.rows < self.rows)

    @property
    def passed(self) -> bool:
        """Whether every criterion of the gate held."""
        return all(result.passed for result in self.gate)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the gate refused; empty when it did not."""
        return tuple(result.reason for result in self.gate if not result.passed)

    def score(self, name: str) -> Score:
        """The rung called `name`. Raises KeyError when the ladder has none."""
        for score in self.scores:
            if score.name == name:
                return score
        raise KeyError(name)


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One version in the registry. `folder` is its bundle, fetched, when it was asked for."""

    name: str
    version: int
    aliases: tuple[str, ...] = ()
    run_id: str | None = None
    inputs: str | None = None
    """Digest of everything that made it; the same inputs never make a second version."""
    folder: Path | None = None
    created: str | None = None
    """When it was made: ISO 8601, UTC."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training that came to its end, as its MLflow run tells it."""

    run_id: str
    outcome: Outcome
    ended: str
    """ISO 8601, UTC."""
    fingerprint: str
    settings: str
    """Digest of the configuration, as far as it makes the model and judges it."""
    code: str
    """Digest of the library's source and of the versions of what computes."""
    seen: int | None
    """Version that was champion when the candidate was judged."""
    fresh: str | None
    """Fingerprint of the fresh rows that were the reason for it, among others."""


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How far one column moved."""

    column: str
    psi: float
    """Population stability index."""
    chance: float
    """What it would hardly exceed by chance, with so few rows."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Fresh rows against those that the champion learned from."""

    rows: int
    trained_on: int
    threshold: float
    moved: int
    """Columns that drifted: beyond the threshold and beyond chance."""
    columns: tuple[Shift, ...]
    """Those that moved most, first the furthest."""
    unfamiliar: dict[str, int] = field(default_factory=dict)
    """Column to how many cells training saw nothing like: a new category, or a gap where it saw none."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The champion on fresh rows, by the project's metric with its 95 % interval."""

    metric: str
    value: float
    low: float
    high: float
    rows: int
    floor: float
    held: bool


@dataclass(frozen=True, kw_only=True)
class DecideRecord:
    """Whether to train, and why; `reasons` speak for whatever was decided."""

    step: Step
    train: bool
    reasons: tuple[str, ...]
    fingerprint: str
    settings: str
    last: Training | None
    champion: ModelVersion | None
    fresh: str | None
    """Fingerprint of the rows that drift and floor were measured on."""
    drift: Drift | None
    standing: Standing | None
    warnings: tuple[str, ...]
    """What could not be measured."""


@dataclass(frozen=True, kw_only=True)
class RunRef:
    """One MLflow run, by address: an argument wherever something is logged, never ambient state."""

    uri: str
    """Tracking URI of the store."""
    experiment_id: str
    run_id: str


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """What could be done after a rejection. `command` is None where no command helps."""

    command: str | None
    why: str


@dataclass(frozen=True, kw_only=True)
class RegisterRecord:
    """What `register` did."""

    step: Step
    outcome: Outcome
    reasons: tuple[str, ...]
    model: ModelVersion | None
    next: tuple[Suggestion, ...] = ()
    """After a rejection what could pass, the nearest first."""


Fact = str | int | float | bool
"""What a step of a project's own may tell of itself."""


@dataclass(frozen=True, kw_only=True)
class ExtraRecord:
    """What a step of a project's own told; `folder` holds the files that it wrote."""

    step: Step
    folder: Path
    run: str
    """Its import path."""
    facts: dict[str, Fact]
