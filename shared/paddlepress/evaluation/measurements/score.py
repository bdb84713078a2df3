"""How good a model is on test data, by its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from paddlepress.core import plugins
from paddlepress.evaluation.measurement import Measurement, Subject
from paddlepress.spec.metric import Metric
from paddlepress.tasks.base import task_class

if TYPE_CHECKING:
    from paddlepress.data import StoredSplit


def _metrics() -> dict[str, Metric]:
    """The metrics of each registered task, the primary one with the ends of its interval, and how far that fell."""
    found: dict[str, Metric] = {}
    for kind in plugins.listed(plugins.TASKS):
        task = task_class(kind)
        metric = task.metrics[task.primary]
        found[task.primary] = metric
        for end, side in (("low", "lower"), ("high", "upper")):
            about = f"{side} end of the {task.primary}'s 95% confidence interval"
            label = f"{metric.label or task.primary}, {side} end"
            found[f"{task.primary}_{end}"] = Metric(metric.unit, metric.higher_is_better, about, metric.digits, label)
        found |= {name: other for name, other in task.metrics.items() if name != task.primary}
    about = "how much worse the task's primary metric, such as accuracy, is than the base model's"
    return {**found, "drop": Metric("points", False, about, label="Drop")}


class ScoreOnTest(Measurement):
    """The task's metrics on the deployed runtime, the primary one with its interval, and beside the base model's."""

    metrics: ClassVar[Mapping[str, Metric]] = _metrics()
    position: ClassVar[int] = 10
    required: ClassVar[bool] = True

    def measure(self, subject: Subject, reference: Subject, split: StoredSplit, budget_s: float) -> dict[str, float]:
        """Score what the deployables of both models said."""
        task = subject.model.task
        score, base = (task.score(each.outputs, split.labels) for each in (subject, reference))
        return {
            task.primary: score.value,
            f"{task.primary}_low": score.low,
            f"{task.primary}_high": score.high,
            **task.further(subject.outputs, split.labels),
            "drop": base.value - score.value if task.higher_is_better else score.value - base.value,
        }
