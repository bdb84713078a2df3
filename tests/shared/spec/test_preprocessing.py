"""What a model does to stored inputs before its network takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from paddlepress.spec.preprocessing import Preprocessing
from paddlepress.spec.signature import TensorSpec


def test_pixels_are_scaled_and_normalized_channel_by_channel() -> None:
    """`(inputs / scale - mean) / std`, each channel with its own mean and deviation, in float32."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4), dtype=np.uint8)
    chosen = Preprocessing(dtype="uint8", scale=255, mean=(0.1, 0.2, 0.3), std=(0.5, 1, 2))
    found = chosen.apply(pixels)
    assert found.dtype == np.float32
    for channel, (mean, std) in enumerate(zip(chosen.mean, chosen.std, strict=True)):
        np.testing.assert_allclose(found[:, channel], (pixels[:, channel] / 255 - mean) / std, atol=1e-6)


def test_one_number_stands_for_all_channels() -> None:
    """What is not given leaves inputs as they are, and one mean is subtracted from every feature."""
    features = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    np.testing.assert_array_equal(Preprocessing().apply(features), features)
    np.testing.assert_allclose(Preprocessing(mean=(0.5,)).apply(features), features - 0.5, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"std": (0.1, 0.0)}, "holds 0. Valid: numbers above 0"),
        ({"std": (-1.0,)}, "holds -1"),
        ({"std": ()}, "holds no number"),
        ({"mean": (float("nan"),)}, "finite number"),
        ({"mean": (1e39,)}, "holds 1e+39"),
        ({"scale": 0}, "greater than or equal"),
        ({"scale": True}, "neither true nor false"),
        ({"mean": (0.0, 0.0), "std": (1.0, 1.0, 1.0)}, "'mean' has 2 numbers and 'std' has 3"),
        ({"dtype": "int64"}, "'uint8' or 'float32'"),
    ],
)
def test_what_can_not_be_applied_is_refused(fields: dict[str, Any], words: str) -> None:
    """A deviation of zero, numbers that are none, and lists of different lengths are told as such."""
    with pytest.raises(ValidationError) as caught:
        Preprocessing(**fields)
    assert words in str(caught.value)


def test_it_says_which_channels_it_does_not_fit() -> None:
    """Three means for one channel are named; one mean fits any number of channels."""
    assert Preprocessing(mean=(0.1, 0.2, 0.3)).misfit((TensorSpec(name="x", shape=(1, 28, 28)),)) == (
        "'mean' has 3 numbers, and inputs of shape [1, 28, 28] have 1 channels"
    )
    assert not Preprocessing(mean=(0.5,), std=(0.1, 0.2)).misfit((TensorSpec(name="x", shape=(2, 28, 28)),))
