"""Which values of a network have one grid, and where they are rounded for whoever else reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from surgical import Build

from paddlepress.core import compute
from paddlepress.network.layer_kinds import weighted_layers
from paddlepress.network.model import Model
from paddlepress.surgery.quantization_regions import EVERYTHING, Place, Region, regions

compute.prepare()
import paddle  # noqa: E402
import paddle.nn.functional as F  # noqa: E402
from paddle import nn  # noqa: E402

RECTIFIED = (0.0, float("inf"))


def found(model: Model) -> list[Region]:
    return regions(model, weighted_layers(model.network))


class Block(nn.Layer):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2D(4, 4, 3, padding=1, bias_attr=None if bias else False)
        self.norm = nn.Identity() if bias else nn.BatchNorm2D(4)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.relu(x + self.norm(self.conv(x)))


class Residual(nn.Layer):
    """Two blocks, the second without a norm; the first is given what no layer gives."""

    def __init__(self, pooled: Callable[[paddle.Tensor], paddle.Tensor]) -> None:
        super().__init__()
        self.stem, self.first, self.second = nn.Conv2D(3, 4, 1), Block(False), Block(True)
        self.head, self.pooled = nn.Linear(4, 10), pooled

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.second(self.first(F.hardswish(self.stem(x))))
        return self.head(self.pooled(x))


@pytest.mark.parametrize(
    "pooled",
    [lambda x: x.mean([2, 3]), lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1), lambda x: F.dropout(x.mean([2, 3]))],
    ids=["mean", "pool", "dropout"],
)
def test_residual_blocks(build: Build, pooled: Callable[[paddle.Tensor], paddle.Tensor]) -> None:
    """Convolutions and norms by themselves, a shortcut by its block or its reader alone, the last sum by the pool."""
    assert found(build(lambda: Residual(pooled))) == [
        Region((), (Place("stem"),)),
        Region(("first.conv",), (Place("", "first.conv"),)),
        Region((), (Place("first.norm"),)),
        Region(("second.conv",), (Place("first", "second.conv"),)),
        Region((), (Place("second.conv"),)),
        Region((), (Place("second", "head", pooled=True),)),
    ]


class Branches(nn.Layer):
    """Branches that are rectified, pooled and concatenated, and read by several layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2D(3, 4, 1)
        self.left, self.right = nn.Conv2D(4, 4, 1), nn.Conv2D(4, 4, 1)
        self.last, self.other = nn.Conv2D(12, 4, 1), nn.Conv2D(12, 4, 1)
        self.head = nn.Linear(4, 10)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = F.relu(self.stem(x))
        y = paddle.concat([F.relu(self.left(x)), F.relu(self.right(x)), F.max_pool2d(x, 3, 1, 1)], 1)
        return self.head(F.relu(self.last(y) * F.sigmoid(self.other(F.max_pool2d(y, 3, 1, 1)))).mean([2, 3]))


def test_concatenations_and_pools_have_one_grid(build: Build) -> None:
    """What maximum pools and concatenations connect is one region, which needs no place as layers alone read it."""
    assert found(build(Branches)) == [
        Region(("left", "right", "last", "other")),
        Region((), (Place("last"),)),
        Region((), (Place("other"),)),
    ]


class Shuffled(nn.Layer):
    """Half of the channels go past a convolution, and are clipped where they are averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.head = nn.Conv2D(3, 4, 1), nn.Conv2D(2, 2, 1), nn.Linear(4, 10)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = F.relu6(self.stem(x))
        left, right = paddle.split(x, 2, 1)
        x = paddle.concat([left, F.relu6(self.conv(right))], 1).reshape([-1, 2, 2, 8, 8]).transpose([0, 2, 1, 3, 4])
        return self.head(x.reshape([-1, 4, 8, 8]).mean([2, 3]))


def test_moved_values_have_one_grid(build: Build) -> None:
    """Splitting and shuffling channels only moves them; each convolution's clip says what it gives to the pool."""
    (region,) = found(build(Shuffled))
    assert region.readers == ("conv",)
    assert set(region.places) == {Place("stem", bounds=(0.0, 6.0)), Place("conv", bounds=(0.0, 6.0))}


class Returned(nn.Layer):
    """The network's input and its output take part in additions, and a layer runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.last = nn.Conv2D(3, 3, 1), nn.Conv2D(3, 3, 1), nn.Conv2D(3, 3, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = F.relu(x + self.first(x))
        y = self.twice(self.twice(y) + y)
        return self.last(y) + y


def test_what_is_given_and_returned_is_not_rounded(build: Build) -> None:
    """A layer that runs twice is no name either, but a reader of one of its outputs is."""
    assert found(build(Returned)) == [
        Region((), (Place("first"),)),
        Region(("last",), (Place("", "last"),)),
        Region((), (Place("last"),)),
    ]


def test_convolutions_alone_are_as_they_were(build: Build) -> None:
    """Where layers read each other there is nothing to round in between."""
    assert found(build("lenet", (1, 28, 28))) == []


def test_clips_count_for_the_range(build: Build) -> None:
    """What a convolution gives to an average pool behind a rectifier is rounded as the rectifier leaves it."""

    class Pooled(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.head = nn.Conv2D(3, 4, 3), nn.BatchNorm2D(4), nn.Linear(4, 10)

        def forward(self, x: paddle.Tensor) -> Any:
            return self.head(F.avg_pool2d(F.relu(self.norm(self.conv(x))), 2).mean([2, 3]))

    assert found(build(Pooled)) == [Region((), (Place("norm", bounds=RECTIFIED),))]
    assert Place("norm").bounds == EVERYTHING
