"""Convolutions in factors, as a technique."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from surgical import Build

from paddlepress.artifact import store
from paddlepress.core import compute
from paddlepress.core.errors import TechniqueRefused, UsageError
from paddlepress.deployment.export import export
from paddlepress.deployment.predictor import Predictor
from paddlepress.network.edits import FactorizeConv as Edit
from paddlepress.network.model import Model
from paddlepress.surgery.kernel_times import load
from paddlepress.surgery.macs import macs
from paddlepress.surgery.time_estimate import estimate, uses
from paddlepress.techniques import Technique, run, technique
from paddlepress.testing import digits, digits_context, trained
from paddlepress_components.factorization.conv import FactorizeConv
from paddlepress_components.factorization.dense import FactorizeDense
from paddlepress_components.pruning.prune_filters import PruneFilters
from paddlepress_components.pruning.prune_weights import PruneWeights
from paddlepress_components.quantization.post_training import QuantizePostTraining

compute.prepare()
from paddle import nn  # noqa: E402

METHODS = ["tucker2", "cp", "spatial", "channel-svd"]


def applied(*chain: Technique, base: str = "lenet") -> Model:
    model = trained(base)
    for one in chain:
        model = run(one, model, digits_context(trained(base)))
    return model


def work(model: Model) -> int:
    return sum(count for name, count in macs(model).items() if name.startswith("conv"))


@pytest.mark.parametrize("method", METHODS)
def test_the_work_asked_for_is_left(method: Any, tmp_path: Path) -> None:
    """All convolutions together keep at most the share asked for, and nearly that; the stored model does too."""
    model = applied(FactorizeConv(method=method, macs=0.5, round_to=1, recovery_epochs=0))
    store.save(model, tmp_path / "model")
    loaded = store.load(tmp_path / "model")
    assert 0.4 < work(loaded) / work(trained()) <= 0.5
    inputs = digits().split("test").inputs
    assert np.array_equal(loaded.predict(inputs), model.predict(inputs))
    (edit,) = (edit for edit in loaded.edits if isinstance(edit, Edit))
    assert (edit.layer, edit.method) == ("conv2", method)


@pytest.mark.parametrize(("method", "energy"), [("tucker2", 0.9), ("cp", 0.9), ("spatial", 0.75), ("channel-svd", 0.9)])
def test_most_of_the_energy_gives_most_of_the_answers(method: Any, energy: float) -> None:
    """With nine tenths of the energy, or what still saves something, most answers stay, without any training."""
    model = applied(FactorizeConv(method=method, energy=energy, round_to=1, recovery_epochs=0))
    inputs = digits().split("test").inputs
    agree = model.predict(inputs).argmax(1) == trained().predict(inputs).argmax(1)
    assert agree.mean() > 0.8


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ratio", [2.0, 4.0])
def test_a_ratio_is_reached(method: Any, ratio: float) -> None:
    """The factors have at most the weight's numbers divided by the ratio, and one more of each rank has more."""
    model = applied(FactorizeConv(method=method, ratio=ratio, round_to=1, recovery_epochs=0))
    count = sum(p.size for n, p in model.network.conv2.named_parameters() if n.endswith("weight"))
    full = trained().network.conv2.weight.size
    assert 0.7 * full / ratio < count <= full / ratio


def test_variational_bayes_finds_the_ranks_that_are_there() -> None:
    """Of a kernel of low rank under noise the ranks are found; one of noise alone is left as it is."""
    model, random = trained().copy(), np.random.default_rng(0)
    right, left = random.standard_normal((5, 32)), random.standard_normal((64, 7))
    core = random.standard_normal((7, 5, 3, 3))
    noise = random.standard_normal((64, 32, 3, 3))
    kernel = model.network.conv2.weight
    kernel.set_value((np.einsum("abyx,oa,bi->oiyx", core, left, right) + noise).astype(np.float32))
    found = run(FactorizeConv(evbmf=True, round_to=1, recovery_epochs=0), model, digits_context(trained()))
    assert [edit.ranks for edit in found.edits if isinstance(edit, Edit)] == [(5, 7)]
    kernel.set_value(noise.astype(np.float32))
    with pytest.raises(TechniqueRefused, match="conv2: factors would save nothing"):
        run(FactorizeConv(evbmf=True, round_to=1, recovery_epochs=0), model, digits_context(trained()))


@pytest.mark.parametrize("method", METHODS)
def test_factors_are_pruned_like_any_layer(method: Any, tmp_path: Path) -> None:
    """Filters go after, among them the channels between factors, and before; both reload and do less work."""
    halve = PruneFilters(ratio=0.5, round_to=1, recovery_epochs=0)
    factors = FactorizeConv(method=method, round_to=1, recovery_epochs=0)
    factorized, pruned = applied(factors), applied(halve)
    inputs = digits().split("test").inputs[:50]
    for number, (model, less) in enumerate(((applied(factors, halve), factorized), (applied(halve, factors), pruned))):
        assert work(model) < 0.75 * work(less)
        store.save(model, tmp_path / f"{number}")
        assert np.array_equal(store.load(tmp_path / f"{number}").predict(inputs), model.predict(inputs))
    between = [next(iter(m.network.conv2.children())).weight.shape[0] for m in (factorized, applied(factors, halve))]
    assert between[1] == (between[0] + 1) // 2


def test_a_1x1_kernel_is_split_by_channel_svd_alone(build: Build) -> None:
    """It is a matrix, and becomes two 1x1 convolutions; other methods say so."""
    model = build(lambda: nn.Sequential(nn.Conv2D(16, 12, 1, stride=2), nn.Flatten(), nn.Linear(108, 10)), (16, 5, 5))
    context = digits_context(model)
    found = run(FactorizeConv(method="channel-svd", round_to=1, recovery_epochs=0), model, context)
    assert [layer.weight.shape for layer in found.network[0].children()] == [[3, 16, 1, 1], [12, 3, 1, 1]]
    with pytest.raises(TechniqueRefused, match="0: its kernel is 1x1, which only channel-svd splits"):
        run(FactorizeConv(recovery_epochs=0), model, context)


@pytest.mark.parametrize("method", METHODS)
def test_a_chain_is_deployed(method: Any, build: Build, tmp_path: Path) -> None:
    """The exported graph computes what the chain does, padding of one side only and strides included."""
    arguments: dict[str, Any] = {"stride": (2, 1), "padding": [1, 0, 2, 1]}
    model = build(lambda: nn.Sequential(nn.Conv2D(8, 9, 3, **arguments), nn.Flatten(), nn.Linear(288, 10)), (8, 8, 7))
    found = run(FactorizeConv(method=method, round_to=1, recovery_epochs=0), model, digits_context(model))
    store.save(found, tmp_path / "model")
    export(found, tmp_path / "model", tmp_path / "deployable")
    x = np.random.default_rng(0).standard_normal((4, 8, 8, 7)).astype(np.float32)
    np.testing.assert_allclose(Predictor.load(tmp_path / "deployable").predict(x), found.predict(x), atol=1e-4)


@pytest.mark.parametrize(
    ("first", "reason"),
    [(PruneWeights(recovery_epochs=0), "pruned already"), (QuantizePostTraining(), "quantized already")],
)
def test_refused_where_factors_would_undo_it(first: Technique, reason: str) -> None:
    """A pruned or quantized kernel has no sparse or quantized factors."""
    with pytest.raises(TechniqueRefused, match=f"conv2: {reason}"):
        applied(first, FactorizeConv())


def test_reasons_name_every_layer() -> None:
    """Where nothing can be split the refusal says why of each convolution; work that can't go is told."""
    with pytest.raises(TechniqueRefused, match="conv1: 1 channels are fewer than min_channels 8"):
        applied(FactorizeConv(exclude=["conv2"]))
    with pytest.raises(TechniqueRefused, match=r"macs 0\.01 can't be reached: at rank 1"):
        applied(FactorizeConv(macs=0.01))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "cp", "evbmf": True}, "evbmf"),
        ({"energy": 0.5, "macs": 0.5}, "energy and macs are set"),
        ({"macs": 1.0}, "macs"),
        ({"method": "fourier"}, "method"),
    ],
)
def test_bad_fields(fields: dict[str, Any], message: str) -> None:
    """Fields that contradict each other are refused."""
    with pytest.raises(UsageError, match=message):
        technique("factorize-conv", fields)


def test_data_aware_factors_are_nearer_in_what_they_compute() -> None:
    """At one rank the outputs on calibration data err less than those of the nearest weight."""
    inputs = digits().split("calibration").inputs
    errors = []
    for method in ("data-aware", "svd"):
        model = applied(
            FactorizeDense(method=method, ratio=8, exclude=["fc2", "fc3"], recovery_epochs=0), base="lenet-300-100"
        )
        errors.append(np.square(model.predict(inputs) - trained("lenet-300-100").predict(inputs)).sum())
    assert errors[0] < 0.5 * errors[1]


def wide(channels: int) -> nn.Layer:
    return nn.Sequential(
        nn.Conv2D(1, channels, 3, padding=1),
        nn.Conv2D(channels, channels, 3, padding=1),
        nn.Flatten(),
        nn.Linear(channels * 196, 10),
    )


def test_ranks_fill_the_blocks_of_the_runtimes_kernels(build: Build) -> None:
    """By default ranks are multiples of 16, and the chain is estimated to be faster than the convolution."""
    model = build(lambda: wide(64), (1, 14, 14))
    found = run(FactorizeConv(macs=0.5, recovery_epochs=0), model, digits_context(model))
    (edit,) = (edit for edit in found.edits if isinstance(edit, Edit))
    assert {rank % 16 for rank in edit.ranks} == {0}
    kernels = load("avx512")
    assert estimate(found, kernels) < 0.6 * estimate(model, kernels)


def test_what_would_take_longer_is_left_alone_unless_ranks_are_asked_for(build: Build) -> None:
    """A chain of 16 channels is less work and more time: by default it is refused, a number makes it."""
    model = build(lambda: wide(16), (1, 14, 14))
    with pytest.raises(TechniqueRefused, match="1: factors would save nothing, or take longer"):
        run(FactorizeConv(ratio=1.5, recovery_epochs=0), model, digits_context(model))
    found = run(FactorizeConv(ratio=1.5, round_to=1, recovery_epochs=0), model, digits_context(model))
    assert estimate(found, load("avx512")) > estimate(model, load("avx512"))


def test_a_share_of_the_time_is_left(build: Build) -> None:
    """By `latency` at most that share of the convolutions' estimated time is left."""
    model = build(lambda: wide(64), (1, 14, 14))
    found = run(FactorizeConv(latency=0.6, recovery_epochs=0), model, digits_context(model))
    before, after = (
        sum(use.times * load("avx512").nanoseconds(use.work) for every in uses(one).values() for use in every)
        for one in (model, found)
    )
    assert after < 0.7 * before
    with pytest.raises(TechniqueRefused, match=r"latency 0\.01 can't be reached: at the lowest ranks"):
        run(FactorizeConv(latency=0.01, recovery_epochs=0), model, digits_context(model))
