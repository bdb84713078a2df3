"""GoogLeNet without its auxiliary classifiers."""

from __future__ import annotations

from typing import Any

import paddle
from paddle.vision.models import GoogLeNet


class MainGoogLeNet(GoogLeNet):
    """Paddle's GoogLeNet with one output, the logits.

    Paddle's own returns those of two auxiliary classifiers too, which the paper trains along and leaves
    out of use (Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, section 5). They hold a third of
    the parameters and need images of 224x224.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        for name in ("_conv_o1", "_fc_o1", "_drop_o1", "_out1", "_conv_o2", "_fc_o2", "_drop_o2", "_out2"):
            delattr(self, name)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self._pool(self._conv(x))
        x = self._pool(self._conv_2(self._conv_1(x)))
        x = self._pool(self._ince3b(self._ince3a(x)))
        x = self._ince4c(self._ince4b(self._ince4a(x)))
        x = self._pool(self._ince4e(self._ince4d(x)))
        x = self._ince5b(self._ince5a(x))
        return self._fc_out(paddle.squeeze(self._drop(self._pool_5(x)), axis=[2, 3]))
