"""Which layers may be factorized, and why the others may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from surgical import Build

from paddlepress.core import compute
from paddlepress.core.errors import DataError, TechniqueRefused
from paddlepress.network import edits
from paddlepress.surgery.macs import macs

compute.prepare()
import paddle  # noqa: E402
from paddle import nn  # noqa: E402

from paddlepress_components.factorization import candidates as found  # noqa: E402
from paddlepress_components.factorization import kernels  # noqa: E402
from paddlepress_components.factorization.conv import split  # noqa: E402
from paddlepress_components.factorization.dense import factorize  # noqa: E402


class Standardized(nn.Conv2D):
    """A convolution whose kernel has no mean."""

    def forward(self, x: Any) -> Any:
        kernel = self.weight - self.weight.mean([1, 2, 3], keepdim=True)
        return nn.functional.conv2d(x, kernel, self.bias)


class Tied(nn.Layer):
    """Two layers of one weight, one that is read from outside, one that never runs and one with a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.read, self.idle, self.hooked, self.one, self.two = (nn.Linear(8, 8) for _ in range(6))
        self.two.weight = self.one.weight
        self.hooked.register_forward_post_hook(lambda layer, inputs, output: output * 2)

    def forward(self, x: Any) -> Any:
        x = self.hooked(self.two(self.one(self.plain(x))))
        return paddle.matmul(self.read(x), self.read.weight, transpose_y=True)


def any_layer(layer: Any) -> str:
    return ""


def test_only_layers_that_are_their_weight_are_taken(build: Build) -> None:
    """Each of the others has its reason, and its work counts as work that stays."""
    model = build(Tied, (8,))
    result = found.candidates(model, nn.Linear, ["idle"], any_layer)
    assert set(result.layers) == {"plain"}
    assert result.reasons == {
        "read": "its weight is used elsewhere too",
        "hooked": "hooks change what it computes",
        "one": "its weight is another layer's too",
        "two": "its weight is another layer's too",
    }
    assert sum(work.macs for work in result.fixed) == sum(macs(model).values()) - 64
    assert found.candidates(model, nn.Linear, [], any_layer).reasons["idle"] == "it never runs"


def test_a_convolution_that_computes_in_its_own_way_stays(build: Build) -> None:
    """Factors of its weight would not compute what it does."""
    model = build(lambda: nn.Sequential(Standardized(4, 6, 3), nn.Conv2D(6, 4, 3)), (4, 9, 9))
    result = found.candidates(model, nn.Conv2D, [], any_layer)
    assert set(result.layers) == {"1"}
    assert result.reasons == {"0": "it is a Standardized, which computes in its own way"}


def test_factors_are_not_factorized_again(build: Build) -> None:
    """What is a factor already is left alone, in dense layers and in convolutions."""
    model = build(lambda: nn.Sequential(nn.Conv2D(4, 6, 3), nn.Flatten(), nn.Linear(96, 10)), (4, 6, 6))
    split(model.network, edits.FactorizeConv(layer="0", method="spatial", ranks=(3,)))
    factorize(model.network, "2", (4,))
    for kind in (nn.Conv2D, nn.Linear):
        result = found.candidates(model, kind, [], any_layer)
        assert not result.layers
        assert set(result.reasons.values()) == {"it is a factor already"}


@pytest.mark.parametrize("method", ["tucker2", "cp", "spatial", "channel-svd"])
def test_work_is_foretold(method: str, build: Build) -> None:
    """What a plan says of the factors' multiply-accumulates is what the factorized network has, strides and all."""
    arguments: dict[str, Any] = {"stride": (2, 3), "padding": (1, 2), "dilation": (1, 2)}
    model = build(lambda: nn.Sequential(nn.Conv2D(4, 6, (5, 3), **arguments), nn.Conv2D(6, 5, 2)), (4, 15, 17))
    result = found.candidates(model, nn.Conv2D, [], any_layer)
    for name, layer in result.layers.items():
        plan = kernels.plan(layer.weight.numpy(), method, result.places[name])
        assert plan.full.macs == macs(model)[name]
        twin = model.copy()
        ranks = (3, 2) if method == "tucker2" else (3,)
        split(twin.network, edits.FactorizeConv(layer=name, method=method, ranks=ranks))
        counted = sum(count for factor, count in macs(twin).items() if factor.startswith(name))
        assert counted == plan.macs(ranks)


def test_dense_layers_run_once_for_each_row(build: Build) -> None:
    """A dense layer on a sequence runs for every element of it."""
    result = found.candidates(build(lambda: nn.Sequential(nn.Linear(8, 5)), (7, 8)), nn.Linear, [], any_layer)
    assert result.places["0"].outputs == 7


def test_moments_are_sums_over_rows(build: Build) -> None:
    """They are exact where there are fewer examples than features; without examples there are none."""
    model = build(lambda: nn.Sequential(nn.Linear(8, 6)), (8,))
    x = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    layers = {"0": model.network[0]}
    sums = found.moments(model, layers, x, batch_size=2)["0"]
    exact = x.astype(np.float64)
    np.testing.assert_allclose(sums, exact.T @ exact, rtol=1e-12, atol=1e-12)
    with pytest.raises(DataError, match="calibration split is empty"):
        found.moments(model, layers, x[:0])
    with pytest.raises(TechniqueRefused, match="0 receives values that are not finite"):
        found.moments(model, layers, np.full((2, 8), np.inf, np.float32))
