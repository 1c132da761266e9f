"""Workers of the root's settings: they do the work, leave the same bits, and are missed before it begins."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.books.untracked import Untracked
from flows.cluster import dasking
from flows.cluster.engaging import engaged
from flows.commands import checking
from flows.commands.options import Common
from tasks import config
from tasks.config import own
from tasks.errors import ConfigError, ResourceLimit, Unavailable
from tasks.own import extension
from tasks.tables import mapping, rowgroups

ROWS = 9000
PROJECT = """
name: made
task: regression
source: {kind: table, path: raw/rows.parquet, stream: always}
target: price
clean: [{"PARTS:mark": {folder: PLACE}}, {scale: {x: 2.0}}]
split: {strategy: random, leaks: warn}
encode: {numeric: quantile}
network: {kind: mlp, hidden: [8], dropout: 0.0}
fit: {epochs: 1, batch_size: 256}
evaluate: {metric: rmse, baselines: [median]}
register: {name: made}
"""
PARTS = '''
"""An operation that tells which process it ran in."""
import os
from pathlib import Path


def mark(rows, folder):
    """Alters nothing."""
    if len(rows) > 1:
        (Path(folder) / str(os.getpid())).touch()
    return rows
'''


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with one project, whose table is read in nine pieces."""
    monkeypatch.setattr(rowgroups, "CELLS", 1)
    folder, rng = tmp_path / "data" / "made", np.random.default_rng(0)
    (folder / "raw").mkdir(parents=True)
    (tmp_path / "pids").mkdir()
    x, kind = rng.normal(size=ROWS), rng.choice(["a", "b", "c"], ROWS)
    rows = pd.DataFrame({"x": x, "kind": kind, "price": 3 * x + (kind == "b") + rng.normal(size=ROWS)})
    rows.loc[::11, "x"] = np.nan
    rows.to_parquet(folder / "raw" / "rows.parquet", row_group_size=1000, index=False)
    text = PROJECT.replace("PLACE", str(tmp_path / "pids")).replace("PARTS", parts_of(tmp_path))
    (folder / "project.yaml").write_text(text)
    entry = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "x"}, "severity": "warning"}
    (folder / "expectations.json").write_text(json.dumps({"name": "made", "expectations": [entry]}))
    (tmp_path / f"{parts_of(tmp_path)}.py").write_text(PARTS)
    return tmp_path


def parts_of(root: Path) -> str:
    """Name of the module beside `data/`, which no other root has: this process keeps what it imported."""
    return f"parts_{root.name}"


def ask(root: Path, **cluster: Any) -> None:
    (root / ".modelyard.yaml").write_text(json.dumps({"cluster": cluster}))


def run(root: Path) -> tuple[list[Any], dict[str, str], set[str]]:
    """What the steps up to `fit` say, the digests of what they leave, and the processes that cleaned."""
    project = config.load(root, "made")
    shutil.rmtree(project.work, ignore_errors=True)
    for mark in (root / "pids").iterdir():
        mark.unlink()
    records = Untracked(project, root, last="fit").run_steps()
    said = [records["validate"].fingerprint, records["clean"].digest, records["split"].hash]
    said += [(e.train_loss, e.validation_loss, e.validation_metric) for e in records["fit"].history]
    kinds = (".parquet", ".npy", ".csv", ".safetensors")
    files = {
        f"{name}/{path.relative_to(record.folder)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for name, record in records.items()
        for path in sorted(record.folder.rglob("*"))
        if path.suffix in kinds
    }
    return said, files, {mark.name for mark in (root / "pids").iterdir()}


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Dask cluster of two worker processes that were started in this environment."""
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    pytest.importorskip("prefect_dask", reason="the extra `cluster` is not installed")
    place = str(tmp_path_factory.mktemp("dask"))
    how = {"threads_per_worker": 1, "dashboard_address": ":0", "local_directory": place}
    with distributed.LocalCluster(n_workers=2, **how) as cluster:
        yield cluster


def test_a_dask_cluster_leaves_the_bits_of_this_process(root: Path, scheduler: Any) -> None:
    said, files, here = run(root)
    assert here == {str(os.getpid())}
    assert {"clean/stream-00008.parquet", "split/codes.npy"} <= set(files)
    assert any(name.startswith("fit/") and name.endswith(".safetensors") for name in files)
    ask(root, engine="dask", address=scheduler.scheduler_address, workers=2)
    again, others, there = run(root)
    assert (again, others) == (said, files)
    workers = {str(worker.pid) for worker in scheduler.workers.values()}
    assert workers <= there
    assert there == workers | here  # the first piece is cleaned here


def test_processes_leave_the_bits_of_this_process(root: Path) -> None:
    said, files, _ = run(root)
    ask(root, engine="processes", workers=2)
    again, others, there = run(root)
    assert (again, others) == (said, files)
    assert len(there) == 3


def test_a_worker_that_dies_is_made_up_for(root: Path, scheduler: Any) -> None:
    ask(root, engine="dask", address=scheduler.scheduler_address, workers=2)
    with engaged(root, config.load(root, "made")):
        answers = mapping.mapped(die_once, [root / "died", *[None] * 20])
        assert list(answers) == [0] * 21
    assert (root / "died").exists()


def die_once(mark: Path | None) -> int:
    if mark is not None and not mark.exists():
        mark.touch()
        os._exit(1)
    return 0


def test_what_kills_every_worker_and_what_fails_is_told_as_it_is(root: Path, scheduler: Any) -> None:
    ask(root, engine="dask", address=scheduler.scheduler_address)
    with engaged(root, config.load(root, "made")):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            list(mapping.mapped(open, ["nowhere"]))
        with pytest.raises(TimeoutError, match="mine"):
            list(mapping.mapped(too_late, ["mine"]))
        with pytest.raises(ResourceLimit, match=r"ended several Dask workers.*more memory"):
            list(mapping.mapped(os._exit, [1]))


def too_late(word: str) -> None:
    raise TimeoutError(word)


def test_a_worker_of_other_code_or_without_the_files_is_refused(
    root: Path, scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(root, engine="dask", address=scheduler.scheduler_address)
    project = config.load(root, "made")
    with monkeypatch.context() as changed:
        changed.setattr(dasking.store, "code_digest", lambda: "another")
        changed.setattr(dasking.store, "library_versions", lambda: {"numpy": "0"})
        told = r"worker tcp.* has another version of numpy and runs other code; start it again"
        with pytest.raises(Unavailable, match=told), engaged(root, project):
            pytest.fail("it began")
    with pytest.raises(Unavailable, match=r"does not see /nowhere"):
        dasking._check(client_of(scheduler), Path("/nowhere"))


def client_of(cluster: Any) -> Any:
    from distributed import Client

    return Client(cluster.scheduler_address, set_as_default=False)


def test_a_worker_loads_the_projects_own_modules_anew_and_from_there(root: Path, scheduler: Any) -> None:
    own.require(config.load(root, "made").config)
    client, name = client_of(scheduler), parts_of(root)
    dasking._check(client, root)
    (root / f"{name}.py").write_text("LATER = True\n\n\ndef mark(rows, folder):\n    return rows\n")
    dasking._check(client, root)
    assert set(client.run(knows, name).values()) == {True}
    state = dasking._state(str(root), {name: "elsewhere.py"})
    assert state.foreign == (name,)
    assert state.stale == ()


def knows(name: str) -> bool:
    return bool(sys.modules[name].LATER)


def test_a_worker_that_began_before_the_code_changed_is_told(
    root: Path, scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extension, "OURS", ("tasks", parts_of(root)))
    own.require(config.load(root, "made").config)
    later = time.time() + 1000
    os.utime(root / f"{parts_of(root)}.py", (later, later))
    assert list(dasking._stale()) == [parts_of(root)]
    client = client_of(scheduler)
    monkeypatch.setattr(client, "run", lambda *_: {"tcp://w": dasking._state(str(root), {})})
    with pytest.raises(Unavailable, match=f"Dask worker tcp://w began before {parts_of(root)} changed"):
        dasking._check(client, root)


def test_too_few_workers_are_told(root: Path, scheduler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dasking, "JOIN_SECONDS", 0.5)
    ask(root, engine="dask", address=scheduler.scheduler_address, workers=3)
    with pytest.raises(Unavailable, match=r"cluster\.address in \.modelyard\.yaml.*with 3 workers at tcp://"):
        run(root)


def test_a_cluster_that_is_not_there_is_told_before_anything_is_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("prefect_dask", reason="the extra `cluster` is not installed")
    monkeypatch.setattr(dasking, "CONNECT_SECONDS", 0.5)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        ask(root, engine="dask", address=address)
        with pytest.raises(Unavailable, match=r"cluster\.address in \.modelyard\.yaml.*127") as told:
            checking.check("made", common=Common(root=root))
    assert told.value.exit_code == 6
    assert not (root / "data" / "made" / "work").exists()


def test_without_the_extra_it_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    ask(root, engine="dask", address="tcp://127.0.0.1:8786")
    with pytest.raises(ConfigError, match="prefect-dask is not installed; install it: make cluster"):
        run(root)


def test_data_that_is_read_as_a_whole_asks_for_nobody(root: Path) -> None:
    ask(root, engine="dask", address="tcp://127.0.0.1:1")
    with engaged(root, config.load(root, "made", settings=("source.stream=never",))):
        assert list(mapping.mapped(len, ["ab"])) == [2]
