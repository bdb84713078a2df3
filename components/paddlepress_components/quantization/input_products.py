"""The error of a layer's output that rounding its weight brings about, from the products of what it reads.

With q in place of the weights w of an output, the squared error of that output over all examples is
(w - q) H (w - q)^T, where H is the sum of the outer products of what they read: what GPTQ makes small (Frantar et al.,
"GPTQ", ICLR 2023, equation 1), and a local quadratic of the loss (Nagel et al., "Up or Down?", ICML 2020, equation 13).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn
from paddle.nn.layer.conv import _ConvNd

from paddlepress.network.layer_kinds import output_axis
from paddlepress_components.quantization.layer_functions import input_channels, is_transposed, patches

LARGEST_HESSIAN = 4096
"""Inputs that errors are fed back among; of a wider layer each run of so many is rounded by itself."""

_PATCH_NUMBERS = 2**25  # of one batch of patches: 128 MiB


@dataclass(frozen=True)
class Part:
    """Weights whose errors are fed back among each other.

    Attributes:
        outputs, columns: where they are among the weight's rows, see `grid.as_rows`.
        channels: the input channels that they read, counted within `block`.
        block: which group of the convolution they belong to.
    """

    outputs: slice
    columns: slice
    channels: slice
    block: int


@dataclass(frozen=True)
class Products:
    """What the parts of a layer's weight read.

    Attributes:
        parts: of the weight, of at most about `LARGEST_HESSIAN` columns.
        hessians: for each the sum of the outer products of what it reads, float64 [columns, columns].
    """

    parts: list[Part]
    hessians: list[NDArray[np.float64]]

    @classmethod
    def of(cls, layer: nn.Layer, inputs: Iterable[paddle.Tensor], group: int = 1) -> Products:
        """Those of a layer.

        Args:
            layer: a convolution of any kind, or a dense layer.
            inputs: what it receives.
            group: how many weights of a row share a scale; no part begins or ends among them.
        """
        parts = _parts(layer, group)
        return cls(parts, list(_hessians(layer, parts, inputs)))

    def errors(self, off: NDArray[Any]) -> NDArray[np.float64]:
        """The squared error of the outputs that each row of weights computes.

        Args:
            off: how far the weights are from what they were, [rows, columns], see `grid.as_rows`.

        Returns:
            [rows], summed over examples and places.
        """
        found = np.zeros(len(off))
        for part, hessian in zip(self.parts, self.hessians, strict=True):
            own = off[part.outputs, part.columns].astype(np.float64)
            found[part.outputs] += ((own @ hessian) * own).sum(axis=1)
        return found


def _parts(layer: nn.Layer, group: int) -> list[Part]:
    """The parts of a layer's weight, of at most about `LARGEST_HESSIAN` columns, that groups do not straddle."""
    weight = layer.weight
    blocks = layer._groups if isinstance(layer, _ConvNd) else 1
    kernel = int(np.prod(weight.shape[2:], dtype=np.int64))
    channels, outputs = input_channels(layer) // blocks, weight.shape[output_axis(layer)]
    unit = group // gcd(group, kernel)
    step = max(unit, LARGEST_HESSIAN // kernel // unit * unit)
    found = []
    for block in range(blocks):
        # A transposed convolution's groups lie one after the other along its columns, another's along its rows.
        begin = block * channels * kernel if is_transposed(layer) else 0
        share = outputs // blocks
        own = slice(0, outputs) if is_transposed(layer) else slice(block * share, (block + 1) * share)
        for first in range(0, channels, step):
            read = slice(first, min(first + step, channels))
            columns = slice(begin + read.start * kernel, begin + read.stop * kernel)
            found.append(Part(own, columns, read, block))
    return found


def _hessians(layer: nn.Layer, parts: list[Part], inputs: Iterable[paddle.Tensor]) -> Iterator[NDArray[np.float64]]:
    """The sum of the outer products of what each part reads, float64 [columns, columns]."""
    blocks = 1 + max(part.block for part in parts)
    runs = {(part.channels.start, part.channels.stop): part.channels for part in parts}
    sums: dict[tuple[int, int], NDArray[np.float64]] = {}
    for x in inputs:
        for found in _batches(layer, x):
            positions, channels, kernel = found.shape
            grouped = found.reshape([positions, blocks, channels // blocks, kernel]).transpose([1, 0, 2, 3])
            for key, run in runs.items():
                read = grouped[:, :, run].flatten(2)
                products = paddle.matmul(read, read, transpose_x=True).numpy().astype(np.float64)
                sums[key] = sums[key] + products if key in sums else products
    for part in parts:
        yield sums[part.channels.start, part.channels.stop][part.block]


def _batches(layer: nn.Layer, x: paddle.Tensor) -> Iterator[paddle.Tensor]:
    """The patches of an input, a few examples at a time."""
    one = patches(layer, x[:1]).size
    step = max(1, _PATCH_NUMBERS // max(1, one))
    for start in range(0, len(x), step):
        yield patches(layer, x[start : start + step])
