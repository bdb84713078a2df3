from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from paddlepress_components.pruning import patterns
from paddlepress_components.pruning.patterns import GONE, Choice

Array = np.ndarray[Any, Any]

elements = st.one_of(st.floats(-5, 5, width=32), st.just(GONE))
shapes = hn.array_shapes(min_dims=2, max_dims=4, max_side=9)
scores = hn.arrays(np.float64, shapes, elements=elements)
several = st.dictionaries(st.text(max_size=3), scores, min_size=1, max_size=3)
scopes = st.sampled_from(["global", "layer"])


@st.composite
def with_axes(draw: st.DrawFn) -> tuple[dict[str, Array], dict[str, int]]:
    found = draw(several)
    return found, {name: draw(st.integers(0, 1)) for name in found}


def check_order(found: dict[str, Array], masks: dict[str, Array]) -> None:
    for name, mask in masks.items():
        assert mask.shape == found[name].shape
        assert mask.dtype == bool
        assert not mask[found[name] == GONE].any(), "a weight that was gone came back"


@given(scores, st.integers(0, 1))
def test_rows_are_the_outputs_and_can_be_put_back(weight: Array, axis: int) -> None:
    """A row has all weights of one output, the input channels of a kernel position side by side."""
    matrix = patterns.rows(weight, axis)
    assert matrix.shape == (weight.shape[axis], weight.size // weight.shape[axis])
    assert np.array_equal(patterns.from_rows(matrix, weight.shape, axis), weight)
    first = np.take(weight, 0, axis)  # [in, *kernel]
    assert np.array_equal(matrix[0, : first.shape[0]], first.reshape(first.shape[0], -1)[:, 0])


@settings(max_examples=40)
@given(with_axes(), scopes)
def test_of_each_four_in_a_row_at_most_two_stay(given: tuple[dict[str, Array], dict[str, int]], scope: Any) -> None:
    """Of every four neighbours two stay at most, the two with the higher scores, and no more go than have to."""
    found, axes = given
    masks = patterns.two_of_four(found, axes, 1.0, scope)
    check_order(found, masks)
    for name, mask in masks.items():
        matrix, values = patterns.rows(mask, axes[name]), patterns.rows(found[name], axes[name])
        for start in range(0, matrix.shape[1], 4):
            for stays, four in zip(matrix[:, start : start + 4], values[:, start : start + 4], strict=True):
                live = four > GONE
                assert stays.sum() == min(2, live.sum())
                if stays.any() and (live & ~stays).any():
                    assert four[stays].min() >= four[live & ~stays].max()


@settings(max_examples=40)
@given(with_axes(), st.floats(0, 1), st.floats(0, 1), scopes)
def test_two_of_four_is_reached_step_by_step(
    given: tuple[dict[str, Array], dict[str, int]], one: float, other: float, scope: Any
) -> None:
    """On the way to the pattern more and more go, and none that would stay in the end."""
    found, axes = given
    less, more = (patterns.two_of_four(found, axes, share, scope) for share in sorted([one, other]))
    whole = patterns.two_of_four(found, axes, 1.0, scope)
    for name in found:
        assert less[name].sum() >= more[name].sum() >= whole[name].sum()
        assert more[name][whole[name]].all()
    untouched = patterns.two_of_four(found, axes, 0.0, scope)
    assert all(np.array_equal(untouched[name], found[name] > GONE) for name in found)


@settings(max_examples=40)
@given(with_axes(), st.floats(0, 1), st.tuples(st.integers(1, 5), st.integers(1, 5)), scopes)
def test_blocks_go_together(
    given: tuple[dict[str, Array], dict[str, int]], sparsity: float, block: tuple[int, int], scope: Any
) -> None:
    """Each block is zero or has lost nothing; those that went have the lower means; as many as come nearest."""
    found, axes = given
    masks = patterns.blocks(found, axes, sparsity, block, scope)
    check_order(found, masks)
    kept: dict[str, list[tuple[float, int]]] = {name: [] for name in found}
    lost: dict[str, list[tuple[float, int]]] = {name: [] for name in found}
    for name, mask in masks.items():
        matrix, values = patterns.rows(mask, axes[name]), patterns.rows(found[name], axes[name])
        for top in range(0, matrix.shape[0], block[0]):
            for left in range(0, matrix.shape[1], block[1]):
                part = np.s_[top : top + block[0], left : left + block[1]]
                live = values[part] > GONE
                assert not matrix[part].any() or np.array_equal(matrix[part], live)
                mean = np.where(live, values[part], 0).mean() if live.any() else GONE
                (kept if matrix[part].any() else lost)[name].append((mean, live.size))
    if scope == "global":
        kept, lost = ({"": [pair for part in found.values() for pair in part]} for found in (kept, lost))
    for name in kept:
        gone, total = sum(size for _, size in lost[name]), sum(size for _, size in kept[name] + lost[name])
        dead = sum(size for mean, size in lost[name] if mean == GONE)
        assert abs(gone - sparsity * total) <= max(block[0] * block[1] / 2, dead - sparsity * total) + 1e-6
        if kept[name] and lost[name]:
            assert min(mean for mean, _ in kept[name]) >= max(mean for mean, _ in lost[name]) - 1e-9


@given(several, st.floats(0, 1), scopes)
def test_freely_the_lowest_go(found: dict[str, Array], sparsity: float, scope: Any) -> None:
    """Exactly the share asked for goes, or what is gone if that is more, and nothing lower stays."""
    masks = patterns.free(found, sparsity, scope)
    check_order(found, masks)
    names = [tuple(found)] if scope == "global" else [(name,) for name in found]
    for together in names:
        values = np.concatenate([found[name].reshape(-1) for name in together])
        mask = np.concatenate([masks[name].reshape(-1) for name in together])
        assert np.count_nonzero(~mask) == max(round(sparsity * mask.size), np.count_nonzero(values == GONE))
        assert not mask.any() or mask.all() or values[mask].min() >= values[~mask].max()


@given(with_axes(), st.tuples(st.integers(1, 5), st.integers(1, 5)), st.floats(0, 1))
def test_zero_blocks_are_those_that_went(
    given: tuple[dict[str, Array], dict[str, int]], block: tuple[int, int], sparsity: float
) -> None:
    """What is counted as zero blocks is what pruning by blocks makes zero."""
    found, axes = given
    masks = patterns.blocks(found, axes, sparsity, block, "global")
    share = patterns.zero_blocks(masks, axes, block)
    zeros = sum(int((~mask).sum()) for mask in masks.values())
    assert share * sum(mask.size for mask in masks.values()) <= zeros + 1e-6
    assert patterns.zero_blocks(masks, axes, (1, 1)) == pytest.approx(zeros / sum(m.size for m in masks.values()))
    again = patterns.blocks(
        {name: np.where(mask, 1.0, GONE) for name, mask in masks.items()}, axes, 0.0, block, "layer"
    )
    assert all(np.array_equal(again[name], masks[name]) for name in masks)


def test_the_choice_goes_from_the_first_sparsity_to_the_last() -> None:
    """A share of the way is that share of the sparsity in between, and the whole way the last one exactly."""
    found = {"w": np.arange(1.0, 101).reshape(10, 10)}
    choice = Choice("unstructured", "global", {"w": 0}, (2, 2), 0.1, 0.7)
    zeros = [int((~choice.keep(found, share)["w"]).sum()) for share in (0.0, 0.5, 1.0)]
    assert zeros == [10, 40, 70]
    assert int((~Choice("block", "layer", {"w": 0}, (5, 5), 0, 0.5).keep(found)["w"]).sum()) == 50
