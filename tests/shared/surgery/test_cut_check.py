"""Whatever a network's code makes of the sizes that it reads, a cut is right or is not offered, with the reason."""

from __future__ import annotations

import numpy as np
import pytest
from surgical import Build, check, images

from paddlepress.core import compute
from paddlepress.core.errors import TechniqueRefused
from paddlepress.network import edits
from paddlepress.surgery import cut_check
from paddlepress.surgery.graph import narrow, narrow_all, trace

compute.prepare()
import paddle  # noqa: E402
import paddle.nn.functional as F  # noqa: E402
from paddle import nn  # noqa: E402


class Network(nn.Layer):
    """A convolution, something that is made of its output, and two layers that read it."""

    def __init__(self, width=8):
        super().__init__()
        self.conv, self.dense, self.classify = nn.Conv2D(3, width, 3), nn.Linear(width, 12), nn.Linear(12, 10)

    def forward(self, x):
        return self.classify(F.relu(self.dense(self.between(F.relu(self.conv(x))))))

    def between(self, x):
        return x.mean([2, 3])


class RootOfSize(Network):
    """A factor of the root of the number of channels."""

    def between(self, x):
        return x.mean([2, 3]) * x.shape[1] ** -0.5


class TimesSize(Network):
    """A mean over pixels, times the number of channels."""

    def between(self, x):
        return x.mean([2, 3]) * x.shape[1]


class ByTensorOfSize(Network):
    """The number of channels as a tensor."""

    def between(self, x):
        return x.mean([2, 3]) / paddle.shape(x)[1].astype("float32")


class OnesOfSize(Network):
    """A sum with ones of the size of the channels, which surgery may follow, and a factor that it may not."""

    def between(self, x):
        return (x + paddle.ones([x.shape[1], 1, 1]) / x.shape[1]).mean([2, 3])


class ZerosBeside(Network):
    """Zeros of the shape of the channels are concatenated with them: a state that starts as nothing."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(16, 12)

    def between(self, x):
        return paddle.concat([x, paddle.zeros(x.shape)], axis=1).mean([2, 3])


class WidthOfAnother(Network):
    """A reshape to the number of channels that another tensor has."""

    def between(self, x):
        kept = x.mean([2, 3])
        return paddle.einsum("nchw->nch", x).mean(2).reshape(kept.shape) + kept


class FactorOfAnother(Network):
    """How many channels one convolution has, beside another: right as long as both shrink alike."""

    def __init__(self):
        super().__init__()
        self.other, self.second = nn.Conv2D(3, 8, 3), nn.Linear(8, 12)

    def forward(self, x):
        other, x = F.relu(self.other(x)), F.relu(self.conv(x))
        y = self.dense(x.mean([2, 3]) * (x.shape[1] / other.shape[1])) + self.second(other.mean([2, 3]))
        return self.classify(F.relu(y))


class IdentityOfSize(Network):
    """A product with an identity matrix, which has no units to cut."""

    def between(self, x):
        x = x.mean([2, 3])
        return paddle.matmul(x, paddle.eye(x.shape[1]))


class NumbersOfSize(Network):
    """Numbers from zero on are added, one for each channel."""

    def between(self, x):
        return x.mean([2, 3]) + paddle.arange(x.shape[1], dtype="float32")


class SplitBySize(Network):
    """The first quarter of the channels, told by their number, gates itself."""

    def between(self, x):
        quarter = x.shape[1] // 4
        first, rest = paddle.split(x, [quarter, x.shape[1] - quarter], axis=1)
        return paddle.concat([first * F.sigmoid(first), rest], axis=1).mean([2, 3])


class ExpandedToSize(Network):
    """A gate of one channel is expanded to the number of channels."""

    def between(self, x):
        gate = F.sigmoid(x.mean(1, keepdim=True)).expand([x.shape[0], x.shape[1], x.shape[2], x.shape[3]])
        return (x * gate).mean([2, 3])


class InTrainingOnly(Network):
    """Training adds noise in proportion to the number of channels."""

    def between(self, x):
        x = x.mean([2, 3])
        return x * x.shape[1] ** -0.5 if self.training else x


class MaskOfTraining(Network):
    """Training drops channels, by a mask whose width the code states."""

    def between(self, x):
        x = x.mean([2, 3])
        return x * paddle.bernoulli(paddle.full([x.shape[0], 8], 0.9)) if self.training else x


@pytest.mark.parametrize(
    "network",
    [
        RootOfSize,
        TimesSize,
        ByTensorOfSize,
        OnesOfSize,
        ZerosBeside,
        WidthOfAnother,
        FactorOfAnother,
        IdentityOfSize,
        NumbersOfSize,
        SplitBySize,
        ExpandedToSize,
        InTrainingOnly,
        MaskOfTraining,
    ],
)
def test_numbers_that_follow_from_sizes(network: type[nn.Layer], build: Build) -> None:
    """A number that the code makes of a size is plain in the traced program: what it would spoil stays, the rest goes.

    Each names the layer that stays whole and why; the next layer's units can still be cut, in the same network.
    """
    graph = check(build(network))
    assert [group.name for group in graph.groups] == ["dense"]
    assert graph.fixed["conv"]


def test_reasons(build: Build) -> None:
    """They tell a network that would fail from one that would compute something else."""
    assert trace(build(RootOfSize)).fixed["conv"] == cut_check.DIFFERS
    assert trace(build(ZerosBeside)).fixed["conv"] == cut_check.FAILS


class FromBatch(Network):
    """Sizes that follow from the batch or from the picture, which no cut changes."""

    def __init__(self):
        super().__init__()
        self.places = self.create_parameter([1, 20, 1])

    def between(self, x):
        x = F.interpolate(x, size=[x.shape[2] // 2, x.shape[3] // 2])
        x = x.reshape([x.shape[0], -1, x.shape[2] * x.shape[3]]).transpose([0, 2, 1])
        x = (x * self.places[:, : x.shape[1]]) * x.shape[1] ** -0.5
        return paddle.stack([x[i].sum(0) for i in range(x.shape[0])]) / max(x.shape[0], 1)


class Halves(Network):
    """Channels are halved by their number, and both halves used alike."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(4, 12)

    def between(self, x):
        half = x.shape[1] // 2
        first, second = paddle.split(x, [half, half], axis=1)
        return (first * F.sigmoid(second)).mean([2, 3])


class Dropped(Network):
    """Random in training, and a batch norm over few values."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1D(8)

    def between(self, x):
        return F.dropout(self.norm(x.mean([2, 3])), 0.5, training=self.training)


@pytest.mark.parametrize(("network", "units"), [(FromBatch, 8), (Halves, 4), (Dropped, 8)])
def test_numbers_that_follow_a_cut(network: type[nn.Layer], units: int, build: Build) -> None:
    """What stays right is offered."""
    graph = check(build(network))
    assert [(group.name, group.units) for group in graph.groups] == [("conv", units), ("dense", 12)]


class FewOrMany(Network):
    """Does something else with few channels than with many."""

    def between(self, x):
        return x.mean([2, 3]) if x.shape[1] > 1 else x.amax([2, 3])


def test_the_very_cut_is_tried_out(build: Build) -> None:
    """A network that changes at a size no trial met is refused when it is cut to that; it stays as it was."""
    model = build(FewOrMany)
    before = model.digest()
    graph = trace(model)
    conv = graph.group("conv")
    assert conv is not None
    for cut in (
        lambda: narrow(model, conv, np.array([4])),
        lambda: narrow_all(model, {"dense": np.arange(5), "conv": np.array([4])}, graph),
    ):
        with pytest.raises(TechniqueRefused, match=r"conv with 1 of its 8 units would compute something else"):
            cut()
        assert model.digest() == before
    assert narrow(model, conv, np.array([4, 5])).network.conv._out_channels == 2


def test_batches(build: Build) -> None:
    """A network that only takes pairs of examples is tried on those."""

    class Pairs(Network):
        def between(self, x):
            first, second = x.reshape([x.shape[0] // 2, 2, *x.shape[1:]]).unbind(1)
            return paddle.concat([first, second]).mean([2, 3])

    cut_check.check(build(Pairs), [])
    model = build(Pairs)
    conv = trace(build(Network)).group("conv")
    assert conv is not None
    cut_check.check(model, [(conv, np.arange(5))])


class LookedUp(nn.Layer):
    """Words whose numbers come as floating-point ones."""

    def __init__(self):
        super().__init__()
        self.words, self.classify = nn.Embedding(3, 8), nn.Linear(8, 10)

    def forward(self, x):
        return self.classify(F.relu(self.words(x.astype("int64")).mean(1)))


def test_inputs_that_are_looked_up(build: Build) -> None:
    """Random numbers that no table has an entry for are not what a network is tried on."""
    assert [group.name for group in trace(build(LookedUp, (4,))).groups] == ["words"]


def test_network_that_does_not_run(build: Build) -> None:
    """A network that fails on any input is refused with its reason."""

    class Broken(Network):
        def between(self, x):
            if paddle.in_dynamic_mode():
                raise RuntimeError("needs\na mask")
            return super().between(x)

    with pytest.raises(TechniqueRefused, match="does not run on random inputs: needs"):
        trace(build(Broken))


def test_nothing_is_left_behind(build: Build) -> None:
    """Trying out changes neither the network nor any random number that is drawn afterwards."""
    model = build(RootOfSize)
    model.network.train()
    outputs, before = model.predict(images(model)), model.digest()

    def drawn() -> list[float]:
        return [np.random.rand(), paddle.rand([1]).item()]

    compute.seed_everything(3)
    expected = drawn()
    compute.seed_everything(3)
    trace(model)
    assert drawn() == expected
    assert model.digest() == before
    assert np.array_equal(model.predict(images(model)), outputs)
    assert model.network.training
    assert edits.parameter(model.network, "conv.weight").shape[0] == 8
