"""Taking back the shift that quantized weights and inputs give a layer's mean output.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2, with
the expectations measured on calibration data (appendix D).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn

from paddlepress_components.quantization.layer_functions import output_mean


def mean_shift(layer: nn.Layer, pairs: Iterable[tuple[paddle.Tensor, paddle.Tensor]]) -> NDArray[np.float64]:
    """By how much a quantized layer's mean output lies above the float one's, for each channel.

    Args:
        layer: the quantized layer.
        pairs: what it receives in the quantized network, and what it gives in the float one.

    Returns:
        float64 [channels].
    """
    total, count = np.zeros(1), 0
    with paddle.no_grad():
        for x, target in pairs:
            shift = output_mean(layer, layer.forward(x) - target)
            total = total + shift.numpy().astype(np.float64) * len(x)
            count += len(x)
    return total / max(1, count)


def correct_bias(layer: nn.Layer, shift: NDArray[np.float64], norm: nn.Layer | None) -> bool:
    """Subtract a shift from a layer's bias, or from the mean that a batch normalization after it subtracts.

    Args:
        layer: the layer; its bias is preferred.
        shift: float [channels].
        norm: the batch normalization that reads the layer's output, if one does.

    Returns:
        Whether there was anything to correct.
    """
    if layer.bias is not None:
        layer.bias.set_value((layer.bias.numpy() - shift).astype(np.float32))
    elif norm is not None:
        norm._mean.set_value((norm._mean.numpy() + shift).astype(np.float32))
    return layer.bias is not None or norm is not None
