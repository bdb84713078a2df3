"""What residual additions add is rounded, so that deployment can add integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.artifact import store
from paddlepress.techniques import run
from paddlepress.testing import digits, digits_context, trained
from paddlepress.training.accuracy import accuracy
from paddlepress_components.quantization.post_training import QuantizePostTraining


def test_post_training_rounds_operands(tmp_path: Path) -> None:
    """A residual network's operands are on grids, it answers as before, and reloads bit for bit."""
    base = trained("resnet-cifar")
    model = run(QuantizePostTraining(), base, digits_context(base))
    outputs = model.quantized_outputs()
    assert outputs
    assert all(
        edit.reader == "" or edit.reader in {q.layer for q in model.quantized().values()} for edit in outputs.values()
    )
    test = digits().split("test")
    assert accuracy(model.network, test) > accuracy(base.network, test) - 3
    store.save(model, tmp_path / "model")
    assert np.array_equal(store.load(tmp_path / "model").predict(test.inputs), model.predict(test.inputs))


@pytest.mark.parametrize("fields", [{"residual_adds": False}, {"activations": "none"}])
def test_left_alone_where_not_asked_for(fields: dict[str, Any]) -> None:
    """Without the field, or with float inputs, nothing but layers is rounded."""
    base = trained("resnet-cifar")
    assert not run(QuantizePostTraining(**fields), base, digits_context(base)).quantized_outputs()
