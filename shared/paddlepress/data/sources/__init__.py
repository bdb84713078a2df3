"""Where data sets come from: one module a source, each with `read(config, into, progress) -> Raw`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from paddlepress.core.fields import expanded
from paddlepress.core.progress import Progress
from paddlepress.core.storage import is_s3
from paddlepress.data.config import DataConfig

if TYPE_CHECKING:
    from paddlepress.data.raw import Raw


def read(config: DataConfig, into: Path, progress: Progress) -> Raw:
    """Read a data set from its source.

    Args:
        config: names the source, and its path.
        into: a directory for what is downloaded; it may be thrown away afterwards.
        progress: is told of downloads.

    Raises:
        DataError: the data can't be found, read, or trusted.
    """
    module = import_module(f"{__name__}.{config.source}")
    raw: Raw = module.read(config, into, progress)
    return raw


def shape_of(config: DataConfig) -> tuple[int, ...] | None:
    """The shape of one example, as far as it can be told without reading or fetching a data set; else None."""
    if config.source == "digits":
        return (1, 8, 8)
    if config.source == "mnist":
        return (1, 28, 28)
    if config.source == "npz" and not is_s3(config.path):
        from paddlepress.data.sources import npz

        return npz.shape_of(expanded(config.path))
    return None
