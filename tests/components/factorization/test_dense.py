from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddlepress.core.errors import TechniqueRefused
from paddlepress.techniques import run
from paddlepress.testing import digits, digits_context, trained
from paddlepress_components.factorization import dense, ranks, svd
from paddlepress_components.factorization.dense import FactorizeDense
from paddlepress_components.factorization.fields import RankFields
from paddlepress_components.pruning.prune_weights import PruneWeights


def matrix(rows: int, columns: int, rank: int) -> np.ndarray:
    generator = np.random.default_rng(rows * columns)
    return (generator.normal(size=(rows, rank)) @ generator.normal(size=(rank, columns))).astype(np.float32)


@given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 4))
def test_a_matrix_of_that_rank_is_kept_exactly(rows: int, columns: int, rank: int) -> None:
    """Truncating to a matrix's own rank loses nothing, and both factors have the same norm."""
    rank = min(rank, rows, columns)
    weight = matrix(rows, columns, rank)
    first, second = svd.truncate(weight, rank)
    np.testing.assert_allclose(first @ second, weight, atol=1e-3)
    assert np.linalg.norm(first) == pytest.approx(np.linalg.norm(second), rel=1e-4)


@given(st.integers(2, 60), st.integers(2, 60), st.floats(1.01, 50))
@settings(deadline=None)
def test_a_ratio_is_reached(rows: int, columns: int, ratio: float) -> None:
    """The rank of a ratio makes the weight at least that much smaller, and one more would not."""
    weight = np.random.default_rng(0).standard_normal((rows, columns))
    chosen = ranks.choose_ranks(
        RankFields(ratio=ratio, round_to=1), {"fc": dense.plan(svd.Decomposition(weight), weight.size)}
    )
    rank = chosen["fc"][0] if chosen else 0
    assert rank * (rows + columns) * ratio <= rows * columns * 1.0001
    assert (rank + 1) * (rows + columns) * ratio > rows * columns * 0.9999 or rank == min(rows, columns)


def test_energy_takes_the_smallest_rank_that_keeps_it() -> None:
    """The squared singular values kept are at least the share asked for, and with one fewer are not."""
    plan = dense.plan(svd.Decomposition(np.diag([4.0, 2.0, 1.0, 1.0])), 16)  # squares 16, 4, 1, 1 of 22
    assert [plan.by_energy(share) for share in (0.5, 0.8, 0.93, 0.97)] == [(1,), (2,), (3,), (4,)]


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 9))
@settings(deadline=None)
def test_data_aware_is_the_best_for_the_data(rows: int, columns: int, seed: int) -> None:
    """No factors of that rank err less on the inputs whose moments were given; the plain ones err no less."""
    random = np.random.default_rng(seed)
    weight, x = random.standard_normal((rows, columns)), random.standard_normal((50, rows)) * random.uniform(0, 3, rows)
    rank = max(1, min(rows, columns) // 2)
    aware, plain = (np.linalg.multi_dot(svd.truncate(weight, rank, m)) for m in (x.T @ x, None))
    errors = [np.square(x @ (weight - found)).sum() for found in (aware, plain)]
    best = np.square(np.linalg.svd(x @ weight, compute_uv=False)[rank:]).sum()
    assert errors[0] <= errors[1] * 1.001 + 1e-3
    assert errors[0] <= best * 1.01 + 1e-3


def test_keeping_most_of_the_energy_keeps_most_of_the_answers() -> None:
    """A factorized network that keeps nine tenths of the energy answers almost the same."""
    model = run(
        FactorizeDense(energy=0.9, round_to=1, recovery_epochs=0), trained("lenet-300-100"), digits_context(trained())
    )
    inputs = digits().split("test").inputs
    agree = model.predict(inputs).argmax(1) == trained("lenet-300-100").predict(inputs).argmax(1)
    assert agree.mean() > 0.95
    assert model.network.fc1.first.weight.shape[1] < 52


@pytest.mark.parametrize("method", ["svd", "data-aware"])
def test_each_layer_has_one_gram_matrix(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs as much as the layer's own work on thousands of examples: ranks and factors come from the same."""
    shapes, computed = [], svd._smaller_gram
    monkeypatch.setattr(svd, "_smaller_gram", lambda matrix: (shapes.append(matrix.shape), computed(matrix))[1])
    fields = FactorizeDense(energy=0.5, method=method, round_to=1, recovery_epochs=0)
    model = run(fields, trained("lenet-300-100"), digits_context(trained()))
    assert shapes == [(64, 300), (300, 100)]
    assert len(model.edits) == 2


def test_layers_that_would_not_get_smaller_stay() -> None:
    """Narrow layers are left as they are; where none is left the refusal says why."""
    with pytest.raises(TechniqueRefused, match=r"fc2: 128x10 is smaller than min_size 32"):
        run(FactorizeDense(exclude=["fc1"]), trained(), digits_context(trained()))


def test_pruned_layers_are_not_factorized() -> None:
    """Factors of a sparse weight would be dense, so it is refused with that reason."""
    context = digits_context(trained())
    sparse = run(PruneWeights(recovery_epochs=0), trained(), context)
    with pytest.raises(TechniqueRefused, match="fc1: pruned already"):
        run(FactorizeDense(), sparse, context)
