"""oneDNN's kernels in the place of Paddle's operations, in this process."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
from paddle import _C_ops

from paddlepress.onednn import functions
from paddlepress.onednn.library import OneDNNError, library

_TOLERANCE = 1e-4  # of the largest value; kernels that compute the same agree to about 1e-6
# Below this many multiplications, or pixels, calling oneDNN from here takes longer than Paddle's operation.
LEAST_MULTIPLICATIONS, LEAST_PIXELS = 1_000_000, 32_768
_originals: dict[str, Callable[..., Any]] = {}
_usable: bool | None = None  # not yet known


def install() -> bool:
    """Let `paddle._C_ops` compute convolutions and max pooling with oneDNN where that is possible.

    Every caller of Paddle's functions gets the same numbers, but for rounding. What oneDNN doesn't compute here, Paddle
    computes as before: traced programs, other types than float32, automatic mixed precision, gradients of gradients,
    other places than the CPU, other layouts.

    Returns:
        Whether it was done. It isn't where Paddle's wheel ships no oneDNN, or one of another major version; nor, with
        a warning, where its kernels compute something else than Paddle's.
    """
    global _usable
    if _originals:
        return True
    if _usable is None:
        _usable = _agrees()
    if not _usable:
        return False
    for name, replacement in _REPLACEMENTS.items():
        _originals[name] = getattr(_C_ops, name)
        setattr(_C_ops, name, _either(replacement, _originals[name]))
    return True


def uninstall() -> None:
    """Give Paddle its own operations back."""
    for name, original in _originals.items():
        setattr(_C_ops, name, original)
    _originals.clear()


def _either(replacement: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    def operation(*arguments: Any, **named: Any) -> Any:
        made = None if named or not _pays(*arguments) else replacement(*arguments)
        return original(*arguments, **named) if made is None else made

    return operation


def _pays(x: Any, second: Any, *rest: Any) -> bool:
    """Whether an operation on an image, with a kernel or with the size of a window, is large enough."""
    if not paddle.in_dynamic_mode() or x.ndim != 4:
        return False
    if isinstance(second, paddle.Tensor):
        return bool(x.size * second.size >= LEAST_MULTIPLICATIONS * x.shape[1])
    return bool(x.size >= LEAST_PIXELS)


def _depthwise_conv2d(x: Any, weight: Any, stride: Any, padding: Any, algorithm: Any, *rest: Any) -> Any:
    groups, dilation, layout = rest[:3]  # in the other order; what may follow concerns GPUs
    return functions.conv2d(x, weight, stride, padding, algorithm, dilation, groups, layout)


_REPLACEMENTS: dict[str, Callable[..., Any]] = {
    "conv2d": functions.conv2d,
    "depthwise_conv2d": _depthwise_conv2d,
    "pool2d": functions.max_pool2d,
}


def _agrees() -> bool:
    """Whether there is a oneDNN that computes what Paddle computes."""
    if not paddle.in_dynamic_mode():
        return False
    try:
        library()
        with paddle.amp.auto_cast(enable=False):
            wrong = _disagreement()
    except (OSError, AttributeError, OneDNNError):
        return False
    if wrong:
        warnings.warn(f"oneDNN's kernels are not used: {wrong}", RuntimeWarning, stacklevel=3)
    return not wrong


def _disagreement() -> str:
    """The first operation whose values or gradients are not Paddle's own on a small example; empty if all agree."""
    rng = np.random.default_rng(0)
    shapes = (2, 4, 9, 7), (6, 4, 3, 3), (4, 1, 3, 3)
    image, kernel, depthwise = (rng.standard_normal(shape, dtype=np.float32) for shape in shapes)
    pooling = ([3, 3], [2, 2], [1, 1], False, True, "NCHW", "max", False, False, "EXPLICIT")
    for name, arrays, arguments in (
        ("conv2d", (image, kernel), ([2, 1], [1, 1], "EXPLICIT", [1, 1], 1, "NCHW")),
        ("depthwise_conv2d", (image, depthwise), ([1, 1], [1, 1], "EXPLICIT", 4, [1, 1], "NCHW")),
        ("pool2d", (image,), pooling),
    ):
        found = _with_gradients(_REPLACEMENTS[name], arrays, arguments)
        expected = _with_gradients(getattr(_C_ops, name), arrays, arguments)
        for one, other in zip(found, expected, strict=True):
            if not np.abs(one - other).max() <= _TOLERANCE * np.abs(other).max():  # nor if it is not a number
                return f"their {name} differs from Paddle's by up to {np.abs(one - other).max():g}"
    return ""


def _with_gradients(run: Callable[..., Any], arrays: Any, arguments: Any) -> list[Any]:
    with paddle.enable_grad():
        tensors = [paddle.to_tensor(array, place=paddle.CPUPlace(), stop_gradient=False) for array in arrays]
        made = run(*tensors, *arguments)
        if made is None:
            raise OneDNNError("a small example is not computed")
        gradients = paddle.grad((made * made).sum(), tensors)
    return [each.numpy() for each in (made, *gradients)]
