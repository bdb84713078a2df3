from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import paddle
import pytest
from paddle import nn
from surgical import Build, builder

from paddlepress.core.errors import TechniqueRefused
from paddlepress.core.progress import Silent
from paddlepress.forward.score import score
from paddlepress.network.edits import FoldNorm, parameter
from paddlepress.network.model import Model
from paddlepress.techniques import run
from paddlepress.testing import digits, digits_context, trained
from paddlepress.training.recovery import Recovery
from paddlepress_components.factorization.dense import FactorizeDense
from paddlepress_components.pruning.prune_weights import PruneWeights
from paddlepress_components.quantization.aware_training import QuantizeAwareTraining
from paddlepress_components.quantization.share_weights import ShareWeights

T = TypeVar("T")
SHORT: Any = {"recovery_epochs": 1, "recovery_batch_size": 32}


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    return builder(monkeypatch)


def quantized(model: Model | None = None, **fields: Any) -> Model:
    model = model or trained()
    return run(QuantizeAwareTraining(**{**SHORT, **fields}), model, digits_context(trained()))


@pytest.mark.parametrize(
    ("bits", "method", "least"),
    [(8, "lsq", 95), (4, "lsq", 94), (2, "straight-through", 92), (1, "straight-through", 85), (1, "lsq", 85)],
)
def test_every_width_learns(bits: Any, method: Any, least: float) -> None:
    """Weights are the codes of their bits, inputs 8-bit integers, and the digits are still told apart."""
    model = quantized(bits=bits, method=method)
    for name, edit in model.quantized().items():
        codes = model.codes(name).codes
        assert np.abs(codes).max() <= {8: 63, 4: 7, 2: 1, 1: 1}[bits]
        assert (codes != 0).all() if bits == 1 else (codes == 0).any()
        assert edit.input_scale is not None
        assert 0 <= edit.input_zero_point <= 255
    assert score(model.network, model.task, digits().split("test")) > least


def test_training_knows_of_the_grid() -> None:
    """At 2 bits an epoch on the grid is far better than the same epoch before quantization."""
    context = digits_context(trained())
    after = run(QuantizeAwareTraining(bits=2, **SHORT), trained(), context)
    before = Recovery(**SHORT, recovery_loss="distilled").recover(trained().copy(), context)
    from paddlepress_components.quantization.post_training import QuantizePostTraining

    rounded = run(QuantizePostTraining(bits=2), before, context)
    scores = [score(model.network, model.task, digits().split("test")) for model in (after, rounded)]
    assert scores[0] > scores[1] + 3


def test_scales_per_tensor_and_inputs_left_float() -> None:
    """Granularity and activations are as asked for; 8 bits are all of them where inputs are not rounded."""
    model = quantized(granularity="per-tensor", activations="none")
    assert all(scale.size == 1 for scale in model.scales.values())
    assert all(edit.input_scale is None and not edit.reduce_range for edit in model.quantized().values())
    assert max(np.abs(model.codes(name).codes).max() for name in model.quantized()) == 127


def test_the_ends_can_have_eight_bits() -> None:
    """With ends_bits the first and the last layer that run have 8 bits, the others as asked."""
    model = quantized(bits=1, ends_bits=8)
    assert {edit.layer: edit.bits for edit in model.quantized().values()} == {
        "conv1": 8,
        "conv2": 1,
        "fc1": 1,
        "fc2": 8,
    }
    model = quantized(bits=2, ends_bits=8, exclude=["fc2"])
    assert {edit.layer: edit.bits for edit in model.quantized().values()} == {"conv1": 8, "conv2": 2, "fc1": 2}


@pytest.mark.parametrize(("bits", "method"), [(4, "straight-through"), (1, "straight-through"), (1, "lsq"), (2, "lsq")])
def test_pruned_weights_stay_zero(bits: Any, method: Any) -> None:
    """Masked zeros are code 0 after training, at 1 bit too, where every other weight has a sign."""
    sparse = run(PruneWeights(sparsity=0.8, recovery_epochs=0), trained(), digits_context(trained()))
    model = quantized(sparse, bits=bits, method=method)
    assert len(model.quantized()) == 4
    for name in model.quantized():
        zero = parameter(sparse.network, name).numpy() == 0
        codes = model.codes(name).codes
        assert not codes[zero].any()
        assert bits > 1 or codes[~zero].all()


def test_codes_stay_on_their_grid_in_later_training() -> None:
    """Recovery by another technique changes codes, and no scale."""
    model = quantized(bits=4)
    scales, codes = model.scales["fc1.weight"].copy(), model.codes("fc1.weight").codes
    Recovery(**SHORT).recover(model, digits_context(trained()))
    assert np.array_equal(model.scales["fc1.weight"], scales)
    assert not np.array_equal(model.codes("fc1.weight").codes, codes)


def test_factors_are_quantized() -> None:
    """Both factors of a dense layer that was split get a grid each."""
    model = run(FactorizeDense(ratio=4, recovery_epochs=0), trained(), digits_context(trained()))
    assert {"fc1.first.weight", "fc1.second.weight"} <= set(quantized(model, bits=4).quantized())


def test_what_is_on_a_grid_already_is_refused() -> None:
    """Quantized and shared weights are named, with what they are; excluding them helps."""
    context = digits_context(trained())
    model = quantized(bits=2, exclude=["fc*"])
    with pytest.raises(TechniqueRefused, match="conv1 is quantized already \\(2 bits\\)"):
        quantized(model)
    assert len(quantized(model, exclude=["conv*"]).quantized()) == 4
    shared = run(ShareWeights(recovery_epochs=0), trained(), context)
    with pytest.raises(TechniqueRefused, match="fc1 is shared already \\(4 bits\\)"):
        quantized(shared)


class _Killed(Exception):
    pass


class KilledInSecondEpoch(Silent):
    def track(self, items: Iterable[T], total: int, description: str) -> Iterator[T]:
        for number, item in enumerate(items):
            if description.startswith("epoch 2/") and number == 5:
                raise _Killed
            yield item


class Notes(Silent):
    said = ""

    def note(self, text: str) -> None:
        self.said += text


@pytest.mark.parametrize(("bits", "method"), [(2, "straight-through"), (4, "lsq")])
def test_a_killed_training_ends_with_the_same_bits(bits: Any, method: Any, tmp_path: Path) -> None:
    """Scales, learned steps and inputs' grids are resumed with the weights: nothing tells the two runs apart."""
    technique = QuantizeAwareTraining(bits=bits, method=method, recovery_epochs=2, recovery_batch_size=64)
    with pytest.raises(_Killed):
        run(technique, trained(), digits_context(trained(), checkpoint=tmp_path, progress=KilledInSecondEpoch()))
    notes = Notes()
    resumed = run(technique, trained(), digits_context(trained(), checkpoint=tmp_path, progress=notes))
    assert "resuming after epoch 1 of 2" in notes.said
    straight = run(technique, trained(), digits_context(trained()))
    assert resumed.digest() == straight.digest()
    assert all(np.array_equal(resumed.scales[name], scale) for name, scale in straight.scales.items())


class Normed(nn.Layer):
    """A small network with a batch norm after each convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2D(1, 16, 3, padding=1, bias_attr=False), nn.BatchNorm2D(16)
        self.conv2, self.norm2 = nn.Conv2D(16, 16, 3, padding=1, bias_attr=False), nn.BatchNorm2D(16)
        self.fc = nn.Linear(256, 10)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = nn.functional.relu(self.norm1(self.conv1(x)))
        return self.fc(nn.functional.max_pool2d(nn.functional.relu(self.norm2(self.conv2(x))), 2).flatten(1))


@pytest.mark.filterwarnings("ignore:When training, we now always track")
@pytest.mark.parametrize("fold", [True, False])
def test_batch_norms_are_folded_or_learn_on(fold: bool, build: Build) -> None:
    """Folded norms are gone before training; others keep learning their statistics; both come back from edits."""
    model = Recovery(**SHORT, recovery_learning_rate=3e-3).recover(build(Normed, (1, 8, 8)), digits_context(trained()))
    statistics = {name: value for name, value in model.state().items() if name.endswith("_mean")}
    found = run(QuantizeAwareTraining(bits=8, fold_batch_norm=fold, **SHORT), model, digits_context(model))
    folded = [(edit.layer, edit.norm) for edit in found.edits if isinstance(edit, FoldNorm)]
    assert folded == ([("conv1", "norm1"), ("conv2", "norm2")] if fold else [])
    if fold:
        assert not any("norm" in name for name in found.state())
    else:
        assert not any(np.array_equal(found.state()[name], mean) for name, mean in statistics.items())
    assert found.copy().digest() == found.digest()
    scores = [score(each.network, each.task, digits().split("test")) for each in (model, found)]
    assert scores[1] > max(scores[0] - 2, 80)


class Block(nn.Layer):
    """A residual block without a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(16, 16, 3, padding=1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return nn.functional.relu(x + self.conv(x))


def residual_network() -> nn.Layer:
    stem = nn.Sequential(nn.Conv2D(1, 16, 3, padding=1), nn.ReLU())
    return nn.Sequential(stem, Block(), Block(), nn.MaxPool2D(2), nn.Flatten(), nn.Linear(256, 10))


def test_what_residual_additions_add_is_rounded(build: Build, tmp_path: Path) -> None:
    """Operands are rounded in training and after it, to what a resumed training resumes; shortcuts as their readers."""
    model = Recovery(**SHORT, recovery_learning_rate=3e-3).recover(
        build(residual_network, (1, 8, 8)), digits_context(trained())
    )
    technique = QuantizeAwareTraining(recovery_epochs=2, recovery_batch_size=64)
    with pytest.raises(_Killed):
        run(technique, model, digits_context(model, checkpoint=tmp_path, progress=KilledInSecondEpoch()))
    found, straight = (run(technique, model, digits_context(model, checkpoint=at)) for at in (tmp_path, None))
    assert found.digest() == straight.digest()
    outputs = found.quantized_outputs()
    assert {edit.layer: edit.reader for edit in outputs} == {
        "0.0": "", "1.conv": "", "1": "2.conv", "2.conv": "",
    }  # fmt: skip
    for edit in outputs:
        reader = "1.conv" if edit.layer == "0.0" else edit.reader
        if reader:
            of_reader = found.quantized()[f"{reader}.weight"]
            assert (edit.scale, edit.zero_point) == (of_reader.input_scale, of_reader.input_zero_point)
    seen: list[np.ndarray] = []
    hook = found.network[1].conv.register_forward_post_hook(lambda layer, x, y: seen.append(y.numpy()))
    scores = [score(each.network, each.task, digits().split("test")) for each in (model, found)]
    hook.remove()
    assert np.unique(np.concatenate(seen)).size <= 256
    assert scores[1] > scores[0] - 2
    without = run(technique.model_copy(update={"residual_adds": False}), model, digits_context(model))
    assert not without.quantized_outputs()


def test_a_network_that_cannot_be_traced_is_quantized_without_its_additions(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Paddle can't tell what is added, that is noted, and the rest is done."""
    from paddlepress.surgery import program

    def refuse(model: Model) -> None:
        raise TechniqueRefused("it branches on its data")

    monkeypatch.setattr(program, "read", refuse)
    notes = Notes()
    found = run(QuantizeAwareTraining(**SHORT), trained(), digits_context(trained(), progress=notes))
    assert "what layers give each other stays on floats: it branches on its data" in notes.said
    assert len(found.quantized()) == 4
