"""Labels go where the elements go."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from paddlepress.surgery.reshaping import reshape


@st.composite
def reshapes(draw: st.DrawFn) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    """A shape, its labelled axis, and another shape of as many elements."""
    before = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    axis = draw(st.integers(0, len(before) - 1))
    factors = [factor for size in before for factor in ([2, 2] if size == 4 else [size])]
    after, start = [], 0
    while start < len(factors):
        end = draw(st.integers(start + 1, len(factors)))
        after.append(prod(factors[start:end]))
        start = end
    for place in draw(st.lists(st.integers(0, len(after)), max_size=2)):
        after.insert(place, 1)
    return before, axis, tuple(after)


@given(reshapes())
def test_every_element_keeps_its_label(case: tuple[tuple[int, ...], int, tuple[int, ...]]) -> None:
    """After a reshape each element has the label it had, or one that was tied to it."""
    before, axis, after = case
    size = before[axis]
    if size == 1:
        return
    labels = np.arange(size).reshape([-1 if other == axis else 1 for other in range(len(before))])
    found = reshape(labels, before, after)
    assert found is not None
    same = {label: {label} for label in range(size)}
    for first, second in found.ties:
        for a, b in zip(first.reshape(-1).tolist(), second.reshape(-1).tolist(), strict=True):
            merged = same[a] | same[b]
            for label in merged:
                same[label] = merged
    wanted = np.broadcast_to(labels, before).reshape(-1).tolist()
    got = np.broadcast_to(found.labels, after).reshape(-1).tolist()
    assert all(b in same[a] for a, b in zip(wanted, got, strict=True))
    assert sum(extent > 1 for extent in found.labels.shape) <= 1
    assert bool(found.ties) <= found.split
