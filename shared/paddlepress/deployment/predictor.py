"""Run a deployable: NumPy, `ml_dtypes`, `constriction`, `safetensors` and ONNX Runtime, without Paddle or ONNX."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from paddlepress.artifact.manifest import Manifest
from paddlepress.artifact.store import decode_all, value_of
from paddlepress.core.errors import ArtifactError, DataError, in_one_line
from paddlepress.deployment import bundle, onnx_file
from paddlepress.network.model import digest_of
from paddlepress.spec.preprocessing import InputPreprocessing, Preprocessing
from paddlepress.spec.signature import TensorSpec
from paddlepress.spec.tensors import Array, Inputs, NamedArrays, Quantized, by_name, joined, named
from paddlepress.tasks import Task

Stored = Array | Mapping[str, Array] | NamedArrays
"""Inputs as data hold them: an array [n, *shape], or of a model that takes several, such arrays by name."""


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
            directory: where the files of `paddlepress.deployment.bundle` are.
            threads: how many threads compute one prediction.

        Raises:
            ArtifactError: a file is missing, damaged, or belongs to another model.
        """
        found = bundle.read(directory)
        _check_parameters(found, directory)
        tensors = decode_all(found.manifest, found.arrays)
        about = found.manifest
        if _digest(about, tensors) != about.digest:
            raise ArtifactError(f"{directory}: the weights read are not the weights that were saved")
        weights = initializers(tensors, found.integers, found.unused)
        session, held = start_session(found.graph, weights, directory, threads)
        _check_signature(about, session, directory)
        return cls(about, session, held)

    @property
    def task(self) -> Task:
        """What the model is for: it decodes and scores what `predict` gives."""
        return self.manifest.task

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the only input, or the first, that `predict` takes: that of what data hold, uint8 pixels or float32."""
        return np.dtype(stored_form(self.manifest, self.manifest.inputs[0])[0])

    def prepare(self, inputs: Stored) -> Any:
        """What the graph takes for inputs as the data hold them.

        Args:
            inputs: array [n, *shape] of the form that `stored_form` tells, such as uint8 pixels; floats of any width
                where it is float32, text [n]. Of a model that takes several, such arrays by name.

        Returns:
            An array [n, *shape] of the dtype that the network takes; `NamedArrays` of several.

        Raises:
            DataError: inputs of another shape or dtype than the model takes, or none of a name.
        """
        specs = self.manifest.inputs
        arrays = named(inputs, tuple(spec.name for spec in specs))
        return joined({spec.name: self._prepared(spec, arrays[spec.name]) for spec in specs})

    def _prepared(self, spec: TensorSpec, inputs: Any) -> Array:
        of = f" of {spec.name!r}" if len(self.manifest.inputs) > 1 else ""
        whole = self.manifest.preprocessing
        preprocessing = whole.of(spec.name) if whole is not None else None
        dtype, shape = stored_form(self.manifest, spec)
        if inputs.ndim != len(shape) + 1 or inputs.shape[1:] != shape:
            raise DataError(
                f"inputs{of} have shape {inputs.shape}; the model takes [{', '.join(['n', *map(str, shape)])}]"
            )
        if not _fits_dtype(inputs.dtype, dtype, preprocessing):
            hint = " as the data hold them, from 0 to 255" if dtype == "uint8" else ""
            hint = hint if preprocessing is not None else ", preprocessed already: it does not state its preprocessing"
            raise DataError(
                f"inputs{of} are {inputs.dtype}; the model takes {'text' if dtype == 'str' else dtype}{hint}"
            )
        odd = [value for value in inputs if not isinstance(value, str)] if dtype == "str" else []
        if odd:
            raise DataError(f"inputs{of} hold {in_one_line(odd[0], 40)}, which is no text ({len(odd)} such inputs)")
        prepared = preprocessing.apply(inputs) if preprocessing is not None else inputs
        return np.ascontiguousarray(prepared, dtype=spec.dtype)

    def run(self, prepared: Inputs) -> Array:
        """What the graph gives for inputs as it takes them, all at once: see `prepare`."""
        found: Array = self.session.run(None, feed(self.manifest, prepared))[0]
        return found

    def predict(self, inputs: Stored, batch_size: int = 500) -> Array:
        """The logits of a batch of inputs.

        Args:
            inputs: array [n, *shape] as the data hold them, or several by name; see `prepare`.
            batch_size: how many are computed at once.

        Returns:
            float32 array [n, ...] of the task's first output.

        Raises:
            DataError: inputs of another shape or dtype than the model takes, or none of a name.
        """
        rows = joined(named(inputs, tuple(spec.name for spec in self.manifest.inputs)))
        parts = [self.run(self.prepare(rows[start : start + batch_size])) for start in range(0, len(rows), batch_size)]
        if not parts:
            self.prepare(rows)
        return np.concatenate(parts) if parts else np.zeros((0, *self.task.outputs[0].shape), np.float32)


def feed(manifest: Manifest, prepared: Inputs) -> dict[str, Any]:
    """Inputs as a graph takes them, by the names that it has for them."""
    return by_name(prepared, tuple(spec.name for spec in manifest.inputs))


def stored_form(manifest: Manifest, spec: TensorSpec) -> tuple[str, tuple[int, ...]]:
    """Dtype and shape of an example that a deployed model takes for an input, by its manifest."""
    preprocessing = manifest.preprocessing
    return (spec.dtype, spec.shape) if preprocessing is None else preprocessing.of(spec.name).stored(spec)


def _fits_dtype(given: np.dtype[Any], takes: str, preprocessing: InputPreprocessing | None) -> bool:
    """Whether inputs of a dtype are taken for those of another: floats for floats, and bytes where none is stated."""
    if takes == "str":
        return given.kind in "UO"
    unstated = isinstance(preprocessing, Preprocessing) and preprocessing.dtype is None and given == np.uint8
    return given == takes or unstated or (given.kind == "f" == np.dtype(takes).kind)


def blank(manifest: Manifest, count: int = 1) -> Any:
    """Examples as data hold them, all zeros or empty: an array, or several by name."""
    forms = {spec.name: stored_form(manifest, spec) for spec in manifest.inputs}
    return joined({name: np.zeros((count, *shape), dtype) for name, (dtype, shape) in forms.items()})


def initializers(
    tensors: Mapping[str, Array | Quantized], integers: Iterable[str], unused: Iterable[str]
) -> dict[str, Array]:
    """The arrays that a graph wants, by the names of its external initializers.

    Args:
        tensors: the artifact's decoded tensors.
        integers: those that the graph takes as integers.
        unused: those that it does not take at all.
    """
    as_integers, left_out = set(integers), set(unused)
    found: dict[str, Array] = {}
    for name, tensor in tensors.items():
        if name in left_out:
            continue
        if name in as_integers and isinstance(tensor, Quantized):
            found[name + bundle.CODES] = tensor.codes
            found[name + bundle.SCALE] = tensor.scale.reshape(() if tensor.axis is None else (-1,))
        else:
            found[name] = value_of(tensor)
    return found


def _check_signature(about: Manifest, session: Any, directory: Path) -> None:
    """Check that the graph takes and gives what the manifest says.

    Raises:
        ArtifactError: it does not.
    """
    taken = {each.name: tuple(each.shape[1:]) for each in session.get_inputs()}
    stated = {spec.name: spec.shape for spec in about.inputs}
    if taken.keys() != stated.keys() or not all(_fits(taken[name], shape) for name, shape in stated.items()):
        raise ArtifactError(
            f"{directory}: its graph takes {in_one_line(taken)}, its manifest says {in_one_line(stated)}"
        )
    given = tuple(session.get_outputs()[0].shape[1:])
    wanted = about.task.outputs[0]
    if not _fits(given, wanted.shape):
        shape = " x ".join(map(str, wanted.shape))
        raise ArtifactError(f"{directory}: its graph gives {in_one_line(given)}, not {shape} {wanted.name}")


def _fits(shape: tuple[Any, ...], stated: tuple[int, ...]) -> bool:
    """Whether a shape of a graph, whose free dimensions are no numbers, may be one that is stated."""
    return len(shape) == len(stated) and all(
        size == wanted or not isinstance(size, int) for size, wanted in zip(shape, stated, strict=True)
    )


def _digest(about: Manifest, tensors: Mapping[str, Array | Quantized]) -> str:
    return digest_of(about.architecture, about.inputs, about.preprocessing, about.task, about.edits, tensors)


def _check_parameters(found: bundle.Bundle, directory: Path) -> None:
    """Check that the graph wants the artifact's tensors and nothing else that is not in it.

    ONNX Runtime would look for another one in a file, of whatever name the graph says.

    Raises:
        ArtifactError: it wants something else.
    """
    try:
        wanted = onnx_file.outside(found.graph)
    except ValueError as error:
        raise ArtifactError(f"{directory} is damaged: its graph is no ONNX file ({in_one_line(error)})") from None
    given = _parameters(found)
    for name, tensor in wanted.items():
        if name not in given or not tensor.initializer:
            raise ArtifactError(f"{directory}: its graph wants {in_one_line(repr(name))} from another file")
        if given[name] != (tensor.dtype, tensor.shape):
            raise ArtifactError(f"{directory}: its graph wants {in_one_line(repr(name))} of another shape or type")
    missing = min(given.keys() - wanted.keys(), default=None)
    if missing is not None:
        raise ArtifactError(f"{directory}: its graph does not take {in_one_line(repr(missing))}")


def _parameters(found: bundle.Bundle) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Type and shape of what `initializers` will give, before anything is decoded."""
    as_integers, left_out = set(found.integers), set(found.unused)
    given = {}
    for name, record in found.manifest.tensors.items():
        if name in left_out:
            continue
        if name in as_integers and record.encoding in ("coded", "packed"):
            given[name + bundle.CODES] = (onnx_file.INT8, record.shape)
            scales = () if record.axis is None else (record.shape[record.axis],)
            given[name + bundle.SCALE] = (onnx_file.FLOAT, scales)
        else:
            given[name] = (onnx_file.TYPES.get(record.dtype, 0), record.shape)
    return given


def start_session(
    graph: bytes, weights: Mapping[str, Array], directory: Path, threads: int
) -> tuple[Any, dict[str, Any]]:
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
        return onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"], enable_fallback=False
        ), held
    except Exception as error:  # onnxruntime's exceptions have no common class but this one
        raise ArtifactError(f"{directory}: its graph can't be run: {in_one_line(error)}") from None
