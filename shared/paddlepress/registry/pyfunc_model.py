"""The MLflow model of a variant, as code: MLflow copies this file into the model and runs it to load the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

OUTPUTS = ("label", "probabilities", "logits")


class CompressedClassifier(PythonModel):  # type: ignore[misc]
    """Runs the deployable of a variant on inputs as the data hold them, such as uint8 pixels [n, *shape]."""

    def load_context(self, context: Any) -> None:
        """Open the deployable."""
        from paddlepress.deployment.predictor import Predictor

        self.predictor = Predictor.load(Path(context.artifacts["deployable"]))

    # MLflow reads the annotation of `model_input`: this one it knows, and takes the signature as it was given.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:
        """The classes of a batch.

        Args:
            context: not used.
            model_input: array [n, *shape] of the signature's dtype, as MLflow has checked; of a model that takes
                several inputs, such arrays by name. (It makes integers of what
                a server is sent, and cuts off fractions.)
            params: `output` is `label`, or else `probabilities` or `logits`.

        Returns:
            A data frame with what the task makes of the outputs, such as the most probable class, `label`, and its
            probability, `score`; or else what `output` names, float32 [n, ...] as the network gives it.
        """
        import pandas as pd

        from paddlepress.core.errors import DataError

        wanted = (params or {}).get("output", OUTPUTS[0])
        if wanted not in OUTPUTS:
            raise MlflowException.invalid_parameter_value(f"output is {wanted!r}. Valid: {', '.join(OUTPUTS)}")
        try:
            outputs = self.predictor.predict(_arrays(model_input))
            if wanted == "logits":
                return outputs
            if wanted == "probabilities":
                return self.predictor.task.probabilities(outputs)
        except DataError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        columns = self.predictor.task.decode(outputs)
        return pd.DataFrame({name: _column(values) for name, values in columns.items()})


def _arrays(given: Any) -> Any:
    """An array, or arrays by name."""
    if isinstance(given, Mapping):
        return {name: np.asarray(array) for name, array in given.items()}
    return np.asarray(given)


def _column(values: np.ndarray[Any, Any]) -> Any:
    """One value an example, or one array, such as a mask."""
    import pandas as pd

    return pd.Series(list(values) if values.ndim > 1 else values, dtype=str if values.dtype == object else None)


mlflow.models.set_model(CompressedClassifier())
