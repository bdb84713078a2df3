from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.core import compute
from paddlepress.core.errors import DataError, TrainingFailed
from paddlepress.core.progress import Progress, Silent
from paddlepress.data import Split
from paddlepress.forward.score import score
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.testing import digits
from paddlepress.training.context import TrainingContext
from paddlepress.training.hooks import Hook
from paddlepress.training.loop import History, fit
from paddlepress.training.settings import TrainingSettings

KILLED = Path(__file__).with_name("killed_training.py")


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def build(architecture: str = "lenet", seed: int = 0) -> Model:
    compute.seed_everything(seed)
    return Model.build(ArchitectureRef(name=architecture), digits().inputs, digits().task)


def train(model: Model, seed: int = 0, **options: Any) -> History:
    fields = {name: options.pop(name) for name in list(options) if name in TrainingSettings.model_fields}
    settings = TrainingSettings(**{"epochs": 2, "batch_size": 64, **fields})
    told = {name: options.pop(name) for name in list(options) if name in ("progress", "log", "checkpoint")}
    return fit(model.network, model.task, context(seed=seed, **told), settings, **options)


def context(train: Split | None = None, **options: Any) -> TrainingContext:
    """The digits, or other examples to train on and validate with."""
    train, validation = (train, train) if train is not None else (digits().split("train"), digits().split("validation"))
    return TrainingContext(train=train, validation=validation, **options)


@pytest.mark.parametrize(
    ("optimizer", "schedule", "rate"),
    [("adam", "one-cycle", 3e-3), ("sgd", "constant", 0.1), ("momentum", "cosine", 0.03)],
)
def test_every_optimizer_and_schedule_learns(optimizer: str, schedule: str, rate: float) -> None:
    """A few epochs with any optimizer and schedule tell most of the digits apart."""
    model = build()
    history = train(model, epochs=4, optimizer=optimizer, schedule=schedule, learning_rate=rate, batch_size=32)
    assert history.losses[-1] < history.losses[0]
    assert history.score > 85
    assert score(model.network, model.task, digits().split("test")) > 80
    assert not model.network.training


def test_the_seed_decides_everything() -> None:
    """The same seed gives the same bits, another seed others."""
    models = [build(), build(), build()]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        train(model, seed=seed, epochs=1, shift=1)
    assert models[0].digest() == models[1].digest() != models[2].digest()


def test_resumes_after_kill_9_with_the_same_bits(tmp_path: Path) -> None:
    """Training that was killed and started again ends with the weights of one that never stopped."""
    child = runpy.run_path(str(KILLED))
    settings, seed = child["SETTINGS"], child["SEED"]
    done = subprocess.run(
        [sys.executable, str(KILLED), str(tmp_path)],
        env={**os.environ, **compute.subprocess_environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed, straight, notes = child["fresh_model"](), child["fresh_model"](), Notes()
    history = fit(resumed.network, resumed.task, context(seed=seed, checkpoint=tmp_path, progress=notes), settings)
    whole = fit(straight.network, straight.task, context(seed=seed), settings)
    assert "resuming after epoch 2 of 4" in notes.said
    assert history == whole
    assert resumed.digest() == straight.digest()
    # Killed after the last epoch, before its result was saved: nothing is trained again.
    again, notes = child["fresh_model"](), Notes()
    fit(again.network, again.task, context(seed=seed, checkpoint=tmp_path, progress=notes), settings)
    assert "resuming after epoch 4 of 4" in notes.said
    assert again.digest() == straight.digest()


class _Stop(Exception):
    pass


class StopInSecondEpoch(Notes):
    def track(self, items: Any, total: int, description: str) -> Any:
        if description.startswith("epoch 2/"):
            raise _Stop
        yield from items


@pytest.mark.parametrize("change", [{"seed": 1}, {"learning_rate": 1e-4}, {"identity": "other"}, {"weights": 1}])
def test_a_stale_checkpoint_is_ignored(tmp_path: Path, change: dict[str, Any]) -> None:
    """What another training left in the directory is not resumed from."""
    with pytest.raises(_Stop):
        train(build(), checkpoint=tmp_path, progress=StopInSecondEpoch())
    notes = Notes()
    train(build(seed=change.pop("weights", 0)), checkpoint=tmp_path, progress=notes, **change)
    assert not any("resuming" in text for text in notes.said)


def test_a_second_training_of_a_network_resumes(tmp_path: Path) -> None:
    """A training that follows another one resumes in a process where the first is only read back."""

    def twice(checkpoint: Path | None, progress: Progress) -> Model:
        model = build()
        for seed in (0, 1):
            at = checkpoint and checkpoint / str(seed)
            train(model, seed=seed, checkpoint=at, progress=progress if seed else Silent(), batch_size=128)
        return model

    with pytest.raises(_Stop):
        twice(tmp_path, StopInSecondEpoch())
    assert twice(tmp_path, Silent()).digest() == twice(None, Silent()).digest()


def test_a_damaged_checkpoint_is_ignored(tmp_path: Path) -> None:
    """A checkpoint that can't be read means starting over, not failing."""
    with pytest.raises(_Stop):
        train(build(), checkpoint=tmp_path, progress=StopInSecondEpoch())
    (tmp_path / "training" / "weights.safetensors").write_bytes(b"torn")
    again, straight = build(), build()
    train(again, checkpoint=tmp_path)
    train(straight)
    assert again.digest() == straight.digest()


def test_patience_stops_early_and_keeps_the_best_weights() -> None:
    """With patience, training stops when validation no longer improves, and the best epoch's weights are kept."""
    model = build()
    history = train(model, epochs=30, learning_rate=0.02, schedule="constant", patience=2)
    assert len(history.scores) < 30
    assert history.score == max(history.scores)
    assert score(model.network, model.task, digits().split("validation")) == history.score


def test_a_loss_that_is_not_a_number_says_what_to_lower() -> None:
    """Training that diverges fails with the learning rate to lower."""
    wild = Split(digits().split("train").inputs * 1e18, digits().split("train").labels)
    with pytest.raises(TrainingFailed, match=r"epoch 1.*lower the learning rate, which is 10\b"):
        fit(build().network, digits().task, context(wild), TrainingSettings(optimizer="sgd", learning_rate=10))


def test_accumulated_batches_are_one_larger_batch() -> None:
    """Four batches of 16 a step give what batches of 64 give, up to rounding: lenet has no batch norm."""
    large, parts = build(), build()
    one = train(large, batch_size=64, shift=1)
    four = train(parts, batch_size=16, accumulate=4, shift=1)
    np.testing.assert_allclose(four.losses, one.losses, rtol=1e-4)
    for name, value in large.state().items():
        np.testing.assert_allclose(parts.state()[name], value, atol=2e-3)
    assert parts.digest() != build().digest()


def test_more_batches_for_a_step_than_there_are() -> None:
    """Then all of them make a step."""
    seen: list[tuple[int, int]] = []

    class Count(Hook):
        def after_step(self, done: int, total: int) -> None:
            seen.append((done, total))

    train(build(), accumulate=1000, hooks=[Count()])
    assert seen == [(0, 2), (1, 2), (2, 2)]


def test_hooks_see_a_step_of_several_batches_as_one_pass() -> None:
    """What hooks do to gradients they do once a step, not again to what has been accumulated."""
    passes: list[str] = []

    class Watch(Hook):
        def before_pass(self) -> None:
            passes.append("before")

        def after_pass(self) -> None:
            passes.append("after")

    few = digits().split("train").take(64)
    model = build()
    fit(
        model.network,
        model.task,
        context(few),
        TrainingSettings(epochs=1, batch_size=16, accumulate=4),
        hooks=[Watch()],
    )
    assert passes == ["before", "after"] * 2  # the step and the validation


def test_hooks_are_called_before_the_first_step_and_after_each() -> None:
    """A hook sees every count of finished steps from 0 to the total."""
    seen: list[tuple[int, int]] = []

    class Count(Hook):
        def after_step(self, done: int, total: int) -> None:
            seen.append((done, total))

    train(build(), hooks=[Count()])
    total = 2 * (1097 // 64)
    assert seen == [(step, total) for step in range(total + 1)]


def test_metrics_are_logged_for_each_epoch() -> None:
    """Loss and validation accuracy of each epoch reach the logger."""
    logged: list[tuple[str, int]] = []
    train(build(), log=lambda name, value, step: logged.append((name, step)))
    assert logged == [(name, step) for step in (1, 2) for name in ("train_loss", "validation_accuracy")]


def test_a_training_set_smaller_than_a_batch_is_one_batch() -> None:
    """Fewer examples than a batch still train."""
    model, before = build(), build().digest()
    few = digits().split("train").take(10)
    fit(model.network, model.task, context(few), TrainingSettings(epochs=1, batch_size=64))
    assert model.digest() != before


def test_no_training_data_is_refused() -> None:
    """An empty training split is an error, not a division by zero."""
    empty = Split(np.zeros((0, 1, 8, 8), np.float32), np.zeros(0, np.int64))
    with pytest.raises(DataError, match="empty"):
        fit(build().network, digits().task, context(empty), TrainingSettings())


def test_shifting_what_is_no_image_is_refused() -> None:
    """Augmentation that does not fit the inputs names their shape."""
    flat = Split(np.zeros((8, 64), np.float32), np.zeros(8, np.int64))
    with pytest.raises(DataError, match=r"shift is 2.*\(64,\)"):
        fit(build().network, digits().task, context(flat), TrainingSettings(shift=2))
