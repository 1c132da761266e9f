"""The command line itself: quick help, one error line, exit codes, one document."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pytest

from flows import cli
from flows.commands.options import DEFAULT, Common
from tasks.errors import (
    ArtifactTampered,
    ConfigError,
    DataRejected,
    ModelyardError,
    RegistryConflict,
    ResourceLimit,
    TrainingDiverged,
    Unavailable,
)

HEAVY = ("prefect", "torch", "mlflow", "pandas", "numpy", "sklearn", "great_expectations", "pydantic")


def cpu_of(words: list[str], forbidden: tuple[str, ...]) -> float:
    """Seconds of CPU that a fresh process takes for `words`; none of `forbidden` may be imported."""
    code = textwrap.dedent(
        f"""
        import os, sys
        from flows.cli import main
        assert main({words!r}) == 0
        loaded = [name for name in {forbidden!r} if name in sys.modules]
        assert loaded == [], loaded
        print("CPU", sum(os.times()[:2]))
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.rsplit("CPU", 1)[1])


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    assert min(cpu_of(["--help"], HEAVY) for _ in range(3)) < 0.5


def test_help_of_a_command_loads_no_framework() -> None:
    cpu_of(["train", "--help"], ("prefect", "torch", "mlflow", "great_expectations", "pandas"))


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_every_command_has_help(command: str, capsys) -> None:
    assert cli.main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"modelyard {command}" in out
    for option in ("--root", "--json", "--debug"):
        assert option in out


def test_no_words_print_help(capsys) -> None:
    assert cli.main([]) == 0
    assert "Commands" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian", "x"], "Did you mean"),
        (["train"], "requires an argument"),
        (["train", "x", "--epochs", "3"], "--epochs"),
        (["compare", "x", "--limit", "ten"], "limit"),
        (["compare", "x", "--limit", "0"], "limit"),
        (["predict", "x", "f.csv"], "output"),
        (["download", "imagenet"], "mnist"),
        (["ui", "--port", "99999"], "port"),
    ],
)
def test_usage_errors(words: list[str], expected: str, capsys) -> None:
    assert cli.main([*words, "--json"]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error[USAGE] ")
    assert err.count("\n") == 1
    assert expected in err
    document = json.loads(out)
    assert document["exit"] == 2
    assert document["error"]["code"] == "USAGE"
    command = [words[0]] if words and words[0] in cli.COMMANDS else []
    assert document["error"]["fix"] == f"see `{' '.join(['modelyard', *command, '--help'])}`"


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        (ConfigError, "CONFIG", 2),
        (DataRejected, "DATA_REJECTED", 3),
        (RegistryConflict, "REGISTRY_CONFLICT", 5),
        (Unavailable, "UNAVAILABLE", 6),
        (ResourceLimit, "RESOURCE_LIMIT", 7),
        (TrainingDiverged, "TRAINING_DIVERGED", 8),
        (ArtifactTampered, "ARTIFACT_TAMPERED", 9),
    ],
)
def test_exit_codes(kind: type[ModelyardError], code: str, status: int, monkeypatch, capsys) -> None:
    def fail(*, common: Common = DEFAULT) -> None:
        raise kind("it broke", fix="mend it")

    monkeypatch.setattr("flows.commands.looking.projects", fail)
    assert cli.main(["projects"]) == status
    assert capsys.readouterr().err == f"error[{code}] it broke; mend it\n"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), 7),
        (OSError(28, "No space left on device", "/somewhere"), 7),
        (PermissionError(13, "Permission denied", "/somewhere"), 7),
        (httpx.ConnectError("refused"), 6),
        (KeyboardInterrupt(), 130),
    ],
)
def test_foreseen_failures_of_the_machine(error: BaseException, status: int, monkeypatch, capsys) -> None:
    def fail(*, common: Common = DEFAULT) -> None:
        raise error

    monkeypatch.setattr("flows.commands.looking.projects", fail)
    assert cli.main(["projects"]) == status
    assert "Traceback" not in capsys.readouterr().err


def test_bug_leaves_a_log(tmp_path: Path, monkeypatch, capsys) -> None:
    def fail(*, common: Common = DEFAULT) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setenv("MODELYARD_ROOT", str(tmp_path))
    monkeypatch.setattr("flows.commands.looking.projects", fail)
    assert cli.main(["projects", "--json"]) == 70
    out, err = capsys.readouterr()
    assert err.startswith("error[BUG] ZeroDivisionError: oops")
    assert "Traceback" not in err
    assert json.loads(out)["exit"] == 70
    (log,) = (tmp_path / ".state" / "bugs").glob("*.log")
    assert "Traceback" in log.read_text()


def test_debug_shows_the_traceback(monkeypatch, capsys) -> None:
    def fail(*, common: Common = DEFAULT) -> None:
        raise ConfigError("it broke")

    monkeypatch.setattr("flows.commands.looking.projects", fail)
    assert cli.main(["projects", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_set_values_of_the_user_are_kept(monkeypatch) -> None:
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "true")
    cli.quiet_libraries()
    assert os.environ["GX_ANALYTICS_ENABLED"] == "true"


def test_closed_pipe_is_no_error() -> None:
    code = textwrap.dedent(
        """
        import os, sys
        from flows.cli import main
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)
        sys.exit(main(["--help"]))
        """
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""


def test_no_stem_in_flows_is_importable(root: Path) -> None:
    stems = {path.stem for path in (root / "flows").glob("*.py")} - {"__init__"}
    outside = [name for name in sys.path if Path(name or ".").resolve() != root / "flows"]
    taken = [
        s
        for s in stems
        if importlib.machinery.PathFinder.find_spec(s, outside) or s in sys.builtin_module_names
    ]
    assert taken == []
