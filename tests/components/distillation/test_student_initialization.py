from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from paddle import nn

from paddlepress.core.errors import TechniqueRefused
from paddlepress.network.edits import Mask, Quantize, Share, parameter
from paddlepress.network.grids import put_on_grid
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.surgery.graph import narrow_all, trace
from paddlepress.testing import digits, trained
from paddlepress_components.distillation.student_initialization import (
    inputs_of_a_unit,
    narrowed,
    nudged,
    reinitialized,
    seeds,
    sparse,
)


def masked() -> Model:
    model = trained().copy()
    weight = parameter(model.network, "fc1.weight")
    value = weight.numpy()
    weight.set_value(np.where(np.abs(value) < np.quantile(np.abs(value), 0.9), 0, value))
    return model.with_edits(Mask(parameters=("fc1.weight",)))


def quantized(bits: Any = 8) -> Model:
    model = masked()
    edit = Quantize(layer="fc1", bits=bits, axis=1)
    put_on_grid(model, edit)
    return model.with_edits(edit)


def shared() -> Model:
    model = trained().copy()
    weight = parameter(model.network, "fc1.weight")
    values = np.array([-0.08, -0.03, 0, 0.03, 0.08], np.float32)
    weight.set_value(values[np.digitize(weight.numpy(), [-0.05, -0.01, 0.01, 0.05])])
    return model.with_edits(Share(layer="fc1", bits=3))


def test_fresh_weights_are_the_architectures_own() -> None:
    """Nothing of the trained weights is left, the seed decides which there are, and they are as large as new ones."""
    model = trained()
    first, again, other = reinitialized(model, 1), reinitialized(model, 1), reinitialized(model, 2)
    assert first.digest() == again.digest() != other.digest() != model.digest()
    built = Model.build(model.architecture, model.inputs, model.task)
    for name, value in built.state().items():
        if value.ndim > 1:
            assert first.state()[name].std() == pytest.approx(value.std(), rel=0.2)


def test_fresh_weights_keep_masks() -> None:
    """What was pruned is zero in the same places, and what is left is larger for it."""
    model = masked()
    # Not seed 0: the model was trained from those weights, and kept the largest.
    weight = parameter(reinitialized(model, 5).network, "fc1.weight").numpy()
    whole = parameter(reinitialized(trained(), 5).network, "fc1.weight").numpy()
    before = parameter(model.network, "fc1.weight").numpy()
    assert np.array_equal(weight == 0, before == 0)
    assert weight[weight != 0].std() == pytest.approx(whole.std() * np.sqrt(10), rel=0.1)


def test_fresh_weights_of_a_narrowed_network_signal_as_strongly() -> None:
    """Removed units stay removed, and the layers after them get larger weights for the fewer inputs."""
    model = trained().copy()
    groups = trace(model).groups
    model = narrow_all(model, {group.name: np.arange(group.units // 4) for group in groups})
    weight = parameter(reinitialized(model, 0).network, "fc1.weight").numpy()
    whole = parameter(reinitialized(trained(), 0).network, "fc1.weight").numpy()
    assert weight.shape == (whole.shape[0] // 4, whole.shape[1] // 4)
    assert weight.std() == pytest.approx(2 * whole.std(), rel=0.15)


@pytest.mark.parametrize("architecture", ["lstm", "vit"])
def test_only_weights_with_fewer_inputs_are_enlarged(architecture: str) -> None:
    """A network's own inputs are all still there, and positions and tokens are added as they are."""
    whole = Model.build(ArchitectureRef(name=architecture), digits().inputs, digits().task)
    groups = trace(whole).groups
    model = narrow_all(whole.copy(), {group.name: np.arange(group.units // 4) for group in groups})
    before, after = reinitialized(whole, 0).state(), reinitialized(model, 0).state()
    as_they_are = {"lstm.weight_ih_l0", "patches.weight", "token", "positions"}
    cut = {name for name, value in before.items() if value.shape != after[name].shape}
    assert cut & as_they_are
    for name in cut:
        left = before[name][tuple(map(slice, after[name].shape))]
        times = 1 if left.ndim == 1 or name in as_they_are else 2
        np.testing.assert_allclose(after[name], times * left, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (nn.Linear(6, 10), {"weight": 6, "bias": 1}),
        (nn.Conv2D(6, 10, 3, groups=2), {"weight": 27, "bias": 1}),
        (nn.Conv1DTranspose(6, 10, 5, groups=2), {"weight": 15, "bias": 1}),
        (nn.LSTM(6, 10), {"weight_ih_l0": 6, "weight_hh_l0": 10, "bias_ih_l0": 1}),
        (nn.GRUCell(6, 10), {"weight_ih": 6, "weight_hh": 10, "bias_hh": 1}),
        (nn.Embedding(6, 10), {"weight": 1}),
        (nn.LayerNorm(6), {"weight": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_inputs_of_a_unit(layer: Any, inputs: dict[str, int]) -> None:
    """Which axes of a weight run along inputs is the layer's."""
    network = nn.Sequential(layer)
    assert {leaf: inputs_of_a_unit(network, f"0.{leaf}") for leaf in inputs} == inputs


def test_narrowing_keeps_the_size_of_sums() -> None:
    """The leading weights, enlarged by the root of how many times fewer inputs are left."""
    value = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
    np.testing.assert_allclose(narrowed(value, (2, 3), 0.25), value[:2, :3] * 2, rtol=1e-6)
    np.testing.assert_array_equal(narrowed(value[0], (4,), 1.0), value[0, :4])


def test_a_mask_of_nothing_but_zeros_gives_zeros() -> None:
    """No division by zero where a weight is pruned away altogether."""
    assert not sparse(np.ones((3, 4), np.float32), np.zeros((3, 4), bool)).any()


@pytest.mark.parametrize(("model", "why"), [(quantized, "quantized already"), (shared, "shared already")])
def test_no_fresh_weights_for_grids_and_codebooks(model: Any, why: str) -> None:
    """They were fitted to trained weights: refused, with the weight and the reason."""
    with pytest.raises(TechniqueRefused, match=f"fc1.weight is {why}.*start from the incoming weights"):
        reinitialized(model(), 0)


def test_nudged_weights_keep_zeros_grids_and_sharing() -> None:
    """Other weights, close by; zeros are zero, codes of the same scales are codes, equal weights are equal."""
    for before in (masked(), quantized(), quantized(4), shared()):
        after = nudged(before, 5)
        assert after.digest() != before.digest()
        assert nudged(before, 5).digest() == after.digest()
        own, moved = (parameter(model.network, "fc1.weight").numpy() for model in (before, after))
        assert 0 < np.abs(moved - own).mean() < 0.2 * own.std()
        for name in before.masked():
            assert not moved[own == 0].any(), name
        for name in before.quantized():
            after.codes(name)
            assert np.array_equal(after.scales[name], before.scales[name])
        if before.shared():
            _, first, places = np.unique(own, return_index=True, return_inverse=True)
            assert np.array_equal(moved.reshape(-1)[first][places].reshape(moved.shape), moved)


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
def test_nudged_weights_differ_on_every_grid(bits: Any) -> None:
    """Some codes of even the coarsest grid are others, but few; so is what is on no grid."""
    before = quantized(bits)
    after = nudged(before, 5)
    codes, moved = (model.codes("fc1.weight").codes for model in (before, after))
    assert 0.003 < np.mean((codes != moved)[codes != 0]) < (1 if bits == 8 else 0.5)
    for name, value in before.state().items():
        assert not np.array_equal(after.state()[name], value), name


@pytest.mark.parametrize("bits", [4, 1])
@pytest.mark.parametrize("group", [None, 32])
def test_what_shares_a_scale_with_zeros_only_stays_zero(bits: Any, group: int | None) -> None:
    """The scale there was fitted to nothing, and can be 1: a step of it would be far off."""
    model = trained().copy()
    weight = parameter(model.network, "fc1.weight")
    value = weight.numpy()
    value[:32, 3] = 0
    value[:, 5] = 0
    weight.set_value(value)
    edit = Quantize(layer="fc1", bits=bits, axis=1, group=group)
    put_on_grid(model, edit)
    moved = parameter(nudged(model.with_edits(edit), 5).network, "fc1.weight").numpy()
    assert not moved[:, 5].any()
    assert np.abs(moved).max() < 0.9


def test_seeds_differ() -> None:
    """Each model of a technique has a seed of its own, and they follow the technique's."""
    assert len(set(seeds(0, 50))) == 50
    assert seeds(3, 2) == seeds(3, 4)[:2] != seeds(4, 2)
