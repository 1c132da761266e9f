"""Step before all others when a project is retrained: whether there is a reason to train again.

Quick on purpose: it hashes the data and reads no row of it, unless drift or a floor is to be measured.
Training the same data by the same configuration again would give the same model or the same rejection,
so one of them has to have changed; fresh rows that an earlier training answered are no reason twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import task
from pydantic import TypeAdapter

from tasks import config as configuration
from tasks import sources
from tasks.config import Columns, Retrain, Source, Task
from tasks.drift.measuring import Measured, measure
from tasks.errors import ConfigError, DataError, DataFormatError
from tasks.records import DecideRecord, Drift, ModelVersion, Standing, Step, Training
from tasks.wording import listed, number

NAMED = 3
"""Columns that drifted which a reason names."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What speaks for and against training again, besides the fresh rows.

    Attributes:
        rules: What counts.
        fingerprint: Of the data as it is now.
        settings: Digest of the configuration as it is now.
        code: Digest of the library's source and of versions as they are now.
        last: The last training that came to its end.
        champion: The present one, if there is one.
        automatic: Whether a model that passes becomes champion by itself.
        now: The time.
    """

    rules: Retrain
    fingerprint: str
    settings: str
    code: str
    last: Training
    champion: ModelVersion | None
    automatic: bool
    now: datetime

    @property
    def same_data(self) -> bool:
        """Whether the last training saw these bytes."""
        return self.fingerprint == self.last.fingerprint

    @property
    def days(self) -> float:
        """Age of the champion in days."""
        return 0.0 if self.champion is None else self.since(self.champion.created)

    def since(self, when: str | None) -> float:
        """Days since a time in ISO 8601; none if the clock went back."""
        gone = timedelta() if when is None else self.now - datetime.fromisoformat(when)
        return max(gone.total_seconds(), 0.0) / 86400


@task(name="decide")
def decide(
    source: Source,
    rules: Retrain,
    columns: Columns,
    target: str,
    kind: Task,
    metric: str,
    seed: int,
    project: Path,
    settings: str,
    code: str,
    last: Training | None,
    champion: ModelVersion | None,
    profile: dict[str, Any] | None,
    automatic: bool,
    force: bool,
    now: datetime,
) -> DecideRecord:
    """Decides whether to train.

    Args:
        source: Where the rows come from; paths are relative to `project`.
        rules: What counts as a reason.
        columns: How declared columns are read.
        target: Column to predict.
        kind: Of the task.
        metric: The project's.
        seed: Of the resamples.
        project: Folder of the project.
        settings: Digest of the configuration, as far as it makes the model and judges it.
        code: Digest of the library's source and of the versions of what computes.
        last: The last training that came to its end.
        champion: The present one, with its bundle where a floor is to be measured.
        profile: Of the rows that the champion learned from, where its run kept one.
        automatic: Whether a model that passes becomes champion by itself.
        force: Whether to train in any case.
        now: The time, with its zone.

    Raises:
        ArtifactTampered: The champion's files are not what its manifest says.
        ConfigError: There is no data at the source's path.
        DataError: The data or the fresh rows can't be read.
    """
    began = time.perf_counter()
    content, measured = sources.fingerprint(source, project), Measured()
    if force:
        train, reasons = True, ["it was asked for: --force"]
    elif last is None:
        train, reasons = True, ["first time: no training of this project has come to its end"]
    else:
        case = Case(
            rules=rules,
            fingerprint=content,
            settings=settings,
            code=code,
            last=last,
            champion=champion,
            automatic=automatic,
            now=now,
        )
        train, reasons = False, cooling(case)
        if not reasons:
            fresh = fresh_rows(case, source, project)
            if champion is not None and fresh is not None:
                with _named(rules):
                    measured = measure(
                        rules, champion, profile, fresh, project, columns, target, kind, metric, seed
                    )
            train, reasons = weigh(case, measured)
    step = Step(name="decide", seconds=round(time.perf_counter() - began, 3), why="every run decides anew")
    return DecideRecord(
        step=step,
        train=train,
        reasons=tuple(reasons),
        fingerprint=content,
        settings=settings,
        last=last,
        champion=champion,
        fresh=measured.fresh,
        drift=measured.drift,
        standing=measured.standing,
        warnings=measured.warnings,
    )


def cooling(case: Case) -> list[str]:
    """Why it is too early for any training; empty when it is not."""
    over = datetime.fromisoformat(case.last.ended) + timedelta(hours=case.rules.cool_down_hours)
    if case.now >= over:
        return []
    hours = number(case.rules.cool_down_hours)
    return [f"cooling down until {_moment(over)}: {_told(case.last)} (retrain.cool_down_hours is {hours})"]


def fresh_rows(case: Case, source: Source, project: Path) -> Source | None:
    """The rows to measure on, None where nothing is to be measured or nothing is fresh.

    Raises:
        DataFormatError: There is nothing at `retrain.fresh`.
    """
    if case.rules.drift is None and case.rules.floor is None:
        return None
    if case.rules.fresh is None:
        return None if case.same_data else source
    try:
        own = source.model_dump(mode="json")
        found = configuration.source_at(project / case.rules.fresh, "retrain.fresh", own)
    except ConfigError as error:
        raise DataFormatError(error.message, fix="put recent rows there") from None
    fresh: Source = TypeAdapter(Source).validate_python(found)
    return fresh


def weigh(case: Case, measured: Measured) -> tuple[bool, list[str]]:
    """Whether to train, and every reason for that; else every reason against it."""
    reasons = [*_changes(case), *_wear(case, measured)]
    return (True, reasons) if reasons else (False, list(_against(case, measured)))


def _changes(case: Case) -> Iterator[str]:
    """Reasons to expect another outcome than the last time."""
    last, present = case.last, case.champion.version if case.champion else None
    if case.rules.new_data and not case.same_data:
        before = f"{_told(last)} on {last.fingerprint[:12]}"
        yield f"new data: its fingerprint is {case.fingerprint[:12]}, {before}"
    if case.settings != last.settings:
        yield f"changed configuration: {_told(last)} with another one"
    if last.outcome == "rejected" and last.seen != present:
        yield f"another champion: {_told(last)} against {_version(last.seen)}, now it is {_version(present)}"
    if last.outcome != "rejected" and present is None and case.automatic:
        yield f"no champion: {_told(last)}, but no version bears the alias any more"


def _wear(case: Case, measured: Measured) -> Iterator[str]:
    """Reasons to want another champion."""
    limit = case.rules.max_age_days
    # A young training under an old champion was held against it: the same again would end the same.
    if limit is not None and case.champion and min(case.days, case.since(case.last.ended)) > limit:
        yield f"{_aged(case)} (retrain.max_age_days is {number(limit)})"
    if _answered(case, measured):
        return
    if measured.drift is not None and measured.drift.moved:
        yield _moved(measured.drift)
    if measured.standing is not None and not measured.standing.held:
        yield _stands(measured.standing)


def _against(case: Case, measured: Measured) -> Iterator[str]:
    """What was looked at and is no reason."""
    if case.same_data:
        yield f"same data and configuration as when {_told(case.last)}"
    else:
        yield f"same configuration as when {_told(case.last)}"
        yield "the data is new, which is no reason by itself (retrain.new_data is off)"
    yield _aged(case) if case.champion else "there is no champion"
    answered = ", which that training answered" if _answered(case, measured) else ""
    if measured.drift is not None:
        yield _moved(measured.drift) + (answered if measured.drift.moved else "")
    if measured.standing is not None:
        yield _stands(measured.standing) + ("" if measured.standing.held else answered)
    if case.code != case.last.code:
        yield "code or libraries changed since, which is no reason by itself (--force trains)"


def _answered(case: Case, measured: Measured) -> bool:
    """Whether these very rows were measured before the last training, and nothing else is new."""
    return measured.fresh is not None and (measured.fresh, case.fingerprint, case.settings) == (
        case.last.fresh,
        case.last.fingerprint,
        case.last.settings,
    )


@contextmanager
def _named(rules: Retrain) -> Iterator[None]:
    """Errors about the fresh rows say that these are meant."""
    try:
        yield
    except DataError as error:
        place = "" if rules.fresh is None else f"retrain.fresh {rules.fresh}: "
        raise type(error)(f"{place}{error.message}", fix=error.fix) from None


def _told(last: Training) -> str:
    word = {"registered": "registered", "rejected": "was rejected", "skipped": "made nothing new"}
    return f"run {last.run_id[:8]} {word[last.outcome]} on {_moment(datetime.fromisoformat(last.ended))}"


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _version(known: int | None) -> str:
    return "no champion" if known is None else f"version {known}"


def _aged(case: Case) -> str:
    assert case.champion is not None
    return f"champion version {case.champion.version} is {case.days:.1f} days old"


def _moved(drift: Drift) -> str:
    told = [f"{shift.column} {shift.psi:.2f}" for shift in drift.columns[: min(drift.moved, NAMED) or 1]]
    bound = f"PSI, more than {number(drift.threshold)} and than chance allows on {drift.rows:,} rows"
    if not drift.moved:
        return f"no drift: {told[0] if told else 'no column'} moved most ({bound}, would count)"
    more = f" and {drift.moved - NAMED} more" if drift.moved > NAMED else ""
    return f"drift: {listed(told) if not more else ', '.join(told) + more} ({bound})"


def _stands(standing: Standing) -> str:
    value, low, high = (number(v) for v in (standing.value, standing.low, standing.high))
    word = "holds" if standing.held else "misses"
    found = f"{standing.metric} {value} ({low} … {high}) on {standing.rows:,} fresh rows"
    return f"the champion's {found} {word} the floor {number(standing.floor)}"
