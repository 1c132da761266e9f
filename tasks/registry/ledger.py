"""The ledger of a model: every move of its aliases, with the evidence, appended and never changed.

`ROOT/mlflow/ledger/MODEL.jsonl` holds one line an entry. Each line carries the sha256 of the one
before, so that a line that was changed or taken out shows. A move is two entries: `intent` before
the aliases are touched, `done` after they read as intended; what lies between them is a crash, and
whoever comes next settles it. Only the holder of the model's lock writes.
"""

from __future__ import annotations

import dataclasses
import getpass
import hashlib
import json
import math
import os
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tasks import store
from tasks.records import EvaluateRecord, to_json
from tasks.registry.versions import CHAMPION, FINGERPRINT, METRIC, SPLIT

Phase = Literal["intent", "done", "abandoned", "found", "superseded"]
Action = Literal["register", "promote", "rollback", "by hand", "begin"]
Moves = dict[str, tuple[int | None, int | None]]
"""Versions that an alias left and reached, by alias; None is no version."""

MOVED = ("done", "found", "superseded")
"""Phases whose moves took place."""

WHY_LIMIT = 1000
"""Characters of a reason that are kept."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a version's evaluation found, and on which rows; numbers are None where undefined."""

    metric: str
    higher_is_better: bool
    target: str
    value: float | None
    low: float | None
    high: float | None
    verdicts: dict[str, str]
    fingerprint: str = ""
    split: str = ""

    def comparable(self, other: Evidence) -> bool:
        """Whether both were measured alike on the same test rows."""
        same = ("metric", "higher_is_better", "target", "fingerprint", "split")
        known = self.fingerprint and self.split
        return bool(known) and all(getattr(self, name) == getattr(other, name) for name in same)

    def beats(self, other: Evidence) -> bool:
        """Whether the value is better than the other's; a tie and an undefined value never are."""
        mine, theirs = self.value, other.value
        if mine is None or theirs is None:
            return mine is not None
        return mine > theirs if self.higher_is_better else mine < theirs


def evidence_tag(evaluated: EvaluateRecord, target: str) -> str:
    """The tag `modelyard.metric` of a version: the candidate's score and its verdicts, as JSON."""
    score = evaluated.score("candidate")
    numbers = {name: _defined(getattr(score, name)) for name in ("value", "low", "high")}
    verdicts = {verdict.against: verdict.verdict for verdict in evaluated.verdicts}
    known = {"metric": evaluated.metric, "higher_is_better": evaluated.higher_is_better, "target": target}
    return json.dumps({**known, **numbers, "verdicts": verdicts})


def evidence_of(tags: Mapping[str, str]) -> Evidence | None:
    """The evidence that a version's tags hold; None where they hold none that can be read."""
    try:
        stored = json.loads(tags[METRIC])
        numbers = {name: _defined(stored[name]) for name in ("value", "low", "high")}
        rows = {"fingerprint": tags.get(FINGERPRINT, ""), "split": tags.get(SPLIT, "")}
        return Evidence(**{**stored, **numbers, **rows})
    except (KeyError, TypeError, ValueError):
        return None


def _defined(value: float | None) -> float | None:
    # MLflow stores infinity as the largest float.
    if value is None or not math.isfinite(value) or abs(value) >= sys.float_info.max:
        return None
    return float(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a ledger.

    Attributes:
        seq: Number of the entry, from 1.
        time: When it was written, ISO 8601 in UTC; never before the entry above it.
        version: The version that it is about.
        moves: What it moves: for `abandoned` what it did not.
        who: user@host.
        run_id: MLflow run that made the version; a number may be given twice, a run id never.
        previous: sha256 of the line above, empty for the first.
    """

    seq: int
    time: str
    model: str
    version: int | None
    phase: Phase
    action: Action
    moves: Moves
    who: str
    why: str
    run_id: str | None
    flow_run_id: str | None
    evidence: Evidence | None
    previous: str


@dataclasses.dataclass(frozen=True)
class Held:
    """A version that was champion; the run tells it from another that got the same number."""

    version: int | None
    run_id: str | None


class Ledger:
    """A model's ledger as it was read, and as it is appended to under the model's lock.

    Attributes:
        entries: In the order of their lines.
        problems: What is wrong with its lines, in words; it is read all the same.
        tips: sha256 of each line, after that of the empty ledger.
    """

    def __init__(self, root: Path, model: str) -> None:
        self.path = root / "mlflow" / "ledger" / f"{model}.jsonl"
        self.model = model
        self.entries: list[Entry] = []
        self.problems: list[str] = []
        self.tips = [""]
        content = self.path.read_bytes() if self.path.exists() else b""
        self._whole = content.rfind(b"\n") + 1  # a line without an end was cut by a crash: not written
        for number, line in enumerate(content[: self._whole].split(b"\n")[:-1], start=1):
            self._take(number, line)

    def _take(self, number: int, line: bytes) -> None:
        try:
            entry = _read(line)
        except (ValueError, KeyError, TypeError, AttributeError):
            self.problems.append(f"line {number} can't be read")
        else:
            if entry.previous != self.tip:
                self.problems.append(f"line {number} does not follow the line above: one was changed or lost")
            self.entries.append(entry)
        self.tips.append(hashlib.sha256(line).hexdigest())

    def append(
        self,
        phase: Phase,
        action: Action,
        moves: Moves,
        *,
        version: int | None,
        why: str,
        run_id: str | None = None,
        flow_run_id: str | None = None,
        evidence: Evidence | None = None,
    ) -> Entry:
        """Writes an entry in one piece and flushes it to the disk."""
        entry = Entry(
            seq=self.entries[-1].seq + 1 if self.entries else 1,
            time=self._now(),
            model=self.model,
            version=version,
            phase=phase,
            action=action,
            moves=moves,
            who=who(),
            why=why[:WHY_LIMIT],
            run_id=run_id,
            flow_run_id=flow_run_id,
            evidence=evidence,
            previous=self.tip,
        )
        line = as_text(entry).encode()
        self._write(line + b"\n")
        self.entries.append(entry)
        self.tips.append(hashlib.sha256(line).hexdigest())
        return entry

    def _now(self) -> str:
        # Entries are ordered by number; a clock that was set back must not turn the order around.
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        return max(now, self.entries[-1].time) if self.entries else now

    def _write(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.ftruncate(handle, self._whole)  # takes away what a crash cut
            written = os.write(handle, line)
            if written < len(line):
                raise OSError(28, "the entry was cut", str(self.path))
            os.fsync(handle)
        finally:
            os.close(handle)
        if not self._whole:
            store.flush(self.path.parent)
        self._whole += len(line)

    @property
    def tip(self) -> str:
        """sha256 of the last line."""
        return self.tips[-1]

    @property
    def interrupted(self) -> Entry | None:
        """The intent that nothing settled yet: always the last entry."""
        last = self.entries[-1] if self.entries else None
        return last if last is not None and last.phase == "intent" else None

    def replay(self) -> dict[str, int]:
        """The aliases as the moves leave them."""
        aliases: dict[str, int] = {}
        for entry in self.entries:
            for alias, (_, to) in entry.moves.items() if entry.phase in MOVED else ():
                if to is None:
                    aliases.pop(alias, None)
                else:
                    aliases[alias] = to
        return aliases

    def held(self) -> list[Held]:
        """Every version that ever became champion, in the order of the moves."""
        return [Held(entry.moves[CHAMPION][1], entry.run_id) for entry in self._reigns()]

    def _reigns(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.phase in MOVED and CHAMPION in entry.moves]

    def champions(self) -> list[Held]:
        """Who would be champion after one rollback, two, ...: the present one last.

        A promotion puts a version on top; a rollback takes everything above its goal away, so that
        a second one goes further back and never forth.
        """
        stack: list[Held] = []
        for entry in self._reigns():
            held = Held(entry.moves[CHAMPION][1], entry.run_id)
            if entry.action == "rollback" and held in stack:
                while stack[-1] != held:
                    stack.pop()
            else:
                stack.append(held)
        return stack

    def at(self, moment: datetime) -> Entry | None:
        """The entry that made the version champion which was so at `moment`; None before the first."""
        before = [entry for entry in self._reigns() if datetime.fromisoformat(entry.time) <= moment]
        return before[-1] if before else None


def _read(line: bytes) -> Entry:
    """The entry of a line. Raises TypeError, KeyError or ValueError where it is none of ours."""
    data = json.loads(line)
    moves = {alias: (_number(old), _number(new)) for alias, (old, new) in data["moves"].items()}
    evidence = None if data["evidence"] is None else Evidence(**data["evidence"])
    entry = Entry(**{**data, "moves": moves, "evidence": evidence})
    if _number(entry.seq) is None or datetime.fromisoformat(entry.time).tzinfo is None:
        raise ValueError("an entry has a number, and a time with its zone")
    _number(entry.version)
    return entry


def _number(value: int | None) -> int | None:
    if value is not None and type(value) is not int:
        raise TypeError("a version is a whole number")
    return value


def as_text(entry: Entry) -> str:
    """An entry as the one line that the ledger holds."""
    return json.dumps(to_json(entry), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def who() -> str:
    """The person and the machine: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
