"""Tensors to bytes and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from paddlepress.artifact.codec import TensorRecord, decode, encode_float, encode_quantized, encode_shared
from paddlepress.core.errors import ArtifactError
from paddlepress.network.grids import round_to_16_bits
from paddlepress.spec.tensors import Quantized

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


@given(hnp.arrays(np.float32, SHAPES, elements=st.sampled_from([0.0, -0.25, 0.5, 3.0])))
def test_shared_values_come_back_bit_for_bit(values: Array) -> None:
    """A tensor of four different values is a codebook of two bits, whatever their order."""
    record, arrays = encode_shared("w", values, 2)
    back = decode("w", TensorRecord.model_validate_json(record.model_dump_json()), arrays)
    assert isinstance(back, np.ndarray)
    assert (back.dtype, back.shape, bits(back)) == (values.dtype, values.shape, bits(values))


def test_a_codebook_costs_its_entropy() -> None:
    """100,000 weights of 16 equally frequent values take half a byte each."""
    values = np.random.default_rng(0).integers(0, 16, 100_000).astype(np.float32)
    record, arrays = encode_shared("w", values, 4)
    assert record.encoding == "shared"
    assert 50_000 <= size(arrays) < 50_300
    with pytest.raises(ArtifactError, match="16 different values; a codebook of 3 bits holds 8"):
        encode_shared("w", values, 3)


@given(st.data(), hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=6), st.integers(1, 9))
def test_groups_have_scales_of_their_own(data: st.DataObject, shape: tuple[int, ...], group: int) -> None:
    """Every run of weights of an output is multiplied by its own scale, and all of it survives storage."""
    axis = data.draw(st.integers(0, len(shape) - 1))
    codes = np.random.default_rng(0).integers(-7, 8, shape).astype(np.int8)
    runs = -(-(codes.size // shape[axis]) // group)
    scale = np.arange(1, shape[axis] * runs + 1, dtype=np.float32).reshape(shape[axis], runs)
    tensor = Quantized(codes=codes, scale=scale, axis=axis, group=group)
    rows = np.moveaxis(codes, axis, 0).reshape(shape[axis], -1)
    expected = np.stack([[code * scale[i, j // group] for j, code in enumerate(row)] for i, row in enumerate(rows)])
    assert np.array_equal(np.moveaxis(tensor.values(), axis, 0).reshape(expected.shape), expected)
    record, arrays = encode_quantized("w", tensor)
    back = decode("w", TensorRecord.model_validate_json(record.model_dump_json()), arrays)
    assert isinstance(back, Quantized)
    assert bits(back.values()) == bits(tensor.values())


def test_bfloat16_takes_two_bytes() -> None:
    """Values of bfloat16 come back bit for bit from half the bytes; others are refused."""
    values = round_to_16_bits(np.random.default_rng(0).standard_normal((32, 32)).astype(np.float32), "bfloat16")
    record, arrays = encode_float("w", values, "bfloat16")
    assert size(arrays) == 2 * values.size
    back = decode("w", TensorRecord.model_validate_json(record.model_dump_json()), arrays)
    assert isinstance(back, np.ndarray)
    assert bits(back) == bits(values)
    with pytest.raises(ArtifactError, match="not bfloat16 values"):
        encode_float("w", values + np.float32(1e-5), "bfloat16")


@pytest.mark.parametrize("stored", ["bfloat16", "float16"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_odd_numbers_of_16_bits_come_back(stored: str, dtype: type[np.floating]) -> None:
    """NaN, infinities and signed zeros are stored in 16 bits too; a NaN that has more bits, or a large one, is not."""
    values = np.array([1.5, np.nan, np.inf, -np.inf, -0.0, 0.0], dtype)
    record, arrays = encode_float("w", values, stored)
    back = decode("w", record, arrays)
    assert isinstance(back, np.ndarray)
    assert (back.dtype, bits(back), size(arrays)) == (values.dtype, bits(values), 12)
    for odd in (np.uint32(0x7FC00001).view(np.float32), np.float32(3.4e38)):
        with pytest.raises(ArtifactError, match=f"not {stored} values"):
            encode_float("w", np.array([odd]), stored)
