"""One flow run of the dispatcher's, in a process of its own: `python -P -m flows.operate.errand ...`.

Which code runs is decided here and by the dispatcher, never by the Prefect API: the flow is one of
three of ours, the project and the root are given on the command line, and what the API holds as
entrypoint, pull steps or job variables is not looked at. Of the API's parameters only those count
that the flow has, and it checks them.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.servers import leash
from tasks.starting.importing import undisturbed

if TYPE_CHECKING:
    from prefect import Flow

LEAVE_SECONDS = 20.0
"""How long a run may take to end in order once its dispatcher is gone; then it is killed."""


def main(root: Path, flow: str, project: str, flow_run_id: UUID) -> int:
    """Executes the flow run; its states and its MLflow run say how it went.

    Returns:
        The process's exit code: 0 finished, 1 failed, 130 cancelled.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where a shell started us behind
    # Prefect turns the signal into the end of the flow: Crashed.
    leash.hold(lambda: os.kill(os.getpid(), signal.SIGTERM), patience=LEAVE_SECONDS)
    with undisturbed():
        from prefect.client.orchestration import get_client  # noqa: PLC0415
        from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings  # noqa: PLC0415

        from flows.audience import watching  # noqa: PLC0415
        from flows.operate import history  # noqa: PLC0415
        from flows.operate.execution import execute  # noqa: PLC0415
        from flows.operate.reporter import Reporter  # noqa: PLC0415

        run = _flow(flow)

    # Heartbeats cost a second at a run's end; a lease tells more, and sooner.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), watching(Reporter()):
        try:
            with get_client(sync_client=True) as client:
                given = client.read_flow_run(flow_run_id).parameters
            words = given | {"project": project, "root": str(root)}
            execute(run, words, root, flow_run_id=flow_run_id)
        except KeyboardInterrupt:
            return 130
        except Exception as error:  # stored already: in the flow run's state, and in the MLflow run
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            return 1
        finally:
            history.settle(None, 0)
    return 0


def _flow(name: str) -> Flow[..., Any]:
    """The flow called `name`; no other code can be reached from here."""
    if name == "train":
        from flows.train import train  # noqa: PLC0415

        return train
    if name == "retrain":
        from flows.retrain import retrain  # noqa: PLC0415

        return retrain
    if name == "predict":
        from flows.predict import predict  # noqa: PLC0415

        return predict
    raise LookupError(f"no flow {name!r}")


if __name__ == "__main__":
    code = main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], UUID(sys.argv[4]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # taking the frameworks apart costs seconds
