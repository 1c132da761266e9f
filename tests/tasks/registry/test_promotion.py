"""Promotion against a registry of plain dictionaries, so that thousands of sequences take seconds.

`test_races.py` does the same with real stores and real processes.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from tasks.errors import RegistryConflict
from tasks.records import ModelVersion
from tasks.registry import backend, ledger, promotion, versions
from tasks.registry.ledger import Ledger
from tasks.registry.moving import holding

URI = "sqlite:///made.db"
NAME = "prices"
SEQUENCES = 10_000 if os.environ.get("MODELYARD_SLOW_TESTS") else 120
MEMORY = Path("/dev/shm")
REACHED = (
    "killed", "refused", "done register", "done promote", "done rollback", "abandoned register",
    "superseded register", "found by hand",
)  # fmt: skip
EFFECTS = 15
"""Points of a promotion at which it may die: around each entry and each alias, before each tag."""


class Killed(BaseException):
    """What stands in for a process that dies."""


@dataclass
class Fake:
    """MLflow's registry of one model. `fuse` counts effects down; at zero the process dies."""

    aliases: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    entries: dict[int, Any] = field(default_factory=dict)
    made: int = 0
    fuse: int | None = None

    def burn(self) -> None:
        """One step nearer to the crash: before and after each effect."""
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise Killed

    def add(self, value: float | None, rows: str = "f", decision: str | None = "challenger") -> ModelVersion:
        """A version with evidence; the number of the latest is given again once it is deleted."""
        self.made += 1
        number = max(self.entries, default=0) + 1
        tags = {"modelyard.data": rows, "modelyard.split": "s"}
        tags["modelyard.metric"] = json.dumps(
            {
                "metric": "accuracy", "higher_is_better": True, "target": "t", "value": value, "low": 0,
                "high": 1, "verdicts": {},
            }
        )  # fmt: skip
        if decision:
            tags["modelyard.decision"] = decision
        self.entries[number] = SimpleNamespace(
            name=NAME,
            version=str(number),
            tags=tags,
            run_id=f"run {self.made}",
            status="READY",
            creation_timestamp=0,
        )
        return versions.plain(self.entries[number], {})

    def value(self, number: int | None) -> tuple[float | None, str]:
        """A version's number and its rows."""
        tags = self.entries[number].tags
        return json.loads(tags["modelyard.metric"])["value"], tags["modelyard.data"]

    def delete(self, number: int) -> None:
        """As MLflow does: its aliases go with it."""
        del self.entries[number]
        self.aliases = {alias: bearer for alias, bearer in self.aliases.items() if bearer != number}

    def get_registered_model(self, name: str) -> Any:
        return SimpleNamespace(aliases=dict(self.aliases), tags=dict(self.tags))

    def get_model_version(self, name: str, number: str) -> Any:
        if int(number) not in self.entries:
            raise MlflowException("gone", error_code=RESOURCE_DOES_NOT_EXIST)
        return self.entries[int(number)]

    def set_registered_model_alias(self, name: str, alias: str, number: str) -> None:
        self.burn()
        self.aliases[alias] = int(number)
        self.burn()

    def set_model_version_tag(self, name: str, number: str, key: str, value: str) -> None:
        self.burn()
        self.get_model_version(name, number).tags[key] = value

    def set_registered_model_tag(self, name: str, key: str, value: str) -> None:
        self.burn()
        self.tags[key] = value


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    with pretending() as fake:
        yield fake


class pretending:
    """The fake registry in the place of MLflow's, and ledger lines that a crash may cut."""

    def __enter__(self) -> Fake:
        fake, whole = Fake(), Ledger._write

        def written(book: Ledger, line: bytes) -> None:
            fake.burn()
            try:
                fake.burn()
            except Killed:
                whole(book, line[: len(line) // 2])
                raise
            whole(book, line)
            fake.burn()

        def verified(uri: str, root: Path, name: str, number: int) -> ModelVersion:
            if number not in fake.entries:
                raise RegistryConflict(f"model {name!r} has no version {number}")
            return versions.plain(fake.entries[number], fake.aliases)

        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(backend, "client", lambda uri: fake)
        self.patch.setattr(Ledger, "_write", written)
        self.patch.setattr(promotion, "_verified", verified)
        self.patch.setattr(ledger.os, "fsync", lambda handle: None)
        return fake

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


def settle(root: Path) -> None:
    with holding(URI, root, NAME):
        pass


def admit(root: Path, known: ModelVersion, seen: int | None, to_champion: bool = True) -> promotion.Decision:
    return promotion.admit(URI, root, known, seen=seen, to_champion=to_champion, flow_run_id="flow")


def book(root: Path) -> Ledger:
    return Ledger(root, NAME)


def phases(root: Path) -> list[str]:
    return [f"{entry.phase} {entry.action}" for entry in book(root).entries]


def test_a_first_candidate_becomes_champion_and_the_ledger_tells(registry: Fake, tmp_path: Path) -> None:
    known = registry.add(0.8, decision=None)

    decided = admit(tmp_path, known, None)

    assert (decided.outcome, decided.model.aliases) == ("promoted", ("champion", "challenger"))
    assert phases(tmp_path) == ["intent register", "done register"]
    entry = decided.entry
    assert entry is not None
    assert entry.moves == {"challenger": (None, 1), "champion": (None, 1)}
    assert (entry.run_id, entry.flow_run_id, entry.why) == ("run 1", "flow", "passed its gate")
    assert entry.evidence is not None
    assert entry.evidence.value == 0.8
    assert registry.entries[1].tags["modelyard.decision"] == "promoted"
    assert json.loads(registry.entries[1].tags["modelyard.ledger"])["seq"] == 2
    assert registry.tags == {"modelyard.champion": "1", "modelyard.ledger": f"2 {book(tmp_path).tip}"}


def test_a_second_time_changes_nothing(registry: Fake, tmp_path: Path) -> None:
    known = registry.add(0.8)
    admit(tmp_path, known, None)
    before = book(tmp_path).path.read_bytes()

    again = admit(tmp_path, known, None)
    once_more = promotion.promote(URI, tmp_path, NAME, 1)

    assert (again.outcome, again.entry) == ("promoted", None)
    assert (once_more.outcome, once_more.entry) == ("promoted", None)
    assert book(tmp_path).path.read_bytes() == before


def test_the_manual_policy_moves_the_challenger_only(registry: Fake, tmp_path: Path) -> None:
    admit(tmp_path, registry.add(0.8), None)
    decided = admit(tmp_path, registry.add(0.9), 1, to_champion=False)
    assert (decided.outcome, registry.aliases) == ("challenger", {"champion": 1, "challenger": 2})
    assert registry.entries[2].tags["modelyard.decision"] == "challenger"


@pytest.mark.parametrize(("value", "champion"), [(0.9, 3), (0.8, 2), (0.7, 2), (None, 2)])
def test_of_two_that_raced_the_better_one_wins(
    value: float | None, champion: int, registry: Fake, tmp_path: Path
) -> None:
    admit(tmp_path, registry.add(0.5), None)
    first, second = registry.add(0.8), registry.add(value)
    admit(tmp_path, first, 1)

    decided = admit(tmp_path, second, 1)

    assert registry.aliases == {"champion": champion, "challenger": 3}
    assert decided.outcome == ("promoted" if champion == 3 else "superseded")
    last = book(tmp_path).entries[-1]
    if champion == 3:
        assert (
            last.why
            == "better than version 2: accuracy 0.9 (0 … 1) against 0.8 (0 … 1) on the same test rows"
        )
    else:
        assert (last.phase, decided.reason) == ("superseded", last.why)
        assert registry.entries[3].tags["modelyard.decision"] == "superseded by version 2"
    assert book(tmp_path).replay() == registry.aliases


def test_a_champion_that_moved_and_does_not_compare_is_a_conflict(registry: Fake, tmp_path: Path) -> None:
    admit(tmp_path, registry.add(0.5), None)
    admit(tmp_path, registry.add(0.6), 1)
    for known in (registry.add(0.9, rows="g"), registry.add(0.9)):
        if known.version == 4:
            del registry.entries[4].tags["modelyard.metric"]
        with pytest.raises(RegistryConflict, match=r"compared with version 1, but by now version 2"):
            admit(tmp_path, known, 1)
    registry.aliases = {"challenger": 2}
    with pytest.raises(RegistryConflict, match=r"compared with version 1, but by now no champion"):
        admit(tmp_path, registry.add(0.9), 1)
    assert "champion" not in registry.aliases


@pytest.mark.parametrize("fuse", range(EFFECTS + 1))
def test_a_crash_anywhere_is_settled_and_the_candidate_finished(
    fuse: int, registry: Fake, tmp_path: Path
) -> None:
    admit(tmp_path, registry.add(0.5), None)
    known = registry.add(0.8, decision=None)
    registry.fuse = fuse
    try:
        admit(tmp_path, known, 1)
    except Killed:
        pass
    else:
        assert fuse == EFFECTS
        return
    registry.fuse = None
    problems = promotion.examine(URI, tmp_path, NAME)
    assert all("interrupted" in problem for problem in problems)

    settle(tmp_path)

    assert book(tmp_path).replay() == registry.aliases
    assert promotion.examine(URI, tmp_path, NAME) == []
    assert admit(tmp_path, known, 1).outcome == "promoted"
    assert registry.aliases == {"champion": 2, "challenger": 2}
    assert registry.entries[2].tags["modelyard.decision"] == "promoted"
    assert phases(tmp_path).count("done register") == 2
    assert "found by hand" not in phases(tmp_path)


def test_a_crash_says_what_it_left_until_it_is_settled(registry: Fake, tmp_path: Path) -> None:
    registry.fuse = 5  # after the intent and the champion
    with pytest.raises(Killed):
        admit(tmp_path, registry.add(0.5), None)
    registry.fuse = None
    (problem,) = promotion.examine(URI, tmp_path, NAME)
    assert problem.startswith("register of version 1 was interrupted on 2")


def test_a_move_by_hand_is_found_and_named(registry: Fake, tmp_path: Path) -> None:
    for value, seen in ((0.5, None), (0.6, 1), (0.7, 2)):
        admit(tmp_path, registry.add(value), seen)
    registry.aliases["champion"] = 1
    assert promotion.examine(URI, tmp_path, NAME) == [
        "alias champion was moved by hand: it reads version 1, the ledger says version 3"
    ]

    settle(tmp_path)

    assert phases(tmp_path)[-1] == "found by hand"
    assert promotion.examine(URI, tmp_path, NAME) == []
    assert promotion.rollback(URI, tmp_path, NAME).model.version == 3


def test_a_registry_that_is_older_than_the_ledger(registry: Fake, tmp_path: Path) -> None:
    registry.add(0.5)
    registry.add(0.6)
    registry.aliases = {"champion": 1, "challenger": 2}
    assert promotion.examine(URI, tmp_path, NAME) == []

    promotion.promote(URI, tmp_path, NAME, 2, why="it is better")

    assert phases(tmp_path) == ["found begin", "found begin", "intent promote", "done promote"]
    assert promotion.rollback(URI, tmp_path, NAME).model.version == 1


def test_a_ledger_that_lost_its_end_is_noticed(registry: Fake, tmp_path: Path) -> None:
    admit(tmp_path, registry.add(0.5), None)
    place = book(tmp_path).path
    place.write_bytes(b"".join(place.read_bytes().splitlines(keepends=True)[:-1]))
    problems = promotion.examine(URI, tmp_path, NAME)
    assert problems[0].startswith("prices.jsonl: entry 2 is missing, which the registry remembers")


def test_a_person_promotes_and_says_why(registry: Fake, tmp_path: Path) -> None:
    admit(tmp_path, registry.add(0.5), None)
    registry.add(0.5)
    decided = promotion.promote(URI, tmp_path, NAME, 2, why="it is faster")
    entry = decided.entry
    assert entry is not None
    assert (entry.action, entry.why, entry.moves) == ("promote", "it is faster", {"champion": (1, 2)})
    assert registry.aliases == {"champion": 2, "challenger": 1}


def test_a_worse_version_needs_force(registry: Fake, tmp_path: Path) -> None:
    admit(tmp_path, registry.add(0.9), None)
    for value in (0.8, None):
        known = registry.add(value)
        with pytest.raises(RegistryConflict, match=r"worse than the champion, version 1: accuracy .* 0.9"):
            promotion.promote(URI, tmp_path, NAME, known.version)
    registry.add(0.1, rows="other")
    assert promotion.promote(URI, tmp_path, NAME, 4).outcome == "promoted"
    promotion.rollback(URI, tmp_path, NAME)

    entry = promotion.promote(URI, tmp_path, NAME, 2, why="asked for", force=True).entry

    assert registry.aliases["champion"] == 2
    assert entry is not None
    assert entry.why.startswith("asked for; forced: version 2 is worse than the champion, version 1: ")


@pytest.mark.parametrize(
    ("decision", "text"), [(None, "was left undecided.*--from-run run 2"), ("failed", "failed its trial")]
)
def test_a_version_without_a_passed_trial_is_never_promoted(
    decision: str | None, text: str, registry: Fake, tmp_path: Path
) -> None:
    admit(tmp_path, registry.add(0.5), None)
    registry.add(0.9, decision=decision)
    with pytest.raises(RegistryConflict, match=text):
        promotion.promote(URI, tmp_path, NAME, 2, force=True)
    assert registry.aliases["champion"] == 1


def test_rollback_goes_back_step_by_step(registry: Fake, tmp_path: Path) -> None:
    for value, seen in ((0.5, None), (0.6, 1), (0.7, 2)):
        admit(tmp_path, registry.add(value), seen)
    assert promotion.rollback(URI, tmp_path, NAME, why="it fails on Mondays").model.version == 2
    assert registry.entries[3].tags["modelyard.decision"] == "rolled back"
    assert book(tmp_path).entries[-1].why == "it fails on Mondays"
    assert promotion.rollback(URI, tmp_path, NAME).model.version == 1
    with pytest.raises(RegistryConflict, match=r"no champion before version 1"):
        promotion.rollback(URI, tmp_path, NAME)
    assert promotion.rollback(URI, tmp_path, NAME, to=3).model.version == 3
    assert promotion.rollback(URI, tmp_path, NAME, to=3).entry is None
    assert promotion.rollback(URI, tmp_path, NAME).model.version == 1


def test_rollback_goes_to_champions_only(registry: Fake, tmp_path: Path) -> None:
    with pytest.raises(RegistryConflict, match=r"had no champion; .*modelyard promote"):
        promotion.rollback(URI, tmp_path, NAME)
    assert not book(tmp_path).path.exists()
    admit(tmp_path, registry.add(0.5), None)
    registry.add(0.6)
    with pytest.raises(RegistryConflict, match="version 2 was never champion"):
        promotion.rollback(URI, tmp_path, NAME, to=2)


def test_rollback_brings_back_an_alias_that_was_removed(registry: Fake, tmp_path: Path) -> None:
    admit(tmp_path, registry.add(0.5), None)
    del registry.aliases["champion"]
    assert promotion.rollback(URI, tmp_path, NAME).model.version == 1
    assert registry.aliases["champion"] == 1


def test_rollback_passes_over_what_was_deleted(registry: Fake, tmp_path: Path) -> None:
    for value, seen in ((0.5, None), (0.6, 1), (0.7, 2), (0.8, 3)):
        admit(tmp_path, registry.add(value), seen)
    registry.delete(4)
    registry.add(0.1)
    registry.delete(3)
    assert promotion.rollback(URI, tmp_path, NAME).model.version == 2
    registry.delete(1)
    with pytest.raises(RegistryConflict, match="no champion before version 2"):
        promotion.rollback(URI, tmp_path, NAME)


def test_rollback_never_takes_another_version_with_the_same_number(registry: Fake, tmp_path: Path) -> None:
    admit(tmp_path, registry.add(0.5), None)
    admit(tmp_path, registry.add(0.6), 1)
    promotion.rollback(URI, tmp_path, NAME)
    registry.delete(2)
    registry.add(0.1)
    with pytest.raises(RegistryConflict, match="its number was given again"):
        promotion.rollback(URI, tmp_path, NAME, to=2)
    registry.delete(2)
    with pytest.raises(RegistryConflict, match="no version 2"):
        promotion.rollback(URI, tmp_path, NAME, to=2)


def test_a_champion_of_the_same_number_that_is_another_version_is_found(
    registry: Fake, tmp_path: Path
) -> None:
    admit(tmp_path, registry.add(0.5), None)
    registry.delete(1)
    registry.add(0.1)
    registry.aliases = {"champion": 1, "challenger": 1}

    settle(tmp_path)

    assert phases(tmp_path)[-1] == "found by hand"
    assert book(tmp_path).champions()[-1].run_id == "run 2"
    settle(tmp_path)
    assert len(phases(tmp_path)) == 3


def test_an_alias_that_does_not_stay_is_a_conflict(
    registry: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = registry.add(0.5)
    monkeypatch.setattr(registry, "set_registered_model_alias", lambda *_: None)
    with pytest.raises(RegistryConflict, match="another program moved them"):
        admit(tmp_path, known, None)
    settle(tmp_path)
    assert phases(tmp_path) == ["intent register", "abandoned register"]


class Life:
    """A sequence of candidates, promotions, rollbacks, moves by hand, deletions and crashes, by chance."""

    def __init__(self, fake: Fake, root: Path, seed: int) -> None:
        self.fake, self.root, self.dice = fake, root, random.Random(seed)
        self.waiting: list[tuple[ModelVersion, int | None]] = []
        self.seen = b""
        self.done: Counter[str] = Counter()

    def live(self, steps: int) -> None:
        """Does `steps` things, and looks at everything after each of them."""
        often = {self.judge: 5, self.admit: 6, self.promote: 3, self.roll_back: 2, self.settle: 2}
        rare = {self.by_hand: 1, self.delete: 0.5}
        for _ in range(steps):
            (act,) = self.dice.choices([*often, *rare], [*often.values(), *rare.values()])
            act()
            self.check()
        settle(self.root)
        assert Ledger(self.root, NAME).replay() == self.fake.aliases
        assert promotion.examine(URI, self.root, NAME) == []

    def attempt(self, act: Callable[[], object]) -> None:
        """Does it, or one time in three dies in it; a refusal is as good as an answer."""
        self.fake.fuse = self.dice.randrange(EFFECTS + 5) if self.dice.random() < 1 / 3 else None
        try:
            act()
        except Killed:
            self.done["killed"] += 1
        except RegistryConflict:
            self.done["refused"] += 1
        self.fake.fuse = None

    def pick(self) -> int:
        """A version that is there or, rarely, was."""
        if not self.fake.entries or self.dice.random() < 0.1:
            return self.dice.randint(1, 20)
        return self.dice.choice(list(self.fake.entries))

    def judge(self) -> None:
        """A candidate meets the present champion; the gate lets the better one pass."""
        value, rows = self.dice.choice([None, *range(10)]), self.dice.choice("ffffg")
        champion = self.fake.aliases.get("champion")
        if champion is None or not self.falls(self.fake.value(champion), (value, rows), or_ties=True):
            self.waiting.append((self.fake.add(value, rows, decision=None), champion))

    @staticmethod
    def falls(before: tuple[float | None, str], after: tuple[float | None, str], *, or_ties: bool) -> bool:
        """Whether the second is the worse one, reckoned without any of the code under test."""
        if before[1] != after[1] or before[0] is None:
            return or_ties and before == after
        return after[0] is None or after[0] < before[0] or (or_ties and after[0] == before[0])

    def admit(self) -> None:
        if not self.waiting:
            return
        known, seen = self.dice.choice(self.waiting[-4:])
        entry = self.fake.entries.get(known.version)
        if entry is not None and entry.run_id == known.run_id:
            to_champion = self.dice.random() < 0.8
            self.attempt(lambda: admit(self.root, known, seen, to_champion))

    def promote(self) -> None:
        number, force = self.pick(), self.dice.random() < 0.3
        self.attempt(lambda: promotion.promote(URI, self.root, NAME, number, force=force))

    def roll_back(self) -> None:
        to = self.pick() if self.dice.random() < 0.3 else None
        self.attempt(lambda: promotion.rollback(URI, self.root, NAME, to=to))

    def settle(self) -> None:
        self.attempt(lambda: settle(self.root))

    def by_hand(self) -> None:
        alias, number = self.dice.choice(["champion", "challenger"]), self.pick()
        if self.dice.random() < 0.3:
            self.fake.aliases.pop(alias, None)
        elif number in self.fake.entries:
            self.fake.aliases[alias] = number

    def delete(self) -> None:
        if (number := self.pick()) in self.fake.entries:
            self.fake.delete(number)

    def check(self) -> None:
        """No entry is lost or changed, the chain is whole, and the champion never falls by itself."""
        place = Ledger(self.root, NAME).path
        content = place.read_bytes() if place.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        assert whole.startswith(self.seen)
        self.seen = whole
        read = Ledger(self.root, NAME)
        assert read.problems == []
        assert [entry.seq for entry in read.entries] == list(range(1, len(read.entries) + 1))
        opened, champion = False, None
        for entry in read.entries:
            assert not opened or entry.phase in ("done", "abandoned", "superseded")
            opened = entry.phase == "intent"
            if entry.phase in ledger.MOVED and "champion" in entry.moves:
                now = entry.evidence and (entry.evidence.value, entry.evidence.fingerprint)
                if entry.action in ("register", "promote") and "forced" not in entry.why and champion:
                    assert not self.falls(champion, now, or_ties=False)
                champion = now


def test_any_sequence_keeps_what_the_ledger_promises(registry: Fake) -> None:
    done: Counter[str] = Counter()
    for seed in range(SEQUENCES):
        vars(registry).update(vars(Fake()))
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
            life = Life(registry, Path(folder), seed)
            try:
                life.live(40)
            except BaseException as error:
                error.add_note(f"in the sequence of seed {seed}")
                raise
            done += life.done
            done += Counter(f"{entry.phase} {entry.action}" for entry in book(Path(folder)).entries)
    assert min(done[word] for word in REACHED) > SEQUENCES / 10, done
