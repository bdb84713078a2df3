"""Artifacts made to break whoever loads them, with every checksum and seal right: each is refused in one line.

The sizes are such that a reader who believed them would die of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import digits_models
import forged
import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.numpy import save as serialized

from paddlepress.artifact.codec import Encoding
from paddlepress.artifact.manifest import MANIFEST, WEIGHTS
from paddlepress.artifact.store import load, save
from paddlepress.core.errors import ArtifactError
from paddlepress.evaluation.size import layers
from paddlepress.network.edits import Share

Change = Callable[[dict[str, Any], dict[str, Any]], Any]
"""Changes what a manifest says, and the arrays of its weights file."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with a tensor in each encoding: conv1 packed, fc1 coded, fc2 shared, conv2 sparse, biases raw."""
    inputs = np.random.default_rng(0).normal(size=(64, 1, 8, 8)).astype(np.float32)
    model = digits_models.quantized(digits_models.build("lenet", (1, 8, 8), width=0.5), inputs)
    names = {"conv2": digits_models.find(model.network, "conv2"), "fc2": digits_models.find(model.network, "fc2")}
    names["fc2"].weight.set_value(np.sign(names["fc2"].weight.numpy()) + np.float32(0.0))
    sparse = np.where(np.abs(names["conv2"].weight.numpy()) > 0.1, 0.5, 0.0).astype(np.float32)
    names["conv2"].weight.set_value(sparse)
    kept = tuple(edit for edit in model.edits if edit.layer in {"conv1", "fc1"})  # type: ignore[union-attr]
    model = type(model)(**{**vars(model), "edits": (*kept, Share(layer="fc2", bits=2))})
    path = tmp_path_factory.mktemp("hostile") / "model"
    manifest = save(model, path)
    assert {record.encoding for record in manifest.tensors.values()} == {*get_args(Encoding)}
    return path


def forge(saved: Path, folder: Path, change: Change) -> Path:
    """A changed copy of an artifact that agrees with its checksums and its seal."""
    content, arrays = forged.read(saved / MANIFEST), load_file(saved / WEIGHTS)
    change(content, arrays)
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(serialized(arrays))
    forged.write(folder / MANIFEST, content)
    forged.recheck(folder / MANIFEST)
    return folder


def stated(name: str, **changes: Any) -> Change:
    return lambda content, arrays: content["tensors"][name].update(changes)


def counts(*numbers: int) -> Change:
    """A coded tensor of that many symbols, which as many as two may take no bytes for."""

    def change(content: dict[str, Any], arrays: dict[str, Any]) -> None:
        content["tensors"]["fc1.weight"].update(shape=[sum(numbers)], axis=None)
        arrays["fc1.weight:counts"] = np.array(numbers, np.uint64)
        arrays["fc1.weight:scale"] = np.ones(1, np.float32)

    return change


def array(name: str, value: Any) -> Change:
    return lambda content, arrays: arrays.update({name: value})


def built(architecture: str, shape: list[int] | None = None, **arguments: Any) -> Change:
    def change(content: dict[str, Any], arrays: dict[str, Any]) -> None:
        content["architecture"] = {"name": architecture, "arguments": arguments}
        content["inputs"][0]["shape"] = shape or content["inputs"][0]["shape"]

    return change


def unstated(change: Change) -> Change:
    """The same where the manifest does not say how large the architecture is."""

    def both(content: dict[str, Any], arrays: dict[str, Any]) -> None:
        change(content, arrays)
        del content["built"]

    return both


def edit(**fields: Any) -> Change:
    return lambda content, arrays: content["edits"].append(fields)


HOSTILE: dict[str, Change] = {
    "one symbol": counts(2 * 10**9),
    "one symbol, 2^40": counts(2**40 - 1),
    "two symbols": counts(10**9, 10**9),
    "two symbols, 2^50": counts(2**50, 2**50),
    "two symbols, 2^63": counts(2**63, 2**63),
    "counts that overflow": array("fc1.weight:counts", np.array([2**63, 2**63, 2**14], np.uint64)),
    "counts of floats": array("fc1.weight:counts", np.full(9, np.nan)),
    "many counts": array("fc1.weight:counts", np.ones(2**20, np.uint8)),
    "codes that are no integers": array("fc1.weight:codes", np.full(9, np.inf, np.float32)),
    "codes that are nonsense": array("fc1.weight:codes", np.full(99, 2**32 - 1, np.uint32)),
    "no codes": array("fc1.weight:codes", np.zeros(0, np.uint32)),
    "a scale that is not finite": array("fc1.weight:scale", np.full(64, np.inf, np.float32)),
    "too few scales": array("fc1.weight:scale", np.ones(3, np.float32)),
    "codes that int8 can't hold": stated("fc1.weight", low=120),
    "a sparse tensor, 2^39": stated("conv2.weight", shape=[2**39]),
    "more values than room": array("conv2.weight:values", np.ones(10**6, np.float32)),
    "a codebook of another size": array("fc2.weight:codebook", np.ones(9, np.float32)),
    "a group, 2^41": stated("fc1.weight", group=2**41),
    "an axis that is none": stated("fc1.weight", axis=2),
    "a type of strings": stated("fc1.bias", dtype="U100000000"),
    "a type of objects": stated("fc1.bias", dtype="O"),
    "another type": stated("fc1.bias", dtype="float64"),
    "a negative shape": stated("fc1.bias", shape=[-1]),
    "a shape of many dimensions": stated("fc1.bias", shape=[1] * 60 + [64]),
    "an array of nobody": array("fc9.weight", np.zeros(3, np.float32)),
    "a wide network": built("lenet", width=10**6),
    "a wide network, unstated": unstated(built("lenet", width=10**6)),
    "a wider network than stated": built("lenet", width=0.6),
    "an endless width": built("lenet", width=1e300),
    "a deep network": built("resnet-cifar", depth=6 * 10**8 + 2),
    "a deep network, unstated": unstated(built("resnet-cifar", depth=6 * 2**20 + 2)),
    "a vast integer": built("lenet", width=2**70),
    "nonsense arguments": built("lenet", width=[{"a": "b"}]),
    "a large image": unstated(built("lenet", [1, 16000, 16000])),
    "a vast image": built("lenet", [1, 2**31 - 1, 2**31 - 1]),
    "another network": built("vision/wide_resnet101_2", [3, 64, 64]),
    "an edit of nothing": edit(kind="factorize", layer="", rank=3),
    "a huge rank": edit(kind="factorize", layer="fc1", rank=2**62),
    "huge ranks": edit(kind="factorize-conv", layer="conv1", method="tucker2", ranks=[2**40, 2**62]),
    "a size of nothing": edit(kind="narrow", shapes={}, sizes={"fc1": {"__dict__": 3}}),
    "a norm that is none": edit(kind="fold-norm", layer="fc1", norm="fc2"),
    "a layer that is no layer": edit(kind="remove", layer="__class__"),
    "an infinite scale": edit(kind="quantize-output", layer="fc1", scale=1e308, zero_point=0),
    "a history too deep": lambda content, arrays: content.update(lineage=nested(2000)),
    "a history of half letters": lambda content, arrays: content.update(lineage=["\ud800"]),
    "a name of many letters": stated("fc1.bias", stored="x" * 10**6),
}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels // 20):  # json.dumps would not write many more at once
        value = [value]
    return [value]


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_in_one_line(name: str, saved: Path, tmp_path: Path) -> None:
    """No traceback, no crash and no allocation: an ArtifactError, of load and of whoever only looks."""
    folder = forge(saved, tmp_path / "forged", HOSTILE[name])
    began = time.process_time()
    with pytest.raises(ArtifactError) as caught:
        load(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    try:
        layers(folder)
    except ArtifactError as error:
        assert "\n" not in str(error)
    assert time.process_time() - began < 60


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[" * 100_000, "JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "deep"),
        (b'{"format_version": ' + b"9" * 5000 + b"}", "JSON"),
        (b'{"format_version": 1e400}', "JSON"),
        (b'{"format_version": 4, "format_version": 4}', "twice"),
        (b'{"format_version": NaN}', "NaN"),
        (b'\xff\xfe{"format_version": 4}', "JSON"),
        (b'{"format_version": true}', "format_version"),
        (b'{"format_version": -1}', "damaged"),
        (b" " * (9 * 2**20), "bytes, more than"),
        (b"", "JSON"),
    ],
    ids=range(11),
)
def test_a_text_that_is_no_manifest_is_refused(text: bytes, words: str, saved: Path, tmp_path: Path) -> None:
    """However deep, long or odd it is."""
    (tmp_path / MANIFEST).write_bytes(text)
    (tmp_path / WEIGHTS).write_bytes((saved / WEIGHTS).read_bytes())
    with pytest.raises(ArtifactError, match=words):
        load(tmp_path)


def test_what_is_no_file_is_refused(saved: Path, tmp_path: Path) -> None:
    """Links to devices, pipes, directories and to what can't be read."""
    import os

    forge(saved, tmp_path / "forged", lambda content, arrays: None)
    for name in (MANIFEST, WEIGHTS):
        path = tmp_path / "forged" / name
        path.rename(tmp_path / "kept")
        for target in ("/dev/zero", "/proc/self/mem", "nowhere", "."):
            path.symlink_to(target)
            with pytest.raises(ArtifactError):
                load(path.parent)
            path.unlink()
        os.mkfifo(path)
        with pytest.raises(ArtifactError):
            load(path.parent)
        path.unlink()
        (tmp_path / "kept").rename(path)
    load(tmp_path / "forged")
