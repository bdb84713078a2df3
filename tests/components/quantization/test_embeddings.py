"""The tables that tokens are looked up in, on grids as the weights of layers are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.artifact import store
from paddlepress.core.errors import UsageError
from paddlepress.data import Split
from paddlepress.deployment.export import export
from paddlepress.deployment.predictor import Predictor
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification
from paddlepress.techniques import Context, run, technique
from paddlepress.testing import size_of

TABLE = "tower.embedding"


@pytest.fixture(scope="module")
def model() -> Model:
    """A network for texts of 12 tokens of 400, with fresh weights."""
    import paddle

    paddle.seed(0)
    reference = ArchitectureRef(name="text-cnn", arguments={"embedding": 32, "filters": 16})
    spec = TensorSpec(name="input", shape=(12,), dtype="int64", vocabulary=400)
    return Model.build(reference, (spec,), Classification(classes=("a", "b")))


def context(model: Model) -> Context:
    numbers = np.random.default_rng(0)
    split = Split(numbers.integers(0, 400, (96, 12)), numbers.integers(0, 2, 96))
    return Context(train=split, validation=split, calibration=split, base=model)


@pytest.mark.parametrize(
    ("name", "fields", "bytes_of_a_number"),
    [
        ("quantize-post-training", {}, 1),
        ("quantize-post-training", {"embedding_bits": 4}, 0.5),
        ("quantize-post-training", {"embedding_bits": 16}, 2),
        ("quantize-post-training", {"bits": 16}, 2),
        ("quantize-post-training", {"rounding": "gptq", "bits": 4}, 1),
        ("quantize-mixed", {"sensitivity_examples": 16}, 1),
    ],
)
def test_tables_are_stored_in_few_bits(
    name: str, fields: dict[str, Any], bytes_of_a_number: float, model: Model, tmp_path: Path
) -> None:
    """They take no more than their bits, are deployed as they are computed with, and are hardly changed."""
    small = run(technique(name, fields), model, context(model))
    edits = [edit for edit in small.quantized().values() if edit.layer == TABLE]
    assert [edit.input_scale for edit in edits] == [None]
    store.save(small, tmp_path / "model")
    assert size_of(tmp_path / "model") < 1.35 * 400 * 32 * bytes_of_a_number + 16_000
    before, after = (dict(each.network.named_parameters())[f"{TABLE}.weight"].numpy() for each in (model, small))
    assert np.abs(after - before).max() < np.abs(before).max() / (5 if bytes_of_a_number < 1 else 100)
    inputs = context(model).validation.inputs[:40]
    export(small, tmp_path / "model", tmp_path / "deployable", inputs)
    found, expected = Predictor.load(tmp_path / "deployable").run(inputs), small.predict(inputs)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.05 * np.abs(expected).max())


@pytest.mark.parametrize("fields", [{"embedding_bits": 32}, {"exclude": [TABLE]}, {"exclude": ["tower.e*"]}])
def test_tables_can_be_left_as_they_are(fields: dict[str, Any], model: Model) -> None:
    """By their bits, or by the layer's name as any other layer."""
    small = run(technique("quantize-post-training", fields), model, context(model))
    assert f"{TABLE}.weight" not in small.quantized() and small.quantized()


def test_a_table_that_is_on_a_grid_stays_on_it(model: Model) -> None:
    """Layers that were spared can be quantized later, with the table as it was."""
    once = run(technique("quantize-post-training", {"exclude": ["head"]}), model, context(model))
    twice = run(technique("quantize-post-training", {"exclude": ["tower.convs.*"]}), once, context(model))
    assert [edit.layer for edit in twice.edits if getattr(edit, "bits", 0)].count(TABLE) == 1
    with pytest.raises(UsageError, match=r"matches no layer\. Layers: tower.embedding, tower.convs.0"):
        run(technique("quantize-post-training", {"exclude": ["table"]}), replace(model), context(model))
