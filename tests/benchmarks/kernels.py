"""How long ONNX Runtime's kernels take on this processor: `make benchmark-kernels`.

Leaves a table in `shared/paddlepress/surgery/kernel_times`, from which widths and ranks are chosen. Each entry is the
time by which a chain of layers alike takes longer if it has some more of them, so that neither the call nor the
change of layout at both ends counts; the fastest of many turns, so that it may be measured on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from paddlepress.surgery.kernel_times import PROCESSORS, Kernels, Work

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "paddlepress" / "surgery" / "kernel_times"
BLOCKS = {"avx512": 16, "avx2": 8}
SIDES = [4, 7, 14, 28, 56]
SHORT, LONG = 2, 6  # layers of the two chains
LEAST_TURNS = 10
MOST_MACS = 150e6  # of a layer that is measured; larger ones cost by the multiply-accumulate what the next smaller does
KERNELS = {"kxk": (3, 3), "kx1": (3, 1), "1x1": (1, 1), "depthwise": (3, 3)}

Call = Callable[[], Any]


def works(block: int) -> Iterator[tuple[str, str, list[int], list[int], Callable[[int, int], Work]]]:
    """Every table: kind, way to compute, channels, sides, and the layer of an entry."""
    blocked = [block * 2**power for power in range(10) if block * 2**power <= 512]
    ways = {
        "blocked": blocked,
        "direct": [block // 4, block // 2, block * 3 // 4],
        "plain": [size + 1 for size in blocked[:-1]],
    }
    for kind in ("kxk", "kx1", "1x1"):
        for way, channels in ways.items():
            yield kind, way, channels, SIDES, lambda c, s, k=KERNELS[kind]: Work(c, c, k, s * s)
    for way, channels in (("blocked", [block, 64, 256, 1024]), ("plain", [block + 1, 65, 257, 1025])):
        yield "depthwise", way, channels, SIDES, lambda c, s: Work(c, c, (3, 3), s * s, groups=c)
    yield "dense", "plain", [32, 128, 512, 2048], [1, 4, 16], lambda c, s: Work(c, c, (1, 1), s * s, dense=True)


def session(work: Work, layers: int) -> Call:
    """A call of a chain of layers, each with a rectifier, which the runtime makes part of the layer."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    side = round(work.positions**0.5)
    shape = [work.positions, work.inputs] if work.dense else [1, work.inputs, side, side]
    nodes, weights, value = [], [], "x"
    for number in range(layers):
        size = (work.inputs, work.outputs) if work.dense else (work.outputs, work.inputs // work.groups, *work.kernel)
        weight = random.standard_normal(size).astype(np.float32) / np.float32(work.inputs)
        weights += [numpy_helper.from_array(weight, f"w{number}")]
        weights += [numpy_helper.from_array(np.zeros(work.outputs, np.float32), f"b{number}")]
        pads = [extent // 2 for extent in work.kernel] * 2
        attributes = {} if work.dense else {"pads": pads, "group": work.groups, "kernel_shape": list(work.kernel)}
        operands = [value, f"w{number}", f"b{number}"]
        nodes.append(helper.make_node("Gemm" if work.dense else "Conv", operands, [f"y{number}"], **attributes))
        nodes.append(helper.make_node("Relu", [f"y{number}"], [value := f"r{number}"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", value)]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    run = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"]).run
    feed = {"x": random.standard_normal(shape).astype(np.float32)}
    return lambda: run(None, feed)


def nanoseconds(work: Work, budget_s: float) -> float:
    """How long one layer of a chain takes."""
    calls = [session(work, layers) for layers in (SHORT, LONG)]
    fastest = [float("inf")] * 2
    end, turns = time.perf_counter() + budget_s, 0
    while time.perf_counter() < end or turns < LEAST_TURNS:
        turns += 1
        for index, call in enumerate(calls):
            call()
            started = time.perf_counter()
            call()
            fastest[index] = min(fastest[index], time.perf_counter() - started)
    # No layer takes less than nothing, whatever the two chains were measured at.
    return 1e9 * max((fastest[1] - fastest[0]) / (LONG - SHORT), fastest[0] / LONG / 10)


def filled(work: Work, way: str, block: int) -> float:
    """The multiply-accumulates that an entry is for: `Kernels` at a rate of 1000 gives them."""
    table = {"channels": [1], "sides": [1], "picoseconds": [[1000.0]]}
    kinds = ("kxk", "kx1", "1x1", "depthwise", "dense")
    return Kernels("", block, {kind: {way: table, "plain": table} for kind in kinds}).nanoseconds(work)


def measure(block: int, budget_s: float) -> dict[str, Any]:
    """The rates of every kind of layer and way to compute it."""
    rates: dict[str, Any] = {}
    for kind, way, channels, sides, make in works(block):
        rows = []
        for count in channels:
            row: list[float] = []
            for side in sides:
                work = make(count, side)
                if row and work.macs > MOST_MACS:
                    row.append(row[-1])
                    continue
                row.append(round(1000 * nanoseconds(work, budget_s) / filled(work, way, block), 2))
            rows.append(row)
            print(f"{kind:>10} {way:<8} {count:>5}  " + "  ".join(f"{rate:8.2f}" for rate in row), flush=True)
        rates.setdefault(kind, {})[way] = {"channels": channels, "sides": sides, "picoseconds": rows}
    return rates


def told() -> str:
    """What the figures depend on."""
    import onnxruntime

    path = Path("/proc/cpuinfo")
    name = re.search(r"^model name\s*:\s*(.+)$", path.read_text(), re.MULTILINE) if path.exists() else None
    return f"{name[1] if name else platform.machine()}, ONNX Runtime {onnxruntime.__version__}, one thread"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("processor", choices=PROCESSORS, help="the widest vector instructions that the runtime uses")
    parser.add_argument("--seconds", type=float, default=0.3, help="about how long each of 270 entries is measured")
    parser.add_argument("--note", default="", help="added to what the table says it was measured on")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    block = BLOCKS[given.processor]
    content = {
        "processor": given.processor,
        "block": block,
        "measured_on": told() + given.note,
        "rates": measure(block, given.seconds),
    }
    text = json.dumps(content, indent=1)
    # A row of numbers on a line.
    text = re.sub(r"\[([-\d.,\s]+)\]", lambda row: f"[{' '.join(row[1].split())}]", text)
    (FOLDER / f"{given.processor}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
