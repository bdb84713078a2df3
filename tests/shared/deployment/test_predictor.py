"""Deployables load without Paddle, and not at all when anything about them is wrong."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import forged
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paddlepress.artifact.manifest import WEIGHTS
from paddlepress.core import gzip_files, manifests
from paddlepress.core.errors import ArtifactError, DataError
from paddlepress.deployment import bundle, older_bundles
from paddlepress.deployment.predictor import Predictor
from paddlepress.network.model import Model
from paddlepress.spec.preprocessing import Preprocessing

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
    assert predictor.task == lenet.task
    assert predictor.manifest.digest == lenet.digest()


def test_no_inputs_give_no_outputs(deployable: Path) -> None:
    """An empty batch is answered by an empty array of logits."""
    assert Predictor.load(deployable).predict(np.zeros((0, 1, 8, 8), np.float32)).shape == (0, 10)


def test_inputs_of_another_shape_are_refused(deployable: Path) -> None:
    """The message names the shape given and the shape taken."""
    with pytest.raises(DataError, match=r"\(2, 1, 9, 9\); the model takes \[n, 1, 8, 8\]"):
        Predictor.load(deployable).predict(np.zeros((2, 1, 9, 9), np.float32))


def test_it_takes_what_the_data_hold(lenet: Model, deploy: Deploy) -> None:
    """A model with preprocessing takes pixels and applies it itself, to the last bit as Paddle's network gets it."""
    pixels = np.random.default_rng(0).integers(0, 256, (7, 1, 8, 8), dtype=np.uint8)
    stated = Preprocessing(dtype="uint8", scale=255, mean=(0.3,), std=(0.2,))
    predictor = Predictor.load(deploy(replace(lenet, preprocessing=stated)))
    assert predictor.dtype == np.uint8
    np.testing.assert_array_equal(predictor.prepare(pixels), stated.apply(pixels))
    expected = lenet.predict(stated.apply(pixels))
    np.testing.assert_allclose(predictor.predict(pixels, batch_size=3), expected, rtol=1e-4, atol=1e-4)
    for wrong in (pixels.astype(np.float32) / 255, pixels.astype(np.int64), np.zeros((0, 1, 8, 8))):
        with pytest.raises(DataError, match=f"inputs are {wrong.dtype}; the model takes uint8 as the data hold them"):
            predictor.predict(wrong)


def test_inputs_of_another_dtype_are_refused(deployable: Path) -> None:
    """A model that takes float32 takes floats of other widths, but no bytes, which would be pixels."""
    predictor, inputs = Predictor.load(deployable), np.ones((2, 1, 8, 8))
    np.testing.assert_array_equal(predictor.predict(inputs), predictor.predict(inputs.astype(np.float32)))
    with pytest.raises(DataError, match=r"inputs are uint8; the model takes float32"):
        predictor.predict(inputs.astype(np.uint8))


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
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), name=st.sampled_from(bundle.FILES))
def test_a_flipped_bit_is_noticed(place: float, bit: int, name: str, deployable: Path) -> None:
    """Whichever bit of whichever file is flipped, it is refused by its name, or it decompresses to the same."""
    path = deployable / name
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[int(place * len(whole))] ^= 1 << bit
    said = bundle.read_manifest(deployable)
    try:
        path.write_bytes(damaged)
        with contextlib.suppress(ArtifactError):
            assert Predictor.load(deployable).manifest == said and name == bundle.MANIFEST
    finally:
        path.write_bytes(whole)


def test_files_of_another_deployable_are_refused(lenet_int8: Model, deployable: Path, deploy: Deploy) -> None:
    """A whole graph, or whole weights, are refused beside a manifest that they were not made with."""
    other = deploy(lenet_int8, "other")
    for name in bundle.FILES:
        whole = (deployable / name).read_bytes()
        shutil.copyfile(other / name, deployable / name)
        with pytest.raises(ArtifactError, match=r"truncated or replaced|checksum"):
            Predictor.load(deployable)
        (deployable / name).write_bytes(whole)
    Predictor.load(deployable)


def test_weights_that_are_not_the_models_are_refused(deployable: Path) -> None:
    """Other numbers are refused by the model's digest, though every checksum of a file is right."""
    path = deployable / bundle.PACKED_WEIGHTS
    weights = bytearray(gzip.decompress(path.read_bytes()))
    weights[-2] ^= 1
    path.write_bytes(gzip_files.compress(bytes(weights), level=0))
    forged.edit(deployable / bundle.MANIFEST, lambda content: content["model"]["files"].update(record(weights)))
    forged.recheck(deployable / bundle.MANIFEST)
    with pytest.raises(ArtifactError, match="not the weights that were saved"):
        Predictor.load(deployable)


def record(weights: bytes) -> dict[str, Any]:
    return {WEIGHTS: manifests.record_of(bytes(weights)).model_dump()}


def put_graph(deployable: Path, graph: bytes) -> None:
    """Put another graph into a deployable, with every checksum and digest made anew."""
    found = bundle.read(deployable)
    (deployable / bundle.GRAPH).write_bytes(gzip_files.compress(graph))
    digest = bundle.digest_of(found.manifest, graph, found.integers, found.unused)
    forged.change(deployable / bundle.MANIFEST, graph_bytes=len(graph), digest=digest)
    forged.recheck(deployable / bundle.MANIFEST)


def test_a_graph_that_is_no_graph_is_refused(deployable: Path) -> None:
    """Bytes that are no ONNX file are refused, whatever checksums they have."""
    for graph in (b"", b"\x08\x08", b"\xff" * 100, b"\x3a\x7f"):
        put_graph(deployable, graph)
        with pytest.raises(ArtifactError):
            Predictor.load(deployable)


@pytest.mark.parametrize("place", ["initializer", "attribute", "subgraph", "sparse"])
def test_a_graph_that_reads_other_files_is_refused(place: str, deployable: Path, tmp_path: Path) -> None:
    """A tensor that is not the artifact's is never looked for in a file, wherever in the graph it is."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.ModelProto.FromString(bundle.read(deployable).graph)
    stolen = TensorProto(name="stolen", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    stolen.external_data.add(key="location", value="secret")
    if place == "initializer":
        model.graph.initializer.append(stolen)
    elif place == "attribute":
        model.graph.node.append(helper.make_node("Constant", [], ["odd"], value=stolen))
    elif place == "sparse":
        model.graph.sparse_initializer.add().values.CopyFrom(stolen)
    else:
        inner = helper.make_graph([], "inner", [], [], initializer=[stolen])
        model.graph.node.append(helper.make_node("If", ["odd"], ["even"], then_branch=inner, else_branch=inner))
    put_graph(deployable, model.SerializeToString())
    with pytest.raises(ArtifactError, match="'stolen'"):
        Predictor.load(deployable)


def test_the_runtime_prints_nothing_of_a_graph_that_it_refuses(
    deployable: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime would print four lines and try again where its reason is no UTF-8 text."""
    graph = bundle.read(deployable).graph.replace(b"Conv", b"\xff\xfev!")
    put_graph(deployable, graph)
    with pytest.raises(ArtifactError):
        Predictor.load(deployable)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("change", ["dropped", "shape", "type"])
def test_a_graph_that_wants_other_parameters_is_refused(change: str, deployable: Path) -> None:
    """What the graph says of a parameter is compared with the artifact before anything is decoded."""
    import onnx

    model = onnx.ModelProto.FromString(bundle.read(deployable).graph)
    first = model.graph.initializer[0]
    if change == "dropped":
        del model.graph.initializer[0]
    elif change == "shape":
        first.dims[0] += 1
    else:
        first.data_type = onnx.TensorProto.DOUBLE
    put_graph(deployable, model.SerializeToString())
    with pytest.raises(ArtifactError, match="its graph"):
        Predictor.load(deployable)


def test_a_stock_runtime_cannot_run_the_graph(deployable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails to load, compressed or not, rather than predict with weights that it can't decode."""
    import onnxruntime

    graph = gzip.decompress((deployable / bundle.GRAPH).read_bytes())
    (deployable / "graph.onnx").write_bytes(graph)
    weights = gzip.decompress((deployable / bundle.PACKED_WEIGHTS).read_bytes())
    (deployable / WEIGHTS).write_bytes(weights)
    monkeypatch.chdir(deployable)
    for source in (str(deployable / bundle.GRAPH), str(deployable / "graph.onnx"), graph):
        with pytest.raises(Exception, match=r"protobuf|Protobuf|External data path"):
            onnxruntime.InferenceSession(source)


def test_sizes_that_files_cannot_have_are_refused(deployable: Path) -> None:
    """Nothing is decompressed beyond what a file of that size can hold, or than what is stated."""
    manifest, weights = deployable / bundle.MANIFEST, deployable / bundle.PACKED_WEIGHTS
    forged.edit(manifest, lambda content: content["model"]["files"][WEIGHTS].update(bytes=2**40))
    with pytest.raises(ArtifactError, match="can't hold the 1,099,511,627,776 bytes"):
        Predictor.load(deployable)
    forged.edit(manifest, lambda content: content["model"]["files"][WEIGHTS].update(bytes=2**20))
    weights.write_bytes(gzip_files.compress(bytes(2**30)))
    forged.recheck(manifest)
    with pytest.raises(ArtifactError, match="more than the 1,048,576 bytes"):
        Predictor.load(deployable)


def test_deployables_of_former_versions_are_read(tmp_path: Path) -> None:
    """One that an older paddlepress wrote predicts what it did, and a damaged one is refused."""
    folder = tmp_path / "older"
    shutil.copytree(Path(__file__).with_name("older"), folder)
    expected = np.load(folder / "logits.npy")
    inputs = np.load(folder / "inputs.npy")
    np.testing.assert_allclose(Predictor.load(folder).predict(inputs), expected, atol=1e-5)
    for name in older_bundles.FILES:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        with pytest.raises(ArtifactError, match=name):
            Predictor.load(folder)
        (folder / name).write_bytes(whole)
    (folder / older_bundles.GRAPH).unlink()
    (folder / older_bundles.GRAPH).symlink_to("/proc/self/mem")
    with pytest.raises(ArtifactError, match="can't be read"):
        Predictor.load(folder)
