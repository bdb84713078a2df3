"""Convolutions as chains of smaller ones, and the edit that makes them."""

from __future__ import annotations

from typing import Any

import pytest
from surgical import Build

from paddlepress.core import compute
from paddlepress.core.errors import ArtifactError
from paddlepress.network import edits

compute.prepare()
import paddle  # noqa: E402
from paddle import nn  # noqa: E402

from paddlepress.network.architectures.layers import Conv2D  # noqa: E402
from paddlepress.network.inserted_layers import LowRankConv2D  # noqa: E402


@pytest.mark.parametrize(
    ("method", "ranks", "shapes"),
    [
        ("channel-svd", (5,), {"first": [5, 4, 3, 2], "last": [6, 5, 1, 1]}),
        ("spatial", (5,), {"vertical": [5, 4, 3, 1], "horizontal": [6, 5, 1, 2]}),
        ("tucker2", (3, 5), {"first": [3, 4, 1, 1], "core": [5, 3, 3, 2], "last": [6, 5, 1, 1]}),
        (
            "cp",
            (5,),
            {"first": [5, 4, 1, 1], "vertical": [5, 1, 3, 1], "horizontal": [5, 1, 1, 2], "last": [6, 5, 1, 1]},
        ),
    ],
)
def test_a_chain_has_the_convolutions_of_its_method(
    method: Any, ranks: tuple[int, ...], shapes: dict[str, list[int]], build: Build
) -> None:
    """Replaying the edit gives ordinary convolutions, the bias in the last; the output has the shape it had."""
    model = build(lambda: nn.Sequential(nn.Conv2D(4, 6, (3, 2), stride=(2, 1), padding=(0, 1))), (4, 9, 8))
    x = paddle.zeros([2, 4, 9, 8])
    before = model.network(x).shape
    edits.FactorizeConv(layer="0", method=method, ranks=ranks).replay(model.network)
    chain = dict(model.network[0].named_children())
    assert {name: layer.weight.shape for name, layer in chain.items()} == shapes
    assert all(isinstance(layer, Conv2D) for layer in chain.values())
    assert [layer.bias is not None for layer in chain.values()] == [False] * (len(chain) - 1) + [True]
    assert model.network(x).shape == before


@pytest.mark.parametrize(
    ("layer", "method", "ranks"),
    [
        ("nowhere", "spatial", (1,)),
        ("1", "spatial", (1,)),
        ("2", "cp", (1,)),
        ("0", "tucker2", (2,)),
        ("0", "cp", (2, 2)),
        ("0", "channel-svd", (0,)),
        ("0", "channel-svd", (7,)),
        ("0", "spatial", (10**9,)),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(layer: str, method: Any, ranks: tuple[int, ...], build: Build) -> None:
    """No such layer, none of the kind, one with groups, or ranks that it does not have: an artifact is not trusted."""
    model = build(lambda: nn.Sequential(nn.Conv2D(4, 6, 3), nn.ReLU(), nn.Conv2D(6, 6, 3, groups=2)), (4, 9, 9))
    with pytest.raises(ArtifactError, match=layer):
        edits.FactorizeConv(layer=layer, method=method, ranks=ranks).replay(model.network)


def test_padding_that_is_not_of_zeros_is_not_split() -> None:
    """Nor are channels that come last."""
    for arguments in ({"padding": 1, "padding_mode": "reflect"}, {"data_format": "NHWC"}):
        with pytest.raises(TypeError, match="it pads with"):
            LowRankConv2D.check(nn.Conv2D(4, 6, 3, **arguments))
