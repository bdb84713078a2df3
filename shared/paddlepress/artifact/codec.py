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

bfloat16 values, which safetensors reads no NumPy arrays of, are stored as the unsigned integers of their bits.

Integers are entropy coded with a static model of their own frequencies, by the range coder of the
`constriction` library (Bamler, "Understanding Entropy Coding With Asymmetric Numeral Systems", 2022),
within a few bytes of their entropy. A pruned, quantized tensor needs no format of its own: zero is
then simply a frequent code. Reading needs NumPy and `constriction`, not Paddle.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from paddlepress.core.errors import ArtifactError, in_one_line
from paddlepress.spec.tensors import BFLOAT16, Array, Quantized

Encoding = Literal["raw", "sparse", "coded", "packed", "shared"]

DTYPES = (
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
    "complex64", "complex128",
)  # fmt: skip
_STORED = {"coded": ("int8", "int16"), "raw": (None, "float16", BFLOAT16), "sparse": (None, "float16", BFLOAT16)}
_FEW, _NUMBERS_A_BYTE = 2**26, 256
_MOST_SYMBOLS = 2**16


def possible_numbers(stored: int) -> int:
    """The most numbers that a weights file may stand for; a tensor of one value takes no bytes whatever its shape.

    Args:
        stored: bytes of the file.
    """
    return max(_FEW, _NUMBERS_A_BYTE * stored)


class TensorRecord(BaseModel):
    """How one tensor is stored.

    Attributes:
        shape, dtype: of the tensor a reader gets.
        encoding: see the module.
        stored: dtype of the stored values, where it differs from `dtype` (float16 weights).
        axis: the axis that `scale` runs along; None for one scale.
        group: how many weights of one index along `axis` share a scale; None: all of them.
        low: the smallest code, which the counts start from.

    Raises:
        ValueError: a record that no tensor has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[Annotated[int, Field(ge=0, lt=2**40)], ...] = Field(max_length=16)
    dtype: str
    encoding: Encoding = "raw"
    stored: str | None = None
    axis: int | None = Field(default=None, ge=0)
    group: int | None = Field(default=None, ge=1, lt=2**40)
    low: int | None = Field(default=None, ge=-(2**15), lt=2**15)

    @model_validator(mode="after")
    def _possible(self) -> TensorRecord:
        if self.axis is not None and self.axis >= len(self.shape):
            raise ValueError(f"a tensor of {len(self.shape)} dimensions has no axis {self.axis}")
        if self.dtype not in DTYPES:
            raise ValueError(f"no tensor is of type {self.dtype[:40]!r}. Valid: {', '.join(DTYPES)}")
        if self.stored not in _STORED.get(self.encoding, (None,)):
            raise ValueError(f"no {self.encoding} tensor is stored as {in_one_line(self.stored, 40)}")
        if self.encoding == "coded" and self.low is None:
            raise ValueError("a coded tensor needs 'low'")
        if self.encoding in ("coded", "packed", "shared") and self.dtype != "float32":
            raise ValueError(f"a {self.encoding} tensor is float32, not {self.dtype}")
        return self

    @property
    def size(self) -> int:
        """How many numbers the tensor has."""
        return prod(self.shape)


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
    if stored is not None and _widened(kept, stored, value.dtype).tobytes() != value.tobytes():
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

    The arrays are checked against the record's shape before anything is decoded; that this shape is one that may be
    allocated is for the caller to know.

    Raises:
        ArtifactError: an array is missing, or they do not fit together.
    """
    try:
        return _decode(name, record, arrays)
    except KeyError as error:
        missing = in_one_line(repr(error.args[0]), 100)
        raise ArtifactError(f"{missing} is missing from the weights file") from None
    except (ValueError, TypeError, IndexError, OverflowError, MemoryError, AssertionError) as error:
        raise ArtifactError(f"tensor {in_one_line(repr(name), 100)} can't be decoded: {in_one_line(error)}") from None


def array_names(name: str, record: TensorRecord) -> tuple[str, ...]:
    """The names of the arrays that a tensor is stored as."""
    parts = {
        "raw": (),
        "sparse": ("positions", "values"),
        "coded": ("codes", "counts", "scale"),
        "packed": ("codes", "scale"),
        "shared": ("codes", "counts", "codebook"),
    }[record.encoding]
    return tuple(f"{name}:{part}" for part in parts) or (name,)


def _decode(name: str, record: TensorRecord, arrays: Mapping[str, Array]) -> Array | Quantized:
    size = record.size
    kept = np.dtype(np.uint16 if record.stored == BFLOAT16 else record.stored or record.dtype)
    if record.encoding == "raw":
        value = _typed(arrays[name], kept, size)
        return _widened(value, record.stored, record.dtype).reshape(record.shape)
    if record.encoding == "sparse":
        values = _typed(arrays[f"{name}:values"], kept)
        if values.size > size:
            raise ValueError(f"it has {values.size} values, its shape has room for {size}")
        mask = _range_decode(arrays[f"{name}:positions"], [size - values.size, values.size])
        dense = np.zeros(size, values.dtype)
        dense[mask == 1] = values.reshape(-1)
        return _widened(dense, record.stored, record.dtype).reshape(record.shape)
    if record.encoding == "shared":
        codebook = _finite(_typed(arrays[f"{name}:codebook"], np.dtype(np.float32)).reshape(-1))
        counts = _counts(arrays[f"{name}:counts"], size)
        if len(counts) != codebook.size:
            raise ValueError(f"it has {len(counts)} counts and {codebook.size} values in its codebook")
        places = _range_decode(arrays[f"{name}:codes"], counts)
        return codebook[places].reshape(record.shape)
    scale = _finite(_typed(arrays[f"{name}:scale"], np.dtype(np.float32), _scales(record)))
    if record.encoding == "packed":
        codes = arrays[f"{name}:codes"]
        if codes.dtype not in (np.int8, np.int16):
            raise ValueError(f"its codes are {codes.dtype}, not int8 or int16")
        codes = _typed(codes, codes.dtype, size)
    else:
        counts = _counts(arrays[f"{name}:counts"], size)
        low, limits = record.low or 0, np.iinfo(record.stored or "int8")
        if low < limits.min or low + len(counts) - 1 > limits.max:
            raise ValueError(f"codes from {low} to {low + len(counts) - 1} are none of {record.stored}")
        places = _range_decode(arrays[f"{name}:codes"], counts)
        places += low
        codes = places.astype(record.stored)
    return Quantized(codes=codes.reshape(record.shape), scale=scale, axis=record.axis, group=record.group)


def _typed(array: Array, dtype: np.dtype[Any], size: int | None = None) -> Array:
    """An array, found to be of a type and, where stated, of a size."""
    if array.dtype != dtype:
        raise ValueError(f"it is stored as {array.dtype}, not as {dtype}")
    if size is not None and array.size != size:
        raise ValueError(f"{array.size} numbers are stored, {size} are needed")
    return array


def _finite(array: Array) -> Array:
    if not np.isfinite(array).all():
        raise ValueError("its scales or its codebook are not finite")
    return array


def _scales(record: TensorRecord) -> int:
    """How many scales a quantized tensor has."""
    if record.axis is None:
        return 1
    rows = record.shape[record.axis]
    if record.group is None:
        return rows
    length = prod(record.shape) // rows if rows else 0
    return rows * -(-length // record.group)


def _counts(array: Array, size: int) -> list[int]:
    """How often each symbol occurs, found to be as often as there are numbers."""
    if array.ndim != 1 or (array.dtype.kind != "u" and array.dtype != np.int64) or array.size > _MOST_SYMBOLS:
        raise ValueError(f"{array.size} counts of {array.dtype} are none of symbols")
    counts = [int(count) for count in array]  # Python's integers, which do not overflow
    if sum(counts) != size or min(counts, default=0) < 0:
        raise ValueError(f"its counts are of {sum(counts)} codes, its shape of {size}")
    return counts


def _narrowed(value: Array, stored: str) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):  # a value too large becomes infinite, which is another value
        kept = value.astype(stored)
    return kept.view(np.uint16) if stored == BFLOAT16 else kept


def _widened(kept: Array, stored: str | None, dtype: Any) -> Array:
    return (kept.view(BFLOAT16) if stored == BFLOAT16 else kept).astype(dtype)


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


def _range_decode(words: Array, counts: list[int]) -> Array:
    """As many symbols as the counts say; int32."""
    present = [symbol for symbol, count in enumerate(counts) if count]
    if len(present) <= 1:
        return np.full(sum(counts), present[0] if present else 0, np.int32)
    import constriction

    decoder = constriction.stream.queue.RangeDecoder(
        np.ascontiguousarray(_typed(words, np.dtype(np.uint32)).reshape(-1))
    )
    return np.asarray(decoder.decode(_model(np.asarray(counts)), sum(counts)))
