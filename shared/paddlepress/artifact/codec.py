"""Tensors to bytes and back, exactly, each in the smallest of a few encodings.

An encoded tensor is a handful of plain arrays that stand together in one safetensors file:

========== ======================================================================================
encoding   arrays
========== ======================================================================================
``raw``    `NAME`: the values as they are (float32, float16, int64, ...)
``sparse`` `NAME:positions`, `NAME:values`: a coded mask of the non-zeros, and those values
``coded``  `NAME:codes`, `NAME:counts`, `NAME:scale`: quantized integers through a range coder
``packed`` `NAME:codes`, `NAME:scale`: quantized integers as bytes, where coding them gains nothing
``shared`` `NAME:codes`, `NAME:counts`, `NAME:codebook`: places in a codebook through a range coder
========== ======================================================================================

bfloat16 values, which NumPy has no type for, are stored as the upper halves of their float32 bits.

Integers are entropy coded with a static model of their own frequencies, by the range coder of the
`constriction` library (Bamler, "Understanding Entropy Coding With Asymmetric Numeral Systems", 2022),
within a few bytes of their entropy. A pruned, quantized tensor needs no format of its own: zero is
then simply a frequent code. Reading needs NumPy and `constriction`, not Paddle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from paddlepress.errors import ArtifactError

Array = NDArray[Any]
Encoding = Literal["raw", "sparse", "coded", "packed", "shared"]

BFLOAT16 = "bfloat16"


class TensorRecord(BaseModel):
    """How one tensor is stored.

    Attributes:
        shape, dtype: of the tensor a reader gets.
        encoding: see the module.
        stored: dtype of the stored values, where it differs from `dtype` (float16 weights).
        axis: the axis that `scale` runs along; None for one scale.
        group: how many weights of one index along `axis` share a scale; None: all of them.
        low: the smallest code, which the counts start from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, ...]
    dtype: str
    encoding: Encoding = "raw"
    stored: str | None = None
    axis: int | None = None
    group: int | None = None
    low: int | None = None


class Quantized(BaseModel):
    """A tensor on a grid: `value = code * scale`, zero at code zero.

    Attributes:
        codes: int8 or int16 array of the tensor's shape.
        scale: float32 array, one per index along `axis`, or of size 1 where `axis` is None; with `group`
            [size of the axis, groups], see `spread_scale`.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    codes: Array
    scale: Array
    axis: int | None
    group: int | None = None

    def values(self) -> Array:
        """The float32 tensor that these codes stand for."""
        return self.codes.astype(np.float32) * spread_scale(self.scale, self.axis, self.codes.shape, self.group)


def spread_scale(scale: Array, axis: int | None, shape: tuple[int, ...], group: int | None = None) -> Array:
    """Shape scales so that they multiply a tensor.

    Args:
        scale: one per index along `axis`; one in all where `axis` is None; with `group`
            [size of the axis, groups]: one for each run of `group` weights that an index of the axis has,
            counted with that axis moved to the front and the others flattened. The last run may be shorter.
        axis: which axis.
        shape: of the tensor.
        group: the length of a run.
    """
    if axis is None:
        return scale.reshape(())
    if group is not None:
        front = (shape[axis], *shape[:axis], *shape[axis + 1 :])
        rows = np.repeat(scale.reshape(shape[axis], -1), group, axis=1)
        return np.moveaxis(rows[:, : int(np.prod(front[1:], dtype=np.int64))].reshape(front), 0, axis)
    return scale.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def encode_float(name: str, value: Array, stored: str | None = None) -> tuple[TensorRecord, dict[str, Array]]:
    """Encode a float (or any other) tensor, sparsely where that is smaller.

    Args:
        name: the tensor's name, under which its arrays are kept.
        value: the tensor.
        stored: a narrower dtype whose values the tensor already has: `float16` or `bfloat16`.

    Raises:
        ArtifactError: the values do not survive the narrower dtype.
    """
    kept = value if stored is None else _narrowed(value, stored)
    if stored is not None and not np.array_equal(_widened(kept, stored, value.dtype), value):
        raise ArtifactError(f"{name}: its values are not {stored} values, so it can't be stored as {stored}")
    record = TensorRecord(shape=value.shape, dtype=str(value.dtype), stored=stored)
    raw = {name: np.ascontiguousarray(kept)}
    # -0.0 is a zero to the mask but not to a bit-exact reader: such a tensor stays dense.
    if not np.issubdtype(value.dtype, np.floating) or np.any((value == 0) & np.signbit(value)):
        return record, raw
    nonzero = (kept.reshape(-1) != 0).astype(np.int32)
    if nonzero.size < 64 or nonzero.mean() > 0.95:
        return record, raw
    sparse = {
        f"{name}:positions": _range_encode(nonzero, np.bincount(nonzero, minlength=2)),
        f"{name}:values": kept.reshape(-1)[nonzero == 1],
    }
    if _bytes(sparse) >= _bytes(raw):
        return record, raw
    return record.model_copy(update={"encoding": "sparse"}), sparse


def encode_quantized(name: str, tensor: Quantized) -> tuple[TensorRecord, dict[str, Array]]:
    """Encode quantized codes with their scales, entropy coded where that is smaller."""
    codes = tensor.codes.reshape(-1).astype(np.int32)
    low = int(codes.min()) if codes.size else 0
    counts = np.bincount(codes - low) if codes.size else np.zeros(1, np.int64)
    scale = {f"{name}:scale": tensor.scale.astype(np.float32)}
    coded = {f"{name}:codes": _range_encode(codes - low, counts), f"{name}:counts": _shortest(counts)}
    packed = {f"{name}:codes": np.ascontiguousarray(tensor.codes)}
    record = TensorRecord(shape=tensor.codes.shape, dtype="float32", axis=tensor.axis, group=tensor.group)
    if _bytes(coded) < _bytes(packed):
        update = {"encoding": "coded", "low": low, "stored": str(tensor.codes.dtype)}
        return record.model_copy(update=update), coded | scale
    return record.model_copy(update={"encoding": "packed"}), packed | scale


def encode_shared(name: str, value: Array, bits: int) -> tuple[TensorRecord, dict[str, Array]]:
    """Encode a tensor of few different values as a codebook and, for each weight, its place in it.

    Args:
        name: the tensor's name.
        value: float32 array of at most `2**bits` different values.
        bits: of a place, at most 8.

    Raises:
        ArtifactError: it has more values than that.
    """
    codebook, places = np.unique(value, return_inverse=True)
    if codebook.size > 2**bits:
        raise ArtifactError(f"{name} has {codebook.size} different values; a codebook of {bits} bits holds {2**bits}")
    places = places.reshape(-1).astype(np.int32)
    counts = np.bincount(places, minlength=codebook.size)
    record = TensorRecord(shape=value.shape, dtype="float32", encoding="shared")
    arrays = {f"{name}:codes": _range_encode(places, counts), f"{name}:counts": _shortest(counts)}
    return record, arrays | {f"{name}:codebook": codebook}


def decode(name: str, record: TensorRecord, arrays: Mapping[str, Array]) -> Array | Quantized:
    """The tensor that a record and its arrays stand for.

    Raises:
        ArtifactError: an array is missing, or they do not fit together.
    """
    try:
        return _decode(name, record, arrays)
    except KeyError as error:
        raise ArtifactError(f"tensor {name!r}: {error.args[0]!r} is missing from the weights file") from None
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise ArtifactError(f"tensor {name!r} can't be decoded: {error}") from None


def _decode(name: str, record: TensorRecord, arrays: Mapping[str, Array]) -> Array | Quantized:
    size = int(np.prod(record.shape, dtype=np.int64))
    if record.encoding == "raw":
        return _widened(arrays[name], record.stored, record.dtype).reshape(record.shape)
    if record.encoding == "sparse":
        values = arrays[f"{name}:values"]
        counts = np.array([size - values.size, values.size])
        mask = _range_decode(arrays[f"{name}:positions"], counts, size)
        dense = np.zeros(size, values.dtype)
        dense[mask == 1] = values
        return _widened(dense, record.stored, record.dtype).reshape(record.shape)
    if record.encoding == "shared":
        counts, codebook = arrays[f"{name}:counts"].astype(np.int64), arrays[f"{name}:codebook"]
        if int(counts.sum()) != size or counts.size != codebook.size:
            raise ValueError(f"{counts.size} counts of {int(counts.sum())} codes do not fit its shape and codebook")
        places = _range_decode(arrays[f"{name}:codes"], counts, size)
        return codebook[places].astype(record.dtype).reshape(record.shape)
    codes = arrays[f"{name}:codes"]
    if record.encoding == "coded":
        if record.low is None or record.stored is None:
            raise ValueError("a coded tensor needs 'low' and 'stored'")
        counts = arrays[f"{name}:counts"].astype(np.int64)
        if int(counts.sum()) != size:
            raise ValueError(f"its counts are of {int(counts.sum())} codes, its shape of {size}")
        codes = (_range_decode(codes, counts, size) + record.low).astype(record.stored)
    return Quantized(
        codes=codes.reshape(record.shape), scale=arrays[f"{name}:scale"], axis=record.axis, group=record.group
    )


def _narrowed(value: Array, stored: str) -> Array:
    if stored != BFLOAT16:
        return value.astype(stored)
    return (np.ascontiguousarray(value).view(np.uint32) >> 16).astype(np.uint16)


def _widened(kept: Array, stored: str | None, dtype: Any) -> Array:
    if stored != BFLOAT16:
        return kept.astype(dtype)
    return (kept.astype(np.uint32) << 16).view(np.float32).astype(dtype)


def _bytes(arrays: Mapping[str, Array]) -> int:
    header = 60  # what safetensors' JSON header spends on an array, about
    return sum(array.nbytes + header for array in arrays.values())


def _shortest(counts: Array) -> Array:
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def _model(counts: Array) -> Any:
    import constriction

    # Codes that never occur get no probability from a count of zero; the library asks for none.
    return constriction.stream.model.Categorical(np.maximum(counts, 1e-9).astype(np.float64), perfect=False)


def _range_encode(symbols: Array, counts: Array) -> Array:
    """Code symbols 0..k-1; a message of one single symbol takes no bytes at all."""
    if np.count_nonzero(counts) <= 1:
        return np.zeros(0, np.uint32)
    import constriction

    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(symbols.astype(np.int32), _model(counts))
    return np.asarray(encoder.get_compressed())


def _range_decode(words: Array, counts: Array, size: int) -> Array:
    present = np.flatnonzero(counts)
    if present.size <= 1:
        return np.full(size, present[0] if present.size else 0, np.int32)
    import constriction

    decoder = constriction.stream.queue.RangeDecoder(np.ascontiguousarray(words, dtype=np.uint32))
    return np.asarray(decoder.decode(_model(counts), size))
