"""Two real processes promote different versions of one model, and are killed at any moment.

The store is a SQLite file, or a PostgreSQL database. `MODELYARD_SLOW_TESTS=1` asks for 200 rounds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import Unavailable
from tasks.records import ModelVersion
from tasks.registry import backend, promotion, versions
from tasks.registry.ledger import Ledger
from tasks.registry.moving import holding

NAME = "prices"
SLOW = bool(os.environ.get("MODELYARD_SLOW_TESTS"))
ROUNDS = 200 if SLOW else 6
PRELOADED = [
    "tasks.registry.promotion", "tasks.registry.fetching", "mlflow", "mlflow.tracking", "mlflow.entities",
    "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store",
    "sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql", "psycopg2",
]  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A root and its store."""

    uri: str
    root: Path

    def client(self) -> Any:
        return backend.client(self.uri)

    def add(self, value: float, decision: str | None = None) -> ModelVersion:
        """A version with evidence and without a model."""
        tags = {"modelyard.data": "f", "modelyard.split": "s"}
        known = {"metric": "accuracy", "higher_is_better": True, "target": "t", "low": 0, "high": 1}
        tags["modelyard.metric"] = json.dumps({**known, "value": value, "verdicts": {"ridge": "better"}})
        if decision:
            tags["modelyard.decision"] = decision
        made = self.client().create_model_version(NAME, str(self.root), tags=tags)
        return versions.plain(made, {})

    def admit(self, known: ModelVersion, seen: int | None) -> promotion.Decision:
        return promotion.admit(self.uri, self.root, known, seen=seen, to_champion=True)

    def settle(self) -> dict[str, int]:
        with holding(self.uri, self.root, NAME) as section:
            return section.aliases

    def lines(self) -> list[str]:
        path = Ledger(self.root, NAME).path
        return path.read_text().split("\n")[:-1] if path.exists() else []


@pytest.fixture(scope="module")
def sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        backend.connect(folder)
    return folder / "mlflow" / "mlflow.db"


@pytest.fixture(scope="module")
def postgres_store(postgres: Any) -> str:
    name = postgres.create("races_template")
    backend.client(postgres.url("", name)).search_experiments()  # makes the tables
    postgres.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    return name


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A root with a model that has no version yet, in either store."""
    if request.param == "sqlite":
        (tmp_path / "mlflow").mkdir()
        shutil.copy(request.getfixturevalue("sqlite_store"), tmp_path / "mlflow" / "mlflow.db")
        made = Place(f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}", tmp_path)
    else:
        made = Place(on_postgres(request), tmp_path)
    made.client().create_registered_model(NAME)
    return made


def on_postgres(request: pytest.FixtureRequest) -> str:
    """A new database with MLflow's tables; its address."""
    template, cluster = request.getfixturevalue("postgres_store"), request.getfixturevalue("postgres")
    return cluster.url("", cluster.create(f"races_{time.monotonic_ns()}", template=template))


@pytest.fixture(scope="module")
def nursery() -> Any:
    """Forks processes that have MLflow loaded already: starting one takes milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def race(nursery: Any, places: list[Place], rivals: list[ModelVersion], seen: int | None) -> list[Any]:
    """Starts a process for each rival, all at once."""
    processes = [
        nursery.Process(
            target=promotion.admit,
            args=(place.uri, place.root, rival),
            kwargs={"seen": seen, "to_champion": True},
        )
        for place, rival in zip(places, rivals, strict=True)
    ]
    for process in processes:
        process.start()
    return processes


def ended(processes: list[Any]) -> list[int]:
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


def test_the_better_of_those_that_finish_is_champion(place: Place, nursery: Any) -> None:
    dice, values, counts = random.Random(7), {}, Counter()
    known = place.add(0.5)
    values[known.version] = 0.5
    place.admit(known, None)
    began = time.monotonic()
    assert ended(race(nursery, [place], [known], None)) == [0]  # a second time: how long one takes
    usual = time.monotonic() - began
    began = time.monotonic()
    for _ in range(ROUNDS):
        before, champion = place.lines(), versions.alias(place.uri, NAME, "champion")
        assert champion is not None
        rivals = [place.add(values[champion] + dice.choice([1, 2, 3])) for _ in range(2)]
        values |= {rival.version: evidence(place, rival) for rival in rivals}
        processes = race(nursery, [place, place], rivals, champion)
        for process in processes:
            if dice.random() < 0.6:
                threading.Timer(dice.uniform(0, 1.3 * usual), process.kill).start()
        codes = ended(processes)
        assert set(codes) <= {0, -9}
        counts["killed"] += codes.count(-9)

        aliases = place.settle()

        finished = [rival.version for rival in rivals if rival.version in decided(place)]
        best = max(values[version] for version in (champion, *finished))
        assert values[aliases["champion"]] == best
        assert aliases["champion"] in (champion, *finished)
        for rival, code in zip(rivals, codes, strict=True):
            assert code == -9 or rival.version in finished
            counts["killed after it took effect"] += code == -9 and rival.version in finished
        examine(place, before)
        for rival in rivals:  # whoever was killed is registered again
            place.admit(rival, champion)
        champion = place.settle()["champion"]
        assert values[champion] == max(values[rival.version] for rival in rivals)
        examine(place, before)
    phases = Counter(entry.phase for entry in Ledger(place.root, NAME).entries if entry.moves)
    assert phases["intent"] == phases["done"] + phases["abandoned"] + phases["superseded"]
    print(f"{ROUNDS} rounds in {time.monotonic() - began:.0f} s: {dict(counts)}, {dict(phases)}")


def evidence(place: Place, known: ModelVersion) -> float:
    tags = place.client().get_model_version(NAME, str(known.version)).tags
    return float(json.loads(tags["modelyard.metric"])["value"])


def decided(place: Place) -> set[int | None]:
    """Versions about which the ledger holds a decision."""
    ended = ("done", "superseded")
    return {entry.version for entry in Ledger(place.root, NAME).entries if entry.phase in ended}


def examine(place: Place, before: list[str]) -> None:
    """Replay is what the registry says, the chain is whole, nothing was lost or moved by hand."""
    book = Ledger(place.root, NAME)
    with backend.reaching(place.uri):
        assert book.replay() == versions.aliases(place.client(), NAME)
    assert promotion.examine(place.uri, place.root, NAME) == []
    assert place.lines()[: len(before)] == before
    assert [entry.seq for entry in book.entries] == list(range(1, len(book.entries) + 1))
    assert not any(entry.phase == "found" for entry in book.entries)


def test_on_postgres_the_lock_binds_machines_that_share_no_file(
    request: pytest.FixtureRequest, tmp_path: Path, nursery: Any
) -> None:
    uri = on_postgres(request)
    places = [Place(uri, tmp_path / name) for name in ("here", "there")]
    places[0].client().create_registered_model(NAME)
    champion, values = None, {}
    for turn in range(50 if SLOW else 3):
        rivals = [places[0].add(turn + value) for value in random.Random(turn).sample([0.1, 0.2, 0.3], 2)]
        values |= {rival.version: evidence(places[0], rival) for rival in rivals}
        assert ended(race(nursery, places, rivals, champion)) == [0, 0]
        champion = versions.alias(uri, NAME, "champion")
        assert champion is not None
        assert values[champion] == max(values[rival.version] for rival in rivals)
    for place in places:
        assert place.settle() == Ledger(place.root, NAME).replay()


def test_on_postgres_a_lost_lock_stops_a_promotion_before_the_alias(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place = Place(on_postgres(request), tmp_path)
    place.client().create_registered_model(NAME)
    place.admit(place.add(0.5), None)
    rival = place.add(0.9)
    with pytest.raises(Unavailable), holding(place.uri, place.root, NAME) as section:
        request.getfixturevalue("postgres").sql(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        )
        section.move("register", rival.version, {"champion": rival.version}, why="")
    assert versions.alias(place.uri, NAME, "champion") == 1
    assert place.settle()["champion"] == 1
    assert [entry.phase for entry in Ledger(tmp_path, NAME).entries[-2:]] == ["intent", "abandoned"]
    assert place.admit(rival, 1).outcome == "promoted"
