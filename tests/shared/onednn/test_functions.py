"""What oneDNN computes is what Paddle computes, and where it can't be, Paddle computes it."""

from __future__ import annotations

import gc
import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlepress.onednn import functions, library
from paddlepress.onednn.install import install, uninstall

Compute = Callable[..., paddle.Tensor]


def tensor(*shape: int, seed: int = 0, gradient: bool = True) -> paddle.Tensor:
    values = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return paddle.to_tensor(values, stop_gradient=not gradient)


def close(found: Any, expected: Any) -> None:
    """Equal to 1e-5 of the largest value."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(np.abs(expected).max(initial=0), 1e-3))


def with_gradients(compute: Compute, *tensors: paddle.Tensor) -> list[Any]:
    """A function's values and the gradients of a sum over them in which each has a weight of its own."""
    made = compute(*tensors)
    weights = tensor(*made.shape, seed=9, gradient=False)
    return [made.numpy(), *(g.numpy() for g in paddle.grad((made * weights).sum(), list(tensors)))]


def by_paddle(work: Callable[..., Any], *arguments: Any) -> Any:
    """A result of Paddle's own operations."""
    uninstall()
    try:
        return work(*arguments)
    finally:
        assert install()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What oneDNN computes during a test."""
    calls: list[str] = []
    for kind in (functions.Convolution, functions.MaxPooling):
        for name in ("forward", "image_gradient", "kernel_gradient", "infer"):
            if original := getattr(kind, name, None):

                def noted(self: Any, *addresses: int, original: Any = original, name: str = name) -> None:
                    calls.append(name)
                    original(self, *addresses)

                monkeypatch.setattr(kind, name, noted)
    return calls


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shapes of an image and of a kernel, and the settings."""
    number = st.integers
    groups = draw(number(1, 4))
    share, of_each = draw(number(1, 9)), draw(number(1, 9))
    kernel = draw(st.tuples(number(1, 5), number(1, 5)))
    dilation = draw(st.tuples(number(1, 2), number(1, 2)))
    padding = draw(
        st.one_of(st.lists(number(0, 3), min_size=2, max_size=2), st.lists(number(0, 3), min_size=4, max_size=4))
    )
    stride = draw(st.tuples(number(1, 3), number(1, 3)))
    size = [(k - 1) * d + 1 + draw(number(0, 8)) for k, d in zip(kernel, dilation, strict=True)]
    settings = {"stride": list(stride), "padding": padding, "dilation": list(dilation), "groups": groups}
    return (draw(number(1, 5)), share * groups, *size), (of_each * groups, share, *kernel), settings


@given(convolutions())
def test_a_convolution_and_its_gradients(case: tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]) -> None:
    """Any stride, padding, dilation and number of groups gives Paddle's numbers."""
    image, kernel, settings = case
    x, w = tensor(*image), tensor(*kernel, seed=1)

    def compute(x: paddle.Tensor, w: paddle.Tensor) -> paddle.Tensor:
        return F.conv2d(x, w, None, **settings)

    for found, expected in zip(with_gradients(compute, x, w), by_paddle(with_gradients, compute, x, w), strict=True):
        close(found, expected)


@given(st.data())
def test_max_pooling_and_its_gradient(data: st.DataObject) -> None:
    """The gradient goes where Paddle sends it, between equal values as well."""
    number = st.integers
    window = data.draw(st.tuples(number(1, 4), number(1, 4)))
    stride = data.draw(st.tuples(number(1, 4), number(1, 4)))
    padding = [data.draw(number(0, k // 2)) for k in window]
    image = (data.draw(number(1, 4)), data.draw(number(1, 9)), *(k + data.draw(number(0, 9)) for k in window))
    x = tensor(*image)
    if data.draw(st.booleans()):
        x = F.relu(x).detach()  # half of the values are equal
        x.stop_gradient = False

    def compute(x: paddle.Tensor) -> paddle.Tensor:
        return F.max_pool2d(x, list(window), list(stride), padding)

    for found, expected in zip(with_gradients(compute, x), by_paddle(with_gradients, compute, x), strict=True):
        close(found, expected)


def test_a_network_learns_as_with_paddle(computed: list[str]) -> None:
    """Ten steps of training end with the weights that Paddle's operations end with, and repeat bit for bit."""

    def train() -> list[Any]:
        paddle.seed(0)
        layers = [paddle.nn.Conv2D(1, 8, 3), paddle.nn.BatchNorm2D(8), paddle.nn.ReLU(), paddle.nn.MaxPool2D(2)]
        layers += [paddle.nn.Conv2D(8, 8, 3, groups=8), paddle.nn.Flatten(), paddle.nn.Linear(8 * 16, 5)]
        network = paddle.nn.Sequential(*layers)
        optimizer = paddle.optimizer.Momentum(0.05, parameters=network.parameters())
        for step in range(10):
            F.cross_entropy(network(tensor(16, 1, 14, 14, seed=step, gradient=False)), paddle.arange(16) % 5).backward()
            optimizer.step()
            optimizer.clear_grad()
        return [p.numpy() for p in network.parameters()]

    found, again = train(), train()
    assert {"forward", "image_gradient", "kernel_gradient"} <= set(computed)
    for one, other, expected in zip(found, again, by_paddle(train), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, expected, atol=1e-4)


@pytest.mark.parametrize("wanted", [(0,), (1,), (0, 1), (1, 0)])
def test_each_gradient_can_be_asked_for_alone(wanted: tuple[int, ...], computed: list[str]) -> None:
    """`paddle.grad` by the image alone, by the kernel alone or by both computes what is asked for and no more."""
    tensors = tensor(2, 3, 6, 6), tensor(4, 3, 3, 3, seed=1)

    def gradients() -> list[Any]:
        x, w = tensors
        y = F.conv2d(F.conv2d(x * 2, w), tensor(2, 4, 3, 3, gradient=False))
        return [g.numpy() for g in paddle.grad((y * y).sum(), [tensors[n] for n in wanted])]

    found = gradients()
    assert computed.count("image_gradient") == 1 + (0 in wanted)
    assert computed.count("kernel_gradient") == (1 in wanted)
    for one, other in zip(found, by_paddle(gradients), strict=True):
        close(one, other)


def test_gradients_reach_what_lies_between() -> None:
    """Hooks on a convolution's output see and change its gradient; a gradient by the output itself can be asked for."""
    x, w = tensor(1, 2, 5, 5), tensor(3, 2, 3, 3, seed=1)
    y = F.conv2d(x, w)
    seen: list[Any] = []
    y.register_hook(lambda g: (seen.append(g.numpy()), g * 2)[1])
    z = (y * y).sum()
    (by_output,) = paddle.grad(z, y, retain_graph=True)
    np.testing.assert_allclose(by_output.numpy(), 2 * (2 * y.numpy()))
    seen.clear()
    z.backward()
    np.testing.assert_allclose(seen[0], 2 * y.numpy())
    expected = by_paddle(lambda: paddle.grad((2 * F.conv2d(x, w) ** 2).sum(), [x, w]))
    close(x.grad, expected[0])
    close(w.grad, expected[1])


def test_gradients_add_up() -> None:
    """A kernel that is used twice, and a graph that is gone through twice."""
    x, w = tensor(1, 2, 9, 9), tensor(2, 2, 3, 3, seed=1)

    def twice() -> list[Any]:
        x.clear_gradient(set_to_zero=False)
        w.clear_gradient(set_to_zero=False)
        loss = F.conv2d(F.conv2d(x, w), w).sum()
        loss.backward(retain_graph=True)
        loss.backward()
        return [x.grad.numpy(), w.grad.numpy()]

    for found, expected in zip(twice(), by_paddle(twice), strict=True):
        close(found, expected)


def test_gradients_of_gradients_are_paddles(computed: list[str]) -> None:
    """The gradient of a gradient's square, also where what comes in on the way back depends on nothing."""
    x, w = tensor(2, 2, 7, 7), tensor(3, 2, 3, 3, seed=1)

    def second() -> list[Any]:
        y = F.tanh(F.conv2d(x * x, w))
        (first,) = paddle.grad((y * y).sum(), [x], create_graph=True)
        (plain,) = paddle.grad(F.conv2d(x, w).sum(), [x], create_graph=True)
        assert set(computed) <= {"forward"}
        return [g.numpy() for g in paddle.grad((first * first).sum() + (plain * plain).sum(), [x, w])]

    found = second()
    computed.clear()
    for one, other in zip(found, by_paddle(second), strict=True):
        close(one, other)


@pytest.mark.parametrize(
    "compute",
    [
        lambda x, w: F.conv2d(x.astype("float64"), w.astype("float64")),
        lambda x, w: F.conv2d(x.transpose([0, 2, 3, 1]), w, data_format="NHWC"),
        lambda x, w: F.conv2d(x, w, padding="SAME"),
        lambda x, w: F.conv2d(x[:, :1], w[:, :1]),
        lambda x, w: F.max_pool2d(x, 3, 2, ceil_mode=True),
        lambda x, w: F.max_pool2d(x, 2, 2, padding="SAME"),
        lambda x, w: F.max_pool2d(x, 2, 2, return_mask=True)[0],
        lambda x, w: F.max_pool2d(x.transpose([0, 2, 3, 1]), 2, 2, data_format="NHWC"),
        lambda x, w: F.avg_pool2d(x, 2, 2),
        lambda x, w: F.adaptive_max_pool2d(x, 2),
        lambda x, w: F.adaptive_avg_pool2d(x, 2),
    ],
    ids=[
        "float64", "NHWC", "SAME", "one channel", "ceil mode", "pool SAME", "mask", "pool NHWC",
        "average", "adaptive max", "adaptive average",
    ],
)  # fmt: skip
def test_what_is_left_to_paddle(compute: Compute, computed: list[str]) -> None:
    """Where oneDNN is not called, the numbers are Paddle's own."""
    x, w = tensor(2, 3, 8, 8), tensor(4, 3, 3, 3, seed=1)
    found = compute(x, w)
    expected = by_paddle(compute, x, w)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.astype("float64"), expected.astype("float64"))
    found.sum().backward()
    assert computed == []


def test_mixed_precision_is_paddles() -> None:
    """Where Paddle casts an operation's inputs, it must see the operation."""
    x, w = tensor(2, 3, 8, 8), tensor(4, 3, 3, 3, seed=1)
    call = ([1, 1], [0, 0], "EXPLICIT", [1, 1], 1, "NCHW")
    tracer = paddle.base.framework._dygraph_tracer()
    before = tracer._amp_level
    assert functions.conv2d(x, w, *call) is not None
    try:
        tracer._amp_level = paddle.base.core.AmpLevel.O1
        assert functions.conv2d(x, w, *call) is None
    finally:
        tracer._amp_level = before


def test_errors_are_paddles() -> None:
    """Shapes that don't fit are refused by Paddle, with its message; nothing gives nothing."""
    with pytest.raises(ValueError, match="channel"):
        F.conv2d(tensor(1, 3, 5, 5), tensor(4, 2, 3, 3))
    for size in ((0, 3, 5, 5), (1, 3, 2, 2)):
        x, w = tensor(*size), tensor(4, 3, 3, 3)
        assert F.conv2d(x, w).shape == by_paddle(F.conv2d, x, w).shape


def test_a_change_in_place_is_noticed() -> None:
    """A kernel that was changed between a convolution and its gradient is an error, as it is with Paddle's own."""
    for kept in (install, uninstall):
        kept()
        x, w = tensor(1, 2, 5, 5), tensor(2, 2, 3, 3, seed=1)
        y = F.conv2d(x, w)
        with paddle.no_grad():
            w.scale_(2.0)
        # Paddle reports what a hook raises as an OSError that quotes it.
        with pytest.raises((RuntimeError, OSError), match=r"changed in place|inplace"):
            y.sum().backward()


def test_tensors_that_do_not_lie_row_major() -> None:
    """Views of other tensors are computed with, and get their gradients."""
    base, kernel = tensor(6, 7, 3, 4), tensor(3, 3, 4, 3, seed=1)

    def compute(base: paddle.Tensor, kernel: paddle.Tensor) -> paddle.Tensor:
        y = F.conv2d(base.transpose([3, 2, 0, 1])[1:], kernel.transpose([2, 1, 0, 3])[1:])
        return F.max_pool2d(y.transpose([1, 0, 3, 2]), 2, 1).transpose([0, 1, 3, 2])

    for found, expected in zip(
        with_gradients(compute, base, kernel), by_paddle(with_gradients, compute, base, kernel), strict=True
    ):
        close(found, expected)


def test_prediction_keeps_nothing(computed: list[str]) -> None:
    """Without gradients the same numbers come, and nothing is kept for a way back."""
    x, w = tensor(2, 3, 8, 8), tensor(4, 3, 3, 3, seed=1)
    with paddle.no_grad():
        made = F.max_pool2d(F.conv2d(x, w), 2, 2)
    assert made.stop_gradient and computed == ["forward", "infer"]
    np.testing.assert_array_equal(made, F.max_pool2d(F.conv2d(x, w), 2, 2))


def test_the_graph_is_freed() -> None:
    """What a step allocates goes with its loss: no tensor is held by a circle."""
    gc.collect()
    x, w = tensor(1, 2, 9, 9), tensor(2, 2, 3, 3, seed=1)

    def step() -> None:
        F.max_pool2d(F.conv2d(x * 1, w), 2, 2).sum().backward()

    def alive() -> int:
        return sum(isinstance(each, functions._Convolution) for each in gc.get_objects())

    before = alive()
    gc.disable()
    try:
        step()
        assert alive() == before
    finally:
        gc.enable()


def test_primitives_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many batch sizes the latest are kept, and the others destroyed once no step that is under way needs them."""
    few = functions.LeastRecentlyUsed[functions.Convolution](3)
    monkeypatch.setattr(functions, "convolutions", few)
    alive = 0
    begin, end = library.Handle.__init__, library.Handle.__del__

    def made(self: library.Handle, *arguments: Any) -> None:
        nonlocal alive
        alive += 1
        begin(self, *arguments)

    def destroyed(self: library.Handle) -> None:
        nonlocal alive
        alive -= 1
        end(self)

    monkeypatch.setattr(library.Handle, "__init__", made)
    monkeypatch.setattr(library.Handle, "__del__", destroyed)
    w = tensor(2, 2, 3, 3, seed=1)
    y = F.conv2d(tensor(1, 2, 5, 5, gradient=False), w)
    each = alive
    with paddle.no_grad():
        for n in range(2, 20):
            F.conv2d(tensor(n, 2, 5, 5), w)
            assert len(few) <= 3 and alive <= 4 * each
    y.sum().backward()
    close(w.grad, by_paddle(lambda: paddle.grad(F.conv2d(tensor(1, 2, 5, 5), w).sum(), w)[0]))
    del y
    assert alive <= 3 * each


def test_scratch_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers are shared by all shapes, and one above the limit does not stay."""
    memory = library.Scratch()
    for size in (100, 50, 1000, 10):
        assert len(memory.take(1, size)) >= size + 64
    assert memory.held() == 1064
    monkeypatch.setattr(library, "_KEPT_BYTES", 2000)
    assert len(memory.take(1, 5000)) >= 5064
    assert memory.held() == 1064


def _convolve_in_child(queue: Any) -> None:
    x, w = tensor(2, 3, 8, 8), tensor(4, 3, 3, 3, seed=1)
    queue.put(with_gradients(lambda x, w: F.conv2d(x, w), x, w))


def test_a_forked_process_computes() -> None:
    """Also where another thread was computing at the moment of the fork."""
    x, w = tensor(2, 3, 8, 8), tensor(4, 3, 3, 3, seed=1)
    expected = with_gradients(lambda x, w: F.conv2d(x, w), x, w)
    taken, release = threading.Event(), threading.Event()

    def compute() -> None:
        with library.lock:
            taken.set()
            release.wait()

    thread = threading.Thread(target=compute)
    thread.start()
    taken.wait()
    try:
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        child = context.Process(target=_convolve_in_child, args=(queue,))
        child.start()
        found = queue.get(timeout=120)
        child.join()
    finally:
        release.set()
        thread.join()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_threads_compute_at_once() -> None:
    """Several threads with shapes of their own and shapes in common get their own numbers."""
    shapes = [(n, 3, 6 + n % 2, 9) for n in range(1, 7)]
    w = tensor(4, 3, 3, 3, seed=1, gradient=False)

    def compute(shape: tuple[int, ...]) -> list[Any]:
        x = tensor(*shape, seed=shape[0])
        y = F.max_pool2d(F.conv2d(x, w), 2, 2)
        (y * y).sum().backward()
        return [y.numpy(), x.grad.numpy()]

    expected = {shape: compute(shape) for shape in shapes}
    wrong: list[Any] = []

    def work(offset: int) -> None:
        for turn in range(30):
            shape = shapes[(turn + offset) % len(shapes)]
            if not all(map(np.array_equal, compute(shape), expected[shape])):
                wrong.append(shape)

    # `paddle.grad` itself is not for several threads at once; `backward` is.
    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_traced_network_has_paddles_operations(computed: list[str]) -> None:
    """`to_static` sees convolutions and pooling, not what computes them."""
    network = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3), paddle.nn.MaxPool2D(2))
    network.eval()
    network(tensor(1, 3, 8, 8))
    computed.clear()
    spec = [paddle.static.InputSpec([None, 3, 8, 8], "float32")]
    program = paddle.jit.to_static(network, input_spec=spec, full_graph=True).forward.concrete_program.main_program
    names = [operation.name() for operation in program.global_block().ops]
    assert {"pd_op.conv2d", "pd_op.pool2d"} <= set(names)
    assert computed == []
