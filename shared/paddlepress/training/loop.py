"""The training loop: the same numbers from the same seed, and on from the last epoch after a kill.

The order of examples, the augmentation and Paddle's own generator (dropout) are seeded anew for each
epoch from `(seed, epoch)`, so an epoch depends on nothing but the weights and optimizer state before
it. Batches are indexed straight from the arrays in memory: on a CPU Paddle's DataLoader costs more
than it hides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from numpy.typing import NDArray

from paddlepress.core.errors import DataError, TrainingFailed
from paddlepress.forward.outputs import tensors_of
from paddlepress.forward.score import score
from paddlepress.spec.tensors import arrays_of
from paddlepress.training.augmentation import Augmentation, Examples
from paddlepress.training.batch import Batch
from paddlepress.training.checkpoint import (
    Checkpoint,
    State,
    digest_of,
    optimizer_state,
    set_optimizer_state,
    set_weights,
    weights_of,
)
from paddlepress.training.hooks import Hook, passing, with_auxiliaries
from paddlepress.training.losses import Loss, labels_of
from paddlepress.training.settings import TrainingSettings, learning_rate

if TYPE_CHECKING:
    from paddlepress.tasks import Task
    from paddlepress.training.context import TrainingContext

_ROWS = 1024  # are looked at at once, where all are
_CHECK_EVERY = 50  # steps between looks at the loss: looking waits for the device


@dataclass(frozen=True)
class History:
    """What a training did.

    Attributes:
        losses: mean training loss of each epoch.
        scores: the task's primary metric on validation data after each epoch.
        kept: the epoch, from 0, whose weights the network has.
    """

    losses: tuple[float, ...]
    scores: tuple[float, ...]
    kept: int

    @property
    def score(self) -> float:
        """That of the weights that were kept."""
        return self.scores[self.kept]


def fit(
    network: paddle.nn.Layer,
    task: Task,
    context: TrainingContext,
    settings: TrainingSettings,
    *,
    loss: Loss | None = None,
    hooks: Sequence[Hook] = (),
    identity: str = "",
) -> History:
    """Train a network in place; it is in evaluation mode afterwards.

    Args:
        network: gives the task's outputs for inputs [n, *shape].
        task: what it is for.
        context: what it learns from, seed, checkpoint, and who is told of each epoch (`train_loss`,
            `validation_` and the task's
            primary metric). The last examples of an epoch that fill no batch wait for the next one.
        settings: how.
        loss: takes the place of the task's own (`settings.label_smoothing` then has no effect).
        hooks: take part in their order; after passes in reverse. Afterwards the network has the weights that learned.
        identity: whatever else the result depends on (what `loss` and `hooks` were made from), so that a checkpoint
            of another training is not taken for this one's.

    Raises:
        TrainingFailed: the loss is not a number.
        DataError: there is nothing to train on, or augmentation that does not fit the inputs.
    """
    if len(context.train) == 0:
        raise DataError("the training split is empty")
    if settings.label_smoothing and not task.smooths_labels:
        raise DataError(
            f"label_smoothing is {settings.label_smoothing:g}, but the task {task.kind!r} has no labels to smooth. "
            "Valid: 0"
        )
    augmentation = Augmentation(settings.augmentation, settings.shift, task, context.train)
    progress, log = context.progress, context.log
    learns = with_auxiliaries(network, hooks)
    kept_on_disk, state = _resume(learns, context, settings, identity)
    run = _Run(
        network, learns, context, settings, loss or labels_of(task, settings.label_smoothing), hooks, augmentation
    )
    if state.losses:
        set_weights(learns, state.weights)
        set_optimizer_state(run.optimizer, learns, state.optimizer)
        progress.note(f"resuming after epoch {len(state.losses)} of {settings.epochs}")
    run.begin(len(state.losses))
    while len(state.losses) < settings.epochs and not _stalled(task, state, settings.patience):
        epoch = len(state.losses)
        state.losses.append(run.epoch(epoch, _so_far(task, state, settings.epochs)))
        with passing(*hooks):
            state.scores.append(score(network, task, context.validation))
        log("train_loss", state.losses[-1], epoch + 1)
        log(f"validation_{task.primary}", state.scores[-1], epoch + 1)
        if settings.patience and task.best(state.scores) == epoch:
            state.best = weights_of(learns)
        if kept_on_disk is not None:
            state.weights, state.optimizer = weights_of(learns), optimizer_state(run.optimizer, learns)
            kept_on_disk.write(state)
    progress.note(_so_far(task, state, settings.epochs, done=True))
    if settings.patience:
        set_weights(learns, state.best)
    network.eval()
    kept = task.best(state.scores) if settings.patience else len(state.losses) - 1
    return History(tuple(state.losses), tuple(state.scores), kept)


class _Run:
    """The parts of a training that its epochs share."""

    def __init__(
        self,
        network: paddle.nn.Layer,
        learns: paddle.nn.Layer,
        context: TrainingContext,
        settings: TrainingSettings,
        loss: Loss,
        hooks: Sequence[Hook],
        augmentation: Augmentation,
    ) -> None:
        self.network, self.learns, self.settings, self.loss, self.hooks = network, learns, settings, loss, hooks
        self.train, self.seed, self.progress = context.train, context.seed, context.progress
        self.optimizer = _optimizer(settings, learns)
        self.batch_size = min(settings.batch_size, len(self.train))
        self.accumulate = min(settings.accumulate, len(self.train) // self.batch_size)
        self.steps = len(self.train) // (self.batch_size * self.accumulate)
        self.total = self.steps * settings.epochs
        self.augmentation = augmentation

    def begin(self, epochs_done: int) -> None:
        self._step_done(epochs_done * self.steps)

    def epoch(self, epoch: int, description: str) -> float:
        """Train for one epoch; its mean loss."""
        paddle.seed(int(np.random.SeedSequence((self.seed, epoch)).generate_state(1)[0]))
        self.learns.train()
        losses: list[paddle.Tensor] = []
        mean = 0.0
        for step, indices in enumerate(self.progress.track(self._batches(epoch), self.steps, description)):
            losses.append(self._step(epoch * self.steps + step, indices))
            if len(losses) == _CHECK_EVERY or step + 1 == self.steps:
                mean += float(paddle.add_n(losses)) / self.steps
                losses.clear()
                if not math.isfinite(mean):
                    raise TrainingFailed(
                        f"the loss is no longer a number in epoch {epoch + 1}, step {step + 1}: "
                        f"lower the learning rate, which is {self.settings.learning_rate:g}"
                    )
        return mean

    def _batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.train))
        examples = self.batch_size * self.accumulate
        for step in range(self.steps):
            yield order[step * examples : (step + 1) * examples]

    def _step(self, step: int, indices: NDArray[np.int64]) -> paddle.Tensor:
        self.optimizer.set_lr(learning_rate(self.settings, step, self.total))
        examples = self.augmentation(self.train.inputs[indices], self.seed, step)
        labels = self.train.labels[indices]
        losses = []
        with passing(*self.hooks):  # once a step: what hooks do to gradients, they do to those of all its batches
            for start in range(0, len(indices), self.batch_size):
                part = slice(start, start + self.batch_size)
                losses.append(self._backward(indices, labels, examples, part))
        # Paddle numbers the accumulators of a parameter by the optimizers that it had in this process, and a training
        # that resumes may have had fewer.
        with paddle.utils.unique_name.guard():
            self.optimizer.step()
        self.optimizer.clear_grad(set_to_zero=False)
        self._step_done(step + 1)
        return paddle.add_n(losses)

    def _backward(
        self, indices: NDArray[np.int64], labels: NDArray[Any], examples: Examples, part: slice
    ) -> paddle.Tensor:
        """Add the gradients of a part of a step's examples to those of the step; its share of the step's loss."""
        batch = Batch(indices[part], tensors_of(examples.inputs[part]))
        outputs = self.network(*batch.inputs)
        loss = self.loss(outputs, paddle.to_tensor(labels[part]), batch)
        if examples.partners is not None:
            of_partners = self.loss(outputs, paddle.to_tensor(labels[examples.partners[part]]), batch)
            loss = examples.share * loss + (1 - examples.share) * of_partners
        if self.accumulate > 1:
            loss = loss / self.accumulate
        loss.backward()
        return loss.detach()

    def _step_done(self, done: int) -> None:
        for hook in self.hooks:
            hook.after_step(done, self.total)


def _optimizer(settings: TrainingSettings, network: paddle.nn.Layer) -> paddle.optimizer.Optimizer:
    common: dict[str, Any] = {"learning_rate": settings.learning_rate, "parameters": network.parameters()}
    if settings.optimizer == "adam":
        return paddle.optimizer.AdamW(weight_decay=settings.weight_decay, **common)
    decay = settings.weight_decay or None
    if settings.optimizer == "sgd":
        return paddle.optimizer.SGD(weight_decay=decay, **common)
    return paddle.optimizer.Momentum(momentum=0.9, use_nesterov=True, weight_decay=decay, **common)


def _resume(
    network: paddle.nn.Layer, context: TrainingContext, settings: TrainingSettings, identity: str
) -> tuple[Checkpoint | None, State]:
    if context.checkpoint is None:
        return None, State()
    train = context.train
    description = f"{settings.model_dump_json()} {context.seed} {identity}"
    inputs = (
        (f"inputs {start}", array)
        for start in range(0, len(train), _ROWS)
        for array in arrays_of(train.inputs[start : start + _ROWS])
    )
    learned_from = chain(sorted(weights_of(network).items()), [("labels", train.labels)], inputs)
    found = Checkpoint(context.checkpoint, digest_of(description, learned_from))
    return found, found.read() or State()


def _stalled(task: Task, state: State, patience: int) -> bool:
    return bool(patience and state.scores) and len(state.scores) - 1 - task.best(state.scores) >= patience


def _so_far(task: Task, state: State, epochs: int, done: bool = False) -> str:
    """`epoch 2/4 loss 0.031 validation 98.90%`: the coming epoch, and how the last one went."""
    epoch = len(state.losses) if done else len(state.losses) + 1
    text = f"epoch {epoch}/{epochs}"
    if state.losses:
        text += f" loss {state.losses[-1]:.3f} validation {task.metrics[task.primary].text(state.scores[-1])}"
    return text
