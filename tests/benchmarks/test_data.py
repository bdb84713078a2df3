"""Data: how fast images are read, and what a training holds of them. `make benchmark` prints the figures."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.test_speed import report

IMAGES = 3000
MEGABYTES = (50, 500, 2000)
SIDE = 100

# What a training task does, in a process of its own; prints the most memory that was its own (that of files which are
# mapped is the system's to take back) after the imports and after an epoch.
TRAIN = """
import sys, threading, time
from pathlib import Path
from paddlepress.core import compute
compute.prepare()
from paddlepress.data.store import load
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.training.base_training import train_base
from paddlepress.training.settings import TrainingSettings
import paddle

def own():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("RssAnon"))

most, before, done = 0.0, own(), threading.Event()
def watch():
    global most
    while not done.wait(0.05):
        most = max(most, own())
watcher = threading.Thread(target=watch)
watcher.start()
stored = load(Path(sys.argv[1]))
dataset = stored.through(stored.statistics)
architecture, settings = ArchitectureRef(name="mlp", arguments={"hidden": [8]}), TrainingSettings(epochs=1)
train_base(architecture, dataset, settings, checkpoint=Path(sys.argv[1]) / "c")
done.set()
watcher.join()
print(before, max(most, own()))
"""


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_images_read_in_a_second(suffix: str, tmp_path: Path) -> None:
    """Photographs of 256x256 become a data set of 64x64."""
    from PIL import Image

    from paddlepress.data.sources.image_folder import ImageFolder
    from paddlepress.data.store import prepare

    smooth = np.random.default_rng(0).integers(0, 256, (IMAGES // 10, 8, 8, 3), dtype=np.uint8)
    for number in range(IMAGES):
        folder = tmp_path / "images" / str(number % 10)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth[number % len(smooth)]).resize((256, 256)).save(folder / f"{number}.{suffix}")
    started = time.perf_counter()
    prepare(ImageFolder(path=str(tmp_path / "images"), size=(64, 64)), tmp_path / "d", tmp_path / "t")
    report(f"reading {IMAGES} {suffix} of 256x256", f"{IMAGES / (time.perf_counter() - started):.0f} images/s")


def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """A training on 2 GB of images holds hardly more than one on 50 MB."""
    from paddlepress.data.prepared import prepared
    from paddlepress.data.raw import Examples, Raw
    from paddlepress.data.sources.digits import Digits
    from paddlepress.data.store import save

    grown = []
    for megabytes in MEGABYTES:
        count = megabytes * 10**6 // (3 * SIDE * SIDE)
        pixels = np.lib.format.open_memmap(tmp_path / "pixels.npy", "w+", np.uint8, (count, 3, SIDE, SIDE))
        for start in range(0, count, 1000):
            pixels[start : start + 1000] = np.random.default_rng(start).integers(0, 256, (1, 3, SIDE, SIDE), np.uint8)
        raw = Raw("made", Examples(pixels, np.arange(count) % 10, "made", "made"))
        source = Digits(test=0.01, validation=0.05)
        found = prepared(raw, source.wanted, source)
        save(tmp_path / "data", found, found.learning)
        done = subprocess.run(
            [sys.executable, "-c", TRAIN, str(tmp_path / "data")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        before, most = map(float, done.stdout.split())
        report(f"training on {megabytes} MB of uint8: memory of its own", f"{before:.0f} MB, then {most:.0f} MB")
        grown.append(most - before)
    assert grown[-1] - grown[0] < 200
