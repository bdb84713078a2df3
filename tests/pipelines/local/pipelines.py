"""Small pipelines of real components, for tests of what runs them."""

from typing import Any

from kfp import dsl


@dsl.component(base_image="paddlepress-python:test", install_kfp_package=False)
def write_number(number: int, out: dsl.Output[dsl.Artifact], journal: str, wait_for: str = "", seconds: float = 0.0):  # type: ignore[no-untyped-def]
    """Write a number, and say so in a journal."""
    import os
    import time
    from pathlib import Path

    with Path(journal).open("a") as stream:
        stream.write(f"start {number} {os.getpid()}\n")
    deadline = time.monotonic() + 400
    while wait_for and not Path(wait_for).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    print(f"PROGRESS {number} 10 counting")
    time.sleep(seconds)
    Path(out.path).write_text(str(number))
    out.metadata["number"] = number
    if number == 13:
        out.metadata["warnings"] = ["it is 13"]
    with Path(journal).open("a") as stream:
        stream.write(f"end {number} {os.getpid()}\n")


@dsl.component(base_image="paddlepress-python:test", install_kfp_package=False)
def add(left: dsl.Input[dsl.Artifact], right: dsl.Input[dsl.Artifact], total: dsl.Output[dsl.Artifact], journal: str):  # type: ignore[no-untyped-def]
    """Add two numbers."""
    from pathlib import Path

    with Path(journal).open("a") as stream:
        stream.write("start add 0\n")
    Path(total.path).write_text(str(int(Path(left.path).read_text()) + int(Path(right.path).read_text())))


@dsl.component(base_image="paddlepress-python:test", install_kfp_package=False)
def refuse(value: dsl.Input[dsl.Artifact], out: dsl.Output[dsl.Artifact]):  # type: ignore[no-untyped-def]
    """End as a component does that found a user's mistake."""
    import sys

    print("PADDLEPRESS-ERROR the file 'x.npz' is truncated")
    sys.exit(2)


def sums(journal: str, first: int = 1, second: int = 2, **options: Any) -> Any:
    """Two numbers that do not depend on each other, and their sum."""

    @dsl.pipeline(name="sums")
    def pipeline() -> None:
        left = write_number(number=first, journal=journal, **options).set_display_name("left")
        right = write_number(number=second, journal=journal).set_display_name("right")
        add(left=left.output, right=right.output, journal=journal).set_display_name("sum")

    return pipeline


def one_failure(journal: str) -> Any:
    """A branch that fails, with a task behind it, beside a branch that does not."""

    @dsl.pipeline(name="one-failure")
    def pipeline() -> None:
        left = write_number(number=1, journal=journal).set_display_name("left")
        right = write_number(number=2, journal=journal).set_display_name("right")
        refused = refuse(value=left.output).set_display_name("refused")
        add(left=refused.output, right=right.output, journal=journal).set_display_name("behind")
        add(left=left.output, right=right.output, journal=journal).set_display_name("beside")

    return pipeline


@dsl.component(base_image="paddlepress-python:test", install_kfp_package=False)
def look(out: dsl.Output[dsl.Artifact], number: int, end: str):  # type: ignore[no-untyped-def]
    """Write down what a task sees of its process, and perhaps end in a bad way."""
    import ctypes
    import json
    import os
    import random
    import sys
    import tempfile
    from pathlib import Path

    import numpy as np

    seen = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "group": os.getpgrp(),
        "wave": "wave" in sys.modules,
        "before": os.environ.get("MARK", ""),
        "checkpoint": os.environ["PADDLEPRESS_CHECKPOINT"],
        "temporary": tempfile.gettempdir(),
        "chance": [np.random.random(), random.random()],
        "descriptors": [str(Path(f"/proc/self/fd/{number}").readlink()).split(":")[0] for number in (0, 1, 2)],
        "sockets": sum("socket" in str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()),
    }
    os.environ["MARK"] = "left by another task"
    print(f"I am {number}", flush=True)
    os.write(2, b"and this is said past Python\n")
    if end == "crash":
        ctypes.string_at(0)
    if end == "memory":
        raise MemoryError("none left")
    Path(out.path).write_text(json.dumps(seen))


def looks(end: str = "well") -> Any:
    @dsl.pipeline(name="looks")
    def pipeline() -> None:
        look(number=1, end=end).set_display_name("one")
        look(number=2, end="well").set_display_name("two")

    return pipeline
