"""Quantized layers in an ONNX graph, in the form that ONNX Runtime turns into integer kernels.

ONNX Runtime runs `DequantizeLinear -> Conv or Gemm -> QuantizeLinear` as one kernel on integers
(onnxruntime.ai, "Quantize ONNX models", the QDQ format), if nothing else stands between the two:

- The bias is an int32 constant on the grid of input times weight; a float bias would keep the product
  in floats. It is computed in the graph from the float bias, and folded when the graph is loaded.
- A batch normalization after a convolution is folded into the weight's codes and scales and the bias.
- The next layer's QuantizeLinear stands right after the product (see `rounding`).

Where what a residual addition or a pool reads is rounded too (`QuantizeOutput`), it runs on integers as well,
and so can the convolution before it. A convolution whose result meets no QuantizeLinear has no fast kernel on
integers (ConvInteger is several times slower than Conv): it gets its weight as floats. A rounding of values
that no kernel on integers makes or reads would cost time and precision for nothing, and is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from paddlepress.deployment.bundle import CODES, SCALE
from paddlepress.deployment.graph import Graph
from paddlepress.deployment.quantize_placement import Grid, Rounding, place
from paddlepress.network.edits import Quantize, QuantizeOutput

PRODUCTS = frozenset({"Conv", "MatMul"})

_ROUNDED_BY_THE_RUNTIME = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})

_MEANS = frozenset({"GlobalAveragePool", "AveragePool", "ReduceMean"})
_BEHIND_MEANS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"})

# ONNX Runtime fuses these into a float Gemm before it looks for integer kernels.
_FUSED_INTO_GEMM = frozenset({"Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSigmoid"})

# A bias is at most this many times its scale, so that it fits into the int32 accumulator.
_LARGEST_BIAS = 2.0**30
_TINY = 1e-20


def insert(
    graph: Graph,
    quantized: Mapping[str, Quantize],
    outputs: Collection[QuantizeOutput] = (),
    at_most: int | None = None,
) -> frozenset[str]:
    """Put the integer form of quantized layers into a graph whose parameters have their structured names.

    Args:
        graph: rewritten in place.
        quantized: the edit of each quantized weight, by the weight's name.
        outputs: what layers give each other rounded.
        at_most: how many products become ones of integers, from the first on; the others are of floats between the
            same roundings. None: all.

    Returns:
        The weights that the graph now takes as `NAME:codes` and `NAME:scale` instead of as floats.
        A weight that meets a float input gains nothing from staying an integer; it is decoded to
        floats once, when the graph is loaded.
    """
    consumers = graph.consumers()
    edits = {
        name: edit for name, edit in quantized.items() if _for_kernels(edit) and _only_weighs_products(consumers, name)
    }
    outputs = list(outputs)
    while True:
        trial = graph.copy()
        roundings = place(trial, _roundings(trial, edits, outputs))
        integer = {node.input[1] for node in trial.nodes if _has_kernel(trial, node, edits)}
        useless = _useless(trial, roundings, integer)
        if not useless:
            break
        for rounding in useless:
            for name in rounding.weights:
                edits.pop(name, None)
            outputs = [output for output in outputs if output not in rounding.outputs]
    products = [node for node in trial.nodes if node.op_type in PRODUCTS and node.input[1] in integer][:at_most]
    made = frozenset(str(node.input[1]) for node in products)
    for node in products:
        _make_integer(trial, node, edits[node.input[1]])
    _keep_floats(trial)
    graph.take(trial)
    return made


def _for_kernels(edit: Quantize) -> bool:
    """Whether weight and input are integers that one kernel can multiply; fewer bits than 8 are 8 there."""
    return edit.bits <= 8 and edit.group is None and edit.input_scale is not None


def _only_weighs_products(consumers: Mapping[str, list[Any]], name: str) -> bool:
    """Whether a parameter is the weight of convolutions and products only."""
    nodes = consumers.get(name, [])
    return bool(nodes) and all(node.op_type in PRODUCTS and list(node.input).index(name) == 1 for node in nodes)


def _useless(graph: Graph, roundings: list[Rounding], integer: set[str]) -> list[Rounding]:
    """The roundings that no product on integers makes or reads, nor an addition whose operands are on integers."""
    made = {start for r in roundings for start in r.starts if _weight_before(graph, start) in integer}
    useless = [r for r in roundings if not (integer & r.weights or made.intersection(r.starts))]
    kept = {start for r in roundings if r not in useless for start in r.starts}
    producers = graph.producers()

    def added(start: str) -> bool:
        node = producers.get(start)
        if node is None or node.op_type != "Add":
            return False
        before = [producers.get(name) for name in node.input]
        codes = [producers.get(source.input[0]) for source in before if source is not None and source.input]
        rounded = [node for node in codes if node is not None and node.op_type == "QuantizeLinear"]
        return len(rounded) == 2 and all(node.input[0] in kept for node in rounded)

    return [r for r in useless if not any(added(start) for start in r.starts)]


def _roundings(graph: Graph, edits: Mapping[str, Quantize], outputs: Collection[QuantizeOutput]) -> list[Rounding]:
    """What has to be rounded, each value and grid once."""
    found: dict[tuple[str, Grid], Rounding] = {}
    for node in graph.nodes:
        edit = edits.get(node.input[1]) if node.op_type in PRODUCTS else None
        if edit is not None and edit.input_scale is not None:
            key = (node.input[0], (edit.input_scale, edit.input_zero_point))
            found.setdefault(key, Rounding(*key)).readers.append(node)
    for output in outputs:
        value = _value(graph, output)
        if value is not None:
            key = (value, (output.scale, output.zero_point))
            found.setdefault(key, Rounding(*key)).outputs.append(output)
    return list(found.values())


def _value(graph: Graph, output: QuantizeOutput) -> str | None:
    """The value that an edit rounds; None where the graph does not show it."""
    if not output.reader:
        return _output(graph, output.layer)
    named = {"BatchNormalization", *PRODUCTS}
    weight = f"{output.reader}.weight"
    value = next((str(n.input[0]) for n in graph.nodes if n.op_type in named and n.input[1] == weight), None)
    if not output.pooled:
        return value
    producers = graph.producers()
    while (node := producers.get(value or "")) is not None:
        if node.op_type in _MEANS:
            return str(node.input[0])
        scaled = node.op_type in {"Mul", "Div"} and node.input[1] in graph.values
        if not (scaled or node.op_type in _BEHIND_MEANS):
            break
        value = str(node.input[0])
    return None


def _output(graph: Graph, layer: str) -> str | None:
    """The value that a convolution or a batch norm makes."""
    for node in graph.nodes:
        if node.op_type in {"Conv", "BatchNormalization"} and node.input[1] == f"{layer}.weight":
            return str(node.output[0])
    return None


def _tail(graph: Graph, node: Any) -> list[Any]:
    """A product and what belongs to it: the batch normalization after a Conv, the bias after a MatMul."""
    users = graph.consumers()[node.output[0]]
    if node.output[0] in graph.outputs or len(users) != 1:
        return [node]
    if node.op_type == "Conv" and users[0].op_type == "BatchNormalization":
        return [node, users[0]] if all(name in graph.values for name in users[0].input[1:]) else [node]
    if node.op_type == "MatMul" and users[0].op_type == "Add" and _bias_of(graph, users[0], node.output[0]):
        return [node, users[0]]
    return [node]


def _bias_of(graph: Graph, add: Any, product: str) -> str | None:
    """The one-dimensional constant that an Add adds to a product."""
    others = [str(name) for name in add.input if name != product]
    return others[0] if len(others) == 1 and others[0] in graph.values and graph.values[others[0]].ndim == 1 else None


def _has_kernel(graph: Graph, node: Any, edits: Mapping[str, Quantize]) -> bool:
    """Whether ONNX Runtime has a fast kernel on integers for this node in this place."""
    if node.op_type not in PRODUCTS or node.input[1] not in edits:
        return False
    result = _tail(graph, node)[-1].output[0]
    users = graph.consumers()[result]
    if len(users) == 1 and users[0].op_type == "QuantizeLinear" and result not in graph.outputs:
        return True
    return node.op_type == "MatMul" and all(user.op_type not in _FUSED_INTO_GEMM for user in users)


def _weight_before(graph: Graph, value: str) -> str:
    """The weight of the product whose result a value is; empty if it is no product's."""
    producers = graph.producers()
    node = producers.get(value)
    if node is not None and node.op_type in {"BatchNormalization", "Add"}:
        before = [producers[name] for name in node.input if name in producers]
        tails = [source for source in before if source.op_type in PRODUCTS and _tail(graph, source)[-1] is node]
        node = tails[0] if tails else None
    return str(node.input[1]) if node is not None and node.op_type in PRODUCTS else ""


def _make_integer(graph: Graph, node: Any, edit: Quantize) -> None:
    """Give a product its weight and bias as integers, and fold what belongs to it."""
    from onnx import TensorProto, helper

    tail = _tail(graph, node)
    grid = graph.producers()[node.input[0]].input[1]
    codes, scale = node.input[1] + CODES, node.input[1] + SCALE
    bias = str(node.input[2]) if len(node.input) > 2 else ""
    axis = {} if edit.axis is None else {"axis": edit.axis}
    if node.op_type == "Conv" and len(tail) > 1:
        codes, scale, bias = _fold_normalization(graph, tail[1], codes, scale, bias)
        axis = {"axis": 0}
    elif node.op_type == "MatMul" and len(tail) > 1:
        bias = _bias_of(graph, tail[1], node.output[0]) or ""
    as_gemm = node.op_type == "MatMul" and graph.ranks.get(node.output[0]) == 2
    if node.op_type == "Conv" or as_gemm:
        node.output[0] = tail[-1].output[0]
        for other in tail[1:]:
            graph.drop(other)
    else:
        bias = ""  # a product of more dimensions stays a MatMul, and its Add a float one
    step = graph.node("Mul", scale, grid)
    if bias:
        floor = graph.node("Div", graph.node("Abs", bias), graph.constant(_LARGEST_BIAS))
        step = graph.node("Max", step, floor, graph.constant(_TINY))
        scale = graph.node("Div", step, grid)  # one for each output, even where the weight had a single one
        axis = {"axis": 0 if node.op_type == "Conv" else 1}
    # The zero point says nothing new, but without one a Gemm stays in floats.
    zero = graph.node("Cast", graph.node("Sub", scale, scale), to=TensorProto.INT8)
    inputs = [node.input[0], graph.node("DequantizeLinear", codes, scale, zero, **axis)]
    if bias:
        count = graph.node("Cast", graph.node("Round", graph.node("Div", bias, step)), to=TensorProto.INT32)
        inputs.append(graph.node("DequantizeLinear", count, step, axis=0))
    node.input[:] = inputs
    if as_gemm:
        node.op_type = "Gemm"
        # Stated, because ONNX Runtime looks for them by name.
        node.attribute.extend([helper.make_attribute("alpha", 1.0), helper.make_attribute("beta", 1.0)])


def _keep_floats(graph: Graph) -> None:
    """Give a product of floats the floats of a rounded value by plain arithmetic, and not by DequantizeLinear.

    Between DequantizeLinear and QuantizeLinear ONNX Runtime would take it for a layer whose weight was forgotten, and
    round that to 8 bits by itself (its optimizer WeightBiasQuantization).
    """
    from onnx import TensorProto

    producers = graph.producers()
    for node in list(graph.nodes):
        source = producers.get(node.input[0]) if node.op_type in _ROUNDED_BY_THE_RUNTIME else None
        if source is None or source.op_type != "DequantizeLinear" or node.input[1] not in graph.values:
            continue
        codes, scale, zero = source.input
        value = graph.node("Cast", codes, to=TensorProto.FLOAT)
        if graph.values[zero].any():
            value = graph.node("Sub", value, graph.constant(graph.values[zero]))
        node.input[0] = graph.node("Mul", value, scale)


def _fold_normalization(graph: Graph, norm: Any, codes: str, scale: str, bias: str) -> tuple[str, str, str]:
    """Codes, scales and bias of a convolution that does what its batch normalization did as well.

    y = gamma * (conv + bias - mean) / sqrt(variance + epsilon) + beta: every filter is multiplied by a
    factor, whose size goes into the filter's scale and whose sign into its codes.
    """
    from onnx import TensorProto

    gamma, beta, mean, variance = norm.input[1:5]
    epsilon = next((attribute.f for attribute in norm.attribute if attribute.name == "epsilon"), 1e-5)
    deviation = graph.node("Sqrt", graph.node("Add", variance, graph.constant(epsilon)))
    factor = graph.node("Div", gamma, deviation)
    sign = graph.node("Reshape", graph.node("Sign", factor), graph.constant([-1, 1, 1, 1], np.int64))
    wide = graph.node("Mul", graph.node("Cast", codes, to=TensorProto.FLOAT), sign)
    codes = graph.node("Cast", wide, to=TensorProto.INT8)
    scale = graph.node("Mul", scale, graph.node("Abs", factor))
    centred = graph.node("Sub", bias, mean) if bias else graph.node("Neg", mean)
    return codes, scale, graph.node("Add", beta, graph.node("Mul", factor, centred))
