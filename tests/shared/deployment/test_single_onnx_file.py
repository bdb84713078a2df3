"""One ONNX file with everything inside."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import digits_models
import numpy as np
import onnx
import onnxruntime
import pytest

from paddlepress.core.errors import ArtifactError, UsageError
from paddlepress.deployment import single_onnx_file
from paddlepress.deployment.predictor import Predictor
from paddlepress.network.model import Model
from paddlepress.spec.preprocessing import Preprocessing

Deploy = Callable[..., Path]
FACTS = {"name": "digits", "version": "7"}


def _run(path: Path, inputs: np.ndarray) -> np.ndarray:
    """What a stock ONNX Runtime computes, of the file alone."""
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"image": inputs})[0])


@pytest.mark.parametrize("kind", ["float", "int8", "sparse"])
def test_a_stock_runtime_computes_the_same(
    kind: str, lenet: Model, lenet_int8: Model, deploy: Deploy, tmp_path: Path
) -> None:
    """The logits are the deployable's, of a batch of any size."""
    model = {"float": lenet, "int8": lenet_int8, "sparse": digits_models.sparsified(lenet, 0.9)}[kind]
    deployable = deploy(model)
    path = single_onnx_file.write(deployable, tmp_path / "out", FACTS)
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
    inputs = np.random.default_rng(0).normal(size=(7, 1, 8, 8)).astype(np.float32)
    expected = Predictor.load(deployable).session.run(None, {"image": inputs})[0]
    for count in (1, 7):
        np.testing.assert_allclose(_run(path, inputs[:count]), expected[:count], rtol=0, atol=1e-5)


def test_integers_stay_integers(lenet_int8: Model, deploy: Deploy, tmp_path: Path) -> None:
    """Weights of 8 bits are stored in 8 bits."""
    path = single_onnx_file.write(deploy(lenet_int8), tmp_path / "out", FACTS)
    weights = sum(value.size for name, value in lenet_int8.state().items() if name.endswith("weight"))
    assert path.stat().st_size < 1.2 * weights + 8000


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(dtype="uint8", scale=255, mean=(0.3,), std=(0.7,)),
        Preprocessing(dtype="uint8", scale=16),
        Preprocessing(dtype="float32", mean=(0.1,)),
    ],
    ids=["uint8", "scale alone", "float32"],
)
def test_inputs_are_preprocessed_inside(
    preprocessing: Preprocessing, lenet_int8: Model, deploy: Deploy, tmp_path: Path
) -> None:
    """The file takes what data hold, in their dtype, and does with it what the model states."""
    model = replace(lenet_int8, preprocessing=preprocessing)
    deployable = deploy(model)
    path = single_onnx_file.write(deployable, tmp_path / "out", FACTS)
    dtype = np.dtype(str(preprocessing.dtype))
    stored = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8)).astype(dtype)
    session = Predictor.load(deployable).session
    expected = session.run(None, {"image": preprocessing.apply(stored)})[0]
    np.testing.assert_allclose(_run(path, stored), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_it_says_what_it_is(lenet: Model, deploy: Deploy, tmp_path: Path) -> None:
    """Name, version, classes and preprocessing are in the metadata, inputs and outputs in words as well."""
    preprocessing = Preprocessing(dtype="uint8", scale=16, mean=(0.5,))
    path = single_onnx_file.write(deploy(replace(lenet, preprocessing=preprocessing)), tmp_path / "out", FACTS)
    proto = onnx.load(path)
    onnx.checker.check_model(proto)
    found = {entry.key: entry.value for entry in proto.metadata_props}
    assert found["name"] == "digits" and found["version"] == "7"
    assert json.loads(found["classes"]) == [str(digit) for digit in range(10)]
    assert Preprocessing.model_validate_json(found["preprocessing"]) == preprocessing
    assert "image: uint8 [batch, 1, 8, 8]" in proto.doc_string
    assert "logits: float32 [batch, 10]" in proto.doc_string
    (given,), (made,) = proto.graph.input, proto.graph.output
    assert [value.type.tensor_type.shape.dim[0].dim_param for value in (given, made)] == ["batch", "batch"]


def test_an_existing_folder_is_left_alone(lenet: Model, deploy: Deploy, tmp_path: Path) -> None:
    """A folder that is there is not written into."""
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="out exists already"):
        single_onnx_file.write(deploy(lenet), tmp_path / "out", FACTS)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_computes_something_else_is_not_written(
    lenet: Model, deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made is compared with the deployable before it is kept."""
    deployable = deploy(lenet)
    read = single_onnx_file._read

    def damaged(*given: Any) -> tuple[bytes, dict[str, np.ndarray]]:
        graph, values = read(*given)
        return graph, {name: value * 1.01 for name, value in values.items()}

    monkeypatch.setattr(single_onnx_file, "_read", damaged)
    with pytest.raises(ArtifactError, match="computes something else than its deployable"):
        single_onnx_file.write(deployable, tmp_path / "out", FACTS)
    assert not (tmp_path / "out").exists()
