"""What removing filters, neurons and heads does to a network, in each mode."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn
from surgical import Build, builder

from paddlepress.core.errors import TechniqueRefused, UsageError
from paddlepress.core.progress import Silent
from paddlepress.forward.score import score
from paddlepress.network import edits
from paddlepress.network.edits import parameter
from paddlepress.network.grids import put_on_grid
from paddlepress.network.model import Model
from paddlepress.surgery.graph import narrow_all, trace
from paddlepress.surgery.kernel_times import load
from paddlepress.surgery.macs import macs
from paddlepress.surgery.time_estimate import estimate
from paddlepress.techniques import run, technique
from paddlepress.testing import digits, digits_context, trained
from paddlepress_components.pruning import weight_importance
from paddlepress_components.pruning.prune_filters import PruneFilters
from paddlepress_components.pruning.prune_neurons import PruneNeurons
from paddlepress_components.pruning.structured import PruneUnits
from paddlepress_components.pruning.unit_decay import Silencing, still_kept


@pytest.fixture(scope="module")
def build() -> Iterator[Build]:
    with pytest.MonkeyPatch.context() as patch:
        yield builder(patch)


class Recurrent(nn.Layer):
    """Rows of an image one after another through a recurrent stack."""

    def __init__(self) -> None:
        super().__init__()
        self.inward = nn.Linear(8, 12)
        self.lstm = nn.LSTM(12, 16, num_layers=2)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc(self.lstm(self.inward(x.squeeze(1)))[0].mean(1))


class Attentive(nn.Layer):
    """Rows of an image as the tokens of a Transformer's encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.encoder = nn.TransformerEncoderLayer(16, 4, 24, dropout=0.0)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.fc(self.encoder(self.embed(x.squeeze(1))).mean(1))


class Bare(nn.Layer):
    """Two dense layers without being any: their weights are parameters of the network itself."""

    def __init__(self) -> None:
        super().__init__()
        self.w1, self.w2 = self.create_parameter([64, 32]), self.create_parameter([32, 10])

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return nn.functional.relu(x.flatten(1) @ self.w1) @ self.w2


class Smooth(nn.Layer):
    """Units that put out something even where their weights are zero: after sigmoids, and norms without a scale."""

    def __init__(self, activation: Callable[[paddle.Tensor], paddle.Tensor]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2D(1, 8, 3), nn.BatchNorm2D(8, weight_attr=False, bias_attr=False)
        self.fc1, self.fc2 = nn.Linear(288, 16), nn.Linear(16, 10)
        self.activation = activation

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.activation(self.norm(self.conv(x)))
        return self.fc2(self.activation(self.fc1(x.flatten(1))))


class Notes(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def pruned(chosen: PruneUnits, model: Model | None = None, **changes: Any) -> Model:
    model = model or trained()
    return run(chosen, model, digits_context(model, **changes))


def units(model: Model) -> dict[str, int]:
    """How many units each hidden layer of LeNet has."""
    network = model.network
    return {
        "conv1": network.conv1.weight.shape[0],
        "conv2": network.conv2.weight.shape[0],
        "fc1": network.fc1.weight.shape[1],
    }


def convolutions(model: Model) -> list[nn.Layer]:
    return [layer for layer in model.network.sublayers() if isinstance(layer, nn.Conv2D)]


def left(model: Model, base: Model) -> float:
    """Share of the base's multiply-accumulates."""
    return sum(macs(model).values()) / sum(macs(base).values())


def test_removing_filters_that_do_nothing_changes_nothing() -> None:
    """Where the pruned filters were silent, the smaller network computes the same."""
    model = trained().copy()
    for name in ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"):
        tensor = parameter(model.network, name)
        value = tensor.numpy()
        value[::2] = 0
        tensor.set_value(value)
    smaller = pruned(PruneFilters(recovery_epochs=0), model)
    inputs = digits().split("test").inputs
    np.testing.assert_allclose(smaller.predict(inputs), model.predict(inputs), atol=1e-4)
    assert smaller.network.conv2.weight.shape == [32, 16, 3, 3]


@pytest.mark.parametrize("importance", ["l1", "l2", "taylor", "output-gradient", "apoz"])
def test_every_importance_tells_dead_units(importance: Any) -> None:
    """Where a quarter of the units is dead, those go, and the network computes the same without them."""
    model = trained().copy()
    for name in ("fc1.weight", "fc1.bias"):
        tensor = parameter(model.network, name)
        value = tensor.numpy()
        value[..., 96:] = 0
        tensor.set_value(value)
    smaller = pruned(PruneNeurons(importance=importance, ratio=0.25, recovery_epochs=0), model)
    assert smaller.network.fc1.weight.shape == [256, 96]
    inputs = digits().split("test").inputs
    np.testing.assert_allclose(smaller.predict(inputs), model.predict(inputs), atol=1e-4)


def test_globally_the_ratio_is_of_all_together() -> None:
    """Filters and hidden units together are fewer by the ratio."""
    chosen = PruneFilters(ratio=0.4, importance="taylor", scope="global", neurons=True, round_to=1, recovery_epochs=0)
    assert sum(units(pruned(chosen)).values()) == round(0.6 * (32 + 64 + 128))


@pytest.mark.parametrize(("scope", "steps"), [("layer", None), ("global", 3)])
def test_a_macs_target_is_reached(scope: Any, steps: int | None) -> None:
    """The network has the asked share of the multiply-accumulates within 5 percent, in one step or several."""
    chosen = PruneFilters(macs=0.2, scope=scope, steps=steps, recovery_epochs=0)
    assert left(pruned(chosen), trained()) == pytest.approx(0.2, rel=0.05)


def test_layers_stay_as_wide_as_the_runtimes_kernels_are() -> None:
    """By default a budget leaves multiples of 16 where a layer has 32 units or more, and of 8 from 16 on."""
    model = trained("resnet-cifar")
    notes = Notes()
    smaller = pruned(PruneFilters(macs=0.5, recovery_epochs=0), model, progress=notes)
    assert left(smaller, model) == pytest.approx(0.5, rel=0.05)
    widths = [tuple(map(int, re.findall(r"(\d+) of (\d+) kept", note)[0])) for note in notes.said if "kept" in note]
    odd = [(kept, of) for kept, of in widths if kept % (16 if of >= 32 else 8)]
    assert len(widths) > 3
    assert len(odd) <= 1  # at most one layer makes up what whole blocks can't


def test_a_share_of_the_time_is_left() -> None:
    """By `latency` no more than that share of the estimated time is left, and whole blocks of channels are."""
    model = trained("resnet-cifar")
    smaller = pruned(PruneFilters(latency=0.6, recovery_epochs=0), model)
    share = estimate(smaller, load("avx512")) / estimate(model, load("avx512"))
    assert 0.4 < share <= 0.63
    assert {size % 8 for size in (layer.weight.shape[0] for layer in convolutions(smaller))} == {0}


def test_a_time_out_of_reach_is_refused() -> None:
    """What can't be had is refused with the least there is."""
    with pytest.raises(TechniqueRefused, match=r"5\.0% of the estimated time can't be reached .* the closest is"):
        pruned(PruneNeurons(latency=0.05, recovery_epochs=0), trained("lenet"))


def test_a_macs_target_out_of_reach_is_refused() -> None:
    """What the units that may go can't save is refused with what they can."""
    with pytest.raises(TechniqueRefused, match=r"30\.0% .* can't be reached .* the closest is 90"):
        pruned(PruneNeurons(macs=0.3))


def test_steps_reach_the_same_size_and_go_on_from_a_kill(tmp_path: Path) -> None:
    """Cut and trained in turn the network ends as small as cut once; a second run goes on where the first stopped."""
    chosen = PruneFilters(ratio=0.75, steps=3, neurons=True, round_to=8, recovery_epochs=3, recovery_batch_size=32)
    logged: list[tuple[str, float, int]] = []
    model = pruned(chosen, checkpoint=tmp_path, log=lambda *entry: logged.append(entry))
    assert units(model) == {"conv1": 8, "conv2": 16, "fc1": 32}
    assert score(model.network, model.task, digits().split("test")) > 80
    shares = [value for name, value, _ in logged if name == "macs_share"]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == pytest.approx(left(model, trained()))
    epochs = [step for name, _, step in logged if name == "validation_accuracy"]
    assert epochs == [1, 2, 3, 4]  # 3/4 of the data twice, then all of it and half of it
    notes = Notes()
    again = pruned(chosen, checkpoint=tmp_path, progress=notes)
    assert again.digest() == model.digest()
    assert sum(note.startswith("resuming after") for note in notes.said) == 3


@pytest.mark.parametrize("scored", [{"importance": "l1"}, {"importance": "taylor", "taylor_batches": 2}])
def test_units_fall_silent_during_training(scored: dict[str, Any]) -> None:
    """The network has reached its target by the end of training, and is as good as it was then."""
    chosen = PruneFilters(
        ratio=0.6,
        schedule="during-training",
        neurons=True,
        round_to=1,
        steps=5,
        recovery_epochs=4,
        recovery_batch_size=32,
        **scored,
    )
    logged: list[tuple[str, float, int]] = []
    model = pruned(chosen, log=lambda *entry: logged.append(entry))
    assert units(model) == {"conv1": 13, "conv2": 26, "fc1": 51}
    measured = [value for name, value, _ in logged if name == "validation_accuracy"][-1]
    assert score(model.network, model.task, digits().split("validation")) == measured
    assert measured > 85


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "hardsigmoid", "softplus"])
def test_cutting_out_what_fell_silent_changes_nothing(activation: str, build: Build) -> None:
    """Nothing reads a silent unit, also where an activation makes something of the zeros that it puts out."""
    model = build(lambda: Smooth(getattr(nn.functional, activation)), (1, 8, 8))
    graph = trace(model)
    final = {group.name: group.units // 2 for group in graph.groups}
    silencing = Silencing(
        model.network,
        graph.groups,
        final,
        lambda: weight_importance.l1(model.network, graph.groups),
        updates=1,
        window=1.0,
    )
    silencing.after_step(1, 1)
    inputs = digits().split("test").inputs
    expected = model.predict(inputs)
    smaller = narrow_all(model, silencing.kept, graph)
    assert (smaller.network.conv.weight.shape[0], smaller.network.fc2.weight.shape[0]) == (4, 8)
    np.testing.assert_allclose(smaller.predict(inputs), expected, atol=1e-4)


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_network_learns_anew_what_its_norms_lose(epochs: int, tmp_path: Path) -> None:
    """Where statistics span the silent units, the last half of the training is of the smaller network."""
    model = trained("vit")
    chosen = PruneFilters(schedule="during-training", recovery_epochs=epochs, recovery_batch_size=32)
    logged: list[tuple[str, float, int]] = []
    smaller = pruned(chosen, model, checkpoint=tmp_path, log=lambda *entry: logged.append(entry))
    assert smaller.network.patches.weight.shape[0] == 32
    each = ["train_loss", "validation_accuracy"] * ((epochs + 1) // 2)
    assert [name for name, _, _ in logged] == [*each, "parameters", "macs_share", *each]
    measured = [(value, epoch) for name, value, epoch in logged if name == "validation_accuracy"]
    assert [epoch for _, epoch in measured] == list(range(1, max(epochs, 2) + 1))
    assert score(smaller.network, smaller.task, digits().split("validation")) == measured[-1][0]
    notes = Notes()
    assert pruned(chosen, model, checkpoint=tmp_path, progress=notes).digest() == smaller.digest()
    assert sum(note.startswith("resuming after") for note in notes.said) == 2


def test_a_network_learns_anew_what_its_grids_lose() -> None:
    """Where a cut brings weights of different scales together, they are rounded again before the last half."""
    model = trained("lenet-300-100")
    edit = edits.Quantize(layer="fc2", bits=4, axis=1, group=32)
    model = model.copy().with_edits(edit)
    put_on_grid(model, edit)
    chosen = PruneNeurons(schedule="during-training", recovery_epochs=2, recovery_batch_size=32)
    logged: list[tuple[str, float, int]] = []
    smaller = pruned(chosen, model, log=lambda *entry: logged.append(entry))
    each = ["train_loss", "validation_accuracy"]
    assert [name for name, _, _ in logged] == [*each, "parameters", "macs_share", *each]
    assert score(smaller.network, smaller.task, digits().split("validation")) == logged[-1][1]


def binary(layer: str, *, masked: bool) -> Model:
    """LeNet with a layer's weights on 1-bit grids; masked, a few of them are zeros that stay."""
    model = trained().copy()
    weight = parameter(model.network, f"{layer}.weight")
    if masked:
        weight.set_value(np.where(np.abs(weight.numpy()) < 0.01, np.float32(0), weight.numpy()))
        model = model.with_edits(edits.Mask(parameters=(f"{layer}.weight",)))
    edit = edits.Quantize(layer=layer, bits=1, axis=1)
    put_on_grid(model.with_edits(edit), edit)
    return model.with_edits(edit)


@pytest.mark.parametrize("layer", ["fc1", "fc2"])
def test_units_of_1_bit_weights_do_not_fall_silent(layer: str) -> None:
    """A grid without a zero has no silent weight, of the units or of what reads them: refused, unless it is masked."""
    chosen = PruneNeurons(schedule="during-training", recovery_epochs=2, recovery_batch_size=32)
    with pytest.raises(TechniqueRefused, match=rf"1-bit weights of {layer} have no zero.*'steps'"):
        pruned(chosen, binary(layer, masked=False))
    logged: list[tuple[str, float, int]] = []
    model = pruned(chosen, binary(layer, masked=True), log=lambda *entry: logged.append(entry))
    assert units(model)["fc1"] == 64
    measured = [value for name, value, _ in logged if name == "validation_accuracy"][-1]
    assert score(model.network, model.task, digits().split("validation")) == measured


def test_training_that_silences_goes_on_from_a_kill(tmp_path: Path) -> None:
    """Which units are silent is in the weights: killed in the middle, the training ends with the same bits."""
    chosen = PruneNeurons(ratio=0.6, schedule="during-training", recovery_epochs=3, recovery_batch_size=32)
    expected = pruned(chosen)

    def killed(name: str, value: float, step: int) -> None:
        if (name, step) == ("train_loss", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pruned(chosen, checkpoint=tmp_path, log=killed)
    notes = Notes()
    assert pruned(chosen, checkpoint=tmp_path, progress=notes).digest() == expected.digest()
    assert "resuming after epoch 1 of 3" in notes.said


def test_more_units_fall_silent_early() -> None:
    """On the way from 64 to 16 units most are gone at half of it."""
    assert [still_kept(64, 16, done) for done in (0, 0.5, 1)] == [64, 22, 16]


def test_during_training_needs_training() -> None:
    """To prune during training without any is refused."""
    with pytest.raises(UsageError, match="'recovery_epochs' must be at least 1"):
        technique("prune-filters", {"schedule": "during-training", "recovery_epochs": 0})


@pytest.mark.parametrize("importance", ["l1", "output-gradient"])
def test_recurrent_units_go_in_every_layer(importance: Any, build: Build) -> None:
    """A recurrent stack loses half of its hidden size, a dense layer before it half of its units."""
    model = build(Recurrent, (1, 8, 8))
    smaller = pruned(PruneNeurons(importance=importance, recovery_epochs=1), model)
    assert smaller.network.lstm.weight_hh_l1.shape == [32, 8]
    assert smaller.network.lstm.weight_ih_l0.shape == [32, 6]
    assert np.isfinite(smaller.predict(digits().split("test").inputs)).all()
    twin = smaller.copy()
    np.testing.assert_array_equal(
        twin.predict(digits().split("test").inputs), smaller.predict(digits().split("test").inputs)
    )


@pytest.mark.parametrize("importance", ["l1", "output-gradient"])
def test_whole_heads_go_if_asked(importance: Any, build: Build) -> None:
    """Attention keeps its heads unless they are asked for; then half of them go, each as a whole."""
    model = build(Attentive, (1, 8, 8))
    attention = pruned(PruneNeurons(recovery_epochs=0), model).network.encoder.self_attn
    assert attention.num_heads == 4
    smaller = pruned(PruneNeurons(heads=True, importance=importance, recovery_epochs=0), model)
    attention = smaller.network.encoder.self_attn
    assert attention.num_heads == 2
    assert attention.q_proj.weight.shape[1] == 2 * 4
    assert smaller.network.encoder.linear1.weight.shape[1] == 16  # of 24, in multiples of 8
    assert np.isfinite(smaller.predict(digits().split("test").inputs)).all()


@pytest.mark.parametrize("schedule", ["steps", "during-training"])
@pytest.mark.parametrize("importance", ["l1", "l2", "geometric-median", "taylor"])
def test_units_without_a_layer_go(importance: Any, schedule: Any, build: Build) -> None:
    """Units that a parameter of the network itself makes are removed like a layer's."""
    model = build(Bare, (1, 8, 8))
    smaller = pruned(PruneNeurons(importance=importance, schedule=schedule, recovery_epochs=1), model)
    assert (smaller.network.w1.shape, smaller.network.w2.shape) == ([64, 16], [16, 10])
    inputs = digits().split("test").inputs
    np.testing.assert_array_equal(smaller.copy().predict(inputs), smaller.predict(inputs))


def test_excluded_layers_stay() -> None:
    """A layer that is excluded keeps all its units; a pattern that matches nothing is refused."""
    model = pruned(PruneFilters(exclude=["conv1"], neurons=True, recovery_epochs=0))
    assert units(model) == {"conv1": 32, "conv2": 32, "fc1": 64}
    with pytest.raises(UsageError, match=r"'konv' matches no layer. Layers: conv1, conv2, fc1, fc2"):
        pruned(PruneFilters(exclude=["konv"]))


def test_what_stays_whole_is_said() -> None:
    """The log tells which layers are smaller by how much, and which can't be and why."""
    notes = Notes()
    pruned(PruneFilters(recovery_epochs=0), progress=notes)
    assert notes.said[:3] == [
        "fc2 stays whole: it feeds the network's output",
        "conv1: 16 of 32 kept",
        "conv2: 32 of 64 kept",
    ]
    assert notes.said[3].startswith("left: 22,602 parameters, 29.0% of")


def test_a_network_without_filters_is_refused() -> None:
    """On dense layers alone the technique says what could shrink instead."""
    with pytest.raises(TechniqueRefused, match=r"no filters can be removed.*fc1 \(neurons\)"):
        pruned(PruneFilters(), trained("lenet-300-100"))


def test_rounding_that_keeps_everything_is_refused() -> None:
    """A round_to that leaves every filter in place is a refusal, not a variant that is no smaller."""
    with pytest.raises(TechniqueRefused, match="removes no filter"):
        pruned(PruneFilters(ratio=0.1, round_to=64))
