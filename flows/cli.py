"""`modelyard`: the command line.

Commands are named here by their import path and load only when they are called, so that help comes
at once. Whatever happens, one document or a few lines go to standard output, errors to standard
error, and the exit code says how it ended (see `tasks.errors`).
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from cyclopts import App, CycloptsError

from tasks.errors import ModelyardError, ResourceLimit, Unavailable

COMMANDS = {
    "train": ("training:train", "Train, judge and register a project's model."),
    "retrain": ("retraining:retrain", "Train again if there is a reason to; say why not otherwise."),
    "plan": ("checking:plan", "Say of each step of a training whether it would run, and why."),
    "resume": ("stepping:resume", "Go on with a run that failed or was stopped."),
    "sweep": ("sweeping:sweep", "Look for better settings, judged on validation rows."),
    "new": ("creating:new", "Make a project from your data: a table, pictures or texts."),
    "projects": ("looking:projects", "List the projects and their champions."),
    "check": ("checking:check", "Check a project's configuration and data; trains nothing."),
    "show": ("looking:show", "Show a run, or one step of it."),
    "step": ("stepping:step", "Run one step again on a former run's inputs, untracked."),
    "compare": ("looking:compare", "Compare a project's recent runs and versions."),
    "evaluate": ("evaluating:evaluate", "Score a version on new labelled data; changes nothing."),
    "predict": ("predicting:predict", "Predict a file's rows with a project's champion."),
    "serve": ("serving:serve", "Answer over HTTP with a project's champion, always the present one."),
    "promote": ("promoting:promote", "Make a version the champion."),
    "rollback": ("promoting:rollback", "Go back to the champion before the present one."),
    "history": ("promoting:history", "Show every move of a project's aliases, and why."),
    "register": ("promoting:register", "Register the model of a run that passed its gate."),
    "up": ("operating:up", "Start the servers, the schedules and the watch, and keep them up."),
    "down": ("operating:down", "Stop what `up` started."),
    "status": ("operating:status", "Show servers, schedules, runs and champions."),
    "schedule": ("scheduling:schedule", "Retrain a project by a cron schedule."),
    "unschedule": ("scheduling:unschedule", "Take a schedule away."),
    "schedules": ("scheduling:schedules", "List the schedules and their next runs."),
    "download": ("creating:download", "Fetch a public data set that is too large to ship (mnist)."),
    "ui": ("tending:ui", "Open the pages of MLflow and Prefect on what was trained here."),
    "gc": ("tending:gc", "Free the space of outputs that nothing asks for any more."),
    "doctor": ("tending:doctor", "Check the installation, the stores and the champions."),
}

QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Nothing calls home and no progress bar of a library's own appears."""
INTERRUPTED = 130
GOES_ON = frozenset({"train", "retrain", "resume", "sweep"})
"""Commands that find their finished steps, checkpoints and trials when they are called again."""
BUG = 70


def build() -> App:
    """The application with its commands, none of them loaded."""
    app = App(
        name="modelyard",
        help="Turns data into a registered model that is provably better than something simpler.",
        version=lambda: version("modelyard"),
        help_on_error=False,
        suppress_keyboard_interrupt=False,
    )
    for name, (path, text) in COMMANDS.items():
        app.command(f"flows.commands.{path}", name=name, help=text)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line.

    Args:
        argv: The words after the program's name. When absent they are those of the process, which
            then ends here.

    Returns:
        The exit code: 0 finished, 1 failed, 2 usage or configuration, 3 data refused, 4 rejected
        under `--fail-on-reject`, 5 to 9 as in `tasks.errors`, 70 our bug, 130 interrupted.
    """
    if argv is None:
        from flows.standby import asking  # noqa: PLC0415

        answered = asking.answer(sys.argv[1:])
        _end(main(sys.argv[1:]) if answered is None else answered)
    words = list(argv)
    plain = "--json" in words
    quiet_libraries()
    try:
        command, bound, _ = build().parse_args(words, exit_on_error=False, print_error=False)
        _tell_of_the_dead(bound.arguments)
        answer = command(*bound.args, **bound.kwargs)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # `modelyard ... | head` closed the pipe: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except CycloptsError as error:
        page = " ".join(["modelyard", *(error.command_chain or ()), "--help"])
        return _refuse("USAGE", _sentence(error), f"see `{page}`", 2, plain=plain)
    except KeyboardInterrupt:
        fix = "the same command goes on where this one stopped" if GOES_ON.intersection(words[:1]) else ""
        return _refuse("INTERRUPTED", "interrupted; nothing was registered", fix, INTERRUPTED, plain=plain)
    except Exception as error:
        return _explain(error, words, plain=plain)
    return answer if isinstance(answer, int) else 0


def _tell_of_the_dead(arguments: Mapping[str, Any]) -> None:
    """Before a command shows anything, runs whose process died are told to the databases.

    Where there are none, which is nearly always, that is one look into a folder. A server is not
    started for it: what only Prefect can be told waits for the next command that has one.
    """
    from flows.roots import find_root  # noqa: PLC0415

    given = getattr(arguments.get("common"), "root", None)
    try:
        root = find_root(given)
        if not any((root / ".state" / "leases" / "runs").glob("*")):
            return
        from flows.operate.reconcile import reconcile  # noqa: PLC0415

        for dead in reconcile(root):
            print(f"note: {dead.what} had died; told {' and '.join(dead.told)}", file=sys.stderr)
    except ModelyardError:
        return  # the command meets the same obstacle, and says so


def _end(code: int) -> NoReturn:
    """Ends the process after its exit handlers ran.

    Taking the frameworks' modules apart object by object costs three to four seconds after a
    training, with nothing left to do.
    """
    leave()
    os._exit(code)


def leave() -> None:
    """Runs the exit handlers; all that was written is out then."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def _explain(error: Exception, words: list[str], *, plain: bool) -> int:
    """One line about an error: a foreseen one in its own words, any other as a bug with a log."""
    if "--debug" in words:
        traceback.print_exc()
    known = _foreseen(error)
    if known is not None:
        return _refuse(known.code, known.message, known.fix, known.exit_code, plain=plain)
    if theirs := _own_part(error):
        return _refuse("OWN_PART", theirs, "--debug shows the way there", 1, plain=plain)
    place = _keep(words)
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    return _refuse("BUG", what, f"this is a fault of modelyard's: please report {place}", BUG, plain=plain)


def quiet_libraries() -> None:
    """Switches of the libraries, where the environment does not set them itself."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def _refuse(code: str, message: str, fix: str, status: int, *, plain: bool) -> int:
    """One line on standard error; with `--json` the same as a document on standard output."""
    print(f"error[{code}] {message}" + (f"; {fix}" if fix else ""), file=sys.stderr)
    if plain:
        print(json.dumps({"error": {"code": code, "message": message, "fix": fix}, "exit": status}))
    return status


def _sentence(error: CycloptsError) -> str:
    """Cyclopts' own words as one line."""
    text = " ".join(str(error).split())
    return text if text.endswith("...") else text.rstrip(".")


def _foreseen(error: BaseException) -> ModelyardError | None:
    """The error of ours that says what `error` means, looking through what it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ModelyardError):
            return seen
        if isinstance(seen, MemoryError):
            return ResourceLimit("the machine ran out of memory", fix="use a smaller batch or less data")
        if isinstance(seen, OSError) and seen.errno in (28, 122):  # ENOSPC, EDQUOT
            return ResourceLimit(f"no space left on the disk ({seen.filename})", fix="make room, run again")
        if isinstance(seen, PermissionError):
            return ResourceLimit(f"not allowed: {seen}", fix="check the owner and mode of that place")
        if type(seen).__module__.split(".")[0] in ("httpx", "httpcore"):
            return Unavailable(f"a server stopped answering: {type(seen).__name__} {seen}".strip())
        seen = seen.__cause__
    return None


def _own_part(error: Exception) -> str:
    """The line of a project's own part that raised, or that called what did; empty where it is ours."""
    from tasks.own import extension  # noqa: PLC0415

    ours = Path(__file__).parents[1]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if any(path.is_relative_to(ours / package) for package in extension.OURS):
            return ""
        if extension.holds(path):
            return f"{path}, line {frame.lineno}: {type(error).__name__}: {error}".splitlines()[0]
    return ""


def _keep(words: list[str]) -> Path:
    """Writes the traceback of a bug where a person can find it; returns the file."""
    from flows.roots import find_root  # noqa: PLC0415

    try:
        folder = find_root() / ".state" / "bugs"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ModelyardError):
        folder = Path(tempfile.gettempdir())
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    path.write_text(f"modelyard {' '.join(words)}\n\n{traceback.format_exc()}", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
