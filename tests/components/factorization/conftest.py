"""Models to operate on."""

from surgical import build, build_shared

__all__ = ["build", "build_shared"]
