"""How many numbers the parameters have that a network's construction creates, counted and limited as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from typing import Any

from paddlepress.core.errors import ArtifactError


class Count:
    """Numbers in the parameters created so far.

    Attributes:
        numbers: how many.
        most: how many there may be; None: any.
    """

    def __init__(self, most: int | None) -> None:
        self.numbers = 0
        self.most = most

    def add(self, shape: Any) -> None:
        """Count a parameter that is about to be created.

        Raises:
            ArtifactError: there would be too many.
        """
        self.numbers += prod(max(0, int(size)) for size in shape)
        if self.most is not None and self.numbers > self.most:
            raise ArtifactError(f"its architecture would have more than the {self.most:,} parameters that are stated")


_counting: ContextVar[Count | None] = ContextVar("counting", default=None)


@contextmanager
def counted(most: int | None = None) -> Iterator[Count]:
    """Count the numbers of every parameter that a layer creates meanwhile in this thread.

    Args:
        most: creating more raises ArtifactError, before any memory is taken for them.
    """
    _watch()
    count = Count(most)
    token = _counting.set(count)
    try:
        yield count
    finally:
        _counting.reset(token)


def _watch() -> None:
    """Have Paddle's layers tell of the parameters that they create; once in a process."""
    import paddle

    create = paddle.nn.Layer.create_parameter
    if hasattr(create, "paddlepress"):
        return

    def create_parameter(self: Any, shape: Any, *arguments: Any, **settings: Any) -> Any:
        count = _counting.get()
        if count is not None:
            count.add(shape)
        return create(self, shape, *arguments, **settings)

    create_parameter.__doc__ = create.__doc__
    create_parameter.paddlepress = True  # type: ignore[attr-defined]
    paddle.nn.Layer.create_parameter = create_parameter
