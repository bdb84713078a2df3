from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from paddlepress_components.pruning import magnitude

arrays = hn.arrays(np.float32, hn.array_shapes(max_dims=3, max_side=6), elements=st.floats(-5, 5, width=32))


@given(st.dictionaries(st.text(max_size=3), arrays, min_size=1, max_size=4), st.floats(0, 1))
def test_global_scope_prunes_the_smallest_of_all(weights: dict[str, np.ndarray], sparsity: float) -> None:
    """Exactly the asked share goes, no kept weight is smaller than a pruned one, and zeros never come back."""
    masks = magnitude.keep(weights, sparsity, "global")
    kept = np.concatenate([np.abs(weights[name])[mask] for name, mask in masks.items()])
    gone = np.concatenate([np.abs(weights[name])[~mask] for name, mask in masks.items()])
    total = kept.size + gone.size
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    assert gone.size == max(round(sparsity * total), zeros)
    assert (kept > 0).all()
    assert not (kept.size and gone.size) or kept.min() >= gone.max()


@given(st.dictionaries(st.text(max_size=3), arrays, min_size=1, max_size=4), st.floats(0, 1))
def test_layer_scope_prunes_the_same_share_of_each(weights: dict[str, np.ndarray], sparsity: float) -> None:
    """Every layer loses the asked share, or its own zeros where it has more."""
    for name, mask in magnitude.keep(weights, sparsity, "layer").items():
        zeros = int((weights[name] == 0).sum())
        assert mask.size - mask.sum() == max(round(sparsity * mask.size), zeros)


def test_the_cubic_schedule_rises_fast_then_slowly() -> None:
    """Sparsity starts at the first value, does most of its way early, and stays at the last value."""
    found = [magnitude.cubic(step, 100, 0.1, 0.9) for step in range(130)]
    assert found[0] == pytest.approx(0.1)
    assert found[50] > 0.79
    assert found[100:] == [0.9] * 30
    assert found == sorted(found)
