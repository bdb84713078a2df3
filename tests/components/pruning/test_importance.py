from __future__ import annotations

import numpy as np
import pytest

from paddlepress.errors import TechniqueRefused
from paddlepress.surgery.edits import parameter
from paddlepress.surgery.graph import trace
from paddlepress.techniques import run
from paddlepress.testing import digits, digits_context, trained
from paddlepress_components.pruning import importance
from paddlepress_components.pruning.prune_filters import PruneFilters


def test_l1_is_the_sum_of_each_filters_magnitudes() -> None:
    """A filter's L1 importance is that of its own weights, not of the weights that read it."""
    network = trained().network
    scores = importance.l1(network, trace(trained()).groups)
    expected = np.abs(parameter(network, "conv1.weight").numpy()).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(scores["conv1"], expected, rtol=1e-5)
    np.testing.assert_allclose(scores["fc1"], np.abs(parameter(network, "fc1.weight").numpy()).sum(axis=0), rtol=1e-5)


def test_taylor_gives_a_dead_filter_no_importance() -> None:
    """A filter whose output nobody reads could go at no cost, however large its weights."""
    model = trained().copy()
    reader = parameter(model.network, "conv2.weight")
    weight = reader.numpy()
    weight[:, 7] = 0
    reader.set_value(weight)
    before = model.digest()
    scores = importance.taylor(model.network, trace(model).groups, digits().split("train"), batches=4, seed=0)
    assert scores["conv1"][7] == 0
    assert np.count_nonzero(scores["conv1"]) > 25
    assert model.digest() == before


def test_a_share_of_each_group_goes_least_important_first() -> None:
    """Per layer, the least important units go, and those that stay keep their order."""
    keep = importance.choose({"a": np.array([3.0, 1, 2, 4]), "b": np.array([1.0, 2])}, 0.5, "layer")
    assert {name: kept.tolist() for name, kept in keep.items()} == {"a": [0, 3], "b": [1]}


def test_globally_an_unimportant_layer_loses_more_but_never_all() -> None:
    """Global choice takes from where importance is unequal, and leaves each group a unit."""
    scores = {"flat": np.ones(8), "steep": np.array([8.0] + [0.0] * 7)}
    keep = importance.choose(scores, 7 / 16, "global")
    assert len(keep["flat"]) == 8
    assert keep["steep"].tolist() == [0]


def test_kept_units_are_a_multiple() -> None:
    """With round_to, each group keeps the next multiple above, or everything it has."""
    scores = {"a": np.arange(10.0), "b": np.arange(3.0)}
    assert [len(kept) for kept in importance.choose(scores, 0.5, "layer", 4).values()] == [8, 3]


def test_removing_filters_that_do_nothing_changes_nothing() -> None:
    """Where the pruned filters were silent, the smaller network computes the same."""
    model = trained().copy()
    for name in ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"):
        tensor = parameter(model.network, name)
        value = tensor.numpy()
        value[::2] = 0
        tensor.set_value(value)
    smaller = run(PruneFilters(recovery_epochs=0), model, digits_context(trained()))
    inputs = digits().split("test").inputs
    np.testing.assert_allclose(smaller.predict(inputs), model.predict(inputs), atol=1e-4)
    assert smaller.network.conv2.weight.shape == [32, 16, 3, 3]


def test_a_network_without_filters_is_refused() -> None:
    """On dense layers alone the technique says what could shrink instead."""
    with pytest.raises(TechniqueRefused, match=r"no filters can be removed.*fc1 \(neurons\)"):
        run(PruneFilters(), trained("lenet-300-100"), digits_context(trained("lenet-300-100")))


def test_rounding_that_keeps_everything_is_refused() -> None:
    """A round_to that leaves every filter in place is a refusal, not a variant that is no smaller."""
    with pytest.raises(TechniqueRefused, match="removes no filter"):
        run(PruneFilters(ratio=0.1, round_to=64), trained(), digits_context(trained()))
