"""Where a network adds activations: whose outputs are the operands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paddlepress.surgery import program
from paddlepress.surgery.groups import layer_of
from paddlepress.surgery.program import Operation, Program

if TYPE_CHECKING:
    import paddle

    from paddlepress.model import Model


@dataclass(frozen=True)
class Operand:
    """One side of an addition of activations.

    Attributes:
        layer: whose output it is.
        reader: a convolution that reads it too; empty if none does.
        whole: whether `layer` is a block or the like, and not the convolution or norm that makes the operand.
    """

    layer: str
    reader: str = ""
    whole: bool = False


def operands(model: Model, sample: paddle.Tensor) -> list[Operand]:
    """The operands of the additions behind convolutions, in the order of the forward pass, each once.

    An addition of which one operand is nobody's output alone is left out.

    Args:
        model: its network is run once, in evaluation mode, and not changed.
        sample: an input [n, *shape] of the network.

    Raises:
        TechniqueRefused: Paddle can't trace the network.
    """
    traced = program.read(model)
    producers = {value: operation for operation in traced.operations for value in operation.outputs}
    found: dict[Operand, None] = {}
    blocks: dict[str, str] | None = None
    for operation in traced.operations:
        if operation.name != "add" or not _adds_activations(traced, operation):
            continue
        sides = []
        for value in operation.inputs[:2]:
            readers = _readers(traced, value)
            maker = _maker(traced, producers, value)
            if maker:
                sides.append(Operand(maker, readers[0] if readers else ""))
                continue
            blocks = _whole_outputs(model, sample) if blocks is None else blocks
            known = [reader for reader in readers if reader in blocks]
            if known:
                sides.append(Operand(blocks[known[0]], known[0], whole=True))
        if len(sides) == 2:
            found |= dict.fromkeys(sides)
    return list(found)


def _adds_activations(traced: Program, operation: Operation) -> bool:
    shapes = [traced.shapes.get(value or 0, ()) for value in operation.inputs[:2]]
    return shapes[0] == shapes[1] and len(shapes[0]) >= 3


def _maker(traced: Program, producers: dict[int, Operation], value: int | None) -> str:
    """The convolution or batch norm whose output a value is; empty if it is neither's."""
    operation = producers.get(value if value is not None else -1)
    if operation is None:
        return ""
    if operation.name == "batch_norm":
        return _owner(traced, operation.inputs[1])
    if operation.name.startswith(("conv", "depthwise_conv")):
        return _owner(traced, operation.inputs[1])
    if operation.name == "add":  # a convolution's bias
        bias = producers.get(operation.inputs[1] if operation.inputs[1] is not None else -1)
        owner = _owner(traced, bias.inputs[0]) if bias is not None and bias.name == "reshape" else ""
        return owner if owner and owner == _maker(traced, producers, operation.inputs[0]) else ""
    return ""


def _owner(traced: Program, value: int | None) -> str:
    name = traced.parameters.get(value if value is not None else -1, "")
    return layer_of(name) if "." in name else ""


def _readers(traced: Program, value: int | None) -> list[str]:
    """The convolutions that read a value."""
    return [
        _owner(traced, operation.inputs[1])
        for operation in traced.operations
        if "conv" in operation.name and operation.inputs[0] == value
    ]


def _whole_outputs(model: Model, sample: paddle.Tensor) -> dict[str, str]:
    """For each layer that reads another's output as it is, that other one: the innermost that ran once."""
    import paddle

    from paddlepress.surgery.layers import float_inputs

    outputs: list[tuple[str, Any]] = []
    inputs: list[tuple[str, Any]] = []
    hooks = []
    for name, layer in model.network.named_sublayers():
        hooks.append(layer.register_forward_pre_hook(lambda _, x, name=name: inputs.append((name, x[0]))))
        hooks.append(layer.register_forward_post_hook(lambda _, x, y, name=name: outputs.append((name, y))))
    try:
        with program.evaluating(model.network), float_inputs(model.network), paddle.no_grad():
            model.network(sample)
    finally:
        for hook in hooks:
            hook.remove()
    runs: dict[str, int] = {}
    for name, _ in outputs:
        runs[name] = runs.get(name, 0) + 1
    makers: dict[int, str] = {}
    for name, tensor in outputs:  # an inner layer returns before the one around it
        if runs[name] == 1:
            makers.setdefault(id(tensor), name)
    return {name: makers[id(tensor)] for name, tensor in inputs if id(tensor) in makers}
