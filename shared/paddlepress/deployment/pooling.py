"""Adaptive pooling in a form that converts to ONNX right.

ONNX pools windows of one size at one stride. Where an image does not part evenly, adaptive pooling's
windows differ in size; paddle2onnx writes windows of one size all the same, which gives other numbers,
or a stride of 0 where there are more windows than pixels, which ends the process that runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import paddle
import paddle.nn.functional as F

_SPATIAL = {"adaptive_avg_pool1d": 1, "adaptive_max_pool1d": 1, "adaptive_avg_pool2d": 2, "adaptive_max_pool2d": 2}


@contextmanager
def exact_adaptive_pooling() -> Iterator[None]:
    """Within it `paddle.nn.functional`'s adaptive pooling parts an image window by window where it has to."""
    usual = {name: getattr(F, name) for name in _SPATIAL}
    for name, function in usual.items():
        setattr(F, name, _instead(name, function))
    try:
        yield
    finally:
        for name, function in usual.items():
            setattr(F, name, function)


def windows(length: int, count: int) -> list[tuple[int, int]]:
    """Where each window begins and ends."""
    return [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]


def are_even(length: int, count: int) -> bool:
    """Whether all windows are of one size, at one distance."""
    found = windows(length, count)
    distance = length // count
    return distance > 0 and all(
        (start, end) == (i * distance, i * distance + found[0][1]) for i, (start, end) in enumerate(found)
    )


def _instead(name: str, usual: Callable[..., paddle.Tensor]) -> Callable[..., paddle.Tensor]:
    def pool(x: paddle.Tensor, output_size: Any, *others: Any, **options: Any) -> paddle.Tensor:
        axes = [axis + 2 for axis in range(_SPATIAL[name])]
        given = output_size if isinstance(output_size, Sequence) else [output_size] * len(axes)
        counts = [x.shape[axis] if count is None else count for axis, count in zip(axes, given, strict=True)]
        sizes = [(x.shape[axis], count) for axis, count in zip(axes, counts, strict=True)]
        other = bool(others) or not options.get("data_format", "NCHW").startswith("NC") or options.get("return_mask")
        known = all(isinstance(count, int) and length > 0 for length, count in sizes)
        if other or not known or all(are_even(length, count) for length, count in sizes):
            return usual(x, output_size, *others, **options)
        for axis, count in zip(axes, counts, strict=True):
            x = _pool(x, axis, count, paddle.mean if "avg" in name else paddle.max)
        return x

    whole: Callable[..., paddle.Tensor] = paddle.jit.not_to_static(pool)  # its loops are not to be traced as such
    return whole


def _pool(x: paddle.Tensor, axis: int, count: int, over: Callable[..., paddle.Tensor]) -> paddle.Tensor:
    parts = [
        over(paddle.slice(x, [axis], [start], [end]), axis, keepdim=True)
        for start, end in windows(x.shape[axis], count)
    ]
    return paddle.concat(parts, axis)
