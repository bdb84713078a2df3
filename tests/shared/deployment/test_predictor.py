"""Deployables load without Paddle, and not at all when anything about them is wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import digits_models
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddlepress.deployment import bundle
from paddlepress.deployment.predictor import Predictor
from paddlepress.errors import ArtifactError, DataError
from paddlepress.model import Model

Deploy = Callable[..., Path]


@pytest.fixture
def deployable(lenet: Model, deploy: Deploy) -> Path:
    return deploy(lenet)


def test_no_paddle_is_imported(lenet_int8: Model, deploy: Deploy) -> None:
    """A device that predicts needs neither Paddle nor the ONNX library."""
    code = (
        "import sys, pathlib, numpy\n"
        "from paddlepress.deployment.predictor import Predictor\n"
        "predictor = Predictor.load(pathlib.Path(sys.argv[1]))\n"
        "assert predictor.predict(numpy.zeros((3, 1, 8, 8), numpy.float32)).shape == (3, 10)\n"
        "print([name for name in ('paddle', 'onnx', 'paddle2onnx', 'mlflow', 'kfp') if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", code, str(deploy(lenet_int8))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_knows_its_classes_and_lineage(lenet: Model, deployable: Path) -> None:
    """A loaded deployable says what it is."""
    predictor = Predictor.load(deployable)
    assert predictor.classes == lenet.task.classes
    assert predictor.manifest.digest == lenet.digest()


def test_no_inputs_give_no_outputs(deployable: Path) -> None:
    """An empty batch is answered by an empty array of logits."""
    assert Predictor.load(deployable).predict(np.zeros((0, 1, 8, 8), np.float32)).shape == (0, 10)


def test_inputs_of_another_shape_are_refused(deployable: Path) -> None:
    """The message names the shape given and the shape taken."""
    with pytest.raises(DataError, match=r"\(2, 1, 9, 9\); the model takes \[n, 1, 8, 8\]"):
        Predictor.load(deployable).predict(np.zeros((2, 1, 9, 9), np.float32))


@pytest.mark.parametrize("name", bundle.FILES)
def test_a_missing_file_is_refused(name: str, deployable: Path) -> None:
    """The message names the file that is not there."""
    (deployable / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        Predictor.load(deployable)


@pytest.mark.parametrize("name", bundle.FILES)
def test_a_truncated_file_is_refused(name: str, deployable: Path) -> None:
    """The message names the file that was cut short."""
    path = deployable / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match=name):
        Predictor.load(deployable)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_in_the_graph_is_refused(place: float, bit: int, deployable: Path) -> None:
    """Whichever bit of graph.onnx is flipped, it is refused by its name."""
    path = deployable / bundle.GRAPH
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[int(place * len(whole))] ^= 1 << bit
    try:
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"graph\.onnx"):
            Predictor.load(deployable)
    finally:
        path.write_bytes(whole)


def test_a_graph_of_another_model_is_refused(lenet: Model, deployable: Path, deploy: Deploy) -> None:
    """A whole graph beside weights that it was not made for is refused."""
    other = deploy(digits_models.sparsified(lenet, 0.5), "other")
    shutil.copyfile(other / bundle.GRAPH, deployable / bundle.GRAPH)
    with pytest.raises(ArtifactError, match="made for another model"):
        Predictor.load(deployable)


def test_weights_of_another_model_are_refused(lenet: Model, deployable: Path, deploy: Deploy) -> None:
    """Weights that the manifest has no checksum for are refused."""
    other = deploy(digits_models.sparsified(lenet, 0.5), "other")
    shutil.copyfile(other / "weights.safetensors", deployable / "weights.safetensors")
    with pytest.raises(ArtifactError, match=r"weights\.safetensors"):
        Predictor.load(deployable)


def test_an_unsealed_graph_is_refused(deployable: Path) -> None:
    """An ONNX file that paddlepress did not write is refused, whatever it computes."""
    (deployable / bundle.GRAPH).write_bytes(b"\x08\x08")
    with pytest.raises(ArtifactError, match="no graph that paddlepress exported"):
        Predictor.load(deployable)
