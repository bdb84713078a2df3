"""Paddle with oneDNN's kernels, for every test here; afterwards Paddle is as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paddlepress.onednn.install import install, uninstall


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    assert install()
    yield
    uninstall()
