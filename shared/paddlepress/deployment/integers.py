"""Quantized layers in an ONNX graph, in the form that ONNX Runtime turns into integer kernels.

ONNX Runtime runs `DequantizeLinear -> Conv -> QuantizeLinear` as one integer convolution, and
`DequantizeLinear -> MatMul` as one integer product (onnxruntime.ai, "Quantize ONNX models": the QDQ
format). So each quantized layer gets its weight as integers through a DequantizeLinear, and its input
through a QuantizeLinear and a DequantizeLinear on the grid that it was calibrated or trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from paddlepress.deployment.bundle import CODES, SCALE
from paddlepress.deployment.graph import Graph
from paddlepress.surgery.edits import Quantize


_PRODUCTS = frozenset({"Conv", "MatMul"})


def insert(graph: Graph, quantized: Mapping[str, Quantize]) -> frozenset[str]:
    """Put the integer form of quantized layers into a graph whose parameters have their structured names.

    Args:
        graph: rewritten in place.
        quantized: the edit of each quantized weight, by the weight's name.

    Returns:
        The weights that the graph now takes as `NAME:codes` and `NAME:scale` instead of as floats:
        those of 8-bit layers whose input is quantized too. A weight that meets a float input gains
        nothing from staying an integer; it is decoded to floats once, when the graph is loaded.
    """
    from onnx import helper

    chosen = {name: edit for name, edit in quantized.items() if edit.bits == 8 and edit.input_scale is not None}
    consumers = graph.consumers()
    chosen = {name: edit for name, edit in chosen.items() if _only_weighs_products(graph, consumers, name)}
    rounded: dict[tuple[str, float, int], str] = {}
    kept: list[Any] = []
    for node in graph.proto.node:
        edit = chosen.get(node.input[1]) if node.op_type in _PRODUCTS else None
        if edit is None or edit.input_scale is None:
            kept.append(node)
            continue
        key = (node.input[0], edit.input_scale, edit.input_zero_point)
        if key not in rounded:
            scale = graph.add("scale", np.array(edit.input_scale, np.float32))
            zero = graph.add("zero", np.array(edit.input_zero_point, np.uint8))
            codes, rounded[key] = graph.name("codes"), graph.name("rounded")
            kept.append(helper.make_node("QuantizeLinear", [node.input[0], scale, zero], [codes]))
            kept.append(helper.make_node("DequantizeLinear", [codes, scale, zero], [rounded[key]]))
        weight, decoded = node.input[1], graph.name("weight")
        axis = {} if edit.axis is None else {"axis": edit.axis}
        kept.append(helper.make_node("DequantizeLinear", [weight + CODES, weight + SCALE], [decoded], **axis))
        node.input[0], node.input[1] = rounded[key], decoded
        kept.append(node)
    graph.keep(kept)
    return frozenset(chosen)


def _only_weighs_products(graph: Graph, consumers: Mapping[str, list[Any]], name: str) -> bool:
    """Whether a parameter is the weight of convolutions and products only."""
    nodes = consumers.get(name, [])
    return bool(nodes) and all(node.op_type in _PRODUCTS and list(node.input).index(name) == 1 for node in nodes)
