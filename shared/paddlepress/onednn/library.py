"""oneDNN's C interface: https://uxlfoundation.github.io/oneDNN (version 3).

The constants are those of `dnnl_types.h` and `dnnl_common_types.h`.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_uint, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

MAJOR = 3  # the only version whose interface is the one below

FORWARD_TRAINING, FORWARD_INFERENCE = 64, 96
CONVOLUTION_DIRECT, POOLING_MAX = 1, 0x1FF
SOURCE, DESTINATION, WEIGHTS, WORKSPACE, SCRATCHPAD = 1, 17, 33, 64, 80
GRADIENT = 128  # added to SOURCE, DESTINATION or WEIGHTS
_ANY, _PLAIN = 1, {4: 5, 5: 6}  # format tags: oneDNN's choice; row-major by rank
_FLOAT32, _CPU, _IN_ORDER, _SCRATCHPAD_USER = 3, 1, 1, 1
_RUNTIMES = (1, 2)  # sequential and OpenMP: they compute before they return
# Which memory of a primitive an argument is: the numbers of dnnl_query_t.
_QUERIES = {SOURCE: 129, SOURCE + GRADIENT: 130, WEIGHTS: 131, WEIGHTS + GRADIENT: 132, DESTINATION: 133}
_QUERIES |= {DESTINATION + GRADIENT: 134, WORKSPACE: 135, SCRATCHPAD: 136}

_KEPT_BYTES = 128 * 2**20  # of scratch memory that stays for the next call, in each role

lock = threading.RLock()
"""Held while oneDNN computes: the memory objects of a primitive and the scratch memory are shared."""


class OneDNNError(RuntimeError):
    """oneDNN refused: a shape that it has no kernel for, or no memory."""


class _Version(ctypes.Structure):
    _fields_ = [("major", c_int), ("minor", c_int), ("patch", c_int), ("hash", c_char_p), ("cpu_runtime", c_uint)]


class Argument(ctypes.Structure):
    """`dnnl_exec_arg_t`."""

    _fields_ = [("index", c_int), ("memory", c_void_p)]


class Handle:
    """An object of oneDNN's, destroyed with this one."""

    __slots__ = ("_destroy", "value")

    def __init__(self, value: int, destroy: Any) -> None:
        self.value, self._destroy = value, destroy

    def __del__(self) -> None:
        self._destroy(self.value)


class Library:
    """The loaded library, with an engine and a stream for the processor.

    Args:
        path: of `libdnnl.so.3`.

    Raises:
        OSError: it cannot be loaded.
        OneDNNError: it is of another major version, or computes in the background.
    """

    def __init__(self, path: Path) -> None:
        self.functions = ctypes.CDLL(str(path))  # lets other threads run meanwhile
        self._short = ctypes.PyDLL(str(path))  # doesn't: for what takes less time than that
        get_version = self._short.dnnl_version
        get_version.restype = POINTER(_Version)
        self.version = get_version().contents
        if self.version.major != MAJOR or self.version.cpu_runtime not in _RUNTIMES:
            raise OneDNNError(
                f"{path} is oneDNN {self.version.major}.{self.version.minor} with runtime {self.version.cpu_runtime}; "
                f"usable are {MAJOR}.x with runtime {' or '.join(map(str, _RUNTIMES))}"
            )
        self._set_address = self._short.dnnl_memory_set_data_handle
        self._set_address.argtypes = [c_void_p, c_void_p]
        self._query = self._short.dnnl_primitive_desc_query_md
        self._query.argtypes, self._query.restype = [c_void_p, c_int, c_int], c_void_p
        self._size = self._short.dnnl_memory_desc_get_size
        self._size.argtypes, self._size.restype = [c_void_p], c_size_t
        self._equal = self._short.dnnl_memory_desc_equal
        self._equal.argtypes = [c_void_p, c_void_p]
        self._execute = self.functions.dnnl_primitive_execute
        self._execute.argtypes = [c_void_p, c_void_p, c_int, c_void_p]
        self.threads = self.functions.omp_get_max_threads if self.version.cpu_runtime == 2 else int
        self.engine = self.create("engine", "dnnl_engine_create", c_int(_CPU), c_size_t(0))
        self.stream = self.create("stream", "dnnl_stream_create", self.engine, c_uint(_IN_ORDER))
        self.attributes = self.create("primitive_attr", "dnnl_primitive_attr_create")
        # Otherwise every primitive holds scratch memory of its own.
        set_mode = self._short.dnnl_primitive_attr_set_scratchpad_mode
        _check("dnnl_primitive_attr_set_scratchpad_mode", set_mode(c_void_p(self.attributes.value), _SCRATCHPAD_USER))

    def create(self, kind: str, function: str, *arguments: Any) -> Handle:
        """What a function of oneDNN's creates; handles among the arguments stand for their pointers."""
        made = c_void_p()
        given = [c_void_p(each.value) if isinstance(each, Handle) else each for each in arguments]
        _check(function, getattr(self.functions, function)(byref(made), *given))
        assert made.value is not None
        destroy = getattr(self._short, f"dnnl_{kind}_destroy")
        destroy.argtypes = [c_void_p]
        return Handle(made.value, destroy)

    def primitive_description(self, function: str, *arguments: Any) -> Handle:
        """A `dnnl_primitive_desc_t`, from one of the functions that create them."""
        return self.create("primitive_desc", f"{function}_primitive_desc_create", self.engine, *arguments)

    def layout(self, shape: Sequence[int], plain: bool = True) -> Handle:
        """The memory of a float32 array: row-major, or in oneDNN's own order of choice."""
        tag = _PLAIN[len(shape)] if plain else _ANY
        create = "dnnl_memory_desc_create_with_tag"
        return self.create("memory_desc", create, len(shape), numbers(shape), _FLOAT32, tag)

    def memory(self, layout: int) -> Handle:
        return self.create("memory", "dnnl_memory_create", c_void_p(layout), self.engine, c_void_p(0))

    def wanted(self, description: Handle, argument: int) -> int:
        """The layout that a primitive wants an argument in; 0 if it has no such argument."""
        return self._query(description.value, _QUERIES[argument], 0) or 0

    def size(self, layout: int) -> int:
        """Bytes of memory."""
        return int(self._size(layout))

    def same(self, a: int, b: int) -> bool:
        return bool(self._equal(a, b))

    def place(self, memory: Handle, address: int) -> None:
        """Say where the contents of a memory object are."""
        _check("dnnl_memory_set_data_handle", self._set_address(memory.value, address))

    def execute(self, primitive: Handle, count: int, arguments: int) -> None:
        _check("dnnl_primitive_execute", self._execute(primitive.value, self.stream.value, count, arguments))


class Scratch:
    """Memory between a layout of Paddle's and one of oneDNN's, a piece for each role, shared by all primitives."""

    def __init__(self) -> None:
        self._kept: dict[int, Any] = {}

    def take(self, role: int, size: int) -> Any:
        """A buffer with at least `size` bytes after its first multiple of 64; it must be held while it is used."""
        buffer = self._kept.get(role)
        if buffer is None or len(buffer) < size + 64:
            buffer = (ctypes.c_char * (size + 64))()
            if size <= _KEPT_BYTES:
                self._kept[role] = buffer
        return buffer

    def held(self) -> int:
        """Bytes that are kept."""
        return sum(len(buffer) for buffer in self._kept.values())


scratch = Scratch()


def aligned(buffer: Any) -> int:
    """The first address in a buffer that is a multiple of 64, a line of the cache."""
    return (ctypes.addressof(buffer) + 63) & ~63


def numbers(values: Sequence[int]) -> Any:
    """An array of 64-bit integers."""
    return (c_int64 * len(values))(*values)


@cache
def library() -> Library:
    """The library that Paddle's wheel ships.

    Raises:
        OSError, OneDNNError: there is none that can be used.
    """
    import paddle

    return Library(Path(paddle.__file__).parent / "libs" / "libdnnl.so.3")


def _check(function: str, status: int) -> None:
    if status:
        raise OneDNNError(f"{function} failed with status {status}")


def _renew_lock() -> None:
    """A thread that does not exist in a forked process may have held the lock."""
    global lock
    lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
