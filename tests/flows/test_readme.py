"""README's "Your own data" is a transcript: its commands are run, and say what stands there.

Numbers may differ from machine to machine, and with them the verdict; words and their order may not.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"


def transcript(text: str, heading: str) -> list[tuple[str, list[str]]]:
    """Commands of the first `console` block below a heading, each with the lines that follow it."""
    below = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.search(r"^```console\n(.*?)^```", below, re.MULTILINE | re.DOTALL)
    assert found, f"no console block below {heading!r}"
    whole = found[1].replace("\\\n", "\\\0")  # a command that goes on in the next line
    made: list[tuple[str, list[str]]] = []
    for line in whole.splitlines():
        if line.startswith("$ "):
            made.append((line[2:].replace("\\\0", "\\\n"), []))
        else:
            made[-1][1].append(line)
    return made


def shape(line: str) -> str:
    """A line less its figures, times, ids and the folder that it was run in; of a table, the first cell."""
    if line.startswith(("┃", "│")):
        return "│ " + line.strip("┃│ ").split()[0]
    line = re.sub(r"\S*(?=data/cars/work)", "", line)
    line = re.sub(r"\b[0-9a-f]{12,32}\b", "ID", line)
    line = re.sub(r"reused|[0-9.,]+ s\b", "TIME", line)
    return " ".join(re.sub(r"[0-9][0-9.,]*", "0", line).split())


def compared(lines: list[str]) -> list[str]:
    """Shapes of the lines that no figure decides: rules of tables, warnings and the verdict are left out."""
    kept = (line for line in lines if line.strip() and line[0] not in "┏┡└")
    drop = ("! ", "registered", "rejected", "✓ register", "candidate ")
    return [shape(line) for line in kept if not line.strip().startswith(drop)]


def test_your_own_data(yard, monkeypatch) -> None:
    monkeypatch.chdir(yard.root)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    commands = transcript(README.read_text(encoding="utf-8"), "Your own data")
    assert [shlex.split(command)[:2] for command, _ in commands][1:] == [
        ["modelyard", "new"], ["modelyard", "new"], ["modelyard", "check"], ["modelyard", "train"],
    ]  # fmt: skip
    for command, expected in commands:
        if command.startswith("modelyard "):  # in this process, whose server is up
            answer = yard(*shlex.split(command)[1:])
            said = answer.out if answer.code == 0 else answer.err
        else:
            done = subprocess.run(
                ["bash", "-c", command], env={**os.environ, "PATH": path}, capture_output=True, text=True,
                check=True, timeout=120,
            )  # fmt: skip
            said = done.stdout
        assert compared(said.splitlines()) == compared(expected), command


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("✓ validate    4.0 s  392 rows read", "✓ validate   reused  40 rows read", True),
        ("· mpg: the target; you named it", "· mpg: the target; its name says so", False),
        ("│ ridge     │ 3.483 │ better", "│ ridge  │ 2 │ worse", True),
        ("│ ridge     │ 3.483 │ better", "│ svm  │ 3.483 │ better", False),
        ("[…]/data/cars/work/22aaff80435a.html", "/tmp/a/data/cars/work/1234567890ab.html", True),
    ],
)  # fmt: skip
def test_what_counts_as_the_same(one, other, same) -> None:
    assert (shape(one) == shape(other)) is same
