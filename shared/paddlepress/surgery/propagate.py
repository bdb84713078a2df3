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

from paddlepress.surgery.groups import Direction
from paddlepress.surgery.linked_indices import FIXED_TENSOR, SINGLE, Axis, Labels, Units, plain
from paddlepress.surgery.program import Operation, Program, Shape
from paddlepress.surgery.reshaping import reshape

OUTPUT = "feeds the network's output"
AXES = "meets units that lie along another axis"


@dataclass(frozen=True)
class Weight:
    """A parameter of two or more axes, perhaps transposed, sliced or with axes added.

    Attributes:
        parameter: its name.
        axes: for each axis of the tensor the parameter's own; None for one that was added or sliced.
    """

    parameter: str
    axes: tuple[int | None, ...]


@dataclass(frozen=True)
class Tensor:
    """What is known of a value: its shape, its units, whether it is a parameter, or filled with one number."""

    shape: Shape
    labels: Labels
    weight: Weight | None = None
    constant: bool = False

    def along(self, axis: int) -> Labels | None:
        """Its units along an axis, as a vector; None where they lie along another one."""
        axis %= len(self.shape)
        if any(other != axis for other in self.axes):
            return None
        return np.broadcast_to(self.labels.reshape(-1), (max(self.shape[axis], 1),))

    @property
    def axes(self) -> list[int]:
        """The axes along which its units lie."""
        return [axis for axis, size in enumerate(self.labels.shape) if size > 1]

    @property
    def labelled(self) -> bool:
        return self.labels.size > 1


Value = Tensor | list[Tensor]
Rule = Callable[["Propagation", Operation], None]


@dataclass(frozen=True)
class Role:
    """What a parameter axis is to its layer: its units come `out` of it or go `in`."""

    direction: Direction
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

    def role(self, weight: Weight, axis: int, direction: Direction, kind: str) -> Labels | None:
        """The labels of a weight's axis, which from now on has a role; None if it is no axis of its own."""
        own = weight.axes[axis]
        if own is None:
            return None
        self.roles.setdefault((weight.parameter, own), Role(direction, kind))
        return self.units.axis(weight.parameter, own)

    def together(self, labels: Labels, axes: Sequence[int]) -> Labels:
        """Let units along some axes stand and fall together; labels for the rest, of size 1 along those axes."""
        first = labels[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(labels.ndim))]
        self.units.tie(first, labels, FIXED_TENSOR)
        return first

    def only(self, tensor: Tensor, axis: int) -> Labels | None:
        """A tensor's units along an axis, as a vector; None where they lie along others but not along this one.

        Where they lie along this axis and others, a place of this one goes as a whole.
        """
        axis %= len(tensor.shape)
        if tensor.labels.shape[axis] == 1 and tensor.labelled:
            return None
        others = [other for other in tensor.axes if other != axis]
        labels = self.together(tensor.labels, others) if others else tensor.labels
        return np.broadcast_to(labels.reshape(-1), (max(tensor.shape[axis], 1),))

    def merged(self, tensor: Tensor, axes: Sequence[int]) -> Labels | None:
        """Labels of a tensor that an operation mixes along some axes; None where no units are left to tell apart.

        Units that lie along other axes too, such as heads, only go whole then.
        """
        mixed = [axis for axis in tensor.axes if axis in axes]
        if not mixed:
            return tensor.labels
        return self.together(tensor.labels, mixed) if len(mixed) < len(tensor.axes) else None

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
        result = max(known, key=lambda found: sum(size > 1 for size in found.shape))
        if any(size > 1 and result.shape[axis] == 1 for found in known for axis, size in enumerate(found.shape)):
            for found in known:
                self.units.block(found, AXES)
            return plain(rank)
        for tensor, found in zip(operands, labels, strict=True):
            if found.size == 1:
                result, found = self._fit(tensor, rank, result)
            if found.size > 1:
                self.units.tie(result, found, FIXED_TENSOR)
                result = np.maximum(result, found) if result.shape == found.shape else result
        return result

    def _fit(self, tensor: Tensor, rank: int, reference: Labels) -> tuple[Labels, Labels]:
        """Labels for an operand without any: a weight gets them along the axis where the others have theirs.

        Returns:
            The others' labels, which lose the axes along which the operand does not let units go, and its own.
        """
        offset = rank - len(tensor.shape)
        varying = [axis for axis, size in enumerate(reference.shape) if size > 1]
        touched = [axis for axis in varying if axis >= offset and tensor.shape[axis - offset] != 1]
        if not touched:  # broadcast along the units
            return reference, plain(rank)
        own = None if tensor.weight is None else tensor.weight.axes[touched[0] - offset]
        if tensor.weight is not None and own is not None:
            reference = self.together(reference, touched[1:]) if len(touched) > 1 else reference
            shape = [-1 if axis == touched[0] else 1 for axis in range(rank)]
            return reference, self.units.axis(tensor.weight.parameter, own).reshape(shape)
        if tensor.weight is not None:
            self.units.seal(tensor.weight.parameter, FIXED_TENSOR)
        if len(touched) < len(varying):
            return self.together(reference, touched), plain(rank)
        return reference, np.full(reference.shape, -1, np.int64)

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
        if len(found.axes) > 1:
            self.units.grid(found.labels)
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
