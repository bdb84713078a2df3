"""Saved Paddle programs as ONNX graphs, through paddle2onnx."""

from __future__ import annotations

import faulthandler
import multiprocessing
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paddlepress.core.errors import TechniqueRefused
from paddlepress.deployment.decomposition import decompose
from paddlepress.deployment.trace import LAYER, quiet, save_program, subject
from paddlepress.network.model import Model

OPSET = 17
CONVERSION_LIMIT_S = 600

_NO_OPERATIONS = frozenset({"builtin.parameter", "pd_op.data", "pd_op.feed", "pd_op.fetch"})
_CONSTANTS = frozenset({"full", "full_int_array", "assign", "assign_value"})


class NotConverted(Exception):
    """paddle2onnx made no graph of a program; the text is its reason, if it gave one."""


def onnx_graph(model: Model) -> tuple[Any, dict[str, str]]:
    """Convert a model to ONNX with its weights as constants.

    Returns:
        The `onnx.ModelProto`, and the names of its parameters as `trace.save_program` gives them.

    Raises:
        TechniqueRefused: the network has an operator that cannot be converted; the message names it and its layer.
    """
    with tempfile.TemporaryDirectory(prefix="paddlepress-") as folder:
        prefix = Path(folder) / "model"
        names = save_program(model, prefix)
        decompose(Path(f"{prefix}.json"))
        try:
            return convert(prefix), names
        except NotConverted:
            operator, reason = first_failing(prefix, convert)
            why = f" ({reason})" if reason else ""
            raise TechniqueRefused(f"{subject(model)}: paddle2onnx does not convert {operator}{why}") from None


def convert(prefix: Path) -> Any:
    """The `onnx.ModelProto` of the program `PREFIX.json` and its parameters `PREFIX.pdiparams`.

    Raises:
        NotConverted: paddle2onnx failed, died or hung.
    """
    import onnx

    with quiet():
        import paddle2onnx  # noqa: F401  so that the forked process need not
    graph, log = Path(f"{prefix}.onnx"), Path(f"{prefix}.log")
    graph.unlink(missing_ok=True)
    # paddle2onnx aborts the process on an operator that it doesn't know: let that be another one.
    # Forking saves it the import of Paddle.
    forks = "fork" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("fork" if forks else "spawn")
    process = context.Process(target=_convert, args=(prefix, graph, log))
    process.start()
    process.join(CONVERSION_LIMIT_S)
    if process.is_alive():
        process.kill()
        process.join()
        raise NotConverted(f"it did not end within {CONVERSION_LIMIT_S} s")
    if process.exitcode != 0 or not graph.is_file():
        raise NotConverted(_reason(log))
    return onnx.load(graph)


def _convert(prefix: Path, graph: Path, log: Path) -> None:
    """Run paddle2onnx on a saved program."""
    import paddle2onnx

    faulthandler.disable()  # it would report an abort past the log
    with quiet(log):
        # The default optimizer would install packages with pip at run time.
        paddle2onnx.export(
            f"{prefix}.json", f"{prefix}.pdiparams", str(graph), opset_version=OPSET, optimize_tool="None"
        )


def _reason(log: Path) -> str:
    """What paddle2onnx said about an operator before it gave up; empty if nothing."""
    text = log.read_text(errors="replace") if log.is_file() else ""
    found = re.search(r"\[OP: [^\]]*\] *(.+)", text) or re.search(r"Failed to convert PaddlePaddle model: (.+)", text)
    return found[1].strip().rstrip(".") if found else ""


def first_failing(prefix: Path, attempt: Callable[[Path], Any]) -> tuple[str, str]:
    """The first operator of a saved program that something fails at.

    Args:
        prefix: of the program's files.
        attempt: what fails, with an exception, for this program; it is tried on programs that end earlier.

    Returns:
        The operator with its layer, in words; and the text of its exception.
    """
    with tempfile.TemporaryDirectory(prefix="paddlepress-") as folder:
        part = Path(folder) / "part"
        shutil.copyfile(f"{prefix}.pdiparams", f"{part}.pdiparams")
        passes, fails, reason = 0, len(_operations(_load(prefix))), ""
        while fails - passes > 1:
            middle = (passes + fails) // 2
            _truncate(prefix, middle, part)
            try:
                attempt(part)
                passes = middle
            except Exception as error:  # whatever the attempt fails with
                fails, reason = middle, str(error)
        if not reason:
            try:
                attempt(prefix)
            except Exception as error:
                reason = str(error)
        return _operation(prefix, fails), reason


def operators_by_layer(prefix: Path) -> dict[str, list[str]]:
    """The names of a saved program's operators, by the layer that they belong to; empty for the network itself."""
    names: dict[str, list[str]] = {}
    program = _load(prefix)  # held by a name: its operators do not keep it alive
    for found in _operations(program):
        own = names.setdefault(_layer(found), [])
        name = _name(found)
        if name not in own and name not in _CONSTANTS:
            own.append(name)
    return names


def _layer(found: Any) -> str:
    name = found.str_attr(LAYER) if found.has_attr(LAYER) else ""
    return "" if name.startswith("/") else str(name)


def _name(found: Any) -> str:
    return str(found.name()).rpartition(".")[2].rstrip("_")


def _operation(prefix: Path, number: int) -> str:
    """The n-th operation of a program, from 1, in words."""
    program = _load(prefix)  # held by a name: its operators do not keep it alive
    found = _operations(program)[number - 1]
    layer = _layer(found)
    return f"{_name(found)} {f'in layer {layer!r}' if layer else 'in the forward of the network itself'}"


def _load(prefix: Path) -> Any:
    import paddle
    from paddle.base import core

    program = paddle.static.Program()
    core.deserialize_pir_program(f"{prefix}.json", program)
    return program


def _operations(program: Any) -> list[Any]:
    return [found for found in program.global_block().ops if found.name() not in _NO_OPERATIONS]


def _truncate(prefix: Path, count: int, target: Path) -> None:
    """Write the program that ends after a number of operations, with what the last of them makes as its output."""
    import paddle
    from paddle.base import core
    from paddle.static.pir_io import append_pir_fetch_ops

    program = _load(prefix)
    block = program.global_block()
    kept = _operations(program)[:count]
    last = {found.id() for found in _operations(program)[count:]}
    for found in reversed(block.ops):
        if found.id() in last or found.name() == "pd_op.fetch":
            block.remove_op(found)
    tensors = [value for found in kept for value in found.results() if value.is_dense_tensor_type()]
    with paddle.pir_utils.IrGuard(), paddle.static.program_guard(program):
        append_pir_fetch_ops(program, [(tensors[-1], "fetch_name_0")])
    core.serialize_pir_program(program, f"{target}.json")
