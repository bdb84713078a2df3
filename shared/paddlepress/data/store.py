"""Data-set artifacts: `data.json` and a safetensors file a split."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from paddlepress.core.errors import DataError, in_one_line
from paddlepress.core.fields import explain
from paddlepress.core.files import replacing
from paddlepress.core.progress import Progress, Silent
from paddlepress.data import manifest as manifests
from paddlepress.data import sources
from paddlepress.data.config import DataConfig
from paddlepress.data.dataset import StoredDataset, StoredSplit
from paddlepress.data.manifest import MANIFEST, DataManifest, SplitRecord
from paddlepress.data.raw import Examples, class_names
from paddlepress.data.splits import divide
from paddlepress.data.statistics import measured
from paddlepress.spec.preprocessing import Preprocessing
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification

INPUT_NAME = "input"


def prepare(config: DataConfig, data_dir: Path, test_dir: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Read a data set from its source and write it as two artifacts, so that no technique sees the test split.

    Args:
        config: which data set, and how it is divided.
        data_dir: receives the splits `train`, `validation` and `calibration`.
        test_dir: receives the split `test`.
        progress: shows what takes time.

    Returns:
        A summary for JSON: name, classes, inputs, mean, std, splits (name to count), digest and test_digest.

    Raises:
        DataError: the data can't be found, read or trusted, or does not fit together.
    """
    progress = progress or Silent()
    with tempfile.TemporaryDirectory(prefix="paddlepress-") as scratch:
        raw = sources.read(config, Path(scratch), progress)
    classes = class_names(raw, config.classes)
    parts = divide(raw, config)
    if len(parts.calibration) < config.calibration:
        progress.note(f"calibration uses all {len(parts.calibration)} training examples: there are no more")
    statistics = measured(parts.train.inputs)
    learning = {"train": parts.train, "validation": parts.validation, "calibration": parts.calibration}
    data = save(data_dir, raw.name, learning, classes, statistics)
    test = save(test_dir, raw.name, {"test": parts.test}, classes, statistics)
    return {
        "name": raw.name,
        "classes": list(classes),
        "inputs": [spec.model_dump(mode="json") for spec in data.inputs],
        "mean": list(statistics.mean),
        "std": list(statistics.std),
        "splits": {name: record.count for name, record in (data.splits | test.splits).items()},
        "digest": data.digest,
        "test_digest": test.digest,
    }


def save(
    directory: Path,
    name: str,
    splits: Mapping[str, Examples],
    classes: tuple[str, ...],
    statistics: Preprocessing,
) -> DataManifest:
    """Write a data-set artifact; an existing one at that path is replaced once the new one is whole.

    Args:
        directory: where to.
        name: what the data set is called.
        splits: examples by split name, inputs as stored: uint8 or float32.
        classes: the classes' names, label 0 first.
        statistics: of the training inputs, see `data.statistics.measured`.

    Raises:
        DataError: there is no split, or one is empty.
    """
    from safetensors.numpy import save as encoded

    if not splits:
        raise DataError(f"the data set {name!r} has no splits to write to {directory}")
    for split, part in splits.items():
        if not len(part):
            raise DataError(f"{part.origin}: the split {split!r} is empty. Valid: at least one example")
    shape = next(iter(splits.values())).inputs.shape[1:]
    with replacing(directory) as temporary:
        temporary.mkdir()
        for split, part in splits.items():
            arrays = {"inputs": np.ascontiguousarray(part.inputs), "labels": np.ascontiguousarray(part.labels)}
            # Not save_file: it makes a file that only its owner may read, and the next task may be another user.
            (temporary / _file(split)).write_bytes(encoded(arrays))
        manifest = DataManifest(
            name=name,
            inputs=(TensorSpec(name=INPUT_NAME, shape=shape),),
            classes=classes,
            scale=statistics.scale,
            mean=statistics.mean,
            std=statistics.std,
            splits={split: SplitRecord(count=len(part), file=_file(split)) for split, part in splits.items()},
            files={_file(split): manifests.record(temporary / _file(split)) for split in splits},
            digest="0" * 64,  # until it is known
        )
        stored = {split: (part.inputs, part.labels) for split, part in splits.items()}
        manifest = manifest.model_copy(update={"digest": manifests.digest_of(manifest, stored)})
        manifests.write(manifest, temporary)
    return manifest


def load(directory: Path) -> StoredDataset:
    """Load a data-set artifact; what a model makes of its inputs is the model's affair.

    Raises:
        DataError: it is missing, damaged, tampered with or newer than this code.
    """
    manifest = manifests.read(directory)
    stored = {name: _read(directory, manifest, name) for name in manifest.splits}
    if manifests.digest_of(manifest, stored) != manifest.digest:
        raise DataError(f"{directory / MANIFEST} does not match its digest: damaged or tampered with")
    return StoredDataset(
        name=manifest.name,
        inputs=manifest.inputs,
        task=Classification(classes=manifest.classes),
        splits={name: StoredSplit(inputs, labels) for name, (inputs, labels) in stored.items()},
        digest=manifest.digest,
        statistics=_statistics(directory, manifest, {inputs.dtype.name for inputs, _ in stored.values()}),
    )


def digest(directory: Path) -> str:
    """The digest of a data-set artifact, its files checked.

    Raises:
        DataError: it is missing, damaged, or newer than this code.
    """
    return manifests.read(directory).digest


def _file(split: str) -> str:
    return f"{split}.safetensors"


def _read(directory: Path, manifest: DataManifest, name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    from safetensors.numpy import load_file

    record = manifest.splits[name]
    path = directory / record.file
    try:
        arrays = load_file(path)
    except Exception as error:  # it has several of its own for damaged files, and KeyError for types unknown to NumPy
        raise DataError(f"{path} is damaged: {in_one_line(error)}") from None
    if set(arrays) != {"inputs", "labels"}:
        found = in_one_line(", ".join(sorted(arrays)) or "nothing", 100)
        raise DataError(f"{path} is damaged: it holds {found}, not 'inputs' and 'labels'")
    inputs, labels = arrays["inputs"], arrays["labels"]
    if inputs.dtype not in (np.uint8, np.float32) or labels.dtype != np.int64:
        raise DataError(f"{path} is damaged: its inputs are {inputs.dtype} and its labels {labels.dtype}")
    expected = (record.count, *manifest.inputs[0].shape)
    if inputs.shape != expected or labels.shape != expected[:1]:
        raise DataError(
            f"{path} has inputs of shape {list(inputs.shape)} and {list(labels.shape)} labels, "
            f"{MANIFEST} says {in_one_line(list(expected))}"
        )
    return inputs, labels


def _statistics(directory: Path, manifest: DataManifest, dtypes: set[str]) -> Preprocessing:
    """What the manifest states of the training inputs, after checking that it can be applied."""
    if len(dtypes) != 1:
        raise DataError(f"{directory} is damaged: its splits hold inputs of different types, {sorted(dtypes)}")
    said = {"dtype": dtypes.pop(), "scale": manifest.scale, "mean": manifest.mean, "std": manifest.std}
    try:
        statistics = Preprocessing.model_validate(said)
    except ValidationError as error:
        raise DataError(f"{directory / MANIFEST} is damaged: {explain(error, Preprocessing)}") from None
    misfit = statistics.misfit(manifest.inputs[0].shape)
    if misfit:
        raise DataError(f"{directory / MANIFEST} is damaged: {misfit}")
    return statistics
