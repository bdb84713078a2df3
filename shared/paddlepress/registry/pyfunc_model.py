"""The MLflow model of a variant, as code: MLflow copies this file into the model and runs it to load the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel


class CompressedClassifier(PythonModel):  # type: ignore[misc]
    """Runs the deployable of a variant: float32 [n, *shape] to logits, float32 [n, classes]."""

    def load_context(self, context: Any) -> None:
        """Open the deployable."""
        from paddlepress.deployment.predictor import Predictor

        self.predictor = Predictor.load(Path(context.artifacts["deployable"]))

    # MLflow reads the annotation of `model_input`: this one it knows, and takes the signature as it was given.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:
        """The logits of a batch; their argmax is the class that the registered accuracy counts."""
        return self.predictor.predict(np.ascontiguousarray(model_input, dtype=np.float32))


mlflow.models.set_model(CompressedClassifier())
