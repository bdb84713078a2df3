"""How fast things are: `make benchmark` prints a table. Limits here are promises of the README."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from paddlepress.artifact.codec import decode, encode_quantized
from paddlepress.core import compute
from paddlepress.spec.tensors import Quantized
from tests.benchmarks.training_speed import STEPS, compare, table

CLI = "from paddlepress_pipelines.cli import main; main()"


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """The median of several runs, after one that warms up."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def report(what: str, value: str) -> None:
    print(f"\n{what:<58} {value}", flush=True)


def start_up(*arguments: str) -> float:
    command = [sys.executable, "-c", CLI, *arguments]
    return median_seconds(lambda: subprocess.run(command, capture_output=True, check=True), 7)


def test_help_comes_at_once() -> None:
    """`paddlepress --help` takes less than half a second."""
    seconds = start_up("--help")
    report("paddlepress --help", f"{seconds:.3f} s")
    assert seconds < 0.5


def test_techniques_are_listed_at_once() -> None:
    """`paddlepress techniques` imports no framework."""
    seconds = start_up("techniques")
    report("paddlepress techniques", f"{seconds:.3f} s")
    assert seconds < 1.0


def test_codec() -> None:
    """Millions of pruned, quantized weights are coded in a fraction of a second."""
    rng = np.random.default_rng(0)
    codes = np.rint(rng.standard_normal(2_700_000) * 20).clip(-127, 127).astype(np.int8)
    codes[rng.random(codes.size) < 0.9] = 0
    tensor = Quantized(codes=codes, scale=np.ones(1, np.float32), axis=None)
    record, arrays = encode_quantized("w", tensor)
    stored = sum(array.nbytes for array in arrays.values())
    report("2.7M weights, 90% zeros, 8 bits: share of float32", f"{stored / codes.size / 4:.4f}")
    report("encode", f"{median_seconds(lambda: encode_quantized('w', tensor), 5):.3f} s")
    report("decode", f"{median_seconds(lambda: decode('w', record, arrays), 5):.3f} s")


def test_large_recipes(tmp_path: Path) -> None:
    """Reading and compiling take a fraction of a second for each hundred variants, however many there are."""
    from paddlepress_pipelines.build import pipeline
    from paddlepress_pipelines.recipe import load

    head = "name: big\ndata: {source: digits}\nbase: {architecture: lenet}\nvariants:\n"
    for count in (250, 500, 1000):
        steps = (f"  v{n}: [prune-weights: {{sparsity: 0.{n + 100}}}, quantize-post-training]\n" for n in range(count))
        path = tmp_path / "big.yaml"
        path.write_text(head + "".join(steps))
        recipe = load(path)
        report(f"read a recipe of {count} variants", f"{median_seconds(partial(load, path), 3):.2f} s")
        started = time.perf_counter()
        pipeline(recipe)
        report(f"compile it, {4 * count} tasks", f"{time.perf_counter() - started:.2f} s")


TRAINING = """
import sys, time
from paddlepress.core import compute
compute.prepare()
import numpy, paddle
from paddlepress.data import Split
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification
from paddlepress.training.context import TrainingContext
from paddlepress.training.loop import fit
from paddlepress.training.settings import TrainingSettings
paddle.seed(0)
model = Model.build(
    ArchitectureRef(name="lenet"),
    (TensorSpec(name="image", shape=(1, 28, 28)),),
    Classification(classes=tuple("0123456789")),
)
rng = numpy.random.default_rng(0)
split = Split(rng.standard_normal((6400, 1, 28, 28)).astype("float32"), rng.integers(0, 10, 6400))
started = time.perf_counter()
context = TrainingContext(train=split, validation=split.take(10))
fit(model.network, model.task, context, TrainingSettings(epochs=1, batch_size=64))
print((time.perf_counter() - started) / 100)
"""


def test_training_with_and_without_the_settings_for_the_processor() -> None:
    """The settings that are applied by themselves make training no slower, and on some processors much faster."""
    import os

    environments = {
        "with": {**os.environ, "OMP_NUM_THREADS": "1", **compute.subprocess_environment()},
        "without": {**os.environ, "OMP_NUM_THREADS": "1", compute.SWITCH: "0"},
    }
    seconds = {}
    for name, environment in environments.items():
        done = subprocess.run(
            [sys.executable, "-c", TRAINING], env=environment, capture_output=True, text=True, check=True
        )
        seconds[name] = float(done.stdout.split()[-1])
        report(f"LeNet, a training step of 64 images, {name} settings", f"{1000 * seconds[name]:.1f} ms")
    assert seconds["with"] < 1.1 * seconds["without"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("network", STEPS)
def test_training_with_and_without_onednn(network: str, threads: int) -> None:
    """oneDNN's kernels take no more of the processor's time than Paddle's own operations."""
    found = compare(network, threads, rounds=2)
    print("\n" + table(network, threads, found), flush=True)
    assert found["oneDNN"][1] < 1.1 * found["Paddle"][1]
