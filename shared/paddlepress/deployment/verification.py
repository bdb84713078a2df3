"""Whether a graph computes what its network computes, and which layer is the first that it gets wrong.

Nothing that makes a graph is believed. Both are given the same inputs in batches of several sizes, since a graph may
hold the size of the batch that it was traced with.

How much they may differ
    Without rounding: by 1e-4 of the largest output. A network whose own outputs move further when its inputs change by
    a millionth has no digits there to compare: it may differ by four times that movement.

    With activations on a grid of integers: the network of the model rounds the inputs of its layers, the graph rounds
    some of them elsewhere, or not at all, and rounds a value that lies between two integers to the other one. The
    outputs of either are those of the network without rounding plus the noise of its own roundings, whose size (root of
    the mean square) is measured: it is the difference that rounding makes to the network. Two such noises that have
    nothing to do with each other differ by the square root of 2 of that size; three times the size leaves room for
    chance. For a small batch, over whose few outputs no size can be told, that over the largest counts if it is larger.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paddlepress.core.errors import TechniqueRefused
from paddlepress.deployment.conversion import convert, first_failing, operators_by_layer
from paddlepress.deployment.decomposition import decompose
from paddlepress.deployment.trace import save_program, save_traced, subject
from paddlepress.forward.outputs import tensors_of
from paddlepress.network.model import Model
from paddlepress.spec.tensors import Array, Inputs, by_name, each, joined

if TYPE_CHECKING:
    import paddle

    from paddlepress.spec.signature import TensorSpec

BATCHES = (1, 3, 32)
RELATIVE = 1e-4

_MOVED_INPUTS = 1e-6
_TIMES_MOVED = 4
_TIMES_ROUNDING = 3

Run = Callable[[Any], Array]
Locate = Callable[[Callable[[Run], bool]], str]


def verify(model: Model, run: Run, inputs: Inputs | None = None, locate: Locate = lambda differs: "") -> None:
    """Compare a graph with the network that it was made of.

    Args:
        model: the network.
        run: the graph: inputs as the network takes them [n, *shape] -> outputs.
        inputs: to compare with, [n, *shape] with any n > 0, repeated where they are few; `NamedArrays` of several. None
            takes random ones, normally distributed, which stand for data with a mean of 0 and a deviation of 1.
        locate: says in words where a difference comes from that `first_difference` does not find; it is given a
            function that says whether another graph differs too.

    Raises:
        TechniqueRefused: their outputs differ, or the graph does not run; the message names the first layer whose
            output differs, or the operator that does not run.
    """
    given = random_inputs(model.inputs) if inputs is None or not len(inputs) else inputs
    for size in BATCHES:
        batch = _batch(given, size)
        try:
            found = run(batch)
        except Exception as error:  # the exceptions of onnxruntime have no common class but this one
            raise TechniqueRefused(_does_not_run(model, batch, error)) from error
        expected = model.predict(batch, batch_size=size)
        difference = _difference(model, found, batch, expected, given)
        if difference:
            where = first_difference(model, _batch(given, 3)) or locate(_differs(model, run, batch, given))
            message = f"{subject(model)}: its graph computes something else: {difference}"
            raise TechniqueRefused(f"{message}; {where}" if where else message)


def _differs(model: Model, run: Run, batch: Any, given: Inputs) -> Callable[[Run], bool]:
    """What says whether another graph differs from a network as one does for some batch.

    It is told from the largest batch, if the graph differs there too: over few outputs roundings are not all alike, and
    a graph that is right may be taken for a wrong one.
    """
    largest = _batch(given, max(BATCHES))
    expected = model.predict(largest, batch_size=len(largest))
    try:
        there_too = bool(_difference(model, run(largest), largest, expected, given))
    except Exception:  # a graph may run on some sizes of batches only; onnxruntime's exceptions have no common class
        there_too = False
    if not there_too:
        largest, expected = batch, model.predict(batch, batch_size=len(batch))
    return lambda other: bool(_difference(model, other(largest), largest, expected, given))


def random_inputs(specs: tuple[TensorSpec, ...], count: int = max(BATCHES), seed: int = 0) -> Any:
    """Normally distributed inputs, [n, *shape]; of an integer type those of the vocabulary, or zeros
    and ones. `NamedArrays` of several."""
    random = np.random.default_rng(seed)
    found = {}
    for spec in specs:
        shape = (count, *spec.shape)
        floating = np.issubdtype(np.dtype(spec.dtype), np.floating)
        drawn = random.normal(size=shape) if floating else random.integers(0, spec.vocabulary or 2, shape)
        found[spec.name] = drawn.astype(spec.dtype)
    return joined(found)


def _batch(inputs: Inputs, size: int) -> Any:
    """The first inputs, from the start again where they are few."""
    return each(inputs[np.arange(size) % len(inputs)], np.ascontiguousarray)


def _difference(model: Model, found: Array, batch: Any, expected: Array, given: Inputs) -> str:
    """How a graph's outputs for some of the given inputs differ from the network's, in words; empty if they do not."""
    if found.shape != expected.shape:
        return (
            f"for a batch of {len(batch)} its outputs have shape {found.shape}, those of the network {expected.shape}"
        )
    if not np.array_equal(np.isfinite(found), np.isfinite(expected)):
        return f"for a batch of {len(batch)} other outputs are infinite or no numbers than those of the network"
    whole = np.isfinite(expected)
    off, scale = np.abs(found - expected)[whole], float(np.abs(expected[whole]).max(initial=0))
    limit = RELATIVE * scale
    if float(off.max(initial=0)) <= limit:
        return ""
    if _rounds(model):
        largest = _batch(given, max(BATCHES))
        limit += _TIMES_ROUNDING * max(_rounding(model, batch), _rounding(model, largest))
        wrong = _root_mean_square(off)
    else:
        limit = max(limit, _TIMES_MOVED * _movement(model, batch, expected))
        wrong = float(off.max())
    if wrong <= limit:
        return ""
    return f"its outputs for a batch of {len(batch)} are off by {wrong:.3g}, where {limit:.2g} is rounding"


def _rounds(model: Model) -> bool:
    """Whether any activation of a model is on a grid of integers."""
    return bool(model.quantized_outputs()) or any(edit.input_scale is not None for edit in model.quantized().values())


def unrounded(model: Model) -> AbstractContextManager[None]:
    """Within it a model's network rounds no activation."""
    from paddlepress.network.inserted_layers import float_inputs

    return float_inputs(model.network)


def _rounding(model: Model, batch: Inputs) -> float:
    """The size of what rounding does to a network's outputs."""
    rounded = model.predict(batch, batch_size=len(batch))
    with unrounded(model):
        exact = model.predict(batch, batch_size=len(batch))
    return _root_mean_square((rounded - exact)[np.isfinite(rounded) & np.isfinite(exact)])


def _movement(model: Model, batch: Inputs, expected: Array) -> float:
    """How far a network's outputs move when its inputs change by a millionth; whole numbers do not."""
    random = np.random.default_rng(0)

    def moved_a_little(array: Array) -> Array:
        if not np.issubdtype(array.dtype, np.floating):
            return array
        signs = random.choice([-1.0, 1.0], array.shape)
        return np.asarray((array * (1 + _MOVED_INPUTS * signs)).astype(array.dtype))

    moved = model.predict(each(batch, moved_a_little), batch_size=len(batch))
    both = np.isfinite(moved) & np.isfinite(expected)
    return float(np.abs(moved - expected)[both].max(initial=0))


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0


def run_graph(proto: Any) -> Run:
    """The function that an `onnx.ModelProto` with its weights inside is, of its inputs to its first output."""
    return lambda batch: _outputs(proto, batch)[0]


def _outputs(proto: Any, batch: Inputs) -> list[Array]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=False
    )
    names = tuple(given.name for given in session.get_inputs())
    found: list[Array] = session.run(None, by_name(batch, names) if names else {})
    return found


def _does_not_run(model: Model, batch: Inputs, error: Exception) -> str:
    """What to say of a graph that ONNX Runtime refuses."""
    with tempfile.TemporaryDirectory(prefix="paddlepress-") as folder:
        prefix = Path(folder) / "model"
        save_program(model, prefix)
        decompose(Path(f"{prefix}.json"))
        try:
            _outputs(convert(prefix), batch)
        except Exception:
            operator, reason = first_failing(prefix, lambda part: _outputs(convert(part), batch))
            return f"{subject(model)}: ONNX Runtime does not run what becomes of {operator} ({_line(reason)})"
    return f"{subject(model)}: ONNX Runtime does not run its graph ({_line(str(error))})"


def _line(text: str) -> str:
    return " ".join(text.split())[:300]


@dataclass(frozen=True)
class _Seen:
    """A value that a layer is given or gives.

    Attributes:
        layer: the layer's name; empty for the network itself.
        given: whether it is an input of the layer.
        maker: the layer whose own operators made it, unless a sublayer did: for an input, the one that was running.
        after: the layer that ended last before this value was seen.
        value: a `paddle.Tensor`, or while a network is traced a `paddle.pir.Value`.
    """

    layer: str
    given: bool
    maker: str
    after: str
    value: Any

    def text(self) -> str:
        """Where a difference that is seen here first comes from, in words."""
        if self.layer and not self.given:
            return f"the first layer whose output differs is {self.layer!r}"
        maker = f"layer {self.maker!r}" if self.maker else "the network"
        since = f" after {self.after!r}" if self.after else ""
        until = f" before {self.layer!r}" if self.layer else ""
        return f"what differs first is computed by {maker} itself, outside of its sublayers{since}{until}"


class _Watch:
    """Notes down what a network's layers are given and what they give, in order of execution."""

    def __init__(self, network: paddle.nn.Layer) -> None:
        self.seen: list[_Seen] = []
        self._last = ""
        self._running = [""]
        for name, layer in network.named_sublayers():
            self._add(layer, name)

    def _add(self, layer: paddle.nn.Layer, name: str) -> None:
        from paddlepress.forward.layer_hooks import before

        def begins(layer: paddle.nn.Layer, inputs: Any) -> None:
            self.note(name, inputs, given=True)
            self._running.append(name)

        def ends(layer: paddle.nn.Layer, inputs: Any, outputs: Any) -> None:
            self.note(name, outputs)
            self._running.pop()
            self._last = name

        before(layer, begins)
        layer.register_forward_post_hook(ends)

    def note(self, layer: str, values: Any, *, given: bool = False) -> None:
        """Add the tensors of an input or output."""
        import paddle
        from paddle.utils import flatten

        for value in flatten(values):
            if isinstance(value, paddle.Tensor | paddle.pir.Value):
                self.seen.append(_Seen(layer, given, self._running[-1], self._last, value))


def first_difference(model: Model, batch: Inputs) -> str:
    """Where the values of a network and of its graph first differ, without any rounding, in words.

    Returns:
        The layer; or between which layers, where they differ in what the network computes outside of them. Empty if
        that can't be told: no value differs by itself, or the graph with all of them can't be made.
    """
    import paddle

    with tempfile.TemporaryDirectory(prefix="paddlepress-") as folder:
        prefix = Path(folder) / "model"
        places: list[int | None] = []
        try:
            save_traced(model, lambda network: _observed(network, places), prefix)
            operators = operators_by_layer(prefix)
            decompose(Path(f"{prefix}.json"))
            found = _outputs(convert(prefix), batch)
        except Exception:  # onnxruntime's have no common class but this one
            return ""
    twin = model.copy()
    watch = _Watch(twin.network)
    with unrounded(twin), paddle.no_grad():
        watch.note("", twin.network(*tensors_of(batch)))
    if len(watch.seen) != len(places):
        return ""
    for seen, place in zip(watch.seen, places, strict=True):
        if place is not None and not _alike(np.asarray(seen.value.numpy()), found[place]):
            return f"{seen.text()} (operators: {', '.join(operators.get(seen.maker, []))})"
    return ""


def _alike(expected: Array, value: Array) -> bool:
    if expected.shape != value.shape:
        return False
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0))
    return np.allclose(value, expected, rtol=0, atol=RELATIVE * scale, equal_nan=True)


def _observed(network: paddle.nn.Layer, places: list[int | None]) -> paddle.nn.Layer:
    """A network that gives all that its layers are given and give.

    Args:
        network: rewritten.
        places: filled, when the network is traced, with the place among the outputs of each value that is seen; None
            for inputs and parameters, which no operation makes.
    """
    import paddle

    watch = _Watch(network)

    def everything(output: Any) -> list[Any]:
        watch.note("", output)
        numbers: dict[int, int] = {}
        values: list[Any] = []
        places.clear()
        for seen in watch.seen:
            source = seen.value.get_defining_op()
            if source is None or source.name() in {"pd_op.data", "builtin.parameter"}:
                places.append(None)
                continue
            if seen.value.id not in numbers:
                numbers[seen.value.id] = len(values)
                values.append(paddle.assign(seen.value))
            places.append(numbers[seen.value.id])
        watch.seen.clear()  # the values do not outlive the trace
        return values

    class Observed(paddle.nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.everything = paddle.jit.not_to_static(everything)

        def forward(self, *inputs: paddle.Tensor) -> Any:
            return self.everything(self.network(*inputs))

    return Observed()
