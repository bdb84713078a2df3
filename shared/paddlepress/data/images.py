"""Image files as arrays of one size, decoded by Pillow, and the fields of sources that read some."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from paddlepress.core.errors import DataError, in_one_line
from paddlepress.data.source import Located

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from paddlepress.core.progress import Progress
    from paddlepress.data.raw import Examples

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})
_LARGEST_SIDE = 4096
# What is opened is one of these, whatever its name says: for others Pillow may start programs, as for PostScript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
_BYTES_AHEAD = 2**26
_TOLD = 3
_SIZES = f"must be a height and a width in pixels, each 1 to {_LARGEST_SIDE}, or one number for both"


def _side_of_a_square(value: Any) -> Any:
    found = [value, value] if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(found, list | tuple):
        raise ValueError(_SIZES)
    return found


def _height_and_width(value: tuple[int, ...]) -> tuple[int, ...]:
    if len(value) != 2 or not all(1 <= side <= _LARGEST_SIDE for side in value):
        raise ValueError(_SIZES)
    return value


Size = Annotated[tuple[int, ...], BeforeValidator(_side_of_a_square), AfterValidator(_height_and_width)]
Resize = Annotated[
    Literal["stretch", "pad", "crop"],
    Field(
        description="stretch ignores the aspect ratio; pad fits the whole image in and fills the rest with black; crop "
        "fills the size and cuts off what is over, evenly on both sides"
    ),
]
Color = Annotated[Literal["rgb", "grayscale"], Field(description="three channels, or one")]
OnError = Annotated[
    Literal["fail", "skip"],
    Field(description="what an image that can't be read does: end the run, or be left out and counted"),
]


class Images(Located):
    """Fields of a source of image files."""

    size: Size = Field(description="height and width that every image is brought to, in pixels, or one number for both")
    resize: Resize = "stretch"
    color: Color = "rgb"
    on_error: OnError = "fail"

    @property
    def form(self) -> Form:
        """What every image is brought to."""
        return Form((self.size[0], self.size[1]), self.resize, self.color, self.on_error)

    def shape(self) -> tuple[int, ...]:
        """Channels, height and width."""
        return self.form.shape

    def decoded(
        self, files: Sequence[Path], targets: NDArray[Any], origins: tuple[str, str], into: Path, progress: Progress
    ) -> Examples:
        """Images in a file that is mapped into memory, with their targets.

        Args:
            files: the images.
            targets: [n, ...], one each.
            origins: what inputs and targets are called in errors.
            into: a directory for the file.
            progress: shows how many are done.

        Raises:
            DataError: one can't be read and is not to be skipped, or none can.
        """
        from paddlepress.data.raw import Examples

        stored, kept = self.form.decoded(files, origins[0], into, progress)
        return Examples(stored, targets[kept], *origins)


@dataclass(frozen=True)
class Form:
    """What image files are brought to.

    Attributes:
        size: height and width.
        resize, color, on_error: as the fields of `Images` say.
    """

    size: tuple[int, int]
    resize: str
    color: str
    on_error: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return (3 if self.color == "rgb" else 1, *self.size)

    def decoded(
        self, files: Sequence[Path], origin: str, into: Path, progress: Progress
    ) -> tuple[NDArray[np.uint8], list[int]]:
        """Images in a file that is mapped into memory, uint8 [m, channels, height, width].

        Args:
            files: the images, n of them.
            origin: what they are called while they are read.
            into: a directory for the file.
            progress: shows how many are done.

        Returns:
            The images, and the places among `files` of those that could be read.

        Raises:
            DataError: one can't be read and is not to be skipped, or none can.
        """
        import numpy as np

        place = into / f"decoded-{len(list(into.iterdir()))}"
        kept, failed = [], []
        with place.open("wb") as stream:
            read = progress.track(self._each(files), len(files), f"reading {origin}")
            for number, image in enumerate(read):
                if isinstance(image, Unreadable):
                    failed.append(image.reason)
                else:
                    kept.append(number)
                    stream.write(image.data)
        if failed and (self.on_error == "fail" or not kept):
            raise DataError(f"{few(failed)}. Valid: images that Pillow reads; on_error: skip leaves others out")
        if failed:
            progress.note(f"{len(failed)} of {len(files)} images are left out: {few(failed)}")
        return np.memmap(place, np.uint8, "r", shape=(len(kept), *self.shape)), kept

    def _each(self, files: Sequence[Path]) -> Iterator[NDArray[np.uint8] | Unreadable]:
        """Decode in threads, which Pillow lets run side by side, without getting far ahead."""
        threads = min(8, len(os.sched_getaffinity(0)))
        with ThreadPoolExecutor(threads) as pool:
            ahead = max(threads, min(64 * threads, _BYTES_AHEAD // math.prod(self.shape)))
            for start in range(0, len(files), ahead):
                yield from pool.map(self._decode, files[start : start + ahead])

    def _decode(self, file: Path) -> NDArray[np.uint8] | Unreadable:
        try:
            return decode(file, self.size, self.resize, self.color == "rgb")
        except DataError as error:
            return Unreadable(str(error))


def few(problems: Sequence[str]) -> str:
    """Problems for a message, the first ones of many."""
    more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
    return f"{'; '.join(problems[:_TOLD])}{more}"


@dataclass(frozen=True)
class Unreadable:
    """An image that can't be read, and why."""

    reason: str


def decode(file: Path, size: tuple[int, int], resize: str, color: bool) -> NDArray[np.uint8]:
    """An image file as bytes.

    The orientation that a camera has noted is applied, transparency is laid on white, and sampling is by an
    antialiased bilinear filter.

    Args:
        file: of a format that Pillow reads.
        size: height and width.
        resize: `stretch`, `pad` or `crop`.
        color: three channels, or one.

    Returns:
        uint8 [channels, height, width], contiguous.

    Raises:
        DataError: it can't be read.
    """
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=FORMATS) as opened:
            opened.draft("RGB" if color else "L", size[::-1])  # of a JPEG far too large only a fraction is decoded
            image = ImageOps.exif_transpose(opened)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            elif image.mode.startswith("I;16") or (image.mode == "I" and opened.format == "PPM"):
                image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))  # Pillow would clip to white
            elif image.mode in ("I", "F"):
                raise ValueError("its pixels are 32-bit numbers, and none of them is known to be white")
            fitted = _fitted(image.convert("RGB" if color else "L"), size, resize, Image.Resampling.BILINEAR)
    except FileNotFoundError:
        raise DataError(f"{file} does not exist") from None
    except Exception as error:  # Pillow's readers fail in many ways
        reason = (
            "it is no image that Pillow knows" if "cannot identify" in str(error) else in_one_line(error).rstrip(".")
        )
        raise DataError(f"{file} can't be read: {reason}") from None
    pixels = np.asarray(fitted)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1) if color else pixels[None])


def mask(file: Path, size: tuple[int, int], resize: str) -> NDArray[np.uint8]:
    """An image file whose pixels are the numbers of classes, brought to a size without making numbers of its own.

    Args:
        file: of one channel, or with a palette, whose colours mean nothing.
        size, resize: as of `decode`; what padding adds is 255.

    Returns:
        uint8 [height, width].

    Raises:
        DataError: it can't be read, or has several channels.
    """
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=FORMATS) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode not in ("L", "P", "1"):
                raise DataError(f"{file} is {image.mode}. Valid: a mask has one channel of 8 bits, or a palette")
            numbers = Image.fromarray(np.asarray(image).astype(np.uint8))
    except FileNotFoundError:
        raise DataError(f"{file} does not exist") from None
    except DataError:
        raise
    except Exception as error:  # Pillow's readers fail in many ways
        raise DataError(f"{file} can't be read: {in_one_line(error)}") from None
    return np.asarray(_fitted(numbers, size, resize, Image.Resampling.NEAREST, around=255))


def _fitted(
    image: Image.Image, size: tuple[int, int], resize: str, method: Image.Resampling, around: int = 0
) -> Image.Image:
    """An image brought to a height and width; padding has the value `around`."""
    from PIL import ImageOps

    wanted = size[::-1]
    if resize == "pad":
        return ImageOps.pad(image, wanted, method, color=around)
    if resize == "crop":
        return ImageOps.fit(image, wanted, method)
    return image.resize(wanted, method)
