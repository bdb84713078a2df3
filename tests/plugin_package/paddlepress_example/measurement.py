"""An example of a measurement: whether a classifier is as often right as it says it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from paddlepress import Measurement, Metric

if TYPE_CHECKING:
    from paddlepress import Subject
    from paddlepress.data import StoredSplit


class CalibrationError(Measurement):
    """Expected calibration error in ten bins: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "calibration_error": Metric(
            "points", False, "mean distance of confidence from accuracy, in ten bins", label="Calibration error"
        )
    }

    def measure(self, subject: Subject, reference: Subject, split: StoredSplit, budget_s: float) -> dict[str, float]:
        """Compare how sure the deployable is with how often it is right."""
        import numpy as np

        confidence = subject.model.task.probabilities(subject.outputs).max(axis=1)
        right = subject.outputs.argmax(axis=1) == split.labels
        bins = np.minimum((confidence * 10).astype(int), 9)
        gaps = [(confidence[bins == k].mean() - right[bins == k].mean()) * (bins == k).mean() for k in np.unique(bins)]
        return {"calibration_error": 100 * float(np.abs(gaps).sum())}
