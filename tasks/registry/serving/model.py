"""A registered version behind MLflow's scoring code, without MLflow's loader.

`mlflow models serve` runs the code that a version carries. Here only this checkout's code runs, on a
bundle whose digests are the registered ones. Rows in JSON or CSV are parsed by `parsing`, everything else by
MLflow's server; requests are checked against the signature and answers written by MLflow's own functions.

Two small files of the version are read besides its bundle, and neither is covered by a digest. Of
`MLmodel` only the signature counts, and it must be the one that the bundle implies: all that it may
choose is which columns can be left out. The input example is a request that the version has to answer
before anybody else asks it.
"""

from __future__ import annotations

import http
import io
import shutil
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tasks.errors import ArtifactTampered, ConfigError, ModelyardError, quoted
from tasks.learning import scoring
from tasks.records import ModelVersion
from tasks.registry import backend, fetching, pack
from tasks.registry.serving import parsing

DECLARED, EXAMPLE = "MLmodel", "serving_input_example.json"
FAILED = "unexpected error while evaluating the model"
"""MLflow's words for an error that the model did not mean to raise."""
LOADER = "mlflow.pyfunc.loaders.code_model"
"""What `MLmodel` calls its loader; it is never run here."""


@dataclass(frozen=True)
class Answer:
    """What a request is answered with.

    Attributes:
        status: HTTP's.
        text: The body.
        media_type: What the body is.
        fault: The error that the model itself failed with, which only the operator is told.
        unfamiliar: Column to the number of cells that training saw nothing like.
    """

    status: int
    text: str
    media_type: str
    fault: str = ""
    unfamiliar: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Served:
    """A version that can answer.

    Attributes:
        known: The version, as the registry knows it.
        raw: The model, a `servable.RawModel`.
        meta: What MLflow knows of it: its signature.
    """

    known: ModelVersion
    raw: Any = field(repr=False)
    meta: Any = field(repr=False)

    def answer(self, body: bytes, content_type: str) -> Answer:
        """Answer the body of a request to `/invocations`.

        A refusal is MLflow's own, less the stack trace that MLflow would show to the caller. MLflow's
        parsers also stumble over some nonsense (a column named by a list, ten thousand brackets), which
        its server calls its own fault, 500.
        """
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
        from mlflow.protos.databricks_pb2 import BAD_REQUEST  # noqa: PLC0415
        from mlflow.pyfunc import PyFuncModel, scoring_server  # noqa: PLC0415

        implementation = _Implementation(self.raw)
        model = PyFuncModel(self.meta, implementation)
        try:
            request = (
                parsing.parse(body, content_type) if self.meta.get_input_schema().has_input_names() else None
            )
            if request is None:
                done = scoring_server.invocations(
                    body, content_type, model, model.metadata.get_input_schema()
                )
                return Answer(done.status, done.response, done.mimetype, unfamiliar=implementation.unfamiliar)
            text = io.StringIO()
            scoring_server.predictions_to_json(_predicted(model, *request), text)
            return Answer(200, text.getvalue(), "application/json", unfamiliar=implementation.unfamiliar)
        except MlflowException as error:
            return _refusal(error)
        except ModelyardError as error:
            return _refusal(MlflowException(str(error), error_code=BAD_REQUEST))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            reason = f"The request can't be read: {type(error).__name__}: {error}"
            return _refusal(MlflowException(reason, error_code=BAD_REQUEST))


def _predicted(model: Any, rows: pd.DataFrame, params: dict[str, Any] | None) -> Any:
    """Return the model's answer; what it did not mean to raise is told as MLflow's server tells it."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.protos.databricks_pb2 import BAD_REQUEST  # noqa: PLC0415

    try:
        return model.predict(rows, params=params)
    except (MlflowException, ModelyardError):
        raise
    except Exception:
        message = f"Encountered an {FAILED}."
        raise MlflowException(message, error_code=BAD_REQUEST, stack_trace=traceback.format_exc()) from None


def _refusal(error: Any) -> Answer:
    trace = error.json_kwargs.pop("stack_trace", "").strip()
    fault = trace.rpartition("\n")[2] if FAILED in error.message else ""
    return Answer(error.get_http_status_code(), error.serialize_as_json(), "application/json", fault)


def load(uri: str, name: str, number: int, cache: Path) -> Served:
    """Version `number` of a model, its files verified, once it has answered its own input example.

    Args:
        uri: Tracking URI.
        name: Registered model.
        number: Version of it.
        cache: Folder that bundles are fetched into.

    Raises:
        RegistryConflict: There is no such version, it is not ready, or modelyard did not make it.
        ArtifactTampered: A file is missing or is not what was registered, or the example has no answer.
        Unavailable: The registry can't be reached.
    """
    known = fetching.version(uri, name, number, cache)
    if known.folder is None:
        raise ConfigError(f"model {quoted(name)} version {number} came without its bundle")
    scorer = scoring.load(known.folder)
    declared, example = (_text(uri, known, file) for file in (DECLARED, EXAMPLE))
    served = Served(known, *_dressed(scorer, _signature(declared, scorer.manifest, known)))
    trial = served.answer(example.encode(), "application/json")
    if trial.status != http.HTTPStatus.OK:
        raise _damaged(known, f"it does not answer its own input example ({quoted(trial.text)})")
    return served


def _text(uri: str, known: ModelVersion, name: str) -> str:
    """A small file of a version's MLflow model."""
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    with backend.reaching(uri):
        place = backend.client(uri).get_model_version_download_uri(known.name, str(known.version))
    temporary = tempfile.mkdtemp(prefix="modelyard-")
    try:
        found = download_artifacts(artifact_uri=f"{place}/{name}", dst_path=temporary, tracking_uri=uri)
        return Path(found).read_text(encoding="utf-8")
    except (OSError, ValueError, MlflowException):
        raise _damaged(known, f"its file {name} can't be read") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _signature(text: str, manifest: dict[str, Any], known: ModelVersion) -> Any:
    """The declared signature, if it is the one of this bundle."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.models import ModelSignature  # noqa: PLC0415

    try:
        declared = ModelSignature.from_dict(yaml.safe_load(text)["signature"])
        columns = [] if manifest["columns"] is None else declared.inputs.inputs
        gaps = pd.DataFrame({column.name: [0 if column.required else None] for column in columns})
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, MlflowException):
        raise _damaged(known, f"its file {DECLARED} holds no signature") from None
    expected = pack.signature(manifest, gaps)
    if declared != expected:
        raise _damaged(known, f"the signature in {DECLARED} is not that of its bundle")
    return expected


def _damaged(known: ModelVersion, what: str) -> ArtifactTampered:
    return ArtifactTampered(
        f"version {known.version} of model {quoted(known.name)}: {what}",
        fix="put its files back from a copy, or give the alias champion to another version",
    )


def _dressed(scorer: scoring.Scorer, signature: Any) -> tuple[Any, Any]:
    """Return the scorer in MLflow's clothes, as its loader would dress it, and what MLflow knows of it."""
    backend.quiet()
    from mlflow.models import Model  # noqa: PLC0415

    from tasks.registry.servable import RawModel  # noqa: PLC0415

    raw = RawModel()
    raw.scorer = scorer
    return raw, Model(signature=signature, flavors={"python_function": {"loader_module": LOADER}})


class _Implementation:
    """`predict` without the context that MLflow hands to models from code; one for each request."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.unfamiliar: Mapping[str, int] = {}

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        answer, self.unfamiliar = self._raw.answer(model_input, params)
        return answer
