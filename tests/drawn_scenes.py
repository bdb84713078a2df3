"""Scenes drawn for segmentation, where no real set can be had: discs and bars on a noisy ground, with their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("ground", "disc", "bar")


def scenes(count: int, side: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [n, side, side, 3], and their masks uint8 [n, side, side]."""
    numbers = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    images = numbers.integers(60, 120, (count, side, side, 3)).astype(np.uint8)
    masks = np.zeros((count, side, side), np.uint8)
    for image, mask in zip(images, masks, strict=True):
        for label in numbers.permutation([1, 2]):
            row, column = numbers.integers(side // 4, 3 * side // 4, 2)
            size = numbers.integers(side // 8, side // 4)
            if label == 1:
                inside = (rows - row) ** 2 + (columns - column) ** 2 <= size**2
            else:
                inside = (abs(rows - row) <= size) & (abs(columns - column) <= max(1, size // 3))
            mask[inside] = label
            image[inside] = numbers.integers(100, 256, 3) // 2 + image[inside] // 2
    return images, masks


def write(folder: Path, counts: dict[str, int], side: int = 32) -> Path:
    """A folder with images, masks, and lists of them: `image mask` lines, as PaddleSeg keeps them."""
    for seed, (split, count) in enumerate(counts.items()):
        lines = []
        for number, (image, mask) in enumerate(zip(*scenes(count, side, seed), strict=True)):
            names = [f"images/{split}-{number}.png", f"masks/{split}-{number}.png"]
            for name, array in zip(names, (image, mask), strict=True):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(folder / name)
            lines.append(" ".join(names))
        (folder / f"{split}_list.txt").write_text("\n".join(lines) + "\n")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    return folder
