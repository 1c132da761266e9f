"""The one place where an alias moves: a critical section for each model, and what a crash left in it.

MLflow moves aliases with "last writer wins". So whoever moves one holds the model's lock: a file
lock for this machine, and where the store is a PostgreSQL database an advisory lock in it for all
machines. Intent, move, reading back, done: a process that is killed between two of these leaves an
open intent, which the next one settles before it does anything else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tasks.errors import RegistryConflict, quoted
from tasks.registry import backend, versions
from tasks.registry.ledger import Action, Entry, Ledger, Moves, as_text, evidence_of
from tasks.registry.versions import CHALLENGER, CHAMPION, DECISION

LEDGER = "modelyard.ledger"
"""Tag of a version: the entry that moved it last. Of the model: number and digest of the last entry."""
TAG_LIMIT = 5000


class Section:
    """A model's aliases and ledger while its lock is held.

    Attributes:
        aliases: Version of each alias, as read under the lock; `move` keeps it true.
    """

    def __init__(self, uri: str, root: Path, name: str, check: Callable[[], None]) -> None:
        self.name = name
        self.client = backend.client(uri)
        self.ledger = Ledger(root, name)
        self.aliases = versions.aliases(self.client, name)
        self._check = check

    @property
    def champion(self) -> int | None:
        """The version that is champion."""
        return self.aliases.get(CHAMPION)

    def entry(self, number: int) -> Any:
        """MLflow's record of a version. Raises RegistryConflict where there is none."""
        found = versions.get(self.client, self.name, number)
        if found is None:
            raise RegistryConflict(
                f"model {quoted(self.name)} has no version {number}", fix="see `modelyard compare`"
            )
        return found

    def move(
        self,
        action: Action,
        number: int,
        goal: dict[str, int],
        *,
        why: str,
        flow_run_id: str | None = None,
        phase: Literal["done", "superseded"] = "done",
    ) -> Entry:
        """Moves aliases to where `goal` says, between two entries; returns the second.

        Raises:
            RegistryConflict: An alias reads otherwise than it was set: another program moved it.
            Unavailable: The store, or the lock that it held, is lost.
        """
        version = self.entry(number)
        write = partial(
            self.ledger.append,
            version=number,
            why=why,
            run_id=version.run_id or None,
            flow_run_id=flow_run_id or None,
            evidence=evidence_of(version.tags),
        )
        moves: Moves = {
            alias: (self.aliases.get(alias), to)
            for alias, to in sorted(goal.items(), key=_champion_first)
            if self.aliases.get(alias) != to
        }
        if moves:
            write("intent", action, moves)
            self._set(moves)
        done = write(phase, action, moves)
        self._tell(done)
        return done

    def _set(self, moves: Moves) -> None:
        # The champion first: it decides whether an interrupted move took place.
        for alias, (_, to) in sorted(moves.items(), key=_champion_first):
            self._check()
            self.client.set_registered_model_alias(self.name, alias, str(to))
        self.aliases = versions.aliases(self.client, self.name)
        if any(self.aliases.get(alias) != to for alias, (_, to) in moves.items()):
            raise RegistryConflict(
                f"model {quoted(self.name)}: aliases were set to {_goals(moves)}, but read {self.aliases}: "
                "another program moved them",
                fix="see the model's aliases in the MLflow UI, then try again",
            )

    def _tell(self, entry: Entry) -> None:
        """Writes a finished entry on the versions that it moved, for those who look at MLflow's pages."""
        left, reached = entry.moves.get(CHAMPION, (None, None))
        if left is not None and versions.get(self.client, self.name, left) is not None:
            self._tag(left, LEDGER, as_text(entry)[:TAG_LIMIT])
            if entry.action == "rollback":
                self._tag(left, DECISION, "rolled back")
        if entry.version is not None:
            self.mark(entry.version, entry)
        if reached is not None:
            self.client.set_registered_model_tag(self.name, "modelyard.champion", str(reached))
        self.client.set_registered_model_tag(self.name, LEDGER, f"{entry.seq} {self.ledger.tip}")

    def mark(self, number: int, entry: Entry) -> None:
        """Writes on a version what became of it."""
        promoted = CHAMPION in entry.moves or number == self.champion
        decision = "promoted" if promoted else CHALLENGER
        if entry.phase == "superseded":
            decision = f"superseded by version {self.champion}"
        self._tag(number, LEDGER, as_text(entry)[:TAG_LIMIT])
        self._tag(number, DECISION, decision)

    def _tag(self, number: int, key: str, value: str) -> None:
        self.client.set_model_version_tag(self.name, str(number), key, value)

    def settle(self) -> None:
        """Makes the ledger agree with the aliases: ends an open intent, notes what was moved by hand."""
        entry = self.ledger.interrupted
        if entry is not None:
            self._end(entry)
        replayed = self.ledger.replay()
        action: Action = "by hand" if self.ledger.entries else "begin"
        for alias in (CHAMPION, CHALLENGER):
            old, new = replayed.get(alias), self.aliases.get(alias)
            if old != new or (alias == CHAMPION and new is not None and self._is_another(new)):
                self._note(action, alias, old, new)

    def _is_another(self, number: int) -> bool:
        """Whether the number was given again: a model that is deleted and made anew begins with 1."""
        held = self.ledger.champions()[-1]
        return held.run_id != (self.entry(number).run_id or None)

    def _end(self, entry: Entry) -> None:
        """The champion says whether an interrupted move took place; the challenger follows it."""
        taken = {alias: move for alias, move in entry.moves.items() if self.aliases.get(alias) == move[1]}
        happened = CHAMPION in taken if CHAMPION in entry.moves else bool(taken)
        rest = {alias: move for alias, move in entry.moves.items() if self.aliases.get(alias) == move[0]}
        if happened and rest:
            self._set(rest)
        write = partial(
            self.ledger.append,
            version=entry.version,
            why=entry.why,
            run_id=entry.run_id,
            flow_run_id=entry.flow_run_id,
            evidence=entry.evidence,
        )
        if happened:
            self._tell(write("done", entry.action, {**taken, **rest}))
        else:
            write("abandoned", entry.action, entry.moves)

    def _note(self, action: Action, alias: str, old: int | None, new: int | None) -> None:
        version = None if new is None else versions.get(self.client, self.name, new)
        self.ledger.append(
            "found",
            action,
            {alias: (old, new)},
            version=new,
            why="found so when the ledger began" if action == "begin" else "not moved by modelyard",
            run_id=version.run_id or None if version else None,
            evidence=evidence_of(version.tags) if version else None,
        )


def _champion_first(item: tuple[str, object]) -> bool:
    return item[0] != CHAMPION


def _goals(moves: Moves) -> dict[str, int | None]:
    return {alias: to for alias, (_, to) in moves.items()}


def lock(root: Path, name: str) -> Path:
    """The file that is locked while an alias of the model may move."""
    return root / "mlflow" / "locks" / f"{name}.lock"


@contextmanager
def holding(uri: str, root: Path, name: str) -> Iterator[Section]:
    """Holds the lock of the model called `name`; what an earlier holder left open is settled first.

    Raises:
        RegistryConflict: The lock was not to be had.
        Unavailable: The store can't be reached.
    """
    waiting = f"the registry of {name}"
    with (
        backend.locked(lock(root, name), waiting_for=waiting),
        backend.reaching(uri),
        _everywhere(uri, name) as check,
    ):
        section = Section(uri, root, name, check)
        section.settle()
        yield section


@contextmanager
def _everywhere(uri: str, name: str) -> Iterator[Callable[[], None]]:
    """Holds a PostgreSQL store's own lock for the model, which binds all machines; yields its check.

    The lock goes with its connection. The check fails once that is lost, before an alias is touched.
    """
    if not uri.startswith("postgresql"):
        yield lambda: None
        return
    from sqlalchemy import create_engine, text  # noqa: PLC0415
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    key = int.from_bytes(hashlib.sha256(f"modelyard {name}".encode()).digest()[:8], signed=True)
    engine = create_engine(uri, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{backend.LOCK_SECONDS:.0f}s'"))
        try:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
        except OperationalError as error:
            if getattr(error.orig, "pgcode", "") != "55P03":  # lock_not_available
                raise
            raise RegistryConflict(
                f"another process holds the lock of model {quoted(name)} in the database; "
                f"waited {backend.LOCK_SECONDS:.0f} s",
                fix="let it finish, or end it; the lock goes with it",
            ) from None
        yield lambda: connection.execute(text("SELECT 1")).close()
