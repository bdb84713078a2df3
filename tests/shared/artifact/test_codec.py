"""Tensors to bytes and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from paddlepress.artifact.codec import Quantized, TensorRecord, decode, encode_float, encode_quantized
from paddlepress.errors import ArtifactError

Array = np.ndarray[Any, Any]
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=9)


def bits(array: Array) -> bytes:
    return array.tobytes()


def size(arrays: dict[str, Array]) -> int:
    return sum(array.nbytes for array in arrays.values())


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(width=32)), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_floats_come_back_bit_for_bit(values: Array, sparsity: float, seed: int) -> None:
    """Whatever the values (infinities, NaN and -0.0 too) and however many are zero."""
    values = np.where(np.random.default_rng(seed).random(values.shape) < sparsity, np.float32(0), values)
    record, arrays = encode_float("w", values)
    back = decode("w", TensorRecord.model_validate_json(record.model_dump_json()), arrays)
    assert isinstance(back, np.ndarray)
    assert (back.dtype, back.shape, bits(back)) == (values.dtype, values.shape, bits(values))


@given(st.data(), SHAPES, st.sampled_from([(-127, 127), (-1, 1), (0, 0), (-3, 100)]))
def test_codes_come_back_exactly(data: st.DataObject, shape: tuple[int, ...], span: tuple[int, int]) -> None:
    """Codes and scales survive whatever their distribution, and so do the values they stand for."""
    codes = data.draw(hnp.arrays(np.int8, shape, elements=st.integers(*span)))
    axis = data.draw(st.sampled_from([None, *range(len(shape))]))
    count = 1 if axis is None else shape[axis]
    scale = data.draw(hnp.arrays(np.float32, count, elements=st.floats(2.0**-20, 4, width=32)))
    tensor = Quantized(codes=codes, scale=scale, axis=axis)
    record, arrays = encode_quantized("w", tensor)
    back = decode("w", TensorRecord.model_validate_json(record.model_dump_json()), arrays)
    assert isinstance(back, Quantized)
    assert np.array_equal(back.codes, codes)
    assert bits(back.values()) == bits(tensor.values())


def test_pruned_weights_cost_little_more_than_their_values() -> None:
    """At 90% zeros a float tensor takes its values and less than half a bit for each position."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal(100_000).astype(np.float32)
    values[rng.random(values.size) < 0.9] = 0
    record, arrays = encode_float("w", values)
    assert record.encoding == "sparse"
    kept = np.count_nonzero(values)
    assert size(arrays) - 4 * kept < 0.5 * values.size / 8


def test_codes_cost_their_entropy() -> None:
    """The range coder is within one percent of the entropy of the codes."""
    rng = np.random.default_rng(0)
    codes = np.clip(np.rint(rng.standard_normal(200_000) * 12), -127, 127).astype(np.int8)
    _, arrays = encode_quantized("w", Quantized(codes=codes, scale=np.ones(1, np.float32), axis=None))
    share = np.unique(codes, return_counts=True)[1] / codes.size
    entropy_bytes = -(share * np.log2(share)).sum() * codes.size / 8
    assert arrays["w:codes"].nbytes < 1.01 * entropy_bytes


def test_values_that_float16_lacks_are_not_stored_as_float16() -> None:
    """Nothing is rounded in storing."""
    with pytest.raises(ArtifactError, match="float16"):
        encode_float("w", np.array([0.1], np.float32), "float16")


@pytest.mark.parametrize("lost", ["w:codes", "w:counts", "w:scale"])
def test_a_missing_part_is_named(lost: str) -> None:
    """A file that lacks an array says which."""
    codes = np.zeros((50, 50), np.int8)
    codes[0] = 1
    record, arrays = encode_quantized("w", Quantized(codes=codes, scale=np.ones(1, np.float32), axis=None))
    del arrays[lost]
    with pytest.raises(ArtifactError, match=lost):
        decode("w", record, arrays)


def test_a_shape_that_does_not_fit_is_refused() -> None:
    """A record of another tensor is noticed before anything is computed with it."""
    record, arrays = encode_float("w", np.arange(6, dtype=np.float32).reshape(2, 3))
    with pytest.raises(ArtifactError, match="'w' can't be decoded"):
        decode("w", record.model_copy(update={"shape": (7, 3)}), arrays)
