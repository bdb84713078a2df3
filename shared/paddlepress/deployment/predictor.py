"""Run a deployable: NumPy, `constriction`, `safetensors` and ONNX Runtime, without Paddle or ONNX."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from paddlepress.artifact import manifest as manifests
from paddlepress.artifact.codec import Array, Quantized
from paddlepress.artifact.manifest import MANIFEST, Manifest
from paddlepress.artifact.store import read_tensors, value_of
from paddlepress.deployment import bundle
from paddlepress.errors import ArtifactError, DataError
from paddlepress.files import sha256_of


class Predictor:
    """A deployed model.

    Attributes:
        manifest: what it is.
        session: the `onnxruntime.InferenceSession` that computes it.
    """

    def __init__(self, manifest: Manifest, session: Any, weights: Mapping[str, Any]) -> None:
        self.manifest = manifest
        self.session = session
        # The session reads the weights from this memory.
        self._weights = weights

    @classmethod
    def load(cls, directory: Path, threads: int = 1) -> Predictor:
        """Load a deployable: check its files, decode its weights, start a session.

        Args:
            directory: where `graph.onnx`, `weights.safetensors` and `model.json` are.
            threads: how many threads compute one prediction.

        Raises:
            ArtifactError: a file is missing, damaged, or belongs to another model.
        """
        manifest = manifests.read(directory)
        path = directory / bundle.GRAPH
        if not path.is_file():
            raise ArtifactError(f"{path} is missing")
        graph = path.read_bytes()
        metadata = bundle.check(graph, path, sha256_of(directory / MANIFEST))
        weights = initializers(read_tensors(directory, manifest), metadata)
        return cls(manifest, *start_session(graph, weights, path, threads))

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, in the order of the logits."""
        return self.manifest.task.classes

    def predict(self, inputs: Array, batch_size: int = 500) -> Array:
        """The logits of a batch of inputs.

        Args:
            inputs: float32 array [n, *shape].
            batch_size: how many are computed at once.

        Returns:
            float32 array [n, classes].

        Raises:
            DataError: inputs of another shape than the model takes.
        """
        spec = self.manifest.inputs[0]
        if inputs.ndim != len(spec.shape) + 1 or inputs.shape[1:] != spec.shape:
            raise DataError(f"inputs have shape {inputs.shape}; the model takes [n, {', '.join(map(str, spec.shape))}]")
        inputs = np.ascontiguousarray(inputs, dtype=spec.dtype)
        parts = [
            self.session.run(None, {spec.name: inputs[start : start + batch_size]})[0]
            for start in range(0, len(inputs), batch_size)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes)), np.float32)


def initializers(tensors: Mapping[str, Array | Quantized], metadata: Mapping[str, str]) -> dict[str, Array]:
    """The arrays that a graph wants, by the names of its external initializers.

    Args:
        tensors: the artifact's decoded tensors.
        metadata: the graph's, which say what it takes as integers and what not at all.
    """
    as_integers, unused = (set(json.loads(metadata[key])) for key in (bundle.INTEGERS, bundle.UNUSED))
    found: dict[str, Array] = {}
    for name, tensor in tensors.items():
        if name in unused:
            continue
        if name in as_integers and isinstance(tensor, Quantized):
            found[name + bundle.CODES] = tensor.codes
            found[name + bundle.SCALE] = tensor.scale.reshape(() if tensor.axis is None else (-1,))
        else:
            found[name] = value_of(tensor)
    return found


def start_session(graph: bytes, weights: Mapping[str, Array], path: Path, threads: int) -> tuple[Any, dict[str, Any]]:
    """An ONNX Runtime session over a graph and its weights, and the values that must outlive it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    held = {  # ascontiguousarray would make a single number an array of one
        name: onnxruntime.OrtValue.ortvalue_from_numpy(np.asarray(value, order="C")) for name, value in weights.items()
    }
    options.add_external_initializers(list(held), list(held.values()))
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"]), held
    except Exception as error:  # onnxruntime's exceptions have no common class but this one
        raise ArtifactError(f"{path} can't be run: {' '.join(str(error).split())}") from None
