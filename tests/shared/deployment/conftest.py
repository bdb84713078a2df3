from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import digits_models
import pytest

from paddlepress.artifact import store
from paddlepress.data import Split
from paddlepress.deployment.export import export
from paddlepress.network.model import Model


@pytest.fixture(scope="session")
def digits() -> tuple[Split, Split]:
    return digits_models.digits()


@pytest.fixture(scope="session")
def lenet(digits: tuple[Split, Split]) -> Model:
    return digits_models.train(digits_models.build("lenet", (1, 8, 8)), digits[0])


@pytest.fixture(scope="session")
def lenet_int8(lenet: Model, digits: tuple[Split, Split]) -> Model:
    return digits_models.quantized(lenet, digits[0].inputs)


@pytest.fixture
def deploy(tmp_path: Path) -> Callable[[Model], Path]:
    """Saves and exports a model; returns the deployable."""

    def run(model: Model, name: str = "model") -> Path:
        store.save(model, tmp_path / name / "artifact")
        export(model, tmp_path / name / "artifact", tmp_path / name / "deployable")
        return tmp_path / name / "deployable"

    return run
