"""What layers give each other is rounded, so that deployment can add, pool and concatenate integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.artifact import store
from paddlepress.forward.score import score
from paddlepress.surgery.quantization_regions import Place, Region
from paddlepress.techniques import run
from paddlepress.testing import digits, digits_context, trained
from paddlepress_components.quantization.post_training import QuantizePostTraining
from paddlepress_components.quantization.shared_activation_grids import grids


def test_post_training_rounds_what_others_read(tmp_path: Path) -> None:
    """A residual network's sums and the pool run on integers, it answers as before, and reloads bit for bit."""
    base = trained("resnet-cifar")
    model = run(QuantizePostTraining(), base, digits_context(base))
    outputs = {edit.layer: edit for edit in model.quantized_outputs()}
    assert {"norm", "stage1.0.norm2", "stage2.0.shortcut.1", "stage3.0"} <= outputs.keys()
    assert (outputs["stage3.0"].reader, outputs["stage3.0"].pooled) == ("fc", True)
    first = model.quantized()["stage1.0.conv1.weight"]
    assert (outputs["norm"].scale, outputs["norm"].zero_point) == (first.input_scale, first.input_zero_point)
    test = digits().split("test")
    assert score(model.network, model.task, test) > score(base.network, base.task, test) - 3
    store.save(model, tmp_path / "model")
    assert np.array_equal(store.load(tmp_path / "model").predict(test.inputs), model.predict(test.inputs))


@pytest.mark.parametrize("fields", [{"residual_adds": False}, {"activations": "none"}], ids=["without", "floats"])
def test_left_alone_where_not_asked_for(fields: dict[str, Any]) -> None:
    """Without the field, or with float inputs, nothing but layers is rounded."""
    base = trained("resnet-cifar")
    assert not run(QuantizePostTraining(**fields), base, digits_context(base)).quantized_outputs()


def test_a_region_has_one_grid() -> None:
    """It covers what all its readers read and what its places give; other layers keep their own."""
    region = Region(("a", "b", "never ran"), (Place("c"),))
    inputs, outputs = grids(
        [region], {"a": (0.0, 2.55), "b": (0.0, 5.1), "other": (0.0, 255.0)}, {Place("c"): (-5.1, 1.0)}
    )
    assert inputs["a"] == inputs["b"] == (outputs[0].scale, outputs[0].zero_point)
    assert inputs["a"] == (pytest.approx(0.04), 128)
    assert inputs["other"] == (pytest.approx(1.0), 0)
    assert [edit.layer for edit in outputs] == ["c"]
