"""Convolution and max pooling of float32 arrays [n, c, h, w] that lie row-major at an address."""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from paddlepress.onednn import library as onednn
from paddlepress.onednn.library import (
    CONVOLUTION_DIRECT,
    DESTINATION,
    FORWARD_INFERENCE,
    FORWARD_TRAINING,
    GRADIENT,
    POOLING_MAX,
    SCRATCHPAD,
    SOURCE,
    WEIGHTS,
    WORKSPACE,
    Argument,
    Handle,
    OneDNNError,
    aligned,
    numbers,
)

Pair = tuple[int, int]
Shape = tuple[int, int, int, int]
T = TypeVar("T")


class Primitive:
    """A primitive that reads and writes row-major arrays: it reorders what oneDNN wants in another order.

    Args:
        description: a `dnnl_primitive_desc_t`.
        layouts: how each argument lies in memory; None for one that lies as the primitive wants it.
        writes: which of them is the result.
    """

    def __init__(self, description: Handle, layouts: dict[int, Handle | None], writes: int) -> None:
        self._lib = lib = onednn.library()
        self._description = description  # it owns the layouts that it is asked for
        self._layouts = layouts
        self._primitive = lib.create("primitive", "dnnl_primitive_create", description)
        self._outer: dict[int, Handle] = {}
        self._scratch: list[tuple[Handle, int, int]] = []
        self._before: list[tuple[Handle, Any, int]] = []
        self._after: list[tuple[Handle, Any, int]] = []
        memories: list[tuple[int, Handle]] = []
        for role, (argument, layout) in enumerate(layouts.items()):
            wanted = lib.wanted(description, argument)
            own = lib.memory(wanted)
            memories.append((argument, own))
            if layout is None or lib.same(wanted, layout.value):
                self._outer[argument] = own
                continue
            self._scratch.append((own, role, lib.size(wanted)))
            outer = self._outer[argument] = lib.memory(layout.value)
            if argument == writes:
                self._after.append(self._reorder(wanted, own, layout.value, outer))
            else:
                self._before.append(self._reorder(layout.value, outer, wanted, own))
        scratchpad = lib.wanted(description, SCRATCHPAD)
        if scratchpad and lib.size(scratchpad):
            own = lib.memory(scratchpad)
            memories.append((SCRATCHPAD, own))
            self._scratch.append((own, SCRATCHPAD, lib.size(scratchpad)))
        self._memories = memories
        self._arguments = (Argument * len(memories))(*(Argument(index, memory.value) for index, memory in memories))

    def _reorder(self, source: int, given: Handle, target: int, made: Handle) -> tuple[Handle, Any, int]:
        lib, pointer = self._lib, ctypes.c_void_p
        create = "dnnl_reorder_primitive_desc_create"
        arguments = (pointer(source), lib.engine, pointer(target), lib.engine, pointer(0))
        primitive = lib.create("primitive", "dnnl_primitive_create", lib.create("primitive_desc", create, *arguments))
        pair = (Argument * 2)(Argument(SOURCE, given.value), Argument(DESTINATION, made.value))
        return primitive, pair, 2

    def __call__(self, addresses: dict[int, int]) -> None:
        """Compute.

        Args:
            addresses: of each array, by argument.

        Raises:
            OneDNNError: there is no memory.
        """
        lib = self._lib
        with onednn.lock:
            held = []
            for memory, role, size in self._scratch:
                buffer = onednn.scratch.take(role, size)
                held.append(buffer)
                lib.place(memory, aligned(buffer))
            for argument, address in addresses.items():
                lib.place(self._outer[argument], address)
            for primitive, arguments, count in self._before:
                lib.execute(primitive, count, ctypes.addressof(arguments))
            lib.execute(self._primitive, len(self._arguments), ctypes.addressof(self._arguments))
            for primitive, arguments, count in self._after:
                lib.execute(primitive, count, ctypes.addressof(arguments))


class lazy(Generic[T]):
    """A property that is computed once; unlike `functools.cached_property` it locks nothing that outlives a fork."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute, self._name = compute, compute.__name__

    def __get__(self, instance: Any, owner: type) -> T:
        with onednn.lock:
            kept: dict[str, Any] = instance.__dict__
            if self._name not in kept:
                kept[self._name] = self._compute(instance)
            value: T = kept[self._name]
            return value


class Convolution:
    """Convolution without a bias, and its gradients.

    Args:
        image: shape [n, c, h, w].
        kernel: shape [o, c / groups, kh, kw].
        stride, before, after, dilation: by height and width; `before` and `after` are the padding with zeros.
        groups: of channels.

    Raises:
        OneDNNError: oneDNN has no kernel for these shapes.
    """

    def __init__(
        self, image: Shape, kernel: Shape, stride: Pair, before: Pair, after: Pair, dilation: Pair, groups: int
    ) -> None:
        o, share, *window = kernel
        if image[1] != share * groups or o % groups:
            raise OneDNNError(f"a kernel {kernel} in {groups} groups does not fit an image {image}")
        spans = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
        self.output = (image[0], o, *_places(image, spans, stride, before, after))
        lib = self._lib = onednn.library()
        grouped = kernel if groups == 1 else (groups, o // groups, *kernel[1:])
        self._image, self._kernel, self._out = (lib.layout(shape) for shape in (image, grouped, self.output))
        self._any = [lib.layout(shape, plain=False) for shape in (image, grouped, self.output)]
        self._settings = tuple(map(numbers, (stride, [d - 1 for d in dilation], before, after)))
        x, w, y = self._any
        settings = (x, w, None, y, *self._settings, lib.attributes)
        how = (FORWARD_TRAINING, CONVOLUTION_DIRECT)
        self._hint = lib.primitive_description("dnnl_convolution_forward", *how, *settings)
        layouts: dict[int, Handle | None] = {SOURCE: self._image, WEIGHTS: self._kernel, DESTINATION: self._out}
        self._forward = Primitive(self._hint, layouts, DESTINATION)

    def forward(self, image: int, kernel: int, output: int) -> None:
        """The convolution; arguments are addresses, the last one's of what is written."""
        self._forward({SOURCE: image, WEIGHTS: kernel, DESTINATION: output})

    def image_gradient(self, gradient: int, kernel: int, made: int) -> None:
        """The gradient by the image, from that by the output."""
        self._by_image({DESTINATION + GRADIENT: gradient, WEIGHTS: kernel, SOURCE + GRADIENT: made})

    def kernel_gradient(self, gradient: int, image: int, made: int) -> None:
        """The gradient by the kernel, from that by the output."""
        self._by_kernel({SOURCE: image, DESTINATION + GRADIENT: gradient, WEIGHTS + GRADIENT: made})

    # A network that only predicts needs no gradients, so that their kernels are generated when they are first wanted.

    @lazy
    def _by_image(self) -> Primitive:
        x, w, y = self._any
        settings = (x, w, y, *self._settings, self._hint, self._lib.attributes)
        how = "dnnl_convolution_backward_data"
        layouts: dict[int, Handle | None] = {DESTINATION + GRADIENT: self._out, WEIGHTS: self._kernel}
        layouts[SOURCE + GRADIENT] = self._image
        description = self._lib.primitive_description(how, CONVOLUTION_DIRECT, *settings)
        return Primitive(description, layouts, SOURCE + GRADIENT)

    @lazy
    def _by_kernel(self) -> Primitive:
        x, w, y = self._any
        settings = (x, w, None, y, *self._settings, self._hint, self._lib.attributes)
        how = "dnnl_convolution_backward_weights"
        layouts: dict[int, Handle | None] = {SOURCE: self._image, DESTINATION + GRADIENT: self._out}
        layouts[WEIGHTS + GRADIENT] = self._kernel
        description = self._lib.primitive_description(how, CONVOLUTION_DIRECT, *settings)
        return Primitive(description, layouts, WEIGHTS + GRADIENT)


class MaxPooling:
    """The largest value of each window, and its gradient.

    Args:
        image: shape [n, c, h, w].
        window, stride, before, after: by height and width; what is padded is never the largest.

    Raises:
        OneDNNError: oneDNN has no kernel for these shapes.
    """

    def __init__(self, image: Shape, window: Pair, stride: Pair, before: Pair, after: Pair) -> None:
        if any(pad >= size for pads in (before, after) for pad, size in zip(pads, window, strict=True)):
            raise OneDNNError(f"a window {window} may lie in the padding {before}, {after} alone")
        self.output = (image[0], image[1], *_places(image, window, stride, before, after))
        lib = self._lib = onednn.library()
        self._image, self._out = lib.layout(image), lib.layout(self.output)
        self._settings = tuple(map(numbers, (stride, window, (0, 0), before, after)))

    def _description(self, kind: int) -> Handle:
        settings = (POOLING_MAX, self._image, self._out, *self._settings, self._lib.attributes)
        return self._lib.primitive_description("dnnl_pooling_forward", kind, *settings)

    @lazy
    def _inference(self) -> Primitive:
        layouts: dict[int, Handle | None] = {SOURCE: self._image, DESTINATION: self._out}
        return Primitive(self._description(FORWARD_INFERENCE), layouts, DESTINATION)

    @lazy
    def _hint(self) -> Handle:
        return self._description(FORWARD_TRAINING)

    @lazy
    def _training(self) -> Primitive:
        layouts = {SOURCE: self._image, DESTINATION: self._out, WORKSPACE: None}
        return Primitive(self._hint, layouts, DESTINATION)

    @lazy
    def _backward(self) -> Primitive:
        settings = (POOLING_MAX, self._image, self._out, *self._settings, self._hint, self._lib.attributes)
        description = self._lib.primitive_description("dnnl_pooling_backward", *settings)
        layouts = {DESTINATION + GRADIENT: self._out, SOURCE + GRADIENT: self._image, WORKSPACE: None}
        return Primitive(description, layouts, SOURCE + GRADIENT)

    @lazy
    def workspace(self) -> int:
        """Bytes that say where each largest value was."""
        return self._lib.size(self._lib.wanted(self._hint, WORKSPACE))

    def infer(self, image: int, output: int) -> None:
        """The largest values alone; arguments are addresses, the last one's of what is written."""
        self._inference({SOURCE: image, DESTINATION: output})

    def forward(self, image: int, output: int, workspace: int) -> None:
        """The largest values and where they were."""
        self._training({SOURCE: image, DESTINATION: output, WORKSPACE: workspace})

    def image_gradient(self, gradient: int, workspace: int, made: int) -> None:
        """The gradient by the image, from that by the output: it goes to each window's first largest value."""
        self._backward({DESTINATION + GRADIENT: gradient, WORKSPACE: workspace, SOURCE + GRADIENT: made})


class LeastRecentlyUsed(Generic[T]):
    """Primitives by what they were made from; of those that are used no more, the oldest are destroyed.

    A shape that oneDNN has no kernel for is kept as well, as None.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: OrderedDict[Hashable, T | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, make: Callable[[], T]) -> T | None:
        with onednn.lock:
            try:
                self._kept.move_to_end(key)
                return self._kept[key]
            except KeyError:
                pass
        made: T | None
        try:
            made = make()
        except OneDNNError:
            made = None
        with onednn.lock:
            self._kept[key] = made
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
        return made


def _places(image: Shape, spans: Any, stride: Pair, before: Pair, after: Pair) -> Pair:
    """How many windows fit in height and width."""
    height, width = (
        (image[2 + axis] + before[axis] + after[axis] - spans[axis]) // stride[axis] + 1 for axis in range(2)
    )
    if min(*image, height, width) < 1:
        raise OneDNNError(f"no window of {tuple(spans)} fits an image {image}")
    return height, width
