"""Networks are tried out where they can harm nobody."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from paddlepress.network.architectures import sandbox
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification

INPUTS = (TensorSpec(name="image", shape=(1, 28, 28)),)
TASK = Classification(classes=tuple("0123456789"))

PLUGIN = """
import os
import paddle

def wide(inputs, task, width=8):
    return paddle.nn.Linear(28 * 28, width)

def now(inputs, task, width=8):
    return paddle.nn.Sequential(paddle.nn.Linear(28 * 28, 8), paddle.nn.LSTM(width, width))

def ends(inputs, task, width=8):
    os._exit(3)

def odd(inputs, task, width=8):
    raise RuntimeError("no\\nsuch")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution whose networks misbehave."""
    (tmp_path / "misbehaving.py").write_text(PLUGIN)
    info = tmp_path / "misbehaving-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1\n")
    names = "".join(f"{name} = misbehaving:{name}\n" for name in ("wide", "now", "ends", "odd"))
    (info / "entry_points.txt").write_text(f"[paddlepress.architectures]\n{names}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")


def test_what_cannot_be_built_is_told_in_one_line(plugin: None) -> None:
    """Values out of range, of a wrong type, too large; code that ends the process; whatever else it raises."""
    asked = [
        ("lenet", {"width": 1.0}, ""),
        ("lenet", {"width": 1e300}, "architecture 'lenet' with {'width': 1e+300}: width is 1e+300"),
        ("lenet", {"width": [1]}, "architecture 'lenet': width is [1]; it must be a number"),
        ("lenet", {"width": True}, "architecture 'lenet': width is True; it must be a number"),
        ("lenet", {"width": "wide"}, "architecture 'lenet': width is 'wide'; it must be a number"),
        ("lstm", {"hidden": 8.5}, "architecture 'lstm': hidden is 8.5; it must be a whole number"),
        ("lstm", {}, ""),
        ("wide", {"width": 16}, ""),
        ("wide", {"width": 10**9}, "architecture 'wide' with {'width': 1000000000} has 7.8e+11 parameters. Valid: "),
        ("ends", {}, "architecture 'ends' can't be built with its arguments: exit code 3"),
        ("now", {"width": 30_000}, "architecture 'now' with {'width': 30000}"),
        ("odd", {}, "architecture 'odd' with {}: RuntimeError: no such"),
        ("wide", {"width": 32}, ""),
    ]
    references = [ArchitectureRef(name=name, arguments=arguments) for name, arguments, _ in asked]
    problems = sandbox.problems(references, INPUTS, TASK)
    for problem, (name, arguments, expected) in zip(problems, asked, strict=True):
        assert problem.startswith(expected) and bool(problem) == bool(expected), (name, arguments, problem)
        assert "\n" not in problem and len(problem) < 700
    assert 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1.5 * sandbox.MEMORY_BYTES
