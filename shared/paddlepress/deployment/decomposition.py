"""Operators of a saved program that paddle2onnx does not convert right, put in terms of those that it does.

A rule is looked up by an operator's name and builds, in front of it, other operators that compute the same.
It leaves the operator alone where it does not know how: a size that is unknown before running, an option that is
not written here. What comes out is never believed: `verification` compares the finished graph with the network.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

Rule = Callable[["Operator"], Any]

_CHANNELS_LAST = frozenset({"NHWC", "NDHWC", "NLC", "NWC"})

# The arguments after the first of operators that know images whose channels come last: `$1` is the second operand.
_IMAGE_OPERATORS = {
    "conv2d": "$1 strides paddings padding_algorithm dilations groups data_format",
    "depthwise_conv2d": "$1 strides paddings padding_algorithm groups dilations data_format",
    "conv3d": "$1 strides paddings padding_algorithm groups dilations data_format",
    "conv2d_transpose": "$1 strides paddings output_padding $2 padding_algorithm groups dilations data_format",
    "depthwise_conv2d_transpose": "$1 strides paddings output_padding $2 padding_algorithm groups dilations "
    "data_format",
    "conv3d_transpose": "$1 strides paddings output_padding output_size padding_algorithm groups dilations data_format",
    "pool2d": "$1 strides paddings ceil_mode exclusive data_format pooling_type global_pooling adaptive "
    "padding_algorithm",
    "pool3d": "kernel_size strides paddings ceil_mode exclusive data_format pooling_type global_pooling adaptive "
    "padding_algorithm",
    "batch_norm": "$1 $2 $3 $4 is_test momentum epsilon data_format use_global_stats trainable_statistics",
    "batch_norm_": "$1 $2 $3 $4 is_test momentum epsilon data_format use_global_stats trainable_statistics",
    "group_norm": "$1 $2 epsilon groups data_format",
    "prelu": "$1 data_format mode",
    "pixel_shuffle": "upscale_factor data_format",
    "pixel_unshuffle": "downscale_factor data_format",
    "channel_shuffle": "groups data_format",
    "pad3d": "$1 mode pad_value data_format",
    **dict.fromkeys(
        ("linear_interp", "bilinear_interp", "nearest_interp", "bicubic_interp", "trilinear_interp"),
        "$1 $2 $3 data_format out_d out_h out_w scale interp_method align_corners align_mode",
    ),
}


class _UnknownSize(Exception):
    """A rule needs a size or constant that is not known before running."""


class Operator:
    """An operator of a traced program.

    Attributes:
        name: Paddle's, without `pd_op.`.
        inputs: its operands; None where an optional one is not given.
        attributes: its constants.
    """

    def __init__(self, found: Any) -> None:
        self.name = found.name().removeprefix("pd_op.")
        self.inputs: list[Any] = [value if value.initialized() else None for value in found.operands_source()]
        self.attributes: dict[str, Any] = dict(found.attrs())

    def constants(self, place: int) -> list[int]:
        """The integers that an operand always is."""
        value = self.inputs[place]
        source = value.get_defining_op() if value is not None else None
        if source is None or source.name() not in {"pd_op.full_int_array", "pd_op.assign_value_", "pd_op.assign_value"}:
            raise _UnknownSize
        attributes = source.attrs()
        return [int(number) for number in attributes.get("value", attributes.get("values"))]


def decompose(program: Path) -> None:
    """Rewrite a saved program, `PREFIX.json`, in place; its parameters stay as they are."""
    import paddle
    from paddle.base import core

    loaded = paddle.static.Program()
    core.deserialize_pir_program(str(program), loaded)
    with _names_go_on(), paddle.pir_utils.IrGuard(), paddle.static.program_guard(loaded), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Paddle warns of what its own functions do to traced values
        # What a rule builds may need another rule.
        while sum(_replace(loaded.global_block(), found) for found in loaded.global_block().ops):
            pass
    core.serialize_pir_program(loaded, str(program))
    # paddle2onnx reads attributes as 32-bit floats, whatever their width: of a double it gets what lies in memory.
    program.write_text(program.read_text().replace(".a_f64", ".a_f32"))


@contextmanager
def _names_go_on() -> Iterator[None]:
    """Have Paddle count names from where it was: it starts anew once it has left static mode.

    Two parameters of one name, made before and after, would share what an optimizer keeps for each.
    """
    from paddle.utils import unique_name

    before = unique_name.switch()
    unique_name.switch(*before)
    try:
        yield
    finally:
        unique_name.switch(*before)


def _replace(block: Any, found: Any) -> bool:
    """Put what a rule builds in the place of an operator; whether there was a rule that fits."""
    import paddle

    operator = Operator(found)
    try:
        rule = _rule(operator)
    except _UnknownSize:
        return False
    if rule is None or any(not value.use_empty() for value in found.results()[1:]):
        return False
    paddle.base.libpaddle.pir.set_insertion_point(found)
    before = len(block.ops)
    try:
        result = rule(operator)
    except _UnknownSize:
        return False
    layer = operator.attributes.get("struct_name")
    if layer:
        place = next(number for number, other in enumerate(block.ops) if other.id() == found.id())
        for made in block.ops[place - (len(block.ops) - before) : place]:
            made.set_str_attr("struct_name", layer)
    found.result(0).replace_all_uses_with(result)
    block.remove_op(found)
    return True


def _rule(operator: Operator) -> Rule | None:
    attributes = operator.attributes
    if operator.name in _IMAGE_OPERATORS and attributes.get("data_format") in _CHANNELS_LAST:
        return _channels_first
    if operator.name == "softplus" and (attributes["beta"], attributes["threshold"]) == (1.0, 20.0):
        return None
    if operator.name == "layer_norm" and attributes["begin_norm_axis"] == len(operator.inputs[0].shape) - 1:
        return None
    if operator.name == "mean" and operator.constants(1):
        return None
    if operator.name == "rrelu" and not attributes["is_test"]:
        return None
    return RULES.get(operator.name)


def _sizes(x: Any, end: int | None = None) -> list[int]:
    """The sizes of a value up to an axis, of which one, such as the batch, may be unknown: -1."""
    sizes = [int(size) for size in x.shape[:end]]
    if sum(size < 0 for size in sizes) > 1:
        raise _UnknownSize
    return sizes


def _size(x: Any, axis: int) -> int:
    if x.shape[axis] < 0:
        raise _UnknownSize
    return int(x.shape[axis])


def _channels_first(operator: Operator) -> Any:
    import paddle
    from paddle import _C_ops

    x = operator.inputs[0]
    rank = len(x.shape)
    values = {f"${place}": value for place, value in enumerate(operator.inputs)} | operator.attributes
    values["data_format"] = {3: "NCL", 4: "NCHW", 5: "NCDHW"}[rank]
    arguments = [values[name] for name in _IMAGE_OPERATORS[operator.name].split()]
    made = getattr(_C_ops, operator.name)(paddle.transpose(x, [0, rank - 1, *range(1, rank - 1)]), *arguments)
    first = made[0] if isinstance(made, list | tuple) else made
    return paddle.transpose(first, [0, *range(2, rank), 1])


def _softplus(operator: Operator) -> Any:
    import paddle
    import paddle.nn.functional as F

    x, beta = operator.inputs[0], operator.attributes["beta"]
    scaled = paddle.scale(x, beta)
    smooth = paddle.scale(F.softplus(scaled), 1 / beta)
    return paddle.where(scaled > operator.attributes["threshold"], x, smooth)


def _celu(operator: Operator) -> Any:
    import paddle
    import paddle.nn.functional as F

    x, alpha = operator.inputs[0], operator.attributes["alpha"]
    return paddle.scale(F.elu(paddle.scale(x, 1 / alpha)), alpha)


def _maxout(operator: Operator) -> Any:
    import paddle

    x, groups = operator.inputs[0], operator.attributes["groups"]
    sizes, axis = _sizes(x), operator.attributes["axis"] % len(x.shape)
    parted = paddle.reshape(x, [*sizes[:axis], _size(x, axis) // groups, groups, *sizes[axis + 1 :]])
    return paddle.max(parted, axis + 1)


def _channel_shuffle(operator: Operator) -> Any:
    import paddle

    x, groups = operator.inputs[0], operator.attributes["groups"]
    batch, channels, height, width = _sizes(x)
    parted = paddle.reshape(x, [batch, groups, _size(x, 1) // groups, height, width])
    return paddle.reshape(paddle.transpose(parted, [0, 2, 1, 3, 4]), [batch, channels, height, width])


def _pixel_unshuffle(operator: Operator) -> Any:
    import paddle

    x, factor = operator.inputs[0], operator.attributes["downscale_factor"]
    batch, channels, _, _ = _sizes(x)
    height, width = _size(x, 2) // factor, _size(x, 3) // factor
    parted = paddle.reshape(x, [batch, channels, height, factor, width, factor])
    moved = paddle.transpose(parted, [0, 1, 3, 5, 2, 4])
    return paddle.reshape(moved, [batch, _size(x, 1) * factor**2, height, width])


def _layer_norm(operator: Operator) -> Any:
    import paddle
    from paddle import _C_ops

    x, scale, bias = operator.inputs
    start = operator.attributes["begin_norm_axis"]
    normalized = math.prod([_size(x, axis) for axis in range(start, len(x.shape))])
    flat = paddle.reshape(x, [*_sizes(x, start), normalized])
    normed = _C_ops.layer_norm(flat, scale, bias, operator.attributes["epsilon"], start)
    return paddle.reshape(normed[0] if isinstance(normed, list | tuple) else normed, _sizes(x))


def _repeat_interleave(operator: Operator) -> Any:
    import paddle

    x, axis = operator.inputs[0], operator.attributes["axis"]
    repeats: Any = operator.attributes["repeats"] if "repeats" in operator.attributes else operator.constants(1)
    return paddle.index_select(x, _constant(np.repeat(np.arange(_size(x, axis)), repeats)), axis)


def _set_value(operator: Operator) -> Any:
    """Slice assignment: `x[starts:ends:steps] = value` along some axes."""
    import paddle

    x, attributes = operator.inputs[0], operator.attributes
    value: Any = attributes["values"] if "values" in attributes else operator.inputs[1]
    bounds = [operator.constants(place) for place in range(len(operator.inputs) - 3, len(operator.inputs))]
    places = {}
    for axis, start, end, step in zip(attributes["axes"], *bounds, strict=True):
        size = _size(x, axis)
        places[axis] = list(range(size)[slice(start, None if step < 0 and end < -size else end, step)])
    if attributes["none_axes"] or not all(places.values()):
        raise _UnknownSize
    if not isinstance(value, list):
        dropped = attributes["decrease_axes"]
        missing = len(x.shape) - len(dropped) - len(value.shape)
        if missing < 0:
            raise _UnknownSize
        value = paddle.unsqueeze(value, list(range(missing))) if missing else value
        value = paddle.unsqueeze(value, sorted(dropped)) if dropped else value
    elif math.prod(attributes["shape"]) != 1:
        raise _UnknownSize
    return _assigned(x, value, list(places.items()))


def _assigned(x: Any, value: Any, places: list[tuple[int, list[int]]]) -> Any:
    """A value with others in some places of some axes."""
    import paddle

    if not places:
        if isinstance(value, list):
            return paddle.full_like(x, float(value[0]))
        same = len(value.shape) == len(x.shape) and list(value.shape)[1:] == list(x.shape)[1:]
        return value if same and (value.shape[0] == x.shape[0]) else paddle.zeros_like(x) + value
    (axis, positions), *rest = places
    size, first, last = _size(x, axis), positions[0], positions[-1]
    if positions == list(range(first, last + 1)):
        inner = _assigned(paddle.slice(x, [axis], [first], [last + 1]), value, rest)
        before = [paddle.slice(x, [axis], [0], [first])] if first else []
        after = [paddle.slice(x, [axis], [last + 1], [size])] if last + 1 < size else []
        return paddle.concat([*before, inner, *after], axis) if before or after else inner
    inner = _assigned(paddle.index_select(x, _constant(np.array(positions)), axis), value, rest)
    sources = np.arange(size)
    sources[positions] = size + np.arange(len(positions))
    return paddle.index_select(paddle.concat([x, inner], axis), _constant(sources), axis)


def _constant(numbers: Any) -> Any:
    import paddle

    return paddle.assign(np.asarray(numbers, np.int64))


def _mean(operator: Operator) -> Any:
    """The mean over all axes, which have to be named."""
    import paddle

    x = operator.inputs[0]
    return paddle.mean(x, list(range(len(x.shape))), operator.attributes["keepdim"])


def _stanh(operator: Operator) -> Any:
    import paddle

    inner = paddle.scale(operator.inputs[0], operator.attributes["scale_a"])
    return paddle.scale(paddle.tanh(inner), operator.attributes["scale_b"])


def _rrelu(operator: Operator) -> Any:
    import paddle.nn.functional as F

    attributes = operator.attributes
    return F.leaky_relu(operator.inputs[0], (attributes["lower"] + attributes["upper"]) / 2)


def _expm1(operator: Operator) -> Any:
    import paddle

    return paddle.exp(operator.inputs[0]) - 1


def _trunc(operator: Operator) -> Any:
    import paddle

    x = operator.inputs[0]
    return paddle.sign(x) * paddle.floor(paddle.abs(x))


def _logit(operator: Operator) -> Any:
    import paddle

    x, margin = operator.inputs[0], operator.attributes["eps"]
    inside = paddle.clip(x, margin, 1 - margin) if margin else x
    return paddle.log(inside / (1 - inside))


def _lerp(operator: Operator) -> Any:
    x, y, weight = operator.inputs
    return x + weight * (y - x)


def _masked_fill(operator: Operator) -> Any:
    import paddle

    x, mask, value = operator.inputs
    return paddle.where(mask, paddle.zeros_like(x) + value, x)


def _extreme(operator: Operator) -> Any:
    import paddle

    take = {"amax": paddle.max, "amin": paddle.min}[operator.name]
    return take(operator.inputs[0], operator.attributes["axis"] or None, operator.attributes["keepdim"])


RULES: dict[str, Rule] = {
    "softplus": _softplus,
    "celu": _celu,
    "maxout": _maxout,
    "channel_shuffle": _channel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "layer_norm": _layer_norm,
    "repeat_interleave": _repeat_interleave,
    "repeat_interleave_with_tensor_index": _repeat_interleave,
    **dict.fromkeys(
        ("set_value", "set_value_", "set_value_with_tensor", "set_value_with_tensor_"),
        _set_value,
    ),
    "mean": _mean,
    "stanh": _stanh,
    "rrelu": _rrelu,
    "expm1": _expm1,
    "trunc": _trunc,
    "logit": _logit,
    "lerp": _lerp,
    "masked_fill": _masked_fill,
    "amax": _extreme,
    "amin": _extreme,
}
"""What computes the same as an operator, by the operator's name."""
