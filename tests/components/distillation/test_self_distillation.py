from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from paddlepress.core.errors import TechniqueRefused, UsageError
from paddlepress.core.progress import Silent
from paddlepress.forward.score import score
from paddlepress.network import architectures
from paddlepress.network.edits import Mask, Quantize, parameter
from paddlepress.network.grids import put_on_grid
from paddlepress.techniques import run, technique
from paddlepress.testing import digits, digits_context, trained
from paddlepress.training.batch import Batch
from paddlepress.training.features import Capture, Feature, features
from paddlepress_components.distillation.auxiliary_heads import Head, HeadsLoss, head_layers, put_on
from paddlepress_components.distillation.self_distillation import DistillSelf

SMALL = {"student": "lenet", "student_arguments": {"width": 0.125}, "batch_size": 64}


class Stop(Exception):
    """The power went off."""


class Notes(Silent):
    """Keeps what it is told; stops at a place if it is to."""

    def __init__(self, *stop: str) -> None:
        self.said: list[str] = []
        self.stop = stop

    def note(self, text: str) -> None:
        self.said.append(text)

    def track(self, items: Any, total: int, description: str) -> Any:
        generation, *epoch = self.stop or ("",)
        if self.stop and any(generation in text for text in self.said) and description.startswith(epoch[0]):
            raise Stop
        yield from items


def test_generations_follow_each_other() -> None:
    """A first network learns alone, then each generation from the one before; steps are counted through."""
    steps: list[int] = []

    def log(name: str, value: float, step: int) -> None:
        if name == "validation_accuracy":
            steps.append(step)

    notes = Notes()
    chosen = technique("distill-self", {**SMALL, "epochs": 2, "generations": 2})
    model = run(chosen, trained(), digits_context(trained(), log=log, progress=notes))
    assert steps == [1, 2, 3, 4, 5, 6]
    assert [text for text in notes.said if "generation" in text] == [f"generation {n} of 2" for n in range(3)]
    assert model.network.fc1.weight.shape[1] == 16


def test_a_born_again_student_follows_its_teacher() -> None:
    """With alpha 1 the student agrees with the incoming model, though it started afresh and saw no label."""
    labels = digits().split("train")
    wrong = type(labels)(labels.inputs, (labels.labels + 1) % 10)
    context = digits_context(trained(), train=wrong)
    model = run(DistillSelf(alpha=1.0, epochs=4, batch_size=32), trained(), context)
    inputs = digits().split("test").inputs
    assert (model.predict(inputs).argmax(1) == trained().predict(inputs).argmax(1)).mean() > 0.85


def test_a_pruned_model_is_born_again_with_its_zeros() -> None:
    """Every generation keeps the pattern; a quantized model is refused with the reason."""
    model = trained().copy()
    weight = parameter(model.network, "fc1.weight")
    value = weight.numpy()
    weight.set_value(np.where(np.abs(value) < np.quantile(np.abs(value), 0.8), 0, value))
    model = model.with_edits(Mask(parameters=("fc1.weight",)))
    born = run(DistillSelf(epochs=2, batch_size=32), model, digits_context(trained()))
    assert np.array_equal(parameter(born.network, "fc1.weight").numpy() == 0, weight.numpy() == 0)
    edit = Quantize(layer="conv2", bits=8, axis=0)
    put_on_grid(model, edit)
    with pytest.raises(TechniqueRefused, match=r"conv2.weight is quantized already \(8 bits\).*Distill before"):
        run(DistillSelf(epochs=1), model.with_edits(edit), digits_context(trained()))


def test_resumes_in_the_generation_that_was_stopped(tmp_path: Path) -> None:
    """Finished generations are read, not trained again, and the result has the same bits."""
    chosen = technique("distill-self", {**SMALL, "epochs": 2, "generations": 2})
    stopped = Notes("generation 1 of", "epoch 2/")
    with pytest.raises(Stop):
        run(chosen, trained(), digits_context(trained(), checkpoint=tmp_path, progress=stopped))
    trainings: list[int] = []

    def log(name: str, value: float, step: int) -> None:
        if name == "train_loss":
            trainings.append(step)

    notes = Notes()
    context = digits_context(trained(), checkpoint=tmp_path, progress=notes, log=log)
    resumed = run(chosen, trained(), context)
    assert [text for text in notes.said if "resuming" in text] == [
        "resuming after epoch 2 of 2",
        "resuming after epoch 1 of 2",
    ]
    assert trainings == [4, 5, 6]
    assert resumed.digest() == run(chosen, trained(), digits_context(trained())).digest()


def test_heads_resume_to_the_same_bits(tmp_path: Path) -> None:
    """What the heads had learned is in the checkpoint too."""
    chosen = technique("distill-self", {**SMALL, "method": "auxiliary-heads", "epochs": 3})
    with pytest.raises(Stop):
        run(chosen, trained(), digits_context(trained(), checkpoint=tmp_path, progress=StopInThird()))
    resumed = run(chosen, trained(), digits_context(trained(), checkpoint=tmp_path))
    assert resumed.digest() == run(chosen, trained(), digits_context(trained())).digest()


class StopInThird(Silent):
    """Stops in the third epoch."""

    def track(self, items: Any, total: int, description: str) -> Any:
        if description.startswith("epoch 3/"):
            raise Stop
        yield from items


def test_heads_teach_the_incoming_model_on_its_grid() -> None:
    """A 4-bit model goes on from its weights and stays on its grid; nothing of the heads is left in it."""
    model = trained().copy()
    edit = Quantize(layer="fc1", bits=4, axis=1)
    put_on_grid(model, edit)
    model = model.with_edits(edit)
    chosen = DistillSelf(method="auxiliary-heads", epochs=1, learning_rate=1e-3)
    taught = run(chosen, model, digits_context(trained()))
    assert taught.codes("fc1.weight").codes.any()
    assert set(taught.state()) == set(model.state())
    assert score(taught.network, taught.task, digits().split("test")) > 85
    assert not any(layer._forward_post_hooks for layer in taught.network.sublayers(include_self=True))
    fresh = chosen.model_copy(update={"start": "fresh"})
    with pytest.raises(TechniqueRefused, match=r"fc1\.weight is quantized already"):
        run(fresh, model, digits_context(trained()))


def test_named_layers_get_the_heads() -> None:
    """`layers` says where; an unknown one is refused with the valid ones."""
    found = features(trained().network, digits().split("train").inputs[:2])
    heads, last = put_on(trained().network, found, 10, ["conv2", "fc1"])
    assert (heads.layers, last) == (("conv2", "fc1"), "fc1")
    assert put_on(trained().network, found, 10, [])[0].layers == ("conv1", "conv2")
    with pytest.raises(UsageError, match=r"layers: unknown layer 'pool'.*Valid: conv1, conv2, fc1"):
        run(DistillSelf(method="auxiliary-heads", layers=["pool"]), trained(), digits_context(trained()))


def test_large_networks_get_three_heads() -> None:
    """After each stage but the last of a residual network; a quarter, half and three quarters into a row of blocks."""
    sizes = (16, 8, 4, 2)
    chain = [Feature(f"stage{number}", (8, size, size)) for number, size in enumerate(sizes)]
    chosen = head_layers(paddle.nn.ReLU(), [*chain, Feature("pool", (8, 1, 1))], [])
    assert [feature.layer for feature in chosen] == ["stage0", "stage1", "stage2"]
    blocks = paddle.nn.Sequential(*(paddle.nn.Sequential(paddle.nn.Linear(6, 6), paddle.nn.ReLU()) for _ in range(8)))
    network = paddle.nn.Sequential(blocks, paddle.nn.Linear(6, 3))
    found = features(network, np.ones((4, 6), np.float32))
    assert [feature.layer.count(".") for feature in head_layers(network, found, [])]
    with pytest.raises(TechniqueRefused, match="no hidden layers"):
        put_on(paddle.nn.Linear(6, 3), [], 3, [])


@pytest.mark.parametrize("architecture", ["lenet-300-100", "lenet5-caffe"])
def test_other_networks_take_heads(architecture: str) -> None:
    """A network of dense layers only too; it learns, and keeps its own parameters only."""
    from paddlepress.data import Dataset

    large = np.kron(digits().split("train").inputs, np.ones((1, 1, 2, 2), np.float32))
    split = type(digits().split("train"))(large, digits().split("train").labels)
    chosen = DistillSelf(method="auxiliary-heads", student=architecture, epochs=2, batch_size=64, learning_rate=2e-3)
    data = Dataset("d", (digits().inputs[0].model_copy(update={"shape": (1, 16, 16)}),), digits().task, {}, "d")
    base = trained_on(architecture, data)
    context = digits_context(base, train=split, validation=split.take(100), calibration=split.take(100))
    taught = run(chosen, base, context)
    assert set(taught.state()) == set(base.state())
    assert score(taught.network, taught.task, split) > 80


def trained_on(architecture: str, data: Any) -> Any:
    from paddlepress.network.model import Model
    from paddlepress.spec.origin import ArchitectureRef

    reference = ArchitectureRef(name=architecture)
    assert architecture in architectures.names()
    return Model.build(reference, data.inputs, data.task)


def test_heads_take_maps_sequences_and_vectors() -> None:
    """Each gives logits, and an embedding of the size of the network's last feature."""
    for shape in ((4, 7, 5), (1, 1, 1), (6, 9), (12,)):
        logits, embedded = Head(Feature("x", shape), 20, 3)(paddle.rand([2, *shape]))
        assert (logits.shape, embedded.shape) == ([2, 3], [2, 20])


def test_the_network_is_no_easier_a_teacher_for_its_heads() -> None:
    """The classifier at the network's end learns from the labels alone; layers below a head learn from it too."""

    def gradients(alpha: float, hint: float) -> dict[str, np.ndarray]:
        network = trained().copy().network
        split = digits().split("train")
        paddle.seed(0)
        heads, last = put_on(network, features(network, split.inputs[:2]), 10, [])
        network.train()
        with Capture(network, [*heads.layers, last], training=True) as captured:
            inputs = paddle.to_tensor(split.inputs[:8])
            loss = HeadsLoss(trained().task, heads, captured, last, 3.0, alpha, hint)
            loss(network(inputs), paddle.to_tensor(split.labels[:8]), Batch(np.arange(8), (inputs,))).backward()
        return {name: parameter.grad.numpy() for name, parameter in network.named_parameters()}

    plain, strict = gradients(0.0, 0.0), gradients(0.9, 5.0)
    for name in ("fc1.weight", "fc2.weight", "fc2.bias"):
        np.testing.assert_allclose(strict[name], plain[name], atol=1e-6)
    assert not np.allclose(strict["conv1.weight"], plain["conv1.weight"], atol=1e-4)
