"""Which rule each of Paddle's operations follows."""

from __future__ import annotations

from paddlepress.surgery import layer_rules, norm_rules, recurrent_rules, shape_rules
from paddlepress.surgery.propagate import Rule

# Operations that treat every element by itself. Their further operands are scalars.
UNARY = [
    "abs",
    "assign",
    "cast",
    "ceil",
    "celu",
    "clip",
    "cos",
    "dropout",
    "elu",
    "erf",
    "exp",
    "floor",
    "gelu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log",
    "log1p",
    "logsigmoid",
    "mish",
    "pow",
    "reciprocal",
    "relu",
    "relu6",
    "round",
    "rsqrt",
    "scale",
    "selu",
    "share_data",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "softplus",
    "softshrink",
    "softsign",
    "sqrt",
    "square",
    "stanh",
    "swish",
    "tanh",
    "tanh_shrink",
    "thresholded_relu",
]
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "fmax", "fmin", "elementwise_pow", "where"]
# Operations that work on each channel by itself, over its pixels.
SPATIAL = [
    "pool2d",
    "pool3d",
    "max_pool2d_with_index",
    "max_pool3d_with_index",
    "pad3d",
    "nearest_interp",
    "bilinear_interp",
    "bicubic_interp",
    "linear_interp",
    "trilinear_interp",
]
CONVOLUTIONS = [
    "conv2d",
    "depthwise_conv2d",
    "conv3d",
    "conv2d_transpose",
    "depthwise_conv2d_transpose",
    "conv3d_transpose",
]
REDUCTIONS = ["mean", "sum", "max", "min", "prod", "amax", "amin", "logsumexp"]
CONSTANTS = ["data", "full", "full_int_array", "assign_value"]

RULES: dict[str, Rule] = {
    **dict.fromkeys(CONSTANTS, layer_rules.constant),
    **dict.fromkeys(UNARY, layer_rules.unary),
    **dict.fromkeys(BINARY, layer_rules.binary),
    **dict.fromkeys(SPATIAL, layer_rules.spatial),
    **dict.fromkeys(REDUCTIONS, layer_rules.reduction),
    **dict.fromkeys(CONVOLUTIONS, layer_rules.convolution),
    **dict.fromkeys(["matmul", "bmm"], layer_rules.matmul),
    **dict.fromkeys(["batch_norm", "instance_norm"], norm_rules.per_channel_norm),
    **dict.fromkeys(["softmax", "log_softmax"], norm_rules.softmax),
    **dict.fromkeys(["flatten", "squeeze", "unsqueeze"], shape_rules.flatten),
    **dict.fromkeys(["split", "split_with_num"], shape_rules.split),
    **dict.fromkeys(["builtin.split", "builtin.slice"], shape_rules.unpack),
    **dict.fromkeys(["shape", "shape64"], shape_rules.shape_of),
    "embedding": layer_rules.embedding,
    "prelu": layer_rules.prelu,
    "layer_norm": norm_rules.layer_norm,
    "group_norm": norm_rules.group_norm,
    "rnn": recurrent_rules.rnn,
    "transpose": shape_rules.transpose,
    "reshape": shape_rules.reshape,
    "expand": shape_rules.expand,
    "builtin.combine": shape_rules.combine,
    "concat": shape_rules.concat,
    "stack": shape_rules.stack,
    "unbind": shape_rules.unbind,
    "tile": shape_rules.tile,
    "slice": shape_rules.slicing,
}
