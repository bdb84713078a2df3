"""Changes to an ONNX graph that keep what it computes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np

from paddlepress.spec.tensors import Array

# What a batch-independent reshape keeps: ONNX's Reshape reads 0 as "as in the input".
_KEEP = 0


class Graph:
    """An ONNX graph and the lookups that rewriting it needs.

    Attributes:
        proto: the `onnx.GraphProto`.
        nodes: its nodes, in topological order; `finish` writes them back.
        values: its initializers, by name.
        ranks: how many dimensions its values have, where that is known.
    """

    def __init__(self, model: Any) -> None:
        """Args: model: an `onnx.ModelProto`."""
        from onnx import numpy_helper, shape_inference

        proto = model.graph
        inferred = shape_inference.infer_shapes(model).graph
        self.proto = proto
        self.ranks: dict[str, int] = {
            info.name: len(info.type.tensor_type.shape.dim)
            for info in (*inferred.value_info, *inferred.input, *inferred.output)
            if info.type.tensor_type.HasField("shape")
        }
        self.values: dict[str, Array] = {t.name: numpy_helper.to_array(t) for t in proto.initializer}
        self.nodes: list[Any] = list(proto.node)
        self._fresh = 0

    @property
    def outputs(self) -> set[str]:
        """Names of the graph's outputs."""
        return {output.name for output in self.proto.output}

    def producers(self) -> dict[str, Any]:
        """The node that makes each value."""
        return {name: node for node in self.nodes for name in node.output}

    def consumers(self) -> dict[str, list[Any]]:
        """The nodes that read each value."""
        found: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in reads(node):
                found[name].append(node)
        return found

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant; returns its name."""
        name = self._name()
        self.values[name] = np.array(value, dtype)
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; returns the name of its only output."""
        from onnx import helper

        output = self._name()
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _name(self) -> str:
        """A value name that is not in use; short, since it counts as bytes of the deployable."""
        self._fresh += 1
        return f"_{self._fresh}"

    def copy(self) -> Graph:
        """A graph whose nodes can be changed without changing this one's."""
        twin = copy(self)
        twin.nodes = [type(node).FromString(node.SerializeToString()) for node in self.nodes]
        twin.values, twin.ranks = dict(self.values), dict(self.ranks)
        return twin

    def take(self, other: Graph) -> None:
        """Become like a copy that was changed."""
        self.nodes, self.values, self.ranks, self._fresh = other.nodes, other.values, other.ranks, other._fresh

    def keep(self, nodes: list[Any]) -> None:
        """Replace the nodes by these; they are put into topological order."""
        ordered: list[Any] = []
        producers = {name: node for node in nodes for name in node.output}
        placed: set[int] = set()
        stack = list(reversed(nodes))
        while stack:
            node = stack[-1]
            waiting = [producers[name] for name in reads(node) if name in producers]
            waiting = [source for source in waiting if id(source) not in placed]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            if id(node) not in placed:
                placed.add(id(node))
                ordered.append(node)
        self.nodes = ordered

    def drop(self, node: Any) -> None:
        """Remove a node."""
        self.nodes = [other for other in self.nodes if other is not node]

    def finish(self) -> None:
        """Write the nodes back, in topological order."""
        self.keep(self.nodes)
        del self.proto.node[:]
        self.proto.node.extend(self.nodes)

    def write_values(self) -> None:
        """Write the nodes and the constants back, so that `proto` is whole."""
        from onnx import numpy_helper

        self.finish()
        del self.proto.initializer[:]
        self.proto.initializer.extend(numpy_helper.from_array(value, name) for name, value in self.values.items())

    def rename(self, names: Mapping[str, str]) -> None:
        """Rename values wherever nodes read or make them."""
        for node in self.nodes:
            _rename_reads(node, names)
            node.output[:] = [names.get(name, name) for name in node.output]
        self.values = {names.get(name, name): value for name, value in self.values.items()}
        self.ranks = {names.get(name, name): rank for name, rank in self.ranks.items()}
        for output in self.proto.output:
            output.name = names.get(output.name, output.name)


def reads(node: Any) -> list[str]:
    """The names of the values that a node reads: inputs, and what the graphs of a branch or loop take from outside."""
    found = [str(name) for name in node.input]
    for inner in _graphs(node):
        own = _own(inner)
        found += [name for other in inner.node for name in reads(other) if name not in own]
    return found


def _graphs(node: Any) -> list[Any]:
    """The graphs inside a node, of a branch or a loop."""
    attributes = node.attribute
    return [attribute.g for attribute in attributes if attribute.HasField("g")] + [
        inner for attribute in attributes for inner in attribute.graphs
    ]


def _own(inner: Any) -> set[str]:
    """The values that a graph inside a node makes itself, or is given under a name of its own."""
    made = {name for node in inner.node for name in node.output}
    return made | {value.name for value in (*inner.input, *inner.initializer)}


def _rename_reads(node: Any, names: Mapping[str, str]) -> None:
    node.input[:] = [names.get(name, name) for name in node.input]
    for inner in _graphs(node):
        own = _own(inner)
        outer = {old: new for old, new in names.items() if old not in own}
        for other in inner.node:
            _rename_reads(other, outer)


def constants_to_initializers(graph: Graph) -> None:
    """Make every Constant node an initializer, which optimizers look at."""
    from onnx import numpy_helper

    kept = []
    for node in graph.nodes:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            graph.values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        else:
            kept.append(node)
    graph.keep(kept)


def drop_identities(graph: Graph) -> None:
    """Remove Identity nodes; a graph output keeps its name."""
    names: dict[str, str] = {}
    kept = []
    made = {name for node in graph.nodes for name in node.output}
    for node in graph.nodes:
        if node.op_type != "Identity":
            kept.append(node)
            continue
        source, target = names.get(node.input[0], node.input[0]), node.output[0]
        if target not in graph.outputs:
            names[target] = source
        elif source in made and source not in graph.outputs:
            # The node that makes the value makes the output instead.
            names = {old: target if new == source else new for old, new in names.items()} | {source: target}
        else:
            kept.append(node)
    graph.keep(kept)
    graph.rename(names)


def simplify_flattens(graph: Graph) -> None:
    """Turn Reshape(x, Concat(Shape(x)[:1], constants)) into one Reshape with a constant shape.

    The three nodes only carry the batch size over, at a cost that small networks feel.
    """
    producers, consumers = graph.producers(), graph.consumers()
    dropped: set[str] = set()
    for node in graph.nodes:
        concat = producers.get(node.input[1]) if node.op_type == "Reshape" else None
        if concat is None or concat.op_type != "Concat" or len(consumers[concat.output[0]]) != 1:
            continue
        cut = producers.get(concat.input[0])
        rest = [graph.values.get(name) for name in concat.input[1:]]
        if cut is None or cut.op_type != "Slice" or any(value is None or value.min() == 0 for value in rest):
            continue
        shape = producers.get(cut.input[0])
        bounds = [graph.values.get(name) for name in cut.input[1:]]
        first_only = [None if b is None else b.tolist() for b in bounds] in ([[0], [1], [0]], [[0], [1], [0], [1]])
        if (
            shape is None
            or shape.op_type != "Shape"
            or shape.attribute
            or shape.input[0] != node.input[0]
            or not first_only
        ):
            continue
        target = np.concatenate([np.array([_KEEP]), *(np.asarray(value).reshape(-1) for value in rest)])
        node.input[1] = graph.constant(target, np.int64)
        del node.attribute[:]  # allowzero would read the 0 as a size
        dropped.update(
            n.output[0] for n in (concat, cut, shape) if all(c in (concat, cut, node) for c in consumers[n.output[0]])
        )
    graph.keep([node for node in graph.nodes if node.output[0] not in dropped])


def merge_conv_biases(graph: Graph) -> None:
    """Give a Conv the bias that is added to its output, so that one kernel computes both."""
    producers, consumers = graph.producers(), graph.consumers()
    names: dict[str, str] = {}
    dropped: set[str] = set()
    for node in graph.nodes:
        if node.op_type != "Add":
            continue
        for conv_input, bias_input in ((0, 1), (1, 0)):
            conv = producers.get(node.input[conv_input])
            if conv is None or conv.op_type != "Conv" or len(conv.input) != 2 or conv.output[0] in dropped:
                continue
            bias = _channel_bias(graph, producers, node.input[bias_input], _rank(conv))
            if bias is None or len(consumers[conv.output[0]]) != 1 or conv.output[0] in graph.outputs:
                continue
            conv.input.append(bias)
            dropped.add(node.output[0])
            names[conv.output[0]] = node.output[0]
            break
    graph.keep([node for node in graph.nodes if node.output[0] not in dropped])
    graph.rename(names)


def _rank(conv: Any) -> int | None:
    for attribute in conv.attribute:
        if attribute.name == "kernel_shape":
            return len(attribute.ints) + 2
    return None


def _channel_bias(graph: Graph, producers: dict[str, Any], name: str, rank: int | None) -> str | None:
    """The one-dimensional constant that `name` is with spatial dimensions appended; None if it is anything else."""
    reshape = producers.get(name)
    if rank is None or reshape is None or reshape.op_type != "Reshape" or reshape.input[0] not in graph.values:
        return None
    bias, shape = graph.values[reshape.input[0]], graph.values.get(reshape.input[1])
    if shape is None or bias.ndim != 1:
        return None
    channels = shape.tolist()[: len(shape) - (rank - 2)]
    spatial = shape.tolist()[len(shape) - (rank - 2) :]
    if spatial != [1] * (rank - 2) or channels not in ([-1], [bias.size], [1, -1], [1, bias.size]):
        return None
    return str(reshape.input[0])


def drop_unused(graph: Graph) -> None:
    """Remove nodes and constants that nothing reads."""
    while True:
        read = {name for node in graph.nodes for name in reads(node)} | graph.outputs
        kept = [node for node in graph.nodes if any(name in read for name in node.output)]
        if len(kept) == len(graph.nodes):
            break
        graph.keep(kept)
    graph.values = {name: value for name, value in graph.values.items() if name in read}


def simplify(graph: Graph) -> None:
    """Every change of this module."""
    constants_to_initializers(graph)
    drop_identities(graph)
    simplify_flattens(graph)
    merge_conv_biases(graph)
    drop_unused(graph)
