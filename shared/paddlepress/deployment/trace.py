"""A Paddle network as an ONNX graph, through `paddle.jit.save` and paddle2onnx."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from paddlepress.errors import TechniqueRefused
from paddlepress.model import Model, input_specs

OPSET = 17
CONVERSION_LIMIT_S = 600


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what is printed to standard output and error meanwhile, by native code too.

    Paddle and paddle2onnx report on their progress from C++, past `sys.stdout`.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(1), os.dup(2)]
    try:
        with Path(os.devnull).open("w") as sink, redirect_stdout(sink), redirect_stderr(sink):
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
    import paddle

    from paddlepress.deployment.pooling import exact_adaptive_pooling
    from paddlepress.surgery.layers import float_inputs

    # A network that was traced before would be saved as that trace; a copy has not been.
    network = model.copy().network
    try:
        with float_inputs(network), exact_adaptive_pooling(), quiet():
            paddle.jit.save(network, str(prefix), input_spec=input_specs(model))
    except (ValueError, TypeError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
        raise TechniqueRefused(
            f"a network of architecture {model.architecture.name!r} can't be deployed: "
            f"Paddle did not trace it ({reason})"
        ) from error
    names: dict[str, str] = {}
    for name, tensor in network.state_dict().items():
        names.setdefault(tensor.name, name)
    return names


def onnx_graph(model: Model) -> tuple[Any, dict[str, str]]:
    """Convert a model to ONNX with its weights as constants.

    Returns:
        The `onnx.ModelProto`, and the names of its parameters as `save_program` gives them.

    Raises:
        TechniqueRefused: the network has an operator that cannot be converted.
    """
    import onnx

    with tempfile.TemporaryDirectory(prefix="paddlepress-") as folder:
        prefix = Path(folder) / "model"
        names = save_program(model, prefix)
        with quiet():
            import paddle2onnx  # noqa: F401  so that the forked process need not
        # paddle2onnx aborts the process on an operator that it doesn't know: let that be another one.
        # Forking saves it the import of Paddle.
        forks = "fork" in multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context("fork" if forks else "spawn")
        process = context.Process(target=_convert, args=(prefix,))
        process.start()
        process.join(CONVERSION_LIMIT_S)
        if process.is_alive():
            process.kill()
            process.join()
        graph = Path(f"{prefix}.onnx")
        if process.exitcode != 0 or not graph.is_file():
            raise TechniqueRefused(
                f"a network of architecture {model.architecture.name!r} can't be deployed: "
                f"paddle2onnx did not convert its operators ({', '.join(_operators(prefix))})"
            )
        return onnx.load(graph), names


def _convert(prefix: Path) -> None:
    """Run paddle2onnx on a saved program."""
    import paddle2onnx

    with quiet():
        # The default optimizer would install packages with pip at run time.
        paddle2onnx.export(
            f"{prefix}.json", f"{prefix}.pdiparams", f"{prefix}.onnx", opset_version=OPSET, optimize_tool="None"
        )


def _operators(prefix: Path) -> list[str]:
    """The operators of a saved program, each once."""
    import paddle

    program = paddle.jit.load(str(prefix)).program()  # held by a name: its operators do not keep it alive
    names = {operator.name() for operator in program.global_block().ops}
    ignored = {"pd_op.data", "pd_op.fetch", "pd_op.full_int_array"}
    return sorted(name.removeprefix("pd_op.") for name in names - ignored if name.startswith("pd_op."))
