"""Whether networks can be built, found out in processes of their own, whose memory is bounded.

An argument's value can be wrong in ways that only building tells: out of range, of the wrong type, or so large
that the weights fit no machine. It is found out before anything is written, without holding the weights.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from paddlepress.core import compute
from paddlepress.core.errors import PaddlepressError, in_one_line
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import AnyTask, Task

if TYPE_CHECKING:
    import paddle

MOST_PARAMETERS = 2**31
MEMORY_BYTES = 6 * 2**30
PATIENCE_S = 600.0


def problems(references: Sequence[ArchitectureRef], inputs: tuple[TensorSpec, ...], task: Task) -> list[str]:
    """Why each network can't be built, in one line; empty for those that can.

    Args:
        references: what to build.
        inputs, task: what every one of them is built for.
    """
    found: list[str] = []
    while len(found) < len(references):
        waiting = references[len(found) :]
        told, end = _told(waiting, inputs, task)
        found += told
        if len(told) < len(waiting):  # it ended with the next
            found.append(f"architecture {waiting[len(told)].name!r} can't be built with its arguments: {end}")
    return found


def _told(references: Sequence[ArchitectureRef], inputs: tuple[TensorSpec, ...], task: Task) -> tuple[list[str], str]:
    """What one process says of as many as it came to, and how it ended."""
    asked = {
        "references": [one.model_dump(mode="json") for one in references],
        "inputs": [one.model_dump(mode="json") for one in inputs],
        "task": task.model_dump(mode="json"),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"from {__name__} import main; main()"],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        text = output.decode() if isinstance(output, bytes) else output
        return [json.loads(line) for line in text.splitlines()], f"it takes longer than {PATIENCE_S:.0f} s"
    last = in_one_line((done.stderr.strip().splitlines() or ["it printed nothing"])[-1])
    return [json.loads(line) for line in done.stdout.splitlines()], f"exit code {done.returncode}: {last}"


def main() -> None:
    """What such a process runs: references as JSON on standard input, a line of JSON for each on standard output."""
    _bound_memory()
    compute.prepare()
    asked = json.load(sys.stdin)
    inputs = tuple(TensorSpec.model_validate(one) for one in asked["inputs"])
    task = TypeAdapter(AnyTask).validate_python(asked["task"])
    for one in asked["references"]:
        with redirect_stdout(sys.stderr):
            problem = _problem(ArchitectureRef.model_validate(one), inputs, task)
        print(json.dumps(problem), flush=True)


def _problem(reference: ArchitectureRef, inputs: tuple[TensorSpec, ...], task: Task) -> str:
    import paddle

    # Weights that are not made take no memory; a few layers can't be built so.
    for way in (paddle.LazyGuard, nullcontext):
        try:
            return _too_large(_build(reference, inputs, task, way), reference)
        except PaddlepressError as error:
            problem = in_one_line(error)
        except MemoryError:
            problem = f"architecture {reference.name!r} with {_arguments(reference)}: memory runs out"
        except Exception as error:  # a plugin's own code, whatever it raises
            said = in_one_line(f"{type(error).__name__}: {error}")
            problem = f"architecture {reference.name!r} with {_arguments(reference)}: {said}"
    return problem


def _build(reference: ArchitectureRef, inputs: tuple[TensorSpec, ...], task: Task, way: Any) -> paddle.nn.Layer:
    from paddlepress.network.architectures import build

    with way():
        return build(reference, inputs, task)


def _too_large(network: paddle.nn.Layer, reference: ArchitectureRef) -> str:
    count = 0
    for parameter in network.parameters():
        size = 1
        for side in parameter.shape:
            size *= int(side)
        count += size
    if count <= MOST_PARAMETERS:
        return ""
    return (
        f"architecture {reference.name!r} with {_arguments(reference)} has {count:.2g} parameters. "
        f"Valid: at most {MOST_PARAMETERS:,}"
    )


def _arguments(reference: ArchitectureRef) -> str:
    return in_one_line(dict(reference.arguments), 100)


def _bound_memory() -> None:
    """Have memory run out here before it does for everybody else."""
    if sys.platform == "linux":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        limit = MEMORY_BYTES if most == resource.RLIM_INFINITY else min(MEMORY_BYTES, most)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
