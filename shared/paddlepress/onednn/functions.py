"""Convolution and max pooling on Paddle's tensors, with gradients.

Each function gives None where oneDNN's kernels are not to be used, for Paddle's own operation to take over.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import paddle
from paddle import _C_ops
from paddle.base import core
from paddle.base.framework import _dygraph_tracer

from paddlepress.onednn.gradients import with_gradients
from paddlepress.onednn.library import OneDNNError, library
from paddlepress.onednn.primitives import Convolution, LeastRecentlyUsed, MaxPooling, Pair

MOST = 512  # primitives for that many shapes; a large network has a hundred, and takes two or three batch sizes

convolutions: LeastRecentlyUsed[Convolution] = LeastRecentlyUsed(MOST)
poolings: LeastRecentlyUsed[MaxPooling] = LeastRecentlyUsed(MOST)

_CPU = paddle.CPUPlace()
_paddle: Any = _C_ops
_pool2d = _paddle.pool2d  # before `install` takes its place


def conv2d(
    x: paddle.Tensor,
    weight: paddle.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    algorithm: str,
    dilation: Sequence[int],
    groups: int,
    layout: str,
) -> paddle.Tensor | None:
    """Convolution without a bias; the arguments are those of Paddle's operation `conv2d`.

    Args:
        x: float32 [n, c, h, w] on the CPU.
        weight: float32 [o, c / groups, kh, kw] on the CPU.
        stride, dilation: by height and width.
        padding: by height and width, or top, bottom, left, right.
        algorithm: only `EXPLICIT` is computed here.
        groups: of channels.
        layout: only `NCHW` is computed here.
    """
    if algorithm != "EXPLICIT" or layout != "NCHW" or not _computes(x) or not _computes(weight):
        return None
    differentiable = paddle.is_grad_enabled()
    of_image = differentiable and not x.stop_gradient
    image, kernel = tuple(x.shape), tuple(weight.shape)
    if len(image) != 4 or len(kernel) != 4:
        return None
    if of_image and image[1] == 1:  # a gradient by a single channel takes oneDNN longer than Paddle
        return None
    before, after = _sides(padding)
    strides, dilations = (stride[0], stride[1]), (dilation[0], dilation[1])
    shapes = (image, kernel, strides, before, after, dilations, groups)
    computed = convolutions.get((*shapes, library().threads()), functools.partial(Convolution, *shapes))
    if computed is None:
        return None
    if not differentiable or (not of_image and weight.stop_gradient):
        return _convolve(computed, x, weight)
    call = _Convolution(computed, x, weight, (stride, padding, algorithm, dilation, groups, layout))
    wanted = [(x, call.image_gradient)] if of_image else []
    if not weight.stop_gradient:
        wanted.append((weight, call.kernel_gradient))
    return with_gradients(_convolve(computed, x, weight), wanted)


def max_pool2d(
    x: paddle.Tensor, window: Sequence[int], stride: Sequence[int], padding: Sequence[int], *rest: Any
) -> paddle.Tensor | None:
    """Max pooling; the arguments are those of Paddle's operation `pool2d`.

    Args:
        x: float32 [n, c, h, w] on the CPU.
        window, stride: by height and width.
        padding: by height and width, or top, bottom, left, right.
        rest: whether sizes are rounded up, whether averages leave out the padding, layout, kind, whether the window is
            the image, whether it is adaptive, and how the padding is meant.
    """
    ceil, _, layout, kind, whole, adaptive, algorithm = rest
    if kind != "max" or ceil or whole or adaptive or algorithm != "EXPLICIT" or layout != "NCHW":
        return None
    image = tuple(x.shape) if _computes(x) else ()
    sizes = [*window, *stride, *padding] if isinstance(window, (list, tuple)) else []
    if len(image) != 4 or len(sizes) not in (6, 8) or not all(isinstance(size, int) for size in sizes):
        return None
    before, after = _sides(padding)
    shapes = (image, (window[0], window[1]), (stride[0], stride[1]), before, after)
    computed = poolings.get((*shapes, library().threads()), functools.partial(MaxPooling, *shapes))
    if computed is None:
        return None
    if paddle.is_grad_enabled() and not x.stop_gradient:
        y, workspace = _empty(computed.output), _empty((computed.workspace,), paddle.uint8)
        computed.forward(_dense(x).data_ptr(), y.data_ptr(), workspace.data_ptr())
        call = _MaxPooling(computed, x, workspace, (window, stride, padding, *rest))
        return with_gradients(y, [(x, call.image_gradient)])
    y = _empty(computed.output)
    computed.infer(_dense(x).data_ptr(), y.data_ptr())
    return y


class _Convolution:
    """A convolution that was computed and whose gradients may be wanted."""

    def __init__(self, computed: Convolution, x: paddle.Tensor, weight: paddle.Tensor, arguments: Any) -> None:
        self.computed, self.x, self.weight, self.arguments = computed, x, weight, arguments
        self.versions = _versions(x, weight)

    def image_gradient(self, gradient: paddle.Tensor, differentiable: bool) -> paddle.Tensor:
        self._check()
        if not differentiable:
            given, made = _dense(gradient), _empty(self.x.shape)
            try:
                self.computed.image_gradient(given.data_ptr(), _dense(self.weight).data_ptr(), made.data_ptr())
                return made
            except OneDNNError:  # there is no such kernel
                pass
        return self._by_paddle(gradient, differentiable)[0]

    def kernel_gradient(self, gradient: paddle.Tensor, differentiable: bool) -> paddle.Tensor:
        self._check()
        if not differentiable:
            given, made = _dense(gradient), _empty(self.weight.shape)
            try:
                self.computed.kernel_gradient(given.data_ptr(), _dense(self.x).data_ptr(), made.data_ptr())
                return made
            except OneDNNError:
                pass
        return self._by_paddle(gradient, differentiable)[1]

    def _by_paddle(self, gradient: paddle.Tensor, differentiable: bool) -> Any:
        with paddle.set_grad_enabled(differentiable):
            return _paddle.conv2d_grad(self.x, self.weight, gradient, *self.arguments)

    def _check(self) -> None:
        if _versions(self.x, self.weight) != self.versions:
            raise RuntimeError(
                "a tensor that the gradient of a convolution is computed from was changed in place after the "
                "convolution: its image or its kernel"
            )


class _MaxPooling:
    """Max pooling that was computed and whose gradient may be wanted."""

    def __init__(self, computed: MaxPooling, x: paddle.Tensor, workspace: paddle.Tensor, arguments: Any) -> None:
        self.computed, self.x, self.workspace, self.arguments = computed, x, workspace, arguments
        self.versions = _versions(x)

    def image_gradient(self, gradient: paddle.Tensor, differentiable: bool) -> paddle.Tensor:
        if differentiable:
            if _versions(self.x) != self.versions:
                raise RuntimeError("an image was changed in place after it was pooled, and its gradient is wanted")
            pooled = _pool2d(self.x, *self.arguments)
            return _paddle.pool2d_grad(self.x, pooled, gradient, *self.arguments)
        given, made = _dense(gradient), _empty(self.x.shape)
        self.computed.image_gradient(given.data_ptr(), self.workspace.data_ptr(), made.data_ptr())
        return made


def _convolve(computed: Convolution, x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
    x, weight, y = _dense(x), _dense(weight), _empty(computed.output)
    computed.forward(x.data_ptr(), weight.data_ptr(), y.data_ptr())
    return y


def _computes(tensor: paddle.Tensor) -> bool:
    """Whether an operation is computed now and here: neither traced, nor in another precision, nor elsewhere."""
    return bool(
        paddle.in_dynamic_mode()
        and tensor.dtype == paddle.float32
        and tensor.place.is_cpu_place()
        and tensor.is_dense()
        and _dygraph_tracer()._amp_level == core.AmpLevel.O0
    )


def _sides(padding: Sequence[int]) -> tuple[Pair, Pair]:
    """Padding above and to the left, and below and to the right."""
    if len(padding) == 2:
        return (padding[0], padding[1]), (padding[0], padding[1])
    return (padding[0], padding[2]), (padding[1], padding[3])


def _versions(*tensors: paddle.Tensor) -> tuple[int, ...]:
    return tuple(tensor.inplace_version for tensor in tensors)


def _dense(tensor: paddle.Tensor) -> paddle.Tensor:
    """A tensor that lies row-major in memory, without a gradient."""
    if tensor.is_contiguous():
        return tensor
    with paddle.no_grad():
        return tensor.contiguous()


def _empty(shape: Sequence[int], dtype: Any = paddle.float32) -> paddle.Tensor:
    return _paddle.empty(shape, dtype, _CPU)
