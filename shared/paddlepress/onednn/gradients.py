"""Gradients of a function that Paddle does not know, as hooks on tensors of its own.

Paddle's own means for it, `PyLayer`, has two faults in version 3.3.1. Where `paddle.grad` asks for the gradient by one
of several arguments alone, giving the others' as well is an error, and nothing says which one was asked for. And going
through a graph a second time (`retain_graph`) ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import paddle
from paddle import _C_ops

Gradient = Callable[[paddle.Tensor, bool], paddle.Tensor]
"""The gradient by an argument, from that by the result, and whether it must itself have gradients."""

_paddle: Any = _C_ops
_CPU = paddle.CPUPlace()


def with_gradients(result: paddle.Tensor, arguments: Sequence[tuple[paddle.Tensor, Gradient]]) -> paddle.Tensor:
    """A result as a differentiable function of one or two tensors.

    Paddle's graph is built of operations that cost nothing: each argument's view, of which only a number is left, the
    sum of these numbers, the result in the place of that sum, and a view of it that the caller gets. On the way back a
    hook takes the result's gradient and gives the sum a number, and each argument's hook takes that number and gives
    the argument its gradient. An argument whose gradient nobody asked for is not reached.

    Args:
        result: computed without a graph.
        arguments: each with the function that computes its gradient.
    """
    way_back = _WayBack(len(arguments))
    numbers = [way_back.number_of(tensor, gradient) for tensor, gradient in arguments]
    shape = result.shape
    joined = _paddle.add(numbers[0], numbers[1] if len(numbers) > 1 else _number())
    result._share_underline_tensor_to(joined)
    joined.register_hook(way_back.begin)
    return _paddle.reshape(joined, shape)


class _WayBack:
    """The result's gradient on its way to the arguments; it stays until each has had it, or the graph is gone."""

    def __init__(self, arguments: int) -> None:
        self.arguments = self.to_come = arguments
        self.gradient: paddle.Tensor | None = None

    def begin(self, gradient: paddle.Tensor) -> paddle.Tensor:
        self.gradient, self.to_come = gradient, self.arguments
        number = _number()
        number.stop_gradient = False  # what Paddle computes from it has a history only if gradients are to have one
        return number

    def number_of(self, tensor: paddle.Tensor, compute: Gradient) -> paddle.Tensor:
        """A number through which a gradient reaches a tensor."""

        def end(number: paddle.Tensor) -> paddle.Tensor:
            gradient = self.gradient
            assert gradient is not None
            self.to_come -= 1
            if not self.to_come:
                self.gradient = None
            return compute(gradient, not number.is_leaf)

        view = _paddle.reshape(tensor, tensor.shape)
        _number()._share_underline_tensor_to(view)
        view.register_hook(end)
        return view


def _number() -> paddle.Tensor:
    return _paddle.full([1], 0.0, paddle.float32, _CPU)
