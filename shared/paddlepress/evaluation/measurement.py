"""The interface of a measurement: something that an evaluation finds out about a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from paddlepress.spec.metric import Metric

if TYPE_CHECKING:
    from pathlib import Path

    from paddlepress.data import StoredSplit
    from paddlepress.network.model import Model
    from paddlepress.spec.tensors import Array


@dataclass(frozen=True)
class Subject:
    """A model as it is measured.

    Attributes:
        model: in memory.
        artifact: its folder.
        deployable: what of it would be deployed.
        outputs: of the deployable on the split that is measured with, float32 [n, ...].
        network_outputs: of the network itself, in Paddle, on the same.
    """

    model: Model
    artifact: Path
    deployable: Path
    outputs: Array
    network_outputs: Array


class Measurement(ABC):
    """Some figures of a model. Subclass it, say what the figures are, and register it.

    It is a plugin of the entry-point group `paddlepress.measurements`. Recipes check their gates against its metrics,
    so its module imports nothing heavy where it is loaded.
    """

    metrics: ClassVar[Mapping[str, Metric]]
    """What it gives, by name."""
    position: ClassVar[int] = 100
    """Where its figures stand in tables: the lowest first."""
    required: ClassVar[bool] = False
    """Whether an evaluation fails if it can't be made. Otherwise its figures are missing, with the reason."""

    @abstractmethod
    def measure(self, subject: Subject, reference: Subject, split: StoredSplit, budget_s: float) -> dict[str, float]:
        """Measure a model.

        Args:
            subject: the model.
            reference: its base model, on the same split; it may be the same.
            split: examples that no technique has seen, as they are stored.
            budget_s: about how long each comparison of times may take.

        Returns:
            Figures by name; one that has no meaning for this model is left out.

        Raises:
            PaddlepressError, RuntimeError, ValueError: it can't be measured here; the reason is
                kept with the evaluation.
        """
