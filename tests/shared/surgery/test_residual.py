"""Whose outputs a network's additions add."""

from __future__ import annotations

from surgical import Build

from paddlepress import runtime
from paddlepress.surgery.residual import Operand, operands

runtime.prepare()
import paddle  # noqa: E402
import paddle.nn.functional as F  # noqa: E402
from paddle import nn  # noqa: E402


class Block(nn.Layer):
    def __init__(self, bias: bool):
        super().__init__()
        self.conv = nn.Conv2D(4, 4, 3, padding=1, bias_attr=None if bias else False)
        self.norm = nn.Identity() if bias else nn.BatchNorm2D(4)

    def forward(self, x):
        return F.relu(x + self.norm(self.conv(x)))


class Residual(nn.Layer):
    """Two blocks, the second without a norm, a sum that no convolution makes, and a gate."""

    def __init__(self):
        super().__init__()
        self.stem, self.first, self.second = nn.Conv2D(3, 4, 1), Block(False), Block(True)
        self.gate, self.head = nn.Conv2D(4, 4, 1), nn.Linear(4, 10)

    def forward(self, x):
        x = self.second(self.first(F.relu(self.stem(x))))
        x = F.sigmoid(x) + F.tanh(x)
        return self.head((x * self.gate(x)).mean([2, 3]))


def test_operands(build: Build) -> None:
    """Norms and convolutions by themselves; a shortcut by the block that made it; what nobody made is left out."""
    model = build(Residual)
    assert operands(model, paddle.ones([1, 3, 8, 8])) == [
        Operand("first", "second.conv", whole=True),
        Operand("second.conv"),
    ]


def test_a_network_without_additions(build: Build) -> None:
    """A bias is no operand."""
    assert operands(build("lenet", (1, 28, 28)), paddle.ones([1, 1, 28, 28])) == []
