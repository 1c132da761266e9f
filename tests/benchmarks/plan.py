"""What `modelyard plan` says after each of several edits, on a copy of the code and of a project.

.venv/bin/python tests/benchmarks/plan.py [--project prices]

Trains a shipped project once (few epochs), then edits one thing at a time, plans, and takes the edit back.
Prints one table (the edit, the answer for each step, the reasons) and the CPU seconds of a plan. Fails
if a plan leaves a file in the project's folder otherwise than it was.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("validate", "clean", "split", "fit", "evaluate")
FEW = ("--set", "fit.epochs=2", "--set", "register.champion=manual", "--set", "gate=[{better_than: median}]")
MARKS = {"hit": "hit", "miss": "miss", "depends": "?"}


class Copy:
    """A copy of the code with one project, and `modelyard` on it."""

    def __init__(self, place: Path, project: str) -> None:
        self.place, self.project = place, project
        for name in ("flows", "tasks"):
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        work = shutil.ignore_patterns("work")
        shutil.copytree(ROOT / "data" / project, place / "data" / project, ignore=work)

    @property
    def folder(self) -> Path:
        return self.place / "data" / self.project

    def __call__(self, command: str, *words: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", command, self.project, *FEW, *words, "--json"],
            cwd=self.place, env=os.environ | {"PYTHONPATH": str(self.place)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"{command} ended with {done.returncode}: {done.stderr}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    @contextmanager
    def edited(self, name: str, change: Callable[[str], str]) -> Iterator[None]:
        path = self.place / name
        before = path.read_text(encoding="utf-8")
        path.write_text(change(before), encoding="utf-8")
        assert path.read_text(encoding="utf-8") != before
        yield
        path.write_text(before, encoding="utf-8")

    @contextmanager
    def newer(self, library: str) -> Iterator[None]:
        """Another version of a library, as far as Python's metadata say."""
        folder = self.place / f"{library.replace('-', '_')}-99.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: 99.0\n")
        yield
        shutil.rmtree(folder)

    @contextmanager
    def cell(self) -> Iterator[None]:
        """One number of the data that is another one."""
        (path,) = self.folder.glob("raw/*.parquet")
        kept = path.read_bytes()
        rows = pd.read_parquet(path)
        column = next(name for name in rows if pd.api.types.is_integer_dtype(rows[name].dtype))
        rows.loc[rows.index[0], column] += 1
        rows.to_parquet(path, index=False)
        yield
        path.write_bytes(kept)

    @contextmanager
    def deleted(self, pattern: str) -> Iterator[None]:
        (path,) = self.folder.glob(f"work/{pattern}")
        kept = path.read_bytes()
        path.unlink()
        yield
        path.write_bytes(kept)


@contextmanager
def nothing() -> Iterator[None]:
    yield


def edits(copy: Copy) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """Each edit, and the words that a plan is given with it."""

    def comment(text: str) -> str:
        return text.replace("    declared = ", "    # what was declared\n    declared   =   ", 1)

    def helper(text: str) -> str:
        return text.replace("\ndef apply(", "\nWIDTH = 3\n\n\ndef apply(", 1).replace(
            "    return Applied(", "    assert WIDTH\n    return Applied(", 1
        )

    return {
        "nothing": (nothing(), ()),
        "a comment and spaces in clean.py": (copy.edited("tasks/clean.py", comment), ()),
        "a value in split's slice": (nothing(), ("--set", "split.test=0.22")),
        "a value in fit's slice": (nothing(), ("--set", "fit.batch_size=48")),
        "a value in no step's slice": (nothing(), ("--set", "retrain.cool_down_hours=5")),
        "a helper of clean": (copy.edited("tasks/cleaning/operations.py", helper), ()),
        "a module that no step reaches": (
            copy.edited("tasks/reports/words.py", lambda t: t + "\nX = 1\n"),
            (),
        ),
        "one cell of the data": (copy.cell(), ()),
        "the version of scikit-learn": (copy.newer("scikit-learn"), ()),
        "a deleted file of split": (copy.deleted("split/*/parts.parquet"), ()),
        "--force fit": (nothing(), ("--force", "fit")),
    }


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", default="prices")
    asked = parser.parse_args()
    table = Table("edit", *STEPS, "why", title="modelyard plan")
    with tempfile.TemporaryDirectory() as place:
        copy = Copy(Path(place), asked.project)
        copy("train")
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        todo = edits(copy)
        for name, (edit, words) in todo.items():
            with edit:
                before = content(copy.folder)
                steps = copy("plan", *words)["steps"]
                assert content(copy.folder) == before, "a plan wrote something"
            why = "; ".join(f"{s['step']}: {s['why']}" for s in steps if s["answer"] == "miss")
            table.add_row(name, *(MARKS[s["answer"]] for s in steps), why)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    console = Console(width=150)
    console.print(table)
    seconds = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    console.print(f"{seconds / len(todo):.1f} CPU seconds a plan")


if __name__ == "__main__":
    main()
