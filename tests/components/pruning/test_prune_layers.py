from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.artifact.store import save
from paddlepress.core.errors import TechniqueRefused, UsageError
from paddlepress.deployment.export import export
from paddlepress.deployment.predictor import Predictor
from paddlepress.forward.score import mean_loss, score
from paddlepress.network.edits import Remove
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.surgery.layer_removal import without
from paddlepress.techniques import run
from paddlepress.testing import digits, digits_context, trained
from paddlepress.training.base_training import train_base
from paddlepress.training.settings import TrainingSettings
from paddlepress_components.pruning.layer_importance import least_needed
from paddlepress_components.pruning.prune_layers import PruneLayers


@pytest.fixture(scope="module")
def deep() -> Model:
    """A trained residual network with several blocks that can go, one of which does nothing."""
    reference = ArchitectureRef(name="resnet-cifar", arguments={"depth": 14, "width": 4})
    model = train_base(reference, digits(), TrainingSettings(epochs=3, batch_size=32))
    for leaf in ("weight", "bias"):
        tensor = getattr(model.network.stage2[1].norm2, leaf)
        tensor.set_value(np.zeros(tensor.shape, np.float32))
    return model


def removed(model: Model) -> list[str]:
    return [edit.layer for edit in model.edits if isinstance(edit, Remove)]


def broken(model: Model) -> Model:
    """A copy whose outputs are no numbers."""
    copy = model.copy()
    bias = list(copy.network.parameters())[-1]
    bias.set_value(np.full(bias.shape, np.nan, np.float32))
    return copy


def test_the_block_that_does_nothing_goes_first(deep: Model) -> None:
    """A block whose branch gives zeros is found by measuring, and nothing changes without it."""
    model = run(PruneLayers(recovery_epochs=0, sample=64), deep, digits_context(deep))
    assert removed(model) == ["stage2.1"]
    inputs = digits().split("test").inputs[:64]
    np.testing.assert_allclose(model.predict(inputs), deep.predict(inputs), atol=1e-5)


def test_blocks_go_one_after_another_each_the_least_needed_of_those_left(deep: Model) -> None:
    """The second block is chosen by what the loss is without the first."""
    context = digits_context(deep)
    data = context.train.take(64, context.seed)
    model = run(PruneLayers(count=2, recovery_epochs=0, sample=64), deep, context)
    first, second = removed(model)
    losses = {}
    with without(deep.network, first):
        for name in {"stage1.0", "stage1.1", "stage2.1", "stage3.1"} - {first}:
            with without(deep.network, name):
                losses[name] = mean_loss(deep.network, deep.task, data)
    assert second == min(losses, key=losses.__getitem__)


def test_iteratively_the_network_recovers_before_the_next_block_is_chosen(deep: Model, tmp_path: Path) -> None:
    """Each block has a training of its own after it, counted on, and finished ones are only read again."""
    steps: list[int] = []

    def log(name: str, value: float, step: int) -> None:
        if name == "train_loss":
            steps.append(step)

    chosen = PruneLayers(count=2, schedule="iterative", sample=32, recovery_epochs=1, recovery_batch_size=128)
    context = digits_context(deep, checkpoint=tmp_path, log=log)
    model = run(chosen, deep, context)
    assert len(removed(model)) == 2
    assert steps == [1, 2]
    assert run(chosen, deep, context).digest() == model.digest()
    assert steps == [1, 2], "a finished training was done a second time"


class Stopped(Exception):
    """A training that was interrupted."""


def during_training(deep: Model, **changes: Any) -> tuple[Model, list[str]]:
    """Two blocks go while it trains: the result, and what was logged."""
    told: list[str] = []

    def log(name: str, value: float, step: int) -> None:
        told.append(f"{name} {step}: {value:.6f}")

    chosen = PruneLayers(count=2, schedule="during-training", sample=32, recovery_epochs=4, recovery_batch_size=64)
    return run(chosen, deep, digits_context(deep, log=log, **changes)), told


def test_during_training_blocks_go_one_after_another_and_the_rest_settles(deep: Model) -> None:
    """What training last measured is what the network without them has; half of the epochs come after."""
    model, told = during_training(deep)
    assert removed(model)[0] == "stage2.1"
    assert len(removed(model)) == 2
    assert [line.split(":")[0] for line in told] == [
        *("loss_without_layer 1", "train_loss 1", "validation_accuracy 1"),
        *("loss_without_layer 2", "train_loss 2", "validation_accuracy 2"),
        *("train_loss 3", "validation_accuracy 3", "train_loss 4", "validation_accuracy 4"),
    ]
    measured = score(model.network, model.task, digits().split("validation"))
    assert told[-1] == f"validation_accuracy 4: {measured:.6f}"


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_an_interrupted_training_bypasses_the_same_blocks(deep: Model, epochs: int, tmp_path: Path) -> None:
    """Killed after any epoch, it goes on to the same bits."""
    expected, _ = during_training(deep)

    def stop(name: str, value: float, step: int) -> None:
        if (name, step) == ("train_loss", epochs + 1):
            raise Stopped

    chosen = PruneLayers(count=2, schedule="during-training", sample=32, recovery_epochs=4, recovery_batch_size=64)
    with pytest.raises(Stopped):
        run(chosen, deep, digits_context(deep, checkpoint=tmp_path, log=stop))
    assert run(chosen, deep, digits_context(deep, checkpoint=tmp_path)).digest() == expected.digest()


def test_during_training_there_has_to_be_one() -> None:
    """No epochs are refused."""
    with pytest.raises(ValueError, match="'recovery_epochs' must be at least 1"):
        PruneLayers(schedule="during-training", recovery_epochs=0)


def test_a_ratio_is_of_the_blocks_that_can_go(deep: Model) -> None:
    """Half of the four blocks that keep their shape, whatever count says."""
    chosen = PruneLayers(ratio=0.5, recovery_epochs=0, sample=32, measured_on="validation")
    assert len(removed(run(chosen, deep, digits_context(deep)))) == 2


def test_single_layers_can_go_too(deep: Model) -> None:
    """With candidates 'all' a convolution inside a block that stays may be the least needed."""
    chosen = PruneLayers(ratio=0.99, candidates="all", recovery_epochs=0, sample=32)
    assert {"stage2.0.conv2", "stage3.0.conv2"} <= set(removed(run(chosen, deep, digits_context(deep))))


def test_excluded_blocks_stay(deep: Model) -> None:
    """A pattern that matches a part of a block keeps the block; an unknown one is told."""
    chosen = PruneLayers(exclude=["stage2.1.conv1", "stage1.*"], recovery_epochs=0, sample=32)
    assert removed(run(chosen, deep, digits_context(deep))) == ["stage3.1"]
    with pytest.raises(UsageError, match="'nothing' matches no layer"):
        run(PruneLayers(exclude=["nothing"]), deep, digits_context(deep))


def test_a_network_without_candidates_is_refused() -> None:
    """LeNet's layers all change the shape: the refusal lists them with their shapes."""
    with pytest.raises(TechniqueRefused, match=r"1 to remove, but 0 can be: none.*conv2 \(32x4x4 -> 64x4x4\)"):
        run(PruneLayers(), trained(), digits_context(trained()))


def test_more_than_there_are_is_refused(deep: Model) -> None:
    """A count above the number of candidates is refused with the candidates."""
    with pytest.raises(
        TechniqueRefused, match=r"5 to remove, but 4 can be: stage1\.0, stage1\.1, stage2\.1, stage3\.1"
    ):
        run(PruneLayers(count=5), deep, digits_context(deep))


def test_a_shallower_network_deploys(deep: Model, tmp_path: Path) -> None:
    """The exported graph of a network that lost a block computes what the network does."""
    model = run(PruneLayers(recovery_epochs=0, sample=32), deep, digits_context(deep))
    save(model, tmp_path / "artifact")
    export(model, tmp_path / "artifact", tmp_path / "bundle")
    inputs = digits().split("test").inputs[:16]
    np.testing.assert_allclose(Predictor.load(tmp_path / "bundle").predict(inputs), model.predict(inputs), atol=1e-4)


def test_the_mean_loss_is_cross_entropy() -> None:
    """It is the mean of minus the logarithm of the label's probability, and infinite where that is no number."""
    task, data = trained().task, digits().split("validation").take(50)
    logits: Any = trained().predict(data.inputs).astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(probabilities[np.arange(50), data.labels]).mean()
    assert mean_loss(trained().network, task, data) == pytest.approx(expected, rel=1e-5)
    assert mean_loss(broken(trained()).network, task, data) == float("inf")


def test_of_equals_the_first_is_least_needed(deep: Model) -> None:
    """Ties are decided by the order of the layers, so the choice never depends on chance."""
    model, data = broken(deep), digits().split("validation").take(8)
    assert least_needed(model, ["stage1.1", "stage1.0"], data) == ("stage1.1", float("inf"))
