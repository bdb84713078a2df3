"""Lines of text, drawn where no real set can be had: dark characters on a light, noisy ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CHARACTERS = "0123456789"


def texts(count: int, longest: int = 4, characters: str = CHARACTERS, seed: int = 0) -> np.ndarray:
    """Texts of 2 to `longest` characters, `str` [n]."""
    numbers = np.random.default_rng(seed)
    return np.array(["".join(numbers.choice([*characters], numbers.integers(2, longest + 1))) for _ in range(count)])


def drawn(told: np.ndarray, size: tuple[int, int] = (16, 48), seed: int = 0) -> np.ndarray:
    """Images of texts [n], uint8 [n, height, width]; as wide as four or five digits at the usual size."""
    numbers, font = np.random.default_rng(seed), ImageFont.load_default(14)
    images = np.empty((len(told), *size), np.uint8)
    for image, text in zip(images, told, strict=True):
        page = Image.new("L", size[::-1], 220)
        _, top, right, bottom = font.getbbox(text)
        place = (
            numbers.integers(1, max(2, size[1] - right)),
            numbers.integers(0, max(1, size[0] - bottom + top)) - top,
        )
        ImageDraw.Draw(page).text(place, text, fill=int(numbers.integers(0, 80)), font=font)
        image[:] = np.clip(np.asarray(page) + numbers.normal(0, 8, size), 0, 255)
    return images


def write(folder: Path, counts: dict[str, int], longest: int = 4) -> Path:
    """A folder with images of lines and lists of them: `path`, a tab and the text, as PaddleOCR keeps them."""
    for seed, (split, count) in enumerate(counts.items()):
        (folder / split).mkdir(parents=True)
        told, lines = texts(count, longest, seed=seed), []
        for number, (text, image) in enumerate(zip(told, drawn(told, seed=seed), strict=True)):
            Image.fromarray(image).save(folder / split / f"{number}.png")
            lines.append(f"{split}/{number}.png\t{text}\n")
        (folder / f"{split}_list.txt").write_text("".join(lines))
    (folder / "digits.txt").write_text("\n".join(CHARACTERS) + "\n")
    return folder
