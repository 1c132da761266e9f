"""The house is kept: where things lie, how long they are, what the text may say."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"flows", "tasks", "data", "tests", "mlflow"}
"""The top level; files and folders with a dot aside, there is no other."""
MODULE_LINES = 400
FUNCTION_LINES = 60
"""Lines of a body without its docstring: a step's signature and its explanation may be long."""
ROOM_FILES = 16
VAGUE = {"utils", "util", "helpers", "common", "misc", "manager"}

# Written so that no pattern finds itself.
FORBIDDEN = {
    "work left open": r"\b(?:TO[D]O|FIX[M]E)\b",
    "a registry of packages": r"\bpy[p]i\.(?:org|python)|python[h]osted\.|ana[c]onda\.org|\.py[t]orch\.org",
    "a path of one machine": r"(?<![\w*})>.])/(?:work|root|workspace|Users|home/\w+)/\w",
    "a number that only its authors know": r"\bissues? #?\d|\bsessions? #?\d|\(#\d+\)|\bfixes #\d",
}


@cache
def tracked() -> tuple[PurePosixPath, ...]:
    """Files that git knows, relative to the checkout."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    done = subprocess.run([git, "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True)
    return tuple(PurePosixPath(n) for n in done.stdout.decode().split("\0") if n and (ROOT / n).exists())


def sources(*folders: str) -> list[PurePosixPath]:
    """Tracked modules below the folders."""
    return [path for path in tracked() if path.suffix == ".py" and path.parts[0] in folders]


def read(path: PurePosixPath) -> str | None:
    """A file's text; None for a binary one."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the last."""
    first = function.body[0]
    told = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    statements = function.body[1:] if told else function.body
    return statements[-1].end_lineno - statements[0].lineno + 1 if statements else 0


def test_top_level() -> None:
    assert {path.parts[0] for path in tracked() if len(path.parts) > 1 and path.parts[0][0] != "."} == FOLDERS


def test_no_generated_file_is_committed() -> None:
    state = [p for p in tracked() if p.parts[0] == "mlflow" and p.name != "README.md"]
    made = [p for p in tracked() if {"work", "__pycache__", ".venv", ".state"} & set(p.parts)]
    assert state + made == []
    assert max((ROOT / path).stat().st_size for path in tracked()) < 1_000_000


def test_tests_mirror_the_tree() -> None:
    tests = sources("tests")
    assert [path for path in tests if path.name == "__init__.py"] == []
    rooms = {path.relative_to("tests").parent for path in tests} - {
        PurePosixPath(),
        PurePosixPath("benchmarks"),
    }
    assert [room for room in rooms if not (ROOT / room / "__init__.py").exists()] == []


@pytest.mark.parametrize("package", ["flows", "tasks"])
def test_rooms_are_named_and_small(package: str) -> None:
    modules = sources(package)
    assert [path for path in modules if path.stem in VAGUE or path.parent.name in VAGUE] == []
    sizes = {room: sum(path.parent == room for path in modules) for room in {path.parent for path in modules}}
    assert {room: size for room, size in sizes.items() if size > ROOM_FILES} == {}
    assert [room for room in sizes if room / "__init__.py" not in modules] == []


def test_modules_are_short() -> None:
    lengths = {str(path): len((read(path) or "").splitlines()) for path in sources("flows", "tasks")}
    assert {path: lines for path, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_functions_are_short() -> None:
    long = []
    for path in sources("flows", "tasks"):
        for node in ast.walk(ast.parse(read(path) or "")):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = body_lines(node)
                long += [f"{path}:{node.lineno} {node.name}: {lines}"] if lines > FUNCTION_LINES else []
    assert long == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_text_speaks_of_the_project_alone(what: str) -> None:
    pattern, found = re.compile(FORBIDDEN[what]), []
    for path in tracked():
        for number, line in enumerate((read(path) or "").splitlines(), start=1):
            found += [f"{path}:{number}: {match[0]}" for match in pattern.finditer(line)]
    assert found == []


def test_ci_runs_what_the_readme_says() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert [line for line in script.splitlines() if line.startswith("make ")] == ["make test"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"make train", "make test"} <= set(re.findall(r"make (?:train|test)\b", text))
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
