"""Flow runs as processes: started, asked to stop, and explained when they have ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from flows.operate import errand
from flows.operate.manifest import Declared
from flows.servers.launch import launch

STOP_SECONDS = 15.0
"""How long a child may take to end after it was asked to; then it is killed."""
ASK_SECONDS = 4.0
"""Until a child that was asked to stop, and has not, is asked again; tidying up takes about one second."""
LOGS_KEPT = 50
CANCELLED = 130
"""Exit code of a child that was cancelled."""


@dataclass
class Child:
    """A flow run that is being executed. `asked` is when it was asked to stop, 0.0 if it was not."""

    flow_run_id: UUID
    declared: Declared
    process: subprocess.Popen[bytes]
    output: Path
    asked: float = 0.0
    how: signal.Signals | None = None
    _again: float = 0.0

    @property
    def trains(self) -> bool:
        """Whether it takes its project's slot."""
        return self.declared.flow != "predict"

    def ask(self, how: signal.Signals) -> None:
        """Asks it to stop; a second time changes nothing."""
        if not self.asked and self.process.poll() is None:
            self.asked = self._again = time.monotonic()
            self.how = how
            self.process.send_signal(how)

    def look(self) -> int | None:
        """Its exit code once it ended. One that does not stop in time is killed with all it started."""
        code, now = self.process.poll(), time.monotonic()
        if code is None and self.asked and now - self.asked > STOP_SECONDS:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        elif code is None and self.how is not None and now - self._again > ASK_SECONDS:
            # Python drops an interrupt that hits it in a destructor or a callback of C code.
            self._again = now
            self.process.send_signal(self.how)
        return code

    def close(self) -> None:
        """Lets go of what is left of a child that ended: our end of its leash, its empty log."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.output.exists() and self.output.stat().st_size == 0:
            self.output.unlink()


def spawn(root: Path, flow_run_id: UUID, declared: Declared) -> Child:
    """Starts a child; it ends when this process does, since we hold its standard input."""
    output = root / ".state" / "logs" / "runs" / f"{flow_run_id}.log"
    output.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _forget_oldest(output.parent)
    # Somebody may be following: two seconds between batches of lines are long.
    environment = {**os.environ, "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5"}
    words = (declared.flow, declared.project, str(flow_run_id))
    with output.open("wb") as log:
        process = launch(errand.__name__, root, log, *words, environment=environment)
    return Child(flow_run_id, declared, process, output)


def explain(code: int) -> str:
    """Why a child left its run unfinished, from its exit code."""
    if code >= 0:
        return f"its process ended with code {code} before the run did"
    name = signal.Signals(-code).name
    return f"its process was killed by {name}" + (", often for want of memory" if name == "SIGKILL" else "")


def _forget_oldest(folder: Path) -> None:
    kept = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[LOGS_KEPT:]:
        path.unlink(missing_ok=True)
