"""Random inputs for networks, drawn without disturbing what is drawn after them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from paddlepress.spec.tensors import Array

if TYPE_CHECKING:
    from paddlepress.network.model import Model


@contextmanager
def unseeded() -> Iterator[None]:
    """Within it random numbers may be drawn; afterwards every generator is where it was."""
    import paddle

    before = random.getstate(), np.random.get_state(), paddle.get_rng_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        paddle.set_rng_state(before[2])


def random_inputs(model: Model, batch: int, numbers: np.random.Generator, *, standard: bool = True) -> list[Array]:
    """Inputs for a model's network.

    Args:
        model: whose.
        batch: how many examples.
        numbers: where they come from.
        standard: normally distributed, else between 0 and 1. Whole numbers are those of the vocabulary, or 0
            and 1 where none is stated: they may be looked up.
    """
    found = []
    for spec in model.inputs:
        shape = (batch, *(max(size, 1) for size in spec.shape))
        drawn: Array
        if np.issubdtype(np.dtype(spec.dtype), np.floating):
            drawn = numbers.normal(0, 1, shape) if standard else numbers.uniform(0, 1, shape)
        else:
            drawn = numbers.integers(0, spec.vocabulary or 2, shape)
        found.append(drawn.astype(spec.dtype))
    return found
