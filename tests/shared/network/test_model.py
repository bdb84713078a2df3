"""Models in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from paddlepress.core import compute
from paddlepress.core.errors import ArtifactError
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.preprocessing import Preprocessing
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification

compute.prepare()

INPUTS = (TensorSpec(name="image", shape=(1, 12, 12)),)
TASK = Classification(classes=("a", "b", "c"))


@pytest.fixture
def model() -> Model:
    return Model.build(ArchitectureRef(name="lenet", arguments={"width": 0.25}), INPUTS, TASK)


def test_weights_of_another_dtype_are_refused(model: Model) -> None:
    """A float64 weight is not silently turned into float32; the message names tensor and both dtypes."""
    state = model.state()
    state["fc1.weight"] = state["fc1.weight"].astype(np.float64)
    with pytest.raises(ArtifactError, match=r"fc1\.weight has dtype float64, the network needs float32"):
        model.load_state(state)


def test_the_digest_covers_inputs_task_and_preprocessing(model: Model) -> None:
    """The same weights for other inputs, other classes, or inputs that are normalized otherwise are another model."""
    renamed = Model(model.network, model.architecture, INPUTS, Classification(classes=("a", "c", "b")))
    scaled = Model(model.network, model.architecture, (TensorSpec(name="picture", shape=(1, 12, 12)),), TASK)
    by_255, by_256 = (replace(model, preprocessing=Preprocessing(scale=scale)) for scale in (255, 256))
    digests = {each.digest() for each in (model, renamed, scaled, by_255, by_256)}
    assert len(digests) == 5


def test_preprocessing_goes_with_copies(model: Model) -> None:
    """A copy normalizes its inputs as the original does; one that does not fit the inputs is refused."""
    normalized = replace(model, preprocessing=Preprocessing(scale=255, mean=(0.5,)))
    assert normalized.copy().preprocessing == normalized.preprocessing
    with pytest.raises(ArtifactError, match=r"'std' has 3 numbers, and inputs of shape \[1, 12, 12\] have 1"):
        Model.build(model.architecture, INPUTS, TASK, preprocessing=Preprocessing(std=(1, 2, 3)))


def test_prediction_leaves_the_networks_mode_alone(model: Model) -> None:
    """No examples give no logits, and a network that is being trained goes on training."""
    model.network.train()
    assert model.predict(np.zeros((0, 1, 12, 12), np.float32)).shape == (0, 3)
    logits = model.predict(np.zeros((5, 1, 12, 12), np.float32), batch_size=2)
    assert (logits.shape, logits.dtype, model.network.training) == ((5, 3), np.float32, True)
