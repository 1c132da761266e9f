"""Tables beyond memory: made rows of 20 mixed columns through validate, clean, split and one epoch of fit.

    python tests/benchmarks/beyond_memory.py [--rows 1e5,1e6,1e7] [--place FOLDER] [--memory-mb 4096]
        [--engine here|processes|dask] [--workers 2]

Each size runs in a process of its own, with `source.stream: always`, so that one way of working is compared
with itself; CPU seconds, since wall time tells what else the machine does. The last column is a step's cost a
row against that of the size before: 1 is linear, less than 1 means that the fixed cost weighs less. With
`--engine` the pieces go to `--workers` processes of this machine, or of a Dask cluster that is started on it;
CPU seconds are then those of all processes, and the digests that are printed must be those of `here`. The
workers have imported what they need before the clock runs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GROUP = 2**17
LEVELS = (2, 3, 4, 6, 8, 12, 20, 40)
STEPS = ("validate", "clean", "split", "fit")


def group(rng: np.random.Generator, rows: int) -> pa.Table:
    """Ten numbers, some with gaps, one date, eight categories, and a price that depends on some of them."""
    numbers = {f"n{i}": rng.gamma(2.0, 10.0 * (i + 1), rows).astype(np.float32).round(2) for i in range(8)}
    numbers |= {f"w{i}": rng.integers(0, 50 * (i + 1), rows).astype(np.int16) for i in range(2)}
    codes = [rng.integers(0, count, rows) for count in LEVELS]
    texts = {
        f"c{i}": pa.DictionaryArray.from_arrays(
            pa.array(code, pa.int8()), [f"level {k}" for k in range(count)]
        )
        for i, (code, count) in enumerate(zip(codes, LEVELS, strict=True))
    }
    day = pa.array(rng.integers(15_000, 20_000, rows).astype(np.int32)).cast(pa.date32())
    worth = 3 + 0.01 * numbers["n0"] + 0.1 * codes[3] + np.log1p(numbers["n2"]) + 0.3 * rng.normal(size=rows)
    gaps = {name: rng.random(rows) < 0.03 for name in ("n1", "n3", "n5")}
    columns = {n: pa.array(v, mask=gaps.get(n)) for n, v in numbers.items()}
    return pa.table({**columns, **texts, "day": day, "price": np.exp(worth).astype(np.float32)})


def make(path: Path, rows: int) -> None:
    """Writes the rows, group by group, dictionary-coded and compressed."""
    rng, writer = np.random.default_rng(rows), None
    for start in range(0, rows, GROUP):
        table = group(rng, min(GROUP, rows - start))
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=1)
        writer.write_table(table)
    assert writer is not None
    writer.close()


SUITE = [
    {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1000}},
    *(
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": f"n{i}", "min_value": 0}}
        for i in range(4)
    ),
    *({"type": "expect_column_values_to_not_be_null", "kwargs": {"column": f"c{i}"}} for i in range(4)),
    {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "c7", "regex": "^level [0-9]+$"}},
    {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "c0", "value_set": ["level 0", "level 1"]},
    },
    {
        "type": "expect_column_mean_to_be_between",
        "kwargs": {"column": "n0", "min_value": 10, "max_value": 30},
    },
    {
        "type": "expect_column_median_to_be_between",
        "kwargs": {"column": "w0", "min_value": 10, "max_value": 40},
    },
]


@contextmanager
def engine(name: str, workers: int) -> Iterator[Callable[[], float]]:
    """Works through an engine in the block; answers a function for the CPU seconds of all processes."""
    import psutil

    def spent() -> float:
        children = [each.cpu_times() for each in psutil.Process().children(recursive=True)]
        return time.process_time() + sum(each.user + each.system for each in children)

    if name == "here":
        yield spent
        return
    from tasks.tables import mapping
    from tasks.tables.mapping import processes

    with ExitStack() as stack:
        if name == "dask":
            from distributed import LocalCluster

            from flows.cluster.dasking import connected
            from tasks.config import Cluster

            local = stack.enter_context(
                LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0")
            )
            asked = Cluster(engine="dask", address=local.scheduler_address, workers=workers)
            through = stack.enter_context(connected(asked, Path(__file__).resolve().parents[2]))
        else:
            through = stack.enter_context(processes.pool(workers))
        list(through(imported, ["tasks.clean", "tasks.fit"] * 4 * workers))
        stack.enter_context(mapping.through(through))
        yield spent


def imported(name: str) -> None:
    importlib.import_module(name)
    time.sleep(0.2)  # so that no worker takes them all


def child(place: Path, memory_mb: int, engine_name: str, workers: int) -> None:
    """Runs the steps by an engine."""
    with engine(engine_name, workers) as spent:
        measure(place, memory_mb, spent)


def measure(place: Path, memory_mb: int, spent: Callable[[], float]) -> None:
    """Runs the steps on `place/table.parquet`; prints CPU and wall seconds and the peak of each as JSON."""
    from tasks.clean import clean
    from tasks.config import (
        Case,
        Columns,
        Encode,
        Fit,
        Keep,
        Missing,
        Mlp,
        Scale,
        Split,
        TableSource,
        Validate,
    )
    from tasks.fit import fit
    from tasks.learning import training
    from tasks.split import split
    from tasks.validate import validate

    (place / "expectations.json").write_text(json.dumps({"name": "made", "expectations": SUITE}))
    source = TableSource(kind="table", path="table.parquet", stream="always", memory_mb=memory_mb)
    operations = (
        Missing(missing={"c1": ("level 2",)}),
        Case(case={"c2": "upper"}),
        Scale(scale={"n7": 0.3048}),
        Keep(keep={"price": (0, 1e6)}),
    )
    work, told = place / "work", {}

    def measured(name, step, *args, **kwargs):
        cpu, wall = spent(), time.perf_counter()
        with Peak() as peak:
            record = step.fn(*args, **kwargs)
        told[name] = [spent() - cpu, time.perf_counter() - wall, peak.mb, peak.own]
        return record

    loop = training.train

    def train(*args, **kwargs):
        cpu, wall = time.process_time(), time.perf_counter()
        with Peak() as peak:
            trained = loop(*args, **kwargs)
        told["epoch"] = [time.process_time() - cpu, time.perf_counter() - wall, peak.mb, peak.own]
        return trained

    training.train = train
    raw = measured("validate", validate, source, Validate(), "price", "regression", Columns(), place, work)
    rows = measured("clean", clean, raw, operations, "price", 0.01, work)
    parts = measured("split", split, rows, Split(leaks="warn"), "price", "regression", 0, work)
    fitted = measured(
        "fit", fit, raw, rows, parts, kind="regression", target="price", columns=Columns(), exclude=(),
        clean=operations, encode=Encode(numeric="quantile", target="log"),
        network=Mlp(hidden=(64,), dropout=0.0), settings=Fit(epochs=1, batch_size=4096),
        metric="rmsle", seed=0, work=work,
    )  # fmt: skip
    told["rmsle"] = fitted.history[0].validation_metric
    told["digests"] = [raw.fingerprint[:8], rows.digest[:8], parts.hash[:8]]
    told["rows"] = [raw.read, rows.kept, parts.train]
    told["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told["disk"] = sum(p.stat().st_size for p in work.rglob("*") if p.is_file()) / 2**20
    print(json.dumps(told))


class Peak:
    """The most memory that this process holds within a block, in MiB, looked at every 20 ms.

    `own` is without pages that files lie behind: of libraries, and of what is read by mapping it.
    """

    def __enter__(self):
        import psutil

        self.process, self.mb, self.own, self.over = psutil.Process(), 0.0, 0.0, threading.Event()
        self.watch = threading.Thread(target=self._look, daemon=True)
        self.watch.start()
        return self

    def _look(self):
        while not self.over.wait(0.02):
            held = self.process.memory_info()
            self.mb = max(self.mb, held.rss / 2**20)
            self.own = max(self.own, (held.rss - held.shared) / 2**20)

    def __exit__(self, *_):
        self.over.set()
        self.watch.join()


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rows", default="1e5,1e6,1e7")
    asked.add_argument("--place", type=Path, default=Path(tempfile.gettempdir()))
    asked.add_argument("--memory-mb", type=int, default=4096)
    asked.add_argument("--engine", choices=("here", "processes", "dask"), default="here")
    asked.add_argument("--workers", type=int, default=2)
    asked.add_argument("--child", type=Path)
    given = asked.parse_args()
    if given.child:
        child(given.child, given.memory_mb, given.engine, given.workers)
        return
    print("| rows | step | CPU s | us a row | wall s | peak MB | of it own | against the size before |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    before: dict[str, float] = {}
    for size in given.rows.split(","):
        rows = int(float(size))
        place = Path(tempfile.mkdtemp(dir=given.place, prefix="beyond-"))
        try:
            before = run(place, rows, given, before)
        finally:
            shutil.rmtree(place)


def log(text: str) -> None:
    print("#", text, file=sys.stderr, flush=True)


def run(place: Path, rows: int, given: argparse.Namespace, before: dict[str, float]) -> dict[str, float]:
    """Measures one size, prints its lines, answers the cost a row of each step."""
    began = time.process_time()
    make(place / "table.parquet", rows)
    size = (place / "table.parquet").stat().st_size / 2**20
    log(f"{rows:.0e} rows made in {time.process_time() - began:.0f} s: {size:,.0f} MB")
    command = [
        sys.executable, __file__, "--child", str(place), "--memory-mb", str(given.memory_mb),
        "--engine", given.engine, "--workers", str(given.workers),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    told = json.loads(done.stdout.splitlines()[-1])
    told["all"] = [
        sum(told[step][0] for step in STEPS), sum(told[step][1] for step in STEPS), told["peak"],
        max(told[step][3] for step in STEPS),
    ]  # fmt: skip
    costs = {step: told[step][0] / rows for step in (*STEPS, "epoch", "all")}
    for step, cost in costs.items():
        ratio = f"{cost / before[step]:.2f}" if step in before else ""
        cpu, wall, peak, own = told[step]
        name = "of it the epoch" if step == "epoch" else step
        told_so = f"{cpu:.1f} | {1e6 * cost:.2f} | {wall:.1f} | {peak:,.0f} | {own:,.0f} | {ratio}"
        print(f"| {rows:.0e} | {name} | {told_so} |", flush=True)
    kept, error, disk = told["rows"], told["rmsle"], told["disk"]
    log(f"digests of source, cleaned rows and split: {' '.join(told['digests'])}")
    log(f"rows read, kept and trained on {kept}; RMSLE {error:.4f}; {disk:,.0f} MB of outputs")
    return costs


if __name__ == "__main__":
    main()
