"""Data-set artifacts: what is written is what is read, and test data stays apart."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import forged
import numpy as np
import pytest
from s3_server import S3Server

from paddlepress.core.errors import DataError
from paddlepress.core.storage import push
from paddlepress.data import Dataset, manifest
from paddlepress.data.sources.digits import Digits
from paddlepress.data.sources.idx import Idx
from paddlepress.data.sources.npz import Npz
from paddlepress.data.store import digest, load, prepare
from paddlepress.spec.preprocessing import Preprocessing
from paddlepress.testing import trained

DIGITS = Digits(calibration=100)


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[dict[str, Any], Path, Path]:
    data, test = tmp_path / "data", tmp_path / "test"
    return prepare(DIGITS, data, test), data, test


def normalized(data: Path) -> Dataset:
    """A data set as a model takes it that was trained on it."""
    stored = load(data)
    return stored.through(stored.statistics)


def test_digits_are_divided_and_can_be_normalized(prepared: tuple[dict[str, Any], Path, Path]) -> None:
    """Techniques get training, validation and calibration splits; their statistics bring them to deviation 1."""
    summary, data, _ = prepared
    loaded = normalized(data)
    assert set(loaded.splits) == {"train", "validation", "calibration"}
    train = loaded.split("train")
    assert train.inputs.dtype == np.float32 and train.labels.dtype == np.int64
    whole = np.asarray(train.inputs)
    assert whole.mean() == pytest.approx(0, abs=1e-5) and whole.std() == pytest.approx(1, abs=1e-5)
    assert loaded.inputs[0].shape == (1, 8, 8) == train.inputs.shape[1:]
    assert loaded.task.classes == tuple("0123456789")
    assert np.bincount(loaded.split("calibration").labels).tolist() == [10] * 10
    assert summary["splits"] == {name: len(split) for name, split in loaded.splits.items()} | {"test": 359}
    assert summary["digest"] == loaded.digest == digest(data)
    assert json.loads(json.dumps(summary)) == summary


def test_test_data_lies_apart(prepared: tuple[dict[str, Any], Path, Path]) -> None:
    """The test artifact has nothing but the test split, none of it in the other, with the training statistics."""
    summary, data, test = prepared
    learning, judging = normalized(data), normalized(test)
    assert set(judging.splits) == {"test"} and judging.digest == summary["test_digest"] != learning.digest
    with pytest.raises(DataError, match=r"has no 'test' split. It has: train, validation, calibration"):
        learning.split("test")
    from sklearn.datasets import load_digits

    images = load_digits().images[:, None]
    everything = np.concatenate(
        [*(np.asarray(learning.split(n).inputs) for n in ("train", "validation")), judging.split("test").inputs[:]]
    )
    statistics = load(data).statistics
    assert isinstance(statistics, Preprocessing) and statistics.text() == summary["preprocessing"]
    expected = (images / 255 - statistics.mean[0]) / statistics.std[0]
    order = lambda array: array.reshape(len(array), -1)[np.lexsort(array.reshape(len(array), -1).round(3).T)]  # noqa: E731
    np.testing.assert_allclose(order(everything), order(expected), atol=1e-4)


def test_the_same_configuration_gives_the_same_digest(prepared: tuple[dict[str, Any], Path, Path]) -> None:
    """Digests follow the content: the same again for the same configuration, others for another seed."""
    summary, data, test = prepared
    assert prepare(DIGITS, data, test) == summary
    other = prepare(DIGITS.model_copy(update={"seed": 1}), data, test)
    assert other["digest"] != summary["digest"] and other["test_digest"] != summary["test_digest"]


def test_images_stay_bytes_on_disk(tmp_path: Path) -> None:
    """Images take one byte a pixel on disk and when loaded, and are 0..1 before they are normalized."""
    x = np.random.default_rng(0).integers(0, 256, (600, 16, 16, 3), dtype=np.uint8)
    x[..., 2] = 7  # a channel that never varies
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(600) % 3)
    summary = prepare(Npz(path=str(tmp_path / "data.npz")), tmp_path / "d", tmp_path / "t")
    pixels = 16 * 16 * 3 * summary["splits"]["train"]
    assert pixels < (tmp_path / "d" / "train.input.npy").stat().st_size < pixels * 1.1
    said = load(tmp_path / "d").statistics
    assert isinstance(said, Preprocessing)
    assert said.mean == pytest.approx([0.5, 0.5, 7 / 255], abs=0.01) and said.std[2] == 1
    assert load(tmp_path / "d").split("train").inputs.dtype == np.uint8
    inputs = np.asarray(normalized(tmp_path / "d").split("train").inputs)
    assert inputs.shape[1:] == (3, 16, 16)
    np.testing.assert_allclose(inputs[:, 2], 0, atol=1e-6)
    np.testing.assert_allclose(inputs[:, :2].mean(axis=(0, 2, 3)), 0, atol=1e-4)


def test_features_are_normalized_one_by_one(tmp_path: Path) -> None:
    """Each feature of a table gets its own mean and deviation; floats are not divided by 255."""
    x = np.random.default_rng(0).normal([5, -300], [0.1, 50], (500, 2))
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(500) % 2)
    prepare(Npz(path=str(tmp_path / "data.npz")), tmp_path / "d", tmp_path / "t")
    said = load(tmp_path / "d").statistics
    assert isinstance(said, Preprocessing)
    assert said.mean == pytest.approx([5, -300], rel=0.05) and said.std == pytest.approx([0.1, 50], rel=0.1)
    inputs = np.asarray(normalized(tmp_path / "d").split("train").inputs)
    np.testing.assert_allclose(inputs.std(axis=0), 1, atol=1e-3)


def test_each_model_sees_the_data_through_its_own_preprocessing(
    prepared: tuple[dict[str, Any], Path, Path], tmp_path: Path
) -> None:
    """A network trained on pixels / 255 gets pixels / 255, whatever the mean and deviation of the data are."""
    _, data, _ = prepared
    stored = load(data)
    model = trained()
    seen = stored.for_model(replace(model, preprocessing=Preprocessing(dtype="uint8", scale=255)))
    pixels = stored.split("train").inputs
    np.testing.assert_array_equal(seen.split("train").inputs, pixels.astype(np.float32) / np.float32(255))
    with pytest.raises(DataError, match="does not state its preprocessing"):
        stored.for_model(model)
    with pytest.raises(DataError, match="preprocessing takes float32 inputs, and the data 'digits' hold uint8"):
        stored.for_model(replace(model, preprocessing=Preprocessing(dtype="float32")))
    with pytest.raises(DataError, match=r"'mean' has 3 numbers, and inputs of shape .* have 1 channels"):
        stored.for_model(replace(model, preprocessing=Preprocessing(mean=(0.1, 0.2, 0.3))))


def test_files_can_be_read_by_other_users(prepared: tuple[dict[str, Any], Path, Path]) -> None:
    """Files have the permissions that the umask asks for, since the next task may run as another user."""
    _, data, _ = prepared
    umask = os.umask(0)
    os.umask(umask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in data.iterdir()} == {0o666 & ~umask}


def change_manifest(**changes: Any) -> Callable[[Path], None]:
    return lambda data: forged.change(data / "data.json", **changes)


def replace_text(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def forge(**changes: Any) -> Callable[[Path], None]:
    """A change with the digest computed anew."""

    def change(data: Path) -> None:
        whole = manifest.read(data)
        changed = whole.model_validate({**whole.model_dump(mode="json"), **changes})
        change_manifest(**changes, digest=manifest.digest_of(changed))(data)

    return change


def flip(data: Path) -> None:
    content = bytearray((data / "train.input.npy").read_bytes())
    content[-100] ^= 1
    (data / "train.input.npy").write_bytes(content)


FILES = {"inputs": {"input": "train.input.npy"}, "targets": "train.targets.npy"}
SAID = {"dtype": "uint8", "scale": 255.0, "mean": [0.019], "std": [0.02]}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: (data / "train.input.npy").unlink(), r"train.input.npy is missing"),
        (lambda data: os.truncate(data / "train.input.npy", 99), r"has 99 bytes, data.json says \d+: truncated"),
        (flip, r"train.input.npy does not match its checksum in data.json"),
        (lambda data: (data / "data.json").unlink(), r"no data set at .*: it has no data.json"),
        (lambda data: (data / "data.json").write_text("{"), r"data.json is damaged: it is not JSON"),
        (lambda data: (data / "data.json").write_text("[]"), r"data.json is damaged: it states no format_version"),
        (change_manifest(format_version=5), r"data.json has format version 5; .*Upgrade"),
        (
            change_manifest(format_version=2),
            r"has format version 2, of a former paddlepress; .*Make .* again",
        ),
        (change_manifest(statistics={**SAID, "mean": [0.5]}), r"data.json does not match its digest"),
        (
            forge(statistics={**SAID, "mean": [0.5, 0.5]}),
            r"data.json is damaged: 'mean' has 2 numbers, and inputs .* have 1 channels",
        ),
        (change_manifest(statistics={**SAID, "std": [0]}), r"data.json can't be read: statistics.std: holds 0"),
        (forge(statistics={"mean": [0.5]}), r"data.json is damaged: the statistics of 'input' state no dtype"),
        (change_manifest(statistics="x"), r"data.json is damaged: statistics"),
        (
            change_manifest(task={"kind": "counts"}),
            r"data.json can't be read: task: unknown task 'counts'. Valid: class",
        ),
        (change_manifest(files={}), r"the split 'train' is in 'train.input.npy', which is not among its files"),
        (lambda data: replace_text(data / "data.json", "digits", "doubts"), r"data.json does not match its own seal"),
        (
            change_manifest(files={"../x": {"sha256": "0" * 64, "bytes": 1}}),
            r"names the file '../x', which",
        ),
        (
            forge(
                splits={"train": {"count": 1, "inputs": {"input": "train.input.npy"}, "targets": "train.targets.npy"}}
            ),
            r"train.input.npy has uint8 of shape \[1294, 1, 8, 8\], data.json says uint8 of shape \[1, 1, 8, 8\]",
        ),
    ],
)
def test_a_damaged_artifact_is_refused(
    damage: Callable[[Path], Any], message: str, prepared: tuple[dict[str, Any], Path, Path]
) -> None:
    """A missing, cut, changed or newer artifact is refused, saying what is wrong with which file."""
    _, data, _ = prepared
    damage(data)
    with pytest.raises(DataError, match=message) as caught:
        load(data)
    assert str(data) in str(caught.value) and "\n" not in str(caught.value)


def test_no_artifact(tmp_path: Path) -> None:
    """A path where nothing lies is told as such."""
    with pytest.raises(DataError, match=r"no data set at .*absent: it does not exist"):
        load(tmp_path / "absent")


def test_nothing_is_written_for_bad_data(tmp_path: Path) -> None:
    """Data that is refused leaves neither artifact behind."""
    np.savez(tmp_path / "data.npz", x=np.full((9, 2), np.nan), y=np.arange(9) % 3)
    with pytest.raises(DataError, match="finite"):
        prepare(Npz(path=str(tmp_path / "data.npz")), tmp_path / "d", tmp_path / "t")
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]


@pytest.mark.services
def test_data_from_s3(s3: S3Server, tmp_path: Path) -> None:
    """An archive or a folder in S3 gives the same data set as the local one; a folder needs no slash."""
    x = np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(60) % 3)
    (tmp_path / "idx").mkdir()
    header = {3: bytes([0, 0, 8, 3, 0, 0, 0, 60, 0, 0, 0, 4, 0, 0, 0, 4]), 1: bytes([0, 0, 8, 1, 0, 0, 0, 60])}
    (tmp_path / "idx" / "train-images-idx3-ubyte").write_bytes(header[3] + x.tobytes())
    (tmp_path / "idx" / "train-labels-idx1-ubyte").write_bytes(header[1] + bytes(i % 3 for i in range(60)))
    stored = push(tmp_path / "data.npz", f"s3://{s3.bucket}/data/")
    push(tmp_path / "idx", f"s3://{s3.bucket}/data/idx/")
    configs = [
        Npz(path=str(tmp_path / "data.npz")),
        Npz(path=stored),
        Idx(path=f"s3://{s3.bucket}/data/idx"),
    ]
    digests = {prepare(config, tmp_path / "d", tmp_path / "t")["digest"] for config in configs}
    assert len(digests) == 1
    with pytest.raises(DataError, match=r"s3://.*/data/absent.npz: there is no such object"):
        prepare(Npz(path=f"s3://{s3.bucket}/data/absent.npz"), tmp_path / "d", tmp_path / "t")


def test_inputs_are_preprocessed_as_they_are_asked_for(prepared: tuple[dict[str, Any], Path, Path]) -> None:
    """Slices, rows and the whole are the same numbers, and the files behind them are mapped, not read into memory."""
    _, data, _ = prepared
    stored = load(data).split("train").inputs
    inputs = normalized(data).split("train").inputs
    assert isinstance(stored, np.memmap) and not stored.flags.writeable
    whole, rows = np.asarray(inputs), np.array([5, 1, 5, 1000])
    assert (inputs.shape, inputs.ndim, len(inputs)) == (whole.shape, 4, len(whole)) and whole.dtype == np.float32
    assert np.array_equal(inputs[rows], whole[rows]) and np.array_equal(inputs[10:20], whole[10:20])
    assert np.array_equal(normalized(data).split("train").take(7, seed=3).inputs, whole[_sampled(len(whole), 7, 3)])


def _sampled(count: int, size: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).choice(count, size, replace=False))
