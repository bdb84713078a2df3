"""Every network of the zoo through the techniques that change its layers: what comes out runs, reloads and deploys."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from networks import CASES, Case, build, context, images

from paddlepress.artifact import store
from paddlepress.core.errors import TechniqueRefused
from paddlepress.deployment.export import export
from paddlepress.deployment.predictor import Predictor
from paddlepress.network.model import Model
from paddlepress.surgery.macs import macs
from paddlepress.techniques import run, technique

NETWORKS = list({case.name: case for case in CASES}.values())
Outputs = np.ndarray[Any, Any]
# Shares of the multiply-accumulates that are left of convolutional networks and of others before factorization.
SLIM = (0.25, 0.5)


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda case: case.name.removeprefix("vision/"))
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def model(case: Case) -> Model:
    return build(case)


def apply(name: str, case: Case, model: Model, **fields: Any) -> Model:
    return run(technique(name, fields), model, context(case, model))


def deployed(case: Case, model: Model, folder: Path) -> tuple[Outputs, Outputs]:
    """What a model computes, after it was found to reload bit-equal, and what its deployable does."""
    x = images(case, 4)
    expected = model.predict(x)
    assert np.isfinite(expected).all()
    store.save(model, folder / "model")
    assert np.array_equal(store.load(folder / "model").predict(x), expected)
    export(model, folder / "model", folder / "deployable")
    return expected, Predictor.load(folder / "deployable").predict(x)


def assert_close(got: Outputs, expected: Outputs, share: float = 1e-4) -> None:
    """To a share of the outputs' magnitude."""
    np.testing.assert_allclose(got, expected, atol=share * max(1.0, float(np.abs(expected).max())))


def assert_alike(got: Outputs, expected: Outputs, least: float) -> None:
    assert np.corrcoef(got.reshape(-1), expected.reshape(-1))[0, 1] > least


def test_integer_weights(case: Case, model: Model, tmp_path: Path) -> None:
    """8-bit weights, one scale for each output: near the original, and deployed as they compute."""
    small = apply("quantize-post-training", case, model, activations="none")
    assert len(small.quantized()) >= 1
    expected, got = deployed(case, small, tmp_path)
    assert_close(got, expected, 1e-3)
    assert_alike(expected, model.predict(images(case, 4)), 0.8)


def test_integer_inputs(case: Case, model: Model, tmp_path: Path) -> None:
    """8-bit inputs too: still like the original.

    In a network that was never trained rounding one number the other way, as the deployable may, is carried
    on by every layer after it, so that deep ones agree in the large only.
    """
    small = apply("quantize-post-training", case, model)
    expected, got = deployed(case, small, tmp_path)
    assert_alike(got, expected, 0.5)
    assert_alike(expected, model.predict(images(case, 4)), 0.5)


@pytest.fixture(scope="module")
def slim(case: Case, model: Model) -> Model:
    """The network cut by a technique; what is smaller takes less time to factorize."""
    if "filters" in case.kinds and case.conv:
        return apply("prune-filters", case, model, macs=SLIM[0], recovery_epochs=0)
    return apply("prune-neurons", case, model, macs=SLIM[1], recovery_epochs=0, heads="heads" in case.kinds)


def test_pruning(case: Case, model: Model, slim: Model) -> None:
    """The techniques leave the share of the multiply-accumulates that they are told to."""
    share = SLIM[0] if case.conv else SLIM[1]
    assert sum(macs(slim).values()) == pytest.approx(share * sum(macs(model).values()), rel=0.05)
    assert np.isfinite(slim.predict(images(case, 3))).all()


def test_factorized_convolutions(case: Case, slim: Model, tmp_path: Path) -> None:
    """After pruning, chains of convolutions compute less still, and are deployed as they compute."""
    fields = {"method": case.conv or "tucker2", "min_channels": 4, "round_to": 1, "recovery_epochs": 0}
    if not case.conv:
        with pytest.raises(TechniqueRefused, match="no convolution"):
            apply("factorize-conv", case, slim, **fields)
        return
    small = apply("factorize-conv", case, slim, **fields)
    assert sum(macs(small).values()) < 0.9 * sum(macs(slim).values())
    expected, got = deployed(case, small, tmp_path)
    assert_close(got, expected)


def test_factorized_dense_layers(case: Case, slim: Model, tmp_path: Path) -> None:
    """After pruning, pairs of thin dense layers are smaller still, and are deployed as they compute."""
    if not case.wide:
        with pytest.raises(TechniqueRefused, match="no dense layer"):
            apply("factorize-dense", case, slim, recovery_epochs=0)
        return
    small = apply("factorize-dense", case, slim, recovery_epochs=0, min_size=16, round_to=1)
    assert sum(value.size for value in small.state().values()) < sum(value.size for value in slim.state().values())
    expected, got = deployed(case, small, tmp_path)
    assert_close(got, expected)
