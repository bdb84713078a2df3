"""Data sets: what techniques learn from, and, kept apart from it, what variants are judged on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paddlepress.data.dataset import Dataset, Split, StoredDataset, StoredSplit
    from paddlepress.data.source import AnySource, Source

__all__ = ["AnySource", "Dataset", "Source", "Split", "StoredDataset", "StoredSplit"]

# Loaded on first use: recipes need sources, and that must not bring in NumPy.
_HOMES = {
    **dict.fromkeys(("AnySource", "Source"), "source"),
    **dict.fromkeys(("Dataset", "Split", "StoredDataset", "StoredSplit"), "dataset"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
