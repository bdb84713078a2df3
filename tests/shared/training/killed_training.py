"""A training that is killed in its third epoch: run as `python killed_training.py CHECKPOINT`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from paddlepress.core.progress import Silent
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.testing import digits
from paddlepress.training.settings import TrainingSettings

T = TypeVar("T")
SETTINGS = TrainingSettings(
    epochs=4, shift=1, weight_decay=0.01, batch_size=32, accumulate=2, augmentation=[{"cutout": {"size": 2}}, "mixup"]
)
SEED = 3


class KilledInThirdEpoch(Silent):
    def track(self, items: Iterable[T], total: int, description: str) -> Iterator[T]:
        for number, item in enumerate(items):
            if description.startswith("epoch 3/") and number == 5:
                os.kill(os.getpid(), signal.SIGKILL)
            yield item


def fresh_model() -> Model:
    from paddlepress.core.compute import seed_everything

    seed_everything(SEED)
    return Model.build(ArchitectureRef(name="lenet"), digits().inputs, digits().task)


if __name__ == "__main__":
    from paddlepress.training.context import TrainingContext
    from paddlepress.training.loop import fit

    splits = digits().splits
    model = fresh_model()
    context = TrainingContext(
        train=splits["train"],
        validation=splits["validation"],
        seed=SEED,
        checkpoint=Path(sys.argv[1]),
        progress=KilledInThirdEpoch(),
    )
    fit(model.network, model.task, context, SETTINGS)
