"""Who becomes champion: a candidate that passed its gate, a version that a person names, the one before.

Each decision is taken inside the model's critical section (`moving`), against the aliases as they
are there, and stands in the ledger with its evidence.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from tasks.errors import RegistryConflict, quoted
from tasks.records import ModelVersion
from tasks.registry import backend, fetching, moving, versions
from tasks.registry.ledger import Entry, Evidence, Held, Ledger, evidence_of
from tasks.registry.moving import LEDGER, Section, holding
from tasks.registry.versions import CHALLENGER, CHAMPION, DECISION, FAILED
from tasks.wording import number as worded


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    """What became of a version. `entry` is None where nothing had to be done."""

    model: ModelVersion
    outcome: Literal["promoted", "challenger", "superseded"]
    entry: Entry | None
    reason: str = ""


def admit(
    uri: str,
    root: Path,
    known: ModelVersion,
    *,
    seen: int | None,
    to_champion: bool,
    flow_run_id: str | None = None,
) -> Decision:
    """Moves `challenger`, and `champion` if asked, to a version that passed its gate and its trial.

    A second time changes nothing. Where another version became champion since the candidate was
    judged, the better of the two by recorded evidence on the same test rows is champion in the end.

    Args:
        uri: Tracking URI.
        root: Folder that holds `mlflow/`.
        known: The version.
        seen: Version that was champion when the candidate was compared with it, None if none was.
        to_champion: Whether it becomes champion, or stays challenger for a person to decide.
        flow_run_id: Prefect's flow run that asks.

    Raises:
        RegistryConflict: The champion is another one than `seen` and can't be compared, or the lock
            was not to be had.
        Unavailable: The registry can't be reached.
    """
    with holding(uri, root, known.name) as section:
        decided = _decided(section.ledger, known)
        if decided is not None:
            section.mark(known.version, decided)
            return _decision(section, known, None, decided)
        better, reason = _against_present(section, known, seen)
        goal = {CHALLENGER: known.version}
        if to_champion and better:
            goal[CHAMPION] = known.version
        entry = section.move(
            "register",
            known.version,
            goal,
            why=reason or "passed its gate",
            flow_run_id=flow_run_id,
            phase="done" if better else "superseded",
        )
        return _decision(section, known, entry, entry)


def _decided(ledger: Ledger, known: ModelVersion) -> Entry | None:
    """What was decided about a candidate before a crash kept it from being tagged."""
    about = [e for e in ledger.entries if e.action == "register" and e.phase in ("done", "superseded")]
    same = [e for e in about if (e.version, e.run_id) == (known.version, known.run_id)]
    return same[-1] if same else None


def _decision(section: Section, known: ModelVersion, entry: Entry | None, said: Entry) -> Decision:
    outcome: Literal["promoted", "challenger", "superseded"] = "challenger"
    if said.phase == "superseded":
        outcome = "superseded"
    elif section.champion == known.version:
        outcome = "promoted"
    reason = said.why if outcome == "superseded" else ""
    return Decision(model=_now(section, known), outcome=outcome, entry=entry, reason=reason)


def _now(section: Section, known: ModelVersion) -> ModelVersion:
    return dataclasses.replace(known, aliases=versions.borne(section.aliases, known.version))


def _against_present(section: Section, known: ModelVersion, seen: int | None) -> tuple[bool, str]:
    """Whether a candidate may replace the present champion, and why, if that is not the one it met."""
    present = section.champion
    if present in (seen, known.version):
        return True, ""
    mine = evidence_of(section.entry(known.version).tags)
    theirs = None if present is None else evidence_of(section.entry(present).tags)
    if mine is None or theirs is None or not mine.comparable(theirs):
        raise RegistryConflict(
            f"model {quoted(known.name)}: the candidate was compared with {_named(seen)}, but by now "
            f"{_named(present)} is champion; version {known.version} was left without alias",
            fix="train again, to compare with the present champion",
        )
    better = mine.beats(theirs)
    word = "better than" if better else "superseded by"
    return better, f"{word} version {present}: {_numbers(mine, theirs)}"


def promote(uri: str, root: Path, name: str, number: int, *, why: str = "", force: bool = False) -> Decision:
    """Makes a version champion because a person says so; the champion once more changes nothing.

    Args:
        uri: Tracking URI.
        root: Folder that holds `mlflow/` and `.state/`.
        name: The registered model.
        number: The version.
        why: What the ledger keeps as the reason.
        force: Also a version that is worse than the champion on the same test rows.

    Raises:
        RegistryConflict: There is no such version, it never passed its trial, or it is worse.
        ArtifactTampered: Its files are not the ones that were registered.
    """
    with holding(uri, root, name) as section:
        known = _verified(uri, root, name, number)
        _check_decided(section, known)
        present = section.champion
        if present == number:
            return Decision(model=_now(section, known), outcome="promoted", entry=None)
        worse = _worse(section, number, present)
        if worse and not force:
            raise RegistryConflict(
                f"model {quoted(name)}: {worse}",
                fix="`modelyard rollback` goes back on purpose; --force promotes it all the same",
            )
        reasons = [why, f"forced: {worse}" if worse else ""]
        entry = section.move("promote", number, {CHAMPION: number}, why="; ".join(filter(None, reasons)))
        return _decision(section, known, entry, entry)


def _verified(uri: str, root: Path, name: str, number: int) -> ModelVersion:
    return fetching.version(uri, name, number, root / ".state" / "models")


def _check_decided(section: Section, known: ModelVersion) -> None:
    """Refuses a version that its trial failed, or that a crash left before the trial ended."""
    tags = section.entry(known.version).tags
    decision = tags.get(DECISION)
    held = Held(known.version, known.run_id)
    if decision is None and held not in section.ledger.held() and _decided(section.ledger, known) is None:
        raise RegistryConflict(
            f"version {known.version} of model {quoted(known.name)} was left undecided: its trial in a "
            "fresh process did not end",
            fix=f"`modelyard register --from-run {(known.run_id or 'RUN')[:12]}` finishes it",
        )
    if decision == FAILED:
        raise RegistryConflict(
            f"version {known.version} of model {quoted(known.name)} failed its trial in a fresh process: "
            f"{tags.get('modelyard.failure', 'no reason was kept')}",
            fix="train again",
        )


def _worse(section: Section, number: int, present: int | None) -> str:
    """In which numbers a version is worse than the champion, on the same test rows; empty if not."""
    theirs = None if present is None else versions.get(section.client, section.name, present)
    mine = evidence_of(section.entry(number).tags)
    champions = evidence_of(theirs.tags) if theirs else None
    if mine is None or champions is None or not mine.comparable(champions) or not champions.beats(mine):
        return ""
    return f"version {number} is worse than the champion, version {present}: {_numbers(mine, champions)}"


def rollback(uri: str, root: Path, name: str, *, to: int | None = None, why: str = "") -> Decision:
    """Makes the champion before the present one champion again; twice goes two back, and never forth.

    Args:
        uri: Tracking URI.
        root: Folder that holds `mlflow/` and `.state/`.
        name: The registered model.
        to: An earlier champion to go back to, instead of the one before.
        why: What the ledger keeps as the reason.

    Raises:
        RegistryConflict: There is no such champion in the ledger, or its version is gone.
        ArtifactTampered: Its files are not the ones that were registered.
    """
    with holding(uri, root, name) as section:
        goal = _before(section, to)
        assert goal.version is not None
        known = _verified(uri, root, name, goal.version)
        if known.version == section.champion:
            return Decision(model=_now(section, known), outcome="promoted", entry=None)
        if known.run_id != goal.run_id:
            raise RegistryConflict(
                f"version {known.version} of model {quoted(name)} is not the one that was champion: that was "
                "deleted, and its number was given again",
                fix="see `modelyard history`; go back further with --to",
            )
        entry = section.move("rollback", known.version, {CHAMPION: known.version}, why=why)
        return _decision(section, known, entry, entry)


def _before(section: Section, to: int | None) -> Held:
    present = section.champion
    if to is not None:
        earlier = [held for held in section.ledger.held() if held.version == to]
        problem = f"version {to} was never champion of model {quoted(section.name)}"
    else:
        stack = [held for held in section.ledger.champions() if held.version != present]
        earlier = [held for held in stack if _exists(section, held)]
        before = "" if present is None else f" before {_named(present)}"
        problem = f"model {quoted(section.name)} had no champion{before}"
    if not earlier:
        raise RegistryConflict(
            problem,
            fix="`modelyard history` shows those there were; `modelyard promote` makes any version champion",
        )
    return earlier[-1]


def _exists(section: Section, held: Held) -> bool:
    """Whether it is still there: not deleted, nor its number given to another."""
    if held.version is None:
        return False
    entry = versions.get(section.client, section.name, held.version)
    return entry is not None and (entry.run_id or None) == held.run_id


def examine(uri: str, root: Path, name: str) -> list[str]:
    """What is wrong with a model's aliases and its ledger, a sentence each; changes nothing.

    Raises:
        RegistryConflict: A promotion goes on and does not end.
        Unavailable: The registry can't be reached.
    """
    lock = moving.lock(root, name)
    with backend.locked(lock, waiting_for=f"the registry of {name}"), backend.reaching(uri):
        client, ledger = backend.client(uri), Ledger(root, name)
        aliases, tags = versions.aliases(client, name), versions.model_tags(client, name)
    found = [f"{ledger.path.name}: {problem}" for problem in ledger.problems]
    seq, _, tip = tags.get(LEDGER, "").partition(" ")
    if tip and tip not in ledger.tips:
        found.append(
            f"{ledger.path.name}: entry {seq} is missing, which the registry remembers: it was lost, "
            "or written on another machine"
        )
    open_entry = ledger.interrupted
    if open_entry is not None:
        found.append(
            f"{open_entry.action} of version {open_entry.version} was interrupted on {open_entry.time}; "
            "the next one settles it"
        )
    replayed = ledger.replay()
    intended = open_entry.moves if open_entry else {}
    for alias in (CHAMPION, CHALLENGER) if ledger.entries else ():
        reads, expected = aliases.get(alias), replayed.get(alias)
        if reads not in (expected, intended.get(alias, (None, expected))[1]):
            now, then = (f"version {number}" if number else "none" for number in (reads, expected))
            words = f"it reads {now}, the ledger says {then}"
            found.append(f"alias {alias} was moved by hand: {words}")
    return found


def _numbers(mine: Evidence, theirs: Evidence) -> str:
    return f"{mine.metric} {evidence_words(mine)} against {evidence_words(theirs)} on the same test rows"


def evidence_words(evidence: Evidence) -> str:
    """A version's number with its interval: `0.951 (0.94 … 0.96)`."""
    if evidence.value is None:
        return "undefined"
    interval = f" ({worded(evidence.low)} … {worded(evidence.high)})" if evidence.low is not None else ""
    return f"{worded(evidence.value)}{interval}"


def _named(number: int | None) -> str:
    return "no champion" if number is None else f"version {number}"
