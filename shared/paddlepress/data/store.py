"""Data-set artifacts: `data.json`, and for each split a NumPy file of each input and one of targets.

The files are mapped into memory, so a task holds what it looks at and no more.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.core.errors import DataError, in_one_line
from paddlepress.core.files import replacing
from paddlepress.core.progress import Progress, Silent
from paddlepress.data import manifest as manifests
from paddlepress.data.dataset import StoredDataset, StoredSplit
from paddlepress.data.manifest import MANIFEST, DataManifest, SplitRecord
from paddlepress.data.prepared import Prepared, prepared
from paddlepress.data.raw import Examples
from paddlepress.data.source import Source
from paddlepress.data.texts import Texts
from paddlepress.spec.preprocessing import AnyPreprocessing, Preprocessing
from paddlepress.spec.signature import TensorSpec
from paddlepress.spec.tensors import joined


def prepare(source: Source, data_dir: Path, test_dir: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Read a data set from its source and write it as two artifacts, so that no technique sees the test split.

    Args:
        source: which data set, and how it is divided.
        data_dir: receives the splits `train`, `validation` and `calibration`.
        test_dir: receives the split `test`.
        progress: shows what takes time.

    Returns:
        A summary for JSON: name, task, inputs, preprocessing (in words), splits (name to count), digest, test_digest.

    Raises:
        DataError: the data can't be found, read or trusted, or do not fit together.
    """
    progress = progress or Silent()
    with tempfile.TemporaryDirectory(prefix="paddlepress-") as scratch:
        raw = source.read(Path(scratch), progress)
        found = prepared(raw, source.wanted, source)
        if len(found.parts.calibration) < source.calibration:
            progress.note(f"calibration uses all {len(found.parts.calibration)} training examples: there are no more")
        data, test = save(data_dir, found, found.learning), save(test_dir, found, {"test": found.parts.test})
    return {
        "name": found.name,
        "task": found.task.model_dump(mode="json"),
        "inputs": [spec.model_dump(mode="json") for spec in data.inputs],
        "preprocessing": data.statistics.text(),
        "splits": {name: record.count for name, record in (data.splits | test.splits).items()},
        "digest": data.digest,
        "test_digest": test.digest,
    }


def save(directory: Path, found: Prepared, splits: Mapping[str, Examples]) -> DataManifest:
    """Write a data-set artifact; an existing one at that path is replaced once the new one is whole.

    Args:
        directory: where to.
        found: what the data set is.
        splits: its examples by split name.

    Raises:
        DataError: there is no split, or one is empty.
    """
    if not splits:
        raise DataError(f"the data set {found.name!r} has no splits to write to {directory}")
    for split, part in splits.items():
        if not len(part):
            raise DataError(f"{part.origin}: the split {split!r} is empty. Valid: at least one example")
    first = next(iter(splits.values()))
    with replacing(directory) as temporary:
        temporary.mkdir()
        records = {}
        for split, part in splits.items():
            record = SplitRecord(
                count=len(part),
                inputs={name: f"{split}.{name}.npy" for name in part.arrays},
                targets=f"{split}.targets.npy",
            )
            for name, file in record.inputs.items():
                _write_input(temporary / file, part, name)
            np.save(temporary / record.targets, np.ascontiguousarray(part.targets), allow_pickle=False)
            records[split] = record
        files = [file for record in records.values() for file in record.files]
        manifest = DataManifest(
            name=found.name,
            inputs=specs_of(first, found.statistics),
            task=found.task,
            targets=TensorSpec(name="targets", shape=first.targets.shape[1:], dtype=first.targets.dtype.name),
            statistics=found.statistics,
            splits=records,
            files={file: manifests.record(temporary / file) for file in files},
            digest="0" * 64,  # until it is known
        )
        manifest = manifest.model_copy(update={"digest": manifests.digest_of(manifest)})
        manifests.write(manifest, temporary)
    return manifest


def load(directory: Path) -> StoredDataset:
    """Load a data-set artifact; what a model makes of its inputs is the model's affair.

    Raises:
        DataError: it is missing, damaged, tampered with or newer than this code.
    """
    manifest = manifests.read(directory)
    _check_statistics(directory, manifest)
    return StoredDataset(
        name=manifest.name,
        inputs=manifest.inputs,
        task=manifest.task,
        splits={name: _read(directory, manifest, name) for name in manifest.splits},
        digest=manifest.digest,
        statistics=manifest.statistics,
    )


def digest(directory: Path) -> str:
    """The digest of a data-set artifact, its files checked.

    Raises:
        DataError: it is missing, damaged, or newer than this code.
    """
    return manifests.read(directory).digest


def specs_of(part: Examples, statistics: AnyPreprocessing) -> tuple[TensorSpec, ...]:
    """What a network must take, to take these examples."""
    specs = [TensorSpec(name=name, shape=array.shape[1:]) for name, array in part.arrays.items()]
    return tuple(statistics.of(spec.name).taken(spec) for spec in specs)


def _write_input(path: Path, part: Examples, name: str) -> None:
    array = part.arrays[name]
    if isinstance(array, Texts):
        np.save(path, Texts.of(part.values(name), part.origin).packed, allow_pickle=False)
        return
    shape = (len(part), *array.shape[1:])
    # Not open_memmap: a full disk would end the process with SIGBUS.
    with path.open("wb") as stream:
        header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for chunk in part.chunks(name):
            stream.write(np.ascontiguousarray(chunk).data)


def _read(directory: Path, manifest: DataManifest, split: str) -> StoredSplit:
    record = manifest.splits[split]
    if record.inputs.keys() != {spec.name for spec in manifest.inputs}:
        raise DataError(
            f"{directory / MANIFEST} is damaged: {in_one_line(repr(split), 100)} lacks an input, or has more"
        )
    inputs: dict[str, Any] = {}
    for spec in manifest.inputs:
        path, (dtype, shape) = directory / record.inputs[spec.name], manifest.statistics.of(spec.name).stored(spec)
        inputs[spec.name] = _mapped(path)
        if dtype == "str":
            inputs[spec.name] = Texts(inputs[spec.name], record.count, str(path))
        else:
            _check(path, inputs[spec.name], (record.count, *shape), dtype)
    targets = _mapped(directory / record.targets)
    _check(directory / record.targets, targets, (record.count, *manifest.targets.shape), manifest.targets.dtype)
    try:
        read = manifest.task.read(np.array(targets), str(directory / record.targets))
    except DataError as error:
        raise DataError(f"{directory} is damaged: {error}") from None
    return StoredSplit(joined(inputs), read)


def _mapped(path: Path) -> NDArray[Any]:
    """The array of a NumPy file, mapped into memory; objects are never loaded."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header fails in many ways, some of Python's tokenizer
        raise DataError(f"{path} is damaged: {in_one_line(error)}") from None
    if not isinstance(found, np.ndarray):
        raise DataError(f"{path} is damaged: it holds no array")
    return found


def _check(path: Path, array: NDArray[Any], shape: tuple[int, ...], dtype: str) -> None:
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise DataError(
            f"{path} has {array.dtype} of shape {in_one_line(list(array.shape))}, {MANIFEST} says {dtype} of shape "
            f"{in_one_line(list(shape))}"
        )


def _check_statistics(directory: Path, manifest: DataManifest) -> None:
    """Check that what the manifest states of the training inputs can be applied.

    Raises:
        DataError: it can't.
    """
    misfit = manifest.statistics.misfit(manifest.inputs)
    for spec in () if misfit else manifest.inputs:
        held = manifest.statistics.of(spec.name)
        if isinstance(held, Preprocessing) and held.dtype is None:
            misfit = f"the statistics of {spec.name!r} state no dtype"
    if misfit:
        raise DataError(f"{directory / MANIFEST} is damaged: {misfit}")
