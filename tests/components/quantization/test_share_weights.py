from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paddlepress.core.errors import TechniqueRefused, UsageError
from paddlepress.forward.score import score
from paddlepress.network.edits import parameter
from paddlepress.network.model import Model
from paddlepress.techniques import run, technique
from paddlepress.testing import digits, digits_context, trained
from paddlepress_components.pruning.prune_weights import PruneWeights
from paddlepress_components.quantization.share_weights import ShareWeights


def weight_of(model: Model, layer: str) -> np.ndarray:
    return np.asarray(parameter(model.network, f"{layer}.weight").numpy())


def shared(model: Model | None = None, **fields: Any) -> Model:
    batches = {"recovery_batch_size": 32} if fields.get("recovery_epochs") != 0 else {}
    return run(ShareWeights(**batches, **fields), model or trained(), digits_context(trained()))


@pytest.mark.parametrize("initialization", ["linear", "density", "random"])
def test_four_bits_lose_little(initialization: Any) -> None:
    """Without any training, 16 values a layer tell the digits apart nearly as before."""
    model = shared(initialization=initialization, recovery_epochs=0)
    assert all(np.unique(weight_of(model, edit.layer)).size <= 16 for edit in model.shared().values())
    before, after = (score(each.network, each.task, digits().split("test")) for each in (trained(), model))
    assert after > before - 3


def test_fine_tuning_moves_the_values_and_nothing_else() -> None:
    """Which weights share a value stays, which value it is gets better."""
    fixed, tuned = shared(bits=2, recovery_epochs=0), shared(bits=2, recovery_epochs=2)
    assert len(fixed.shared()) == 4
    for edit in fixed.shared().values():
        before, after = weight_of(fixed, edit.layer), weight_of(tuned, edit.layer)
        places = [np.unique(weight, return_inverse=True)[1].reshape(-1) for weight in (before, after)]
        # The values may change their order, the partition does not: each old place has one new place.
        pairs = np.unique(np.stack(places), axis=1)
        assert pairs.shape[1] == np.unique(places[0]).size
        assert not np.array_equal(before, after)
    scores = [score(each.network, each.task, digits().split("test")) for each in (fixed, tuned)]
    assert scores[1] > max(scores[0], 94)


def test_pruned_weights_stay_zero() -> None:
    """Zeros stay through fine-tuning, and the other weights share one value less."""
    sparse = run(PruneWeights(sparsity=0.7, recovery_epochs=0), trained(), digits_context(trained()))
    model = shared(sparse, bits=3, recovery_epochs=1)
    assert len(model.shared()) == 4
    for edit in model.shared().values():
        before, after = weight_of(sparse, edit.layer), weight_of(model, edit.layer)
        assert np.array_equal(before == 0, after == 0)
        assert np.unique(after).size <= 8


def test_bits_of_dense_layers_and_excluded_layers() -> None:
    """Dense layers have their own bits where asked, and excluded layers are left alone."""
    model = shared(bits=5, dense_bits=2, exclude=["conv1"], recovery_epochs=0)
    assert {edit.layer: edit.bits for edit in model.shared().values()} == {"conv2": 5, "fc1": 2, "fc2": 2}
    assert np.array_equal(weight_of(model, "conv1"), weight_of(trained(), "conv1"))


def test_sharing_twice_is_refused() -> None:
    """A layer that is shared already is named, with its bits."""
    model = shared(bits=3, recovery_epochs=0, exclude=["fc*"])
    with pytest.raises(TechniqueRefused, match=r"conv1 is shared already \(3 bits\)"):
        shared(model, recovery_epochs=0)
    assert len(shared(model, recovery_epochs=0, exclude=["conv*"]).shared()) == 4


def test_bad_fields_are_refused() -> None:
    """A codebook has at most 8 bits."""
    with pytest.raises(UsageError, match="'bits' is 9"):
        technique("share-weights", {"bits": 9})
