"""Paddle with oneDNN's kernels for every test here, however small; afterwards Paddle is as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paddlepress.onednn import install


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(install, "LEAST_MULTIPLICATIONS", 0)
    monkeypatch.setattr(install, "LEAST_PIXELS", 0)
    assert install.install()
    yield
    install.uninstall()
