"""Which values of a network belong on one grid when it computes on integers, and where they can be rounded.

Max pooling, reshaping, concatenation and the like only move and compare numbers: rounding before them is rounding
after them, as long as the grid is the same. The values that they connect are a region, and have one grid. What
pools and residual additions read is rounded for its own sake, so that they and the convolutions around them run on
integers: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018, appendix A.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paddlepress.surgery import program
from paddlepress.surgery.groups import layer_of
from paddlepress.surgery.program import Operation, Program

if TYPE_CHECKING:
    from paddlepress.network.model import Model

Bounds = tuple[float, float]
EVERYTHING: Bounds = (-float("inf"), float("inf"))

_MOVES = frozenset(
    {"reshape", "flatten", "transpose", "squeeze", "unsqueeze", "split", "split_with_num", "slice", "concat", "assign"}
    | {"builtin.combine", "builtin.split"}
)
_CONVOLUTIONS = ("conv", "depthwise_conv")


@dataclass(frozen=True)
class Place:
    """Where values can be rounded, so that all who read them read them rounded.

    Attributes:
        layer: whose output they are; empty where no layer gives them, but `reader` receives them.
        reader: a convolution, dense layer or batch norm that reads them as they are, or, where `pooled`, their mean;
            empty where `layer` is a convolution or batch norm.
        pooled: see `reader`.
        bounds: what activations clip the values to before anybody reads them.
    """

    layer: str
    reader: str = ""
    pooled: bool = False
    bounds: Bounds = EVERYTHING


@dataclass(frozen=True)
class Region:
    """Values that have one grid.

    Attributes:
        readers: the layers with rounded inputs that read them.
        places: where they are to be rounded for whoever else reads them; empty where nobody does, or where
            rounding for them would put nothing on integers.
    """

    readers: tuple[str, ...]
    places: tuple[Place, ...] = ()


def regions(model: Model, layers: Collection[str]) -> list[Region]:
    """The regions of a network that have places or several readers, in the order of the forward pass.

    Values are rounded for others than readers where that puts a convolution of `layers` or a residual addition on
    integers. What the network takes and returns is not rounded for others, nor is a region if part of it can't be.

    Args:
        model: not changed.
        layers: those whose inputs are rounded.

    Raises:
        TechniqueRefused: Paddle can't trace the network.
    """
    network = _Network(program.read(model), layers)
    wanted = network.wanted()
    found = [
        Region(tuple(dict.fromkeys(network.readers[key])), network.places(key) if key in wanted else ())
        for key in network.order
    ]
    return [region for region in found if region.places or len(region.readers) > 1]


class _Network:
    """A traced network with its values in regions, each of which goes by the number of one of its values."""

    def __init__(self, traced: Program, layers: Collection[str]) -> None:
        self.traced = traced
        self.layers = layers
        self.producers = {value: operation for operation in traced.operations for value in operation.outputs}
        self.consumers: dict[int, list[Operation]] = defaultdict(list)
        for operation in traced.operations:
            for value in dict.fromkeys((*operation.inputs, *operation.captured)):
                if value is not None:
                    self.consumers[value].append(operation)
        self._inputs = {
            value for operation in traced.operations if operation.name == "data" for value in operation.outputs
        }
        self.runs = Counter(self.owner(operation) for operation in traced.operations)
        self.makers = dict(self._made(operation) for operation in traced.operations if self._convolves(operation))
        self.clipped: dict[int, tuple[int, Bounds]] = {}  # a value that only clips read -> what they make of it
        self._members = {value: [value] for value in (*traced.parameters, *self.producers)}
        self._key = {value: value for value in self._members}
        for operation in traced.operations:
            for value in self._moved(operation):
                self._join(operation.outputs[0], value)
        for operation in reversed(traced.operations):
            self._join_clipped(operation)
        self.order = list(dict.fromkeys(self._key[value] for value in self.producers))
        self.readers: dict[int, list[str]] = defaultdict(list)
        for operation in traced.operations:
            name = self._reading(operation)
            if name:
                self.readers[self._key_of(operation.inputs[0])].append(name)
        self._places: dict[int, tuple[Place, ...]] = {}

    def owner(self, operation: Operation) -> str:
        """The layer that a convolution, product or batch norm belongs to; empty for other operations."""
        if operation.name not in {"matmul", "batch_norm"} and not operation.name.startswith(_CONVOLUTIONS):
            return ""
        value = operation.inputs[1] if len(operation.inputs) > 1 else None
        name = self.traced.parameters.get(-1 if value is None else value, "")
        return layer_of(name) if "." in name else ""

    def wanted(self) -> set[int]:
        """The regions to round for others than their readers."""
        found = {
            self._key[value]
            for value, (convolution, _) in self.makers.items()
            if convolution in self.layers and self._has_others(self._key[value]) and self.places(self._key[value])
        }
        for operation in self.traced.operations:
            if operation.name != "add" or not self._adds_activations(operation):
                continue
            operands = {self._key_of(value) for value in operation.inputs}
            result = self._key[operation.outputs[0]]
            others = self._has_others(result)
            known = all((key in found or self.readers[key]) and self.places(key) for key in operands)
            if known and (self.places(result) if others else self.readers[result]):
                found |= {*operands, result} if others else operands
        return found

    def places(self, key: int) -> tuple[Place, ...]:
        """Where all can be rounded that a region begins with; empty where part of it can't be."""
        if key not in self._places:
            given = {*self.traced.outputs, *self.traced.parameters, *self._inputs}
            found = None
            if not given.intersection(self._members[key]):
                found = [self._place(value) for value in self._sources(key)]
            self._places[key] = tuple(place for place in found or () if place) if found and all(found) else ()
        return self._places[key]

    def _made(self, operation: Operation) -> tuple[int, tuple[str, str]]:
        """What a convolution gives, with its bias and batch norm; the convolution, and the layer that gives it."""
        convolution = giver = self.owner(operation)
        value = operation.outputs[0]
        while len(self.consumers[value]) == 1 and value not in self.traced.outputs:
            user = self.consumers[value][0]
            if user.name == "batch_norm" and self.owner(user):
                return user.outputs[0], (convolution, self.owner(user))
            if user.name != "add" or self._bias(user) != convolution:
                break
            value = user.outputs[0]
        return value, (convolution, giver)

    def _bias(self, add: Operation) -> str:
        """The layer whose bias an addition adds, spread over an image; empty if it adds something else."""
        spread = self.producers.get(-1 if add.inputs[1] is None else add.inputs[1])
        if spread is None or spread.name != "reshape" or spread.inputs[0] is None:
            return ""
        name = self.traced.parameters.get(spread.inputs[0], "")
        return layer_of(name) if "." in name else ""

    def _convolves(self, operation: Operation) -> bool:
        named = operation.name.startswith(_CONVOLUTIONS) and "transpose" not in operation.name
        return named and bool(self.owner(operation))

    def _reading(self, operation: Operation) -> str:
        """The layer with a rounded input that an operation is the product of; empty if it is none."""
        name = self.owner(operation)
        product = operation.name == "matmul" or self._convolves(operation)
        return name if product and name in self.layers and self.runs[name] == 1 else ""

    def _moved(self, operation: Operation) -> tuple[int, ...]:
        """What an operation only moves or compares, and what it makes of that; empty if it computes."""
        largest = operation.name == "pool2d" and operation.attributes.get("pooling_type") == "max"
        kept = operation.name == "dropout" and operation.attributes.get("mode") == "upscale_in_train"
        if not (operation.name in _MOVES or kept or (largest and not operation.attributes.get("adaptive"))):
            return ()
        data = operation.inputs if operation.name == "builtin.combine" else operation.inputs[:1]
        made = operation.outputs[:1] if kept else operation.outputs
        return tuple(value for value in (*data, *made) if value is not None)

    def _join(self, one: int, other: int) -> None:
        keys = [self._key.setdefault(value, value) for value in (one, other)]
        if keys[0] != keys[1]:
            moved = self._members.pop(keys[1], [other])
            self._members.setdefault(keys[0], [one]).extend(moved)
            self._key.update(dict.fromkeys(moved, keys[0]))

    def _join_clipped(self, operation: Operation) -> None:
        """Take the region before a clip into the one behind it, where nobody but such clips reads it."""
        bounds = self._clip(operation)
        if bounds is None:
            return
        before, behind = self._key_of(operation.inputs[0]), self._key[operation.outputs[0]]
        members = self._members[before]
        users = [user for value in members for user in self.consumers[value] if not self._moved(user)]
        alike = all(self._clip(user) == bounds and self._key[user.outputs[0]] == behind for user in users)
        if before != behind and alike and not set(self.traced.outputs).intersection(members):
            for user in users:
                self.clipped[user.inputs[0] or 0] = (user.outputs[0], bounds)
            self._join(operation.outputs[0], members[0])

    def _clip(self, operation: Operation) -> Bounds | None:
        """Between what an operation clips its input; None if it does something else."""
        if operation.name in {"relu", "relu6"}:
            return 0.0, 6.0 if operation.name == "relu6" else EVERYTHING[1]
        if operation.name == "hardtanh":
            return operation.attributes["t_min"], operation.attributes["t_max"]
        if operation.name == "clip":
            ends = [self.traced.constants.get(-1 if value is None else value) for value in operation.inputs[1:3]]
            if len(ends) == 2 and all(end is not None and len(end) == 1 for end in ends):
                return float((ends[0] or (0,))[0]), float((ends[1] or (0,))[0])
        return None

    def _key_of(self, value: int | None) -> int:
        return self._key.get(-1 if value is None else value, -1)

    def _has_others(self, key: int) -> bool:
        """Whether a region is read by anything but layers with rounded inputs."""
        return any(
            not (self._moved(user) or value in self.clipped or (self._reading(user) and user.inputs[0] == value))
            for value in self._members[key]
            for user in self.consumers[value]
        )

    def _adds_activations(self, operation: Operation) -> bool:
        shapes = [self.traced.shapes.get(-1 if value is None else value, ()) for value in operation.inputs]
        return len(shapes) == 2 and shapes[0] == shapes[1] and len(shapes[0]) >= 3

    def _sources(self, key: int) -> Iterator[int]:
        """The values that a region begins with."""
        behind = {after for after, _ in self.clipped.values()}
        for value in self._members[key]:
            if value not in behind and not self._moved(self.producers[value]):
                yield value

    def _place(self, source: int) -> Place | None:
        """Where a value that a region begins with can be rounded; None where it can't be."""
        convolution, giver = self.makers.get(source, ("", ""))
        if convolution and self.runs[convolution] == self.runs[giver] == 1:
            return Place(giver, bounds=self._bounds(source))
        gave = {values[0]: name for name, values in reversed(self.traced.given.items()) if len(values) == 1}
        for value in (source, self.clipped.get(source, (source,))[0]):
            first = self.consumers[value][:1]
            direct = [user for user in self.consumers[value] if self._names(user, value)]
            if value in gave and direct:
                return Place(gave[value], self.owner(direct[0]), bounds=self._bounds(value))
            if direct and direct == first:
                return Place("", self.owner(direct[0]), bounds=self._bounds(value))
            means = [name for user in self.consumers[value] if (name := self._reader_of_mean(user))]
            if value in gave and means:
                return Place(gave[value], means[0], pooled=True, bounds=self._bounds(value))
        return None

    def _names(self, operation: Operation, value: int) -> bool:
        """Whether an operation tells which value is meant: by the layer, which runs once, that it is of."""
        name = self.owner(operation)
        return (
            bool(name) and "transpose" not in operation.name and operation.inputs[0] == value and self.runs[name] == 1
        )

    def _reader_of_mean(self, operation: Operation) -> str:
        """The layer that reads the mean over pixels that an operation makes; empty if it is no mean."""
        pooling = operation.name == "pool2d" and operation.attributes.get("pooling_type") == "avg"
        if not (pooling or operation.name == "mean"):
            return ""
        value = operation.outputs[0]
        while len(self.consumers[value]) == 1:
            user = self.consumers[value][0]
            if self._names(user, value):
                return self.owner(user)
            if user.name not in {"dropout", "scale", "reshape", "flatten", "squeeze", "transpose"}:
                break
            value = user.outputs[0]
        return ""

    def _bounds(self, value: int) -> Bounds:
        """Between what a value is clipped before anybody reads it."""
        if value in self.clipped:
            after, (low, high) = self.clipped[value]
            least, largest = self._bounds(after)
            return max(low, least), min(high, largest)
        users = self.consumers[value]
        if not users or not all(self._moved(user) for user in users):
            return EVERYTHING
        found = [self._bounds(output) for user in users for output in self._moved(user)[1:] if output in user.outputs]
        return min(low for low, _ in found), max(high for _, high in found)
