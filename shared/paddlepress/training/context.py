"""What a training has beside its settings: data, seed, and who is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from paddlepress.core.progress import MetricLogger, Progress, Silent, log_nothing

if TYPE_CHECKING:
    from paddlepress.data import Split


@dataclass(frozen=True, kw_only=True)
class TrainingContext:
    """Data to learn from, and what training is told and tells.

    Attributes:
        train: data to train on.
        validation: held out from training, for early stopping and for choosing.
        seed: every random choice must follow it.
        progress: shows how far long work has come.
        log: receives `(metric, value, step)` while work goes on.
        checkpoint: a directory that survives a kill, where training resumes from; None keeps nothing. What is in it
            is used only if it was left by the same training. It stays there: until the result is safe elsewhere, it
            is all there is.
    """

    train: Split
    validation: Split
    seed: int = 0
    progress: Progress = field(default_factory=Silent)
    log: MetricLogger = log_nothing
    checkpoint: Path | None = None
