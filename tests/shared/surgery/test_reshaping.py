"""Labels go where the elements go."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from paddlepress.surgery.linked_indices import Labels
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
    """After a reshape each element has the label it had, along as few axes as can tell the labels apart."""
    before, axis, after = case
    labels = np.arange(before[axis]).reshape([-1 if other == axis else 1 for other in range(len(before))])
    assert_same_elements(labels, before, after)


@given(reshapes(), st.integers(0, 3))
def test_labels_along_two_axes(case: tuple[tuple[int, ...], int, tuple[int, ...]], second: int) -> None:
    """Heads and their features, say, stay apart through a reshape."""
    before, axis, after = case
    kept = {axis, second % len(before)}
    shape = [size if other in kept else 1 for other, size in enumerate(before)]
    assert_same_elements(np.arange(prod(shape)).reshape(shape), before, after)


def assert_same_elements(labels: Labels, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    if labels.size == 1:
        return
    found = reshape(labels, before, after)
    assert found is not None
    wanted = np.broadcast_to(labels, before).reshape(-1)
    assert np.array_equal(np.broadcast_to(found.labels, after).reshape(-1), wanted)
    assert found.axes == tuple(axis for axis, size in enumerate(found.labels.shape) if size > 1)
    assert found.split or len(found.axes) <= sum(size > 1 for size in labels.shape)
