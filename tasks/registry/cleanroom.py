"""Loads a registered model as a stranger would; run as a script, in a fresh process without a GPU.

    python -I cleanroom.py < line-with-the-path-of-a-request

It imports what every model needs before it reads that line, so that the process that asks can go on
meanwhile; when that process dies, the line never comes and this one ends too. The request is a JSON
file that names the tracking URI, the model's URI, the raw rows and where the answer goes. At the top
only the standard library is imported: the `tasks` that answers must be the copy inside the model, and
the answer says where it lay.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

NEEDED = (
    "torch",
    "safetensors.torch",
    "pyarrow.parquet",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "alembic.command",
    "opentelemetry.sdk.trace",
)
"""What answering takes besides the model's own code; half of the seconds are those of the stores."""


def answer(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Predictions of the model for the rows of the request.

    Args:
        request: `tracking_uri`, `model_uri`, `rows` (a .parquet or .npy file), `probabilities`.
        folder: Empty folder that the model is fetched into.

    Returns:
        `values`, `confidence` (the probability of each label, or None) and `tasks`, the file
        of the package that answered, relative to `folder`, or None if it lay elsewhere.
    """
    import mlflow  # noqa: PLC0415

    mlflow.set_tracking_uri(request["tracking_uri"])
    mlflow.set_registry_uri(request["tracking_uri"])
    model = mlflow.pyfunc.load_model(request["model_uri"], dst_path=str(folder))
    rows = _read(Path(request["rows"]))
    values = model.predict(rows)
    confidence = None
    if request["probabilities"]:
        table = model.predict(rows, params={"output": "probabilities"})
        at = table.columns.get_indexer([str(value) for value in values.tolist()])
        confidence = table.to_numpy()[range(len(at)), at].tolist()
    return {"values": values.tolist(), "confidence": confidence, "tasks": _own_copy(folder)}


def _read(path: Path) -> Any:
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    return np.load(path, allow_pickle=False) if path.suffix == ".npy" else pd.read_parquet(path)


def _own_copy(folder: Path) -> str | None:
    package = sys.modules.get("tasks")
    place = Path(getattr(package, "__file__", None) or "/").resolve()
    return str(place.relative_to(folder.resolve())) if place.is_relative_to(folder.resolve()) else None


def get_ready() -> None:
    """Does what takes long and hangs on no model."""
    gc.disable()  # imports make no garbage, and looking for it takes a quarter of their seconds
    for name in NEEDED:
        import_module(name)
    gc.freeze()
    gc.enable()
    with suppress(Exception):  # MLflow promises nothing of it; what is not done now is done when asked
        from mlflow.utils import requirements_utils  # noqa: PLC0415

        # Each load compares the model's requirements with what is installed: half a second the first time.
        requirements_utils._init_packages_to_modules_map()
    import torch  # noqa: PLC0415

    torch.nn.functional.linear(torch.zeros(2, 2), torch.zeros(2, 2))  # the first product takes longer


def main() -> None:
    """Answers the request that standard input names; a failure is an answer too."""
    get_ready()
    path = sys.stdin.readline().strip()
    if not path:
        return
    request = json.loads(Path(path).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = answer(request, Path(folder))
        except Exception as error:  # the process that asked decides what it means
            result = {"error": type(error).__name__, "message": str(error)[:500]}
    Path(request["answer"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # who asked waits for this; taking the frameworks apart takes a second
