"""A new champion takes over whole; whatever goes wrong, the one before goes on."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tasks.errors import ArtifactTampered, Unavailable
from tasks.records import ModelVersion
from tasks.registry.serving.following import Champion
from tasks.registry.serving.model import Served


class Registry:
    """An alias, and what loading each version does."""

    def __init__(self) -> None:
        self.alias: Any = 1
        self.broken: dict[int, Exception] = {}
        self.loaded: list[int] = []
        self.said: list[str] = []
        self.champion = Champion(self.served(1), self.ask, self.load, self.said.append)

    def served(self, number: int) -> Served:
        return Served(ModelVersion(name="houses", version=number), raw=None, meta=None)

    def ask(self) -> int | None:
        if isinstance(self.alias, Exception):
            raise self.alias
        return self.alias

    def load(self, number: int) -> Served:
        if number in self.broken:
            raise self.broken[number]
        self.loaded.append(number)
        return self.served(number)

    def look(self, alias: Any) -> int:
        """The version that answers after a look at the alias."""
        self.alias = alias
        self.champion.look()
        return self.champion.current.known.version


@pytest.fixture
def registry() -> Registry:
    return Registry()


def test_a_new_champion_takes_over_and_is_loaded_once(registry: Registry) -> None:
    assert [registry.look(alias) for alias in (1, 2, 2, 2, 1)] == [1, 2, 2, 2, 1]
    assert registry.loaded == [2, 1]
    assert [line for line in registry.said if "is the champion now" in line] == registry.said


@pytest.mark.parametrize("error", [ArtifactTampered("weights differ"), RuntimeError("a bug")])
def test_one_that_cant_be_loaded_changes_nothing(error: Exception, registry: Registry) -> None:
    registry.broken[2] = error

    assert [registry.look(2), registry.look(2), registry.look(2)] == [1, 1, 1]
    assert str(error) in str(registry.champion.problem)
    assert len(registry.said) == 1
    assert "meanwhile version 1 answers" in registry.said[0]

    del registry.broken[2]  # its files were put back
    assert registry.look(2) == 2
    assert registry.champion.problem is None


def test_going_back_to_the_old_champion_ends_the_trouble(registry: Registry) -> None:
    registry.broken[2] = ArtifactTampered("weights differ")

    assert [registry.look(2), registry.look(1)] == [1, 1]
    assert registry.champion.problem is None
    assert registry.loaded == []


def test_each_kind_of_trouble_is_told_once(registry: Registry) -> None:
    registry.broken |= {2: ArtifactTampered("weights differ"), 3: ArtifactTampered("weights differ")}
    for alias in (2, 2, 3, 3, Unavailable("no answer"), Unavailable("no answer"), 1):
        registry.look(alias)

    assert len(registry.said) == 4
    assert "all is well again" in registry.said[-1]


def test_without_an_alias_the_last_champion_answers_and_returns_verified(registry: Registry) -> None:
    assert registry.look(None) == 1
    assert "no champion any more" in str(registry.champion.problem)
    assert registry.look(1) == 1
    assert registry.loaded == [1]  # the number may have been given to other files meanwhile


def test_it_looks_until_it_is_told_to_stop(registry: Registry) -> None:
    looked, stop = threading.Event(), threading.Event()
    registry.alias = 2
    load = registry.champion._load
    registry.champion._load = lambda number: (looked.set(), load(number))[1]  # type: ignore[func-returns-value]
    thread = threading.Thread(target=registry.champion.follow, args=(stop, 0.01))
    thread.start()

    assert looked.wait(30)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert registry.champion.current.known.version == 2


def test_the_pause_grows_while_something_is_wrong(registry: Registry) -> None:
    pauses: list[float] = []

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0.0)
            registry.alias = Unavailable("no answer") if len(pauses) < 7 else 1
            return len(pauses) > 9

    registry.champion.follow(Clock(), every=2.0)

    assert pauses == [2, 4, 8, 16, 30, 30, 30, 2, 2, 2]
