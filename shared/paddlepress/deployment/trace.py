"""A Paddle network as a saved program, through `paddle.jit.save`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddlepress.core.errors import TechniqueRefused
from paddlepress.network.model import Model
from paddlepress.network.tracing import input_specs, traceable

if TYPE_CHECKING:
    import paddle

LAYER = "struct_name"
"""The attribute of a saved operator that says which layer it belongs to: Paddle's for it, with the layer's own name."""


@contextmanager
def quiet(log: Path | None = None) -> Iterator[None]:
    """Silence what is printed to standard output and error meanwhile, by native code too.

    Paddle and paddle2onnx report on their progress from C++, past `sys.stdout`.

    Args:
        log: a file that gets it instead.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(1), os.dup(2)]
    try:
        with (log or Path(os.devnull)).open("w") as sink, redirect_stdout(sink), redirect_stderr(sink):
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield
    finally:
        for target, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, target)
            os.close(descriptor)


def save_program(model: Model, prefix: Path) -> dict[str, str]:
    """Save a model's inference program as `PREFIX.json` and `PREFIX.pdiparams`, its layers' inputs unrounded.

    Returns:
        For each tensor of the network's state Paddle's own name for it, such as `conv2d_0.w_0`, and the
        name it has in the network, such as `conv1.weight`. A tensor that two layers share has one entry.

    Raises:
        TechniqueRefused: the network can't be traced.
    """
    # A network that was traced before would be saved as that trace; a copy has not been.
    network = model.copy().network
    _save(model, network, network, prefix)
    names: dict[str, str] = {}
    for name, tensor in network.state_dict().items():
        names.setdefault(tensor.name, name)
    return names


def save_traced(model: Model, wrap: Any, prefix: Path) -> None:
    """Save the program of what `wrap` makes of a copy of a model's network; see `save_program`."""
    network = model.copy().network
    _save(model, network, wrap(network), prefix)


def _save(model: Model, network: paddle.nn.Layer, whole: paddle.nn.Layer, prefix: Path) -> None:
    import paddle

    from paddlepress.deployment.pooling import exact_adaptive_pooling
    from paddlepress.network.inserted_layers import float_inputs

    running = _name_operators(network)
    whole, specs = traceable(whole, input_specs(model.inputs))
    try:
        with float_inputs(network), exact_adaptive_pooling(), quiet():
            paddle.jit.save(whole, str(prefix), input_spec=specs)
    except Exception as error:  # whatever the user's forward raises under tracing
        where = f"layer {running[-1]!r}" if running else "it"
        raise TechniqueRefused(f"{subject(model)}: Paddle did not trace {where} ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """What an error of Paddle's tracing says, without the code that it went through and its own hints."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if re.match(r"\w*(Error|Exception): ", line)] or lines[-1:]
    return (said[-1] if said else type(error).__name__)[:300]


def subject(model: Model) -> str:
    """How messages about a model that has no graph begin."""
    return f"a network of architecture {model.architecture.name!r} can't be deployed"


def _name_operators(network: paddle.nn.Layer) -> list[str]:
    """Have each traced operator say which layer it belongs to.

    Returns:
        The layers that are being traced, from the outermost to the innermost, while they are.
    """
    import paddle

    def block() -> Any:
        return paddle.static.default_main_program().global_block()

    running: list[str] = []

    def watch(layer: paddle.nn.Layer, name: str) -> None:
        starts: list[int] = []

        def before(layer: paddle.nn.Layer, inputs: Any) -> None:
            if paddle.base.framework.in_pir_mode():
                starts.append(block().num_ops())
                running.append(name)

        def after(layer: paddle.nn.Layer, inputs: Any, outputs: Any) -> None:
            if paddle.base.framework.in_pir_mode():
                for operator in block().ops[starts.pop() :]:
                    # Paddle's own names begin with a slash; layers inside this one have named theirs already.
                    if not operator.has_attr(LAYER) or operator.str_attr(LAYER).startswith("/"):
                        operator.set_str_attr(LAYER, name)
                running.pop()

        layer.register_forward_pre_hook(before)
        layer.register_forward_post_hook(after)

    for name, layer in network.named_sublayers():
        watch(layer, name)
    return running
