"""Follow units through a traced forward pass, from the parameters that make them to those that read them.

The idea is DepGraph's (Fang, Ma, Song, Mi, Wang, "DepGraph: Towards Any Structural Pruning", CVPR
2023): which parameters must be cut together follows from the operations between them. Here it is
followed per index, so that residual additions, concatenations, flattening, grouped convolutions and
channel shuffles all come out of one mechanism. An operation without a rule fixes whatever reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from paddlepress.surgery.program import Operation, Program, Shape
from paddlepress.surgery.reshaping import reshape
from paddlepress.surgery.units import SINGLE, Axis, Labels, Units, plain

OUTPUT = "feeds the network's output"
FIXED_TENSOR = "is combined with a tensor that can't be narrowed"
AXES = "meets units that lie along another axis"


@dataclass(frozen=True)
class Weight:
    """A parameter of two or more axes, perhaps transposed or with axes of size 1 added.

    Attributes:
        parameter: its name.
        axes: for each axis of the tensor the parameter's own; None for an added one.
    """

    parameter: str
    axes: tuple[int | None, ...]


@dataclass(frozen=True)
class Tensor:
    """What is known of a value: its shape, its units, and whether it is a parameter."""

    shape: Shape
    labels: Labels
    weight: Weight | None = None

    def along(self, axis: int) -> Labels | None:
        """Its units along an axis, as a vector; None where they lie along another one."""
        axis %= len(self.shape)
        if any(size > 1 for other, size in enumerate(self.labels.shape) if other != axis):
            return None
        return np.broadcast_to(self.labels.reshape(-1), (max(self.shape[axis], 1),))

    @property
    def labelled(self) -> bool:
        return self.labels.size > 1


Value = Tensor | list[Tensor]
Rule = Callable[["Propagation", Operation], None]


@dataclass(frozen=True)
class Role:
    """What a parameter axis is to its layer: its units come `out` of it or go `in`."""

    direction: str
    kind: str


class Propagation:
    """The state of one walk through a program."""

    def __init__(self, program: Program, rules: dict[str, Rule]) -> None:
        self.program = program
        shapes = {name: program.shapes[value] for value, name in program.parameters.items()}
        self.units = Units(shapes, dict.fromkeys(program.shared, "shares its weights with another layer"))
        self.roles: dict[Axis, Role] = {}
        self._values: dict[int, Value] = {}
        for operation in program.operations:
            rules.get(operation.name, unknown)(self, operation)
            for value in operation.captured:
                self.refuse(value, f"is used inside a {operation.name}, which surgery does not follow")
            for value in operation.outputs:
                self._values.setdefault(value, self.plain(value))
        for value in program.outputs:
            self.refuse(value, OUTPUT)

    def plain(self, value: int) -> Tensor:
        shape = self.program.shapes.get(value, ())
        return Tensor(shape, plain(len(shape)))

    def value(self, value: int) -> Value:
        """What is known of a value, as it stands."""
        if value not in self._values and value in self.program.parameters:
            self._values[value] = self._parameter(value)
        return self._values.setdefault(value, self.plain(value))

    def tensor(self, value: int | None) -> Tensor:
        """What is known of a value that is a tensor."""
        if value is None:
            return Tensor((), plain(0))
        found = self.value(value)
        return found if isinstance(found, Tensor) else self.plain(value)

    def activation(self, value: int | None, why: str) -> Tensor:
        """A tensor that is not used as a weight; a weight that comes here can't be narrowed."""
        tensor = self.tensor(value)
        if tensor.weight is not None:
            self.units.seal(tensor.weight.parameter, why)
            return replace(tensor, weight=None)
        return tensor

    def constant(self, value: int | None) -> tuple[int, ...] | None:
        """The whole numbers of a literal."""
        found = None if value is None else self.program.constants.get(value)
        return None if found is None else tuple(int(number) for number in found)

    def put(self, value: int, labels: Labels) -> None:
        """Say which units a value has. One that has a single index of an axis left has none to remove."""
        shape = self.program.shapes.get(value, ())
        if labels.size == 1:
            self.units.block(labels, SINGLE)
            labels = plain(len(shape))
        self._values[value] = Tensor(shape, labels)

    def put_value(self, value: int, found: Value) -> None:
        """Let a value be another one."""
        self._values[value] = found

    def refuse(self, value: int | None, reason: str) -> None:
        """Fix every unit of a value."""
        if value is None:
            return
        found = self.value(value)
        for tensor in found if isinstance(found, list) else [found]:
            self.units.block(tensor.labels, reason)
            if tensor.weight is not None:
                self.units.seal(tensor.weight.parameter, reason)

    def role(self, weight: Weight, axis: int, direction: str, kind: str) -> Labels | None:
        """The labels of a weight's axis, which from now on has a role; None if it is no axis of its own."""
        own = weight.axes[axis]
        if own is None:
            return None
        self.roles.setdefault((weight.parameter, own), Role(direction, kind))
        return self.units.axis(weight.parameter, own)

    def combine(self, operands: Sequence[Tensor], rank: int) -> Labels:
        """The labels of tensors that are combined element by element, after broadcasting to `rank` axes.

        Units at the same place of all of them stand and fall together.
        """
        labels = [_pad(tensor.labels, rank) for tensor in operands]
        known = [found for found in labels if found.size > 1]
        if not known:
            for tensor in operands:
                if tensor.weight is not None:
                    self.units.seal(tensor.weight.parameter, FIXED_TENSOR)
            return plain(rank)
        reference = known[0]
        if any(found.shape != reference.shape for found in known):
            for found in known:
                self.units.block(found, AXES)
            return plain(rank)
        varying = [axis for axis, size in enumerate(reference.shape) if size > 1]
        result = reference
        for tensor, found in zip(operands, labels, strict=True):
            if found.size == 1:
                found = self._fit(tensor, rank, varying, reference.shape)
            if found.size > 1:
                self.units.tie(reference, found, FIXED_TENSOR)
                result = np.maximum(result, found)
        return result

    def _fit(self, tensor: Tensor, rank: int, varying: list[int], shape: Shape) -> Labels:
        """Labels for an operand without any: a weight gets them along the axis where the others have theirs."""
        offset = rank - len(tensor.shape)
        touched = [axis for axis in varying if axis >= offset and tensor.shape[axis - offset] != 1]
        if not touched:  # broadcast along the units
            return plain(rank)
        if tensor.weight is not None and len(varying) == 1:
            own = tensor.weight.axes[varying[0] - offset]
            if own is not None:
                return self.units.axis(tensor.weight.parameter, own).reshape(shape)
        if tensor.weight is not None:
            self.units.seal(tensor.weight.parameter, FIXED_TENSOR)
        return np.full(shape, -1, np.int64)

    def reshape(self, source: Tensor, target: int, written: tuple[int, ...] | None = None) -> None:
        """Give `target` the units of `source` in another shape.

        Args:
            source: the tensor before.
            target: the value after.
            written: the shape as the network's code states it, where it does.
        """
        after = self.program.shapes[target]
        if source.weight is not None:
            self._reshape_weight(source, target, after)
            return
        found = reshape(source.labels, source.shape, after)
        if found is None:
            self.units.block(source.labels, "is reshaped in a way that surgery can't follow")
            self.put_value(target, self.plain(target))
            return
        for first, second in found.ties:
            self.units.tie(first, second, FIXED_TENSOR)
        # A size written down may be the code's own number, which would be wrong after a cut.
        literal = written is not None and any(written[axis] not in (-1, 0) for axis in found.axes)
        if found.split or literal:
            self.units.doubt(source.labels)
        self.put(target, found.labels)

    def _reshape_weight(self, source: Tensor, target: int, after: Shape) -> None:
        assert source.weight is not None
        kept = [axis for axis, size in enumerate(source.shape) if size != 1]
        if [source.shape[axis] for axis in kept] != [size for size in after if size != 1]:
            self.units.seal(source.weight.parameter, "is reshaped in a way that surgery can't follow")
            self.put_value(target, self.plain(target))
            return
        rest = iter(kept)
        axes = tuple(source.weight.axes[next(rest)] if size != 1 else None for size in after)
        self.put_value(target, Tensor(after, plain(len(after)), Weight(source.weight.parameter, axes)))

    def _parameter(self, value: int) -> Tensor:
        name, shape = self.program.parameters[value], self.program.shapes[value]
        if len(shape) == 1:
            return Tensor(shape, self.units.axis(name, 0))
        return Tensor(shape, plain(len(shape)), Weight(name, tuple(range(len(shape)))))


def unknown(flow: Propagation, operation: Operation) -> None:
    """The rule for what has none: nothing that it reads can be narrowed."""
    for value in operation.inputs:
        flow.refuse(value, f"reaches the operation {operation.name}, which surgery does not know")


def spread(labels: Labels, axis: int, rank: int) -> Labels:
    """A vector of labels along one axis of a tensor."""
    if (labels < 0).all():
        return plain(rank)
    return labels.reshape([-1 if other == axis else 1 for other in range(rank)])


def _pad(labels: Labels, rank: int) -> Labels:
    return labels.reshape((1,) * (rank - labels.ndim) + labels.shape)
