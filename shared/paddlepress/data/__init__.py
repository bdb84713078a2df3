"""Data sets: what techniques learn from, and, kept apart from it, what variants are judged on."""

from paddlepress.data.dataset import Dataset, Split

__all__ = ["Dataset", "Split"]
