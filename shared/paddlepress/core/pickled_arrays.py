"""Pickles of NumPy arrays, read without running what a pickle may ask for.

A pickle is a program. This reader admits what NumPy writes for an array, and the dictionaries and tuples that
arrays are kept in. Even that calls no NumPy code while the pickle is read: the names stand for records, which are
turned into arrays of a few plain types afterwards.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLAIN_TYPES = {"f2", "f4", "f8", "b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"}


class PickledArray:
    """Stands for an array: shape, type and bytes."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.content = state

    def value(self) -> NDArray[Any]:
        """The array, which can't be written to.

        Raises:
            ValueError: it has a type that is not plain, or bytes that are not as many as its shape needs.
        """
        if not isinstance(self.dtype, _Dtype):
            raise ValueError("an array's type is no type")
        content = self.content.encode("latin1") if isinstance(self.content, str) else self.content
        flat = np.frombuffer(content, self.dtype.value())
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


def read(content: bytes) -> Any:
    """What a pickle holds, with a `PickledArray` for each array.

    Raises:
        pickle.UnpicklingError: it asks for anything but arrays; says what.
        Exception: nearly any, if it is damaged.
    """
    return _Reader(io.BytesIO(content), encoding="bytes").load()


class _Dtype:
    """Stands for `numpy.dtype`: type code and byte order."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = order.decode("latin1") if isinstance(order, bytes) else order

    def value(self) -> np.dtype[Any]:
        if self.code not in PLAIN_TYPES or self.order not in ("<", ">", "=", "|"):
            raise ValueError(f"it holds an array of type {self.order}{self.code}")
        return np.dtype(f"{self.order}{self.code}")


def _reconstruct(*_: object) -> PickledArray:
    """What NumPy starts an array with; its state follows."""
    return PickledArray()


def _frombuffer(content: object, dtype: object, shape: object, order: object) -> PickledArray:
    """What NumPy writes an array as since pickle protocol 5."""
    array = PickledArray()
    array.__setstate__((1, shape, dtype, order == "F", content))
    return array


def _encode(text: str, encoding: object) -> bytes:
    """What today's Python writes bytes as in old protocols."""
    return text.encode("latin1")


class _Admitted:
    """One of the callables that a pickle may name, made anew each time: a pickle can also set attributes."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)


def _nothing(*_: object) -> None:
    """Stands for `numpy.ndarray`, which the pickle only names."""


class _Reader(pickle.Unpickler):
    admitted: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "ndarray"): _nothing,
        ("numpy", "dtype"): _Dtype,
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy.core.numeric", "_frombuffer"): _frombuffer,
        ("numpy._core.numeric", "_frombuffer"): _frombuffer,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): OrderedDict,
        ("builtins", "tuple"): tuple,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _Admitted(self.admitted[module, name])
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs") from None
