"""How a network is trained; imports nothing heavy, so that recipes and components can read it."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from paddlepress.core.fields import Fields, When
from paddlepress.training.augmentation import DESCRIPTION, Stated

WARM_UP = 0.3  # share of the steps in which one-cycle rises
START = 1 / 25  # of the peak, where one-cycle begins
END = 1e-3  # of the peak, where one-cycle ends


class TrainingSettings(Fields):
    """How long, how fast and with what a network is trained."""

    epochs: int = Field(default=3, ge=1, le=10_000, description="passes over the training data")
    batch_size: int = Field(default=128, ge=1, le=65_536, description="examples in one step")
    optimizer: Literal["adam", "sgd", "momentum"] = Field(
        default="adam", description="adam (decoupled weight decay), sgd, or momentum (0.9)"
    )
    learning_rate: float = Field(default=3e-3, gt=0, le=10, description="the schedule's highest learning rate")
    schedule: Literal["one-cycle", "cosine", "constant"] = Field(
        default="one-cycle", description="one-cycle warms up and anneals to almost 0, cosine anneals only"
    )
    warmup: Annotated[float, When("schedule", "cosine", "constant")] = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the steps in which the learning rate rises linearly, before the schedule; one-cycle "
        "rises by itself",
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        le=65_536,
        description="batches whose gradients are averaged before each step: what one batch of all their examples "
        "would give, in less memory, but for batch normalization",
    )
    weight_decay: float = Field(default=0.0, ge=0, lt=1, description="weights shrink by this times the learning rate")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="share of each label given to all classes")
    patience: int = Field(
        default=0,
        ge=0,
        description="epochs without a better validation accuracy before stopping, with the best weights; 0: never",
    )
    shift: int = Field(
        default=0, ge=0, le=32, description="augmentation: move each image by up to this many pixels at random"
    )
    augmentation: Stated = Field(default=[], description=DESCRIPTION)

    @property
    def augmented(self) -> bool:
        """Whether a network is trained on other inputs than the data's own."""
        return bool(self.shift or self.augmentation)


def learning_rate(settings: TrainingSettings, step: int, total: int) -> float:
    """The learning rate of a step.

    The warm-up is the gradual one of Goyal et al., "Accurate, Large Minibatch SGD", 2017: in equal parts up to the
    peak, from where the schedule goes through the steps that are left.

    One-cycle is that of Smith and Topin, "Super-Convergence", 2017: a cosine up and a cosine down.

    Args:
        settings: peak and schedule.
        step: counted from 0.
        total: steps in all.
    """
    peak = settings.learning_rate
    rising = round(settings.warmup * total)
    if step < rising:
        return peak * (step + 1) / (rising + 1)
    step, total = step - rising, total - rising
    if settings.schedule == "constant":
        return peak
    if settings.schedule == "cosine":
        return peak * (1 + math.cos(math.pi * step / total)) / 2
    rise = WARM_UP * total
    if step < rise:
        return _between(START * peak, peak, step / rise)
    return _between(peak, END * peak, (step - rise) / max(1.0, total - 1 - rise))


def _between(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * min(1.0, share))) / 2
