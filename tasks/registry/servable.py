"""The registered model as MLflow runs it: a models-from-code file that leans on `tasks.learning.scoring`.

It answers labels or numbers for raw rows or raw images; with `params={"output": "probabilities"}`
the probability of each class. MLflow puts the model's own copy of `tasks` first on the path before
it runs this file, so nothing is imported from it before `load_context`.
"""

# No `from __future__ import annotations`: MLflow reads the hints of `predict` as objects, and
# validates nothing by itself when the hint is a DataFrame.
from collections.abc import Mapping
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException


class RawModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Raw data in, answers out; preprocessing is inside."""

    def load_context(self, context: Any) -> None:
        """Reads and verifies the bundle; MLflow asks for the parameter's name to be `context`."""
        from tasks.learning import scoring  # noqa: PLC0415

        self.scorer = scoring.load(_path(context.artifacts["bundle"]))

    def predict(
        self,
        context: Any,  # noqa: ARG002 - MLflow passes it
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> Any:
        """Answers for rows, or for images although the hint says otherwise.

        Args:
            context: Unused.
            model_input: Raw rows, or uint8 images (n, height, width[, 3]).
            params: `output`: `value` (default) or `probabilities`.

        Returns:
            (n,) labels or float64 numbers, or a frame with a column of probabilities for each class.
        """
        return self.answer(model_input, params)[0]

    def answer(self, data: Any, params: dict[str, Any] | None = None) -> tuple[Any, Mapping[str, int]]:
        """Answer as `predict` does, and count for each column the cells that training saw nothing like."""
        from tasks.errors import ModelyardError  # noqa: PLC0415

        output = (params or {}).get("output", "value")
        if output not in ("value", "probabilities"):
            raise _refused(f"params.output: got {output!r}; expected 'value' or 'probabilities'")
        try:
            answer = self.scorer.predict(self._raw(data))
        except ModelyardError as error:
            raise _refused(str(error)) from error
        if output == "value":
            return answer.values, answer.unfamiliar
        if answer.probabilities is None:
            raise _refused("params.output: 'probabilities' asked of a model that predicts a number")
        names = [str(label) for label in self.scorer.manifest["classes"]]
        return pd.DataFrame(answer.probabilities, columns=names), answer.unfamiliar

    def _raw(self, data: Any) -> Any:
        """Rows with every raw column, those that were left out as missing; or the pixels."""
        columns = self.scorer.manifest["columns"]
        if columns is None or not isinstance(data, pd.DataFrame):
            return np.asarray(data)
        absent = [column["name"] for column in columns if column["name"] not in data.columns]
        return data.assign(**dict.fromkeys(absent, None))


def _path(text: str) -> Any:
    from pathlib import Path  # noqa: PLC0415

    return Path(text)


def _refused(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


mlflow.models.set_model(RawModel())
