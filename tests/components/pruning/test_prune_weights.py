from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from paddlepress.errors import TechniqueRefused, UsageError
from paddlepress.progress import Silent
from paddlepress.surgery.edits import parameter
from paddlepress.techniques import run, technique
from paddlepress.testing import digits_context, trained
from paddlepress_components.pruning.prune_weights import PruneWeights


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_a_threshold_takes_the_place_of_sparsity(scope: Literal["global", "layer"]) -> None:
    """Given a threshold, every smaller weight goes and no other, whatever the scope."""
    chosen = PruneWeights(threshold=0.05, scope=scope, recovery_epochs=0)
    model = run(chosen, trained(), digits_context(trained()))
    for name in model.masked():
        before = parameter(trained().network, name).numpy()
        assert np.array_equal(parameter(model.network, name).numpy() != 0, np.abs(before) >= 0.05)


def test_gradual_pruning_needs_training() -> None:
    """A gradual schedule without epochs is refused."""
    with pytest.raises(UsageError, match="recovery_epochs must be at least 1"):
        technique("prune-weights", {"schedule": "gradual", "recovery_epochs": 0})


def test_excluded_layers_keep_every_weight() -> None:
    """An excluded layer is neither pruned nor masked."""
    chosen = PruneWeights(sparsity=0.5, exclude=["conv*"], recovery_epochs=0)
    model = run(chosen, trained(), digits_context(trained()))
    assert model.masked() == ("fc1.weight", "fc2.weight")
    assert np.array_equal(
        parameter(model.network, "conv1.weight").numpy(), parameter(trained().network, "conv1.weight").numpy()
    )


def test_pruning_less_than_was_pruned_is_refused() -> None:
    """A model that is sparser already is refused with its sparsity."""
    context = digits_context(trained())
    sparse = run(PruneWeights(sparsity=0.8, recovery_epochs=0), trained(), context)
    with pytest.raises(TechniqueRefused, match=r"sparsity 0\.5 prunes nothing: 0\.8 .* zero already"):
        run(PruneWeights(sparsity=0.5), sparse, context)


def test_a_layer_is_never_pruned_away() -> None:
    """A sparsity that would leave a layer without weights is refused with the layer's name."""
    model = trained().copy()
    weight = parameter(model.network, "conv1.weight")
    weight.set_value(weight * 1e-6)
    with pytest.raises(TechniqueRefused, match=r"conv1\.weight would lose all its weights"):
        run(PruneWeights(sparsity=0.9), model, digits_context(trained()))


class _Stop(Exception):
    pass


class StopInSecondEpoch(Silent):
    def track(self, items: Iterable[Any], total: int, description: str) -> Iterator[Any]:
        if description.startswith("epoch 2/"):
            raise _Stop
        yield from items


def test_gradual_pruning_resumes_with_the_same_bits(tmp_path: Path) -> None:
    """Stopped half-way up its ramp and started again, gradual pruning ends where it would have ended."""
    chosen = PruneWeights(sparsity=0.8, schedule="gradual", recovery_epochs=3, recovery_batch_size=64)
    with pytest.raises(_Stop):
        run(chosen, trained(), digits_context(trained(), checkpoint=tmp_path, progress=StopInSecondEpoch()))
    resumed = run(chosen, trained(), digits_context(trained(), checkpoint=tmp_path))
    straight = run(chosen, trained(), digits_context(trained()))
    assert resumed.digest() == straight.digest()
