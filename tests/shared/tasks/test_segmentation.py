"""Segmentation: masks that are read and refused, its score, and a U-Net that goes all the way."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from drawn_scenes import CLASSES, scenes, write
from hypothesis import given
from hypothesis import strategies as st

import paddlepress as pp
from paddlepress.core.errors import DataError
from paddlepress.core.progress import Silent
from paddlepress.data.sources.image_list import ImageList
from paddlepress.data.store import load, prepare
from paddlepress.tasks import Segmentation
from paddlepress.tasks.segmentation import IGNORED

TASK = Segmentation(classes=CLASSES, height=4, width=6)


def logits(masks: np.ndarray, classes: int = 3) -> np.ndarray:
    """What a network gives that is sure of these masks."""
    return np.eye(classes, dtype=np.float32)[np.where(masks == IGNORED, 0, masks)].transpose(0, 3, 1, 2)


@given(seed=st.integers(0, 1000), ignored=st.floats(0, 0.5))
def test_the_score_is_the_papers(seed: int, ignored: float) -> None:
    """Mean IoU is what its definition gives, counted class by class; pixels that do not count change nothing."""
    numbers = np.random.default_rng(seed)
    told, there = numbers.integers(0, 3, (2, 5, 4, 6))
    counted = numbers.random(there.shape) >= ignored
    unions = [((told == c) | (there == c)) & counted for c in range(3)]
    ious = [((told == c) & (there == c) & counted).sum() / u.sum() for c, u in enumerate(unions) if u.any()]
    score = TASK.score(logits(told), np.where(counted, there, IGNORED).astype(np.uint8))
    assert score.value == pytest.approx(100 * np.mean(ious) if ious else 100)
    assert score.low <= score.high


def test_right_and_wrong() -> None:
    """Masks told right score 100, and guessing is the most frequent class everywhere."""
    _, masks = scenes(20)
    task = Segmentation(classes=CLASSES, height=32, width=32)
    assert task.score(logits(masks), masks).value == 100
    ground = np.zeros_like(masks)
    assert task.score(logits(ground), masks).value == pytest.approx(task.guess(masks).value)
    assert np.array_equal(task.decode(logits(masks))["mask"], masks)
    assert set(task.groups(masks)) == set(CLASSES)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.zeros((2, 4, 5), np.uint8), "y: the masks are 4 by 5 pixels. Valid: 4 by 6, as the images"),
        (np.zeros((2, 4, 6), np.float32), "y: the targets are float32 of shape [2, 4, 6]. Valid: whole numbers"),
        (np.zeros((2, 4), np.uint8), "y: the targets are uint8 of shape [2, 4]"),
        (np.full((2, 4, 6), 3), "y: mask 0 has label 3 at row 0, column 0. Valid: 0..2, or 255"),
    ],
)
def test_masks_that_do_not_fit(masks: np.ndarray, message: str) -> None:
    """Masks of another size or type, and labels that are no class, are refused with the place."""
    with pytest.raises(DataError, match=re.escape(message)):
        TASK.read(masks, "y")


def test_lists_of_masks(tmp_path: Path) -> None:
    """`image mask` lines are read; masks are resized to the nearest pixel, and padding does not count."""
    folder = write(tmp_path / "scenes", {"train": 20, "val": 4, "test": 4})
    fields = {"path": str(folder), "labels": "masks", "task": "segmentation", "calibration": 8}
    prepare(ImageList(size=32, **fields), tmp_path / "d", tmp_path / "t")  # type: ignore[arg-type]
    stored = load(tmp_path / "d")
    assert stored.task == Segmentation(classes=CLASSES, height=32, width=32)
    assert np.array_equal(stored.split("train").labels, scenes(20)[1])
    prepare(ImageList(size=(16, 32), resize="pad", **fields), tmp_path / "d", tmp_path / "t")  # type: ignore[arg-type]
    padded = load(tmp_path / "d").split("train").labels
    assert padded.shape == (20, 16, 32) and (padded[:, :, :8] == IGNORED).all() and (padded[:, :, 9:23] < 3).all()


def test_masks_that_are_photographs(tmp_path: Path) -> None:
    """A mask with three channels, one that is missing and one outside of the folder are named."""
    folder = write(tmp_path / "scenes", {"train": 4})
    source = ImageList(path=str(folder), size=32, labels="masks", task="segmentation")  # type: ignore[arg-type]
    for named, message in (
        ("images/train-0.png", r"images/train-0.png is RGB. Valid: a mask has one channel"),
        ("masks/absent.png", r"masks/absent.png does not exist"),
        ("../outside.png", r"line 5: '../outside.png' lies outside of"),
    ):
        lines = (folder / "train_list.txt").read_text().splitlines()[:4]
        (folder / "train_list.txt").write_text("\n".join([*lines, f"images/train-1.png {named}"]) + "\n")
        with pytest.raises(DataError, match=message):
            prepare(source, tmp_path / "d", tmp_path / "t")


def test_a_u_net_goes_all_the_way(tmp_path: Path) -> None:
    """Trained on drawn scenes, pruned and on integers, it is smaller, deployed as it computes, and still finds them."""
    task = Segmentation(classes=CLASSES, height=32, width=32)
    data = pp.from_arrays(*scenes(500), task=task)
    settings = {"epochs": 8, "batch_size": 16, "learning_rate": 0.005}
    base = pp.train("unet", data, arguments={"width": 8}, progress=Silent(), **settings)
    recovery = {"recovery_epochs": 3, "recovery_batch_size": 16}
    small = pp.compress(base, "prune-filters", data, progress=Silent(), **recovery)
    small = pp.compress(small, "quantize-post-training", data, progress=Silent())
    found = pp.evaluate(small, base, data, latency_seconds=0.05, progress=Silent())
    assert found.primary == "miou" and found.metrics["ratio"] > 6
    assert found.metrics["miou"] > task.guess(data.test.split("test").labels).value + 20
    assert found.metrics["runtime_agreement"] > 98
    assert {group.name for group in found.per_class} == set(CLASSES)
