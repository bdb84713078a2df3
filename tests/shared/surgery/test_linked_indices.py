"""Which labels stand and fall together, once everything is tied."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from paddlepress.surgery.linked_indices import Units, varying

SIZES = st.lists(st.integers(2, 4), min_size=2, max_size=3)


def units(count: int) -> Units:
    made = Units({"weight": (count,)}, {})
    made.axis("weight", 0)
    return made


@given(SIZES, st.lists(st.tuples(st.integers(0, 63), st.integers(0, 63)), max_size=5))
def test_a_grid_loses_whole_rows_or_whole_columns(sizes: list[int], pairs: list[tuple[int, int]]) -> None:
    """Whatever else is tied, what an axis was parted into stays a grid, and what was tied stays tied."""
    count = int(np.prod(sizes))
    made = units(count)
    grid = np.arange(count).reshape(sizes)
    made.grid(grid)
    for first, second in pairs:
        made.tie(np.array([first % count]), np.array([second % count]), "")
    roots = made.resolve().roots
    assert len(varying(roots[grid])) <= 1
    assert all(roots[first % count] == roots[second % count] for first, second in pairs)


def test_the_longer_side_is_kept_unless_something_ties_it() -> None:
    """A channel shuffle of 2 x 4 loses columns; where attention ties a row's features, rows go."""
    free, tied = units(8), units(8)
    for made in (free, tied):
        made.grid(np.arange(8).reshape(2, 4))
    tied.tie(np.arange(8).reshape(2, 4)[:, :1], np.arange(8).reshape(2, 4), "")
    assert free.resolve().roots.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert tied.resolve().roots.tolist() == [0, 0, 0, 0, 4, 4, 4, 4]


def test_a_fixed_index_fixes_its_column() -> None:
    """A unit of which one index may not go stays whole, with the reason."""
    made = units(8)
    made.grid(np.arange(8).reshape(2, 4))
    made.block(np.array([5]), "is needed")
    assert made.resolve().reasons == {1: "is needed"}
