"""A network's forward pass as plain data: every operation with its operands, shapes and parameters.

Paddle traces the network into its intermediate representation; what is read off here is free of
Paddle's objects, so that it outlives the trace and can be tested by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from paddlepress.core.errors import TechniqueRefused

if TYPE_CHECKING:
    import paddle

    from paddlepress.network.model import Model

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        name: Paddle's name without `pd_op.` and in-place mark: `conv2d`, `batch_norm`, `builtin.combine`, ...
        inputs: the values it reads; None where an optional operand is not given.
        outputs: the values it makes.
        attributes: its constants.
        captured: values that control flow inside it reads.
    """

    name: str
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    captured: tuple[int, ...] = ()


@dataclass(frozen=True)
class Program:
    """A forward pass at batch 1, in the order of execution.

    Attributes:
        operations: without those that only declare parameters.
        shapes: of every value that is a tensor; a size not known before running is -1.
        parameters: value -> parameter name, as in `network.named_parameters()`.
        constants: value -> the numbers of a literal that the network's code holds.
        outputs: the values that the network returns.
        shared: parameters that several layers hold.
        given: layer -> the values it gave, one for each time it ran, in the order in which they were given. An
            inner layer gives before the one around it; layers that give no single tensor are left out.
    """

    operations: tuple[Operation, ...]
    shapes: dict[int, Shape]
    parameters: dict[int, str]
    constants: dict[int, tuple[float, ...]]
    outputs: tuple[int, ...]
    shared: frozenset[str] = frozenset()
    given: dict[str, tuple[int, ...]] = field(default_factory=dict)


def read(model: Model) -> Program:
    """Trace a model's forward pass in evaluation mode; the network is left as it was.

    Raises:
        TechniqueRefused: Paddle can't trace the network.
    """
    import paddle

    from paddlepress.network.inserted_layers import float_inputs
    from paddlepress.network.tracing import input_specs, traceable

    network = model.network
    whole, specs = traceable(network, input_specs(model.inputs, batch=1))
    # The bound method, not the layer: to_static would replace the forward of a layer.
    static = paddle.jit.to_static(whole.forward, input_spec=specs, full_graph=True)
    given: list[tuple[str, Any]] = []
    hooks = [
        layer.register_forward_post_hook(lambda _, inputs, output, name=name: given.append((name, output)))
        for name, layer in network.named_sublayers()
    ]
    try:
        with evaluating(network), float_inputs(network):
            concrete = static.concrete_program
    except Exception as error:  # whatever the user's forward raises under tracing
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise TechniqueRefused(f"the network's forward pass can't be traced: {reason}") from error
    finally:
        for hook in hooks:
            hook.remove()
    names = {parameter.name: name for name, parameter in network.named_parameters()}
    return _Reader(names, _shared(network)).program(concrete.main_program.global_block(), concrete.outputs, given)


@contextmanager
def evaluating(network: paddle.nn.Layer) -> Iterator[None]:
    """Within it every layer is in evaluation mode; afterwards each is in the mode it was in."""
    layers = network.sublayers(include_self=True)
    before = [layer.training for layer in layers]
    network.eval()
    try:
        yield
    finally:
        for layer, training in zip(layers, before, strict=True):
            layer.training = training


def _shared(network: paddle.nn.Layer) -> frozenset[str]:
    from paddle.nn.layer.rnn import RNNBase

    owners: dict[int, int] = {}
    layers = network.sublayers(include_self=True)
    # A recurrent layer and the cells that it is made of hold the same parameters.
    cells = {id(cell) for layer in layers if isinstance(layer, RNNBase) for cell in layer.sublayers()}
    for layer in layers:
        if id(layer) in cells:
            continue
        for parameter in layer._parameters.values():
            if parameter is not None:
                owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    return frozenset(name for name, parameter in network.named_parameters() if owners.get(id(parameter), 0) > 1)


class _Reader:
    """Numbers the values of one traced block and writes its operations down."""

    def __init__(self, names: dict[str, str], shared: frozenset[str]) -> None:
        self.names = names
        self.shared = shared
        self.keys: dict[Any, int] = {}
        self.shapes: dict[int, Shape] = {}

    def program(self, block: Any, outputs: Any, given: list[tuple[str, Any]]) -> Program:
        from paddle.utils import flatten

        operations: list[Operation] = []
        parameters: dict[int, str] = {}
        constants: dict[int, tuple[float, ...]] = {}
        for found in block.ops:
            name = found.name().removeprefix("pd_op.").rstrip("_")
            results = tuple(self.key(value) for value in found.results())
            attributes = dict(found.attrs())
            if found.name() == "builtin.parameter":
                if attributes["parameter_name"] in self.names:
                    parameters[results[0]] = self.names[attributes["parameter_name"]]
                continue
            if name in {"full", "full_int_array"}:
                value = attributes["value"]
                constants[results[0]] = tuple(value) if isinstance(value, list | tuple) else (value,)
            inputs = tuple(self.key(value) if value.initialized() else None for value in found.operands_source())
            captured = tuple(self.key(value) for value in _captured(found))
            operations.append(Operation(name, inputs, results, attributes, captured))
        returned = tuple(self.key(value) for value in flatten(outputs) if hasattr(value, "get_defining_op"))
        gave: dict[str, tuple[int, ...]] = {}
        for name, value in given:
            if hasattr(value, "get_defining_op"):
                gave[name] = (*gave.get(name, ()), self.key(value))
        return Program(tuple(operations), self.shapes, parameters, constants, returned, self.shared, gave)

    def key(self, value: Any) -> int:
        number = self.keys.setdefault(value.id, len(self.keys))
        if number not in self.shapes and value.is_dense_tensor_type():
            self.shapes[number] = tuple(int(size) for size in value.shape)
        return number


def _captured(found: Any) -> Iterator[Any]:
    for block in found.blocks():
        for inner in block.ops:
            yield from (value for value in inner.operands_source() if value.initialized())
            yield from _captured(inner)
