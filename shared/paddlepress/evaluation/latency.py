"""How long predictions take, base model and variant in turns in one process.

Times on a shared machine drift. So the two models take turns in random order, each round gives one
ratio of neighbouring measurements, and the speed-up is the median of those ratios. What is timed is the
network alone: preprocessing is the same for both.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paddlepress.deployment.predictor import Predictor, feed
from paddlepress.spec.tensors import Array, Inputs, by_name, each

if TYPE_CHECKING:
    from paddlepress.network.model import Model

BATCH_SIZES = (1, 32)

_WARM_UP_S = 0.1
_ROUNDS = 25
_LEAST_ROUNDS = 5
_ROUNDS_TO_TRUST = 9  # that their spread can be told from
_PRECISE = 0.005
_TURN_S = 0.002
_MOST_CALLS = 25
_LEAST_CALLS = 3


@dataclass(frozen=True)
class Latency:
    """Times of two models beside each other.

    Attributes:
        base_ms, variant_ms: median time of one call, in milliseconds.
        speedup: median over rounds of base time / variant time, each the fastest of the round.
        low, high: quartiles of the same.
        rounds: how many rounds were measured.
    """

    base_ms: float
    variant_ms: float
    speedup: float
    low: float
    high: float
    rounds: int


def interleaved(
    base: Callable[[], Any],
    variant: Callable[[], Any],
    budget_s: float = 1.5,
    seed: int = 0,
    clock: Callable[[], float] | None = None,
) -> Latency:
    """Time two functions in turns.

    A turn is a few calls in a row, of which the first only brings the model back into the caches. A round
    is some turns of both, in random order, and its ratio is that of the fastest calls: whatever else the
    machine does meanwhile can only add time.

    Args:
        base, variant: run one prediction each.
        budget_s: about how long measuring may take; at least a few rounds are made, and no more than it takes to know
            the median of the ratios to half a percent, which a machine that does nothing else soon allows.
        seed: of the order of the turns.
        clock: what a call is timed with, in seconds; the wall clock if none is given. `time.thread_time` leaves out
            what other processes take on a machine so busy that no call is ever left alone; it sees only what the
            calling thread computes itself.
    """
    clock = clock or time.perf_counter
    calls = (base, variant)
    fastest = [_warm(call, clock) for call in calls]
    counts = [min(_MOST_CALLS, max(_LEAST_CALLS, round(_TURN_S / call_s))) for call_s in fastest]
    round_s = sum(count * call_s for count, call_s in zip(counts, fastest, strict=True))
    turns = max(1, round(budget_s / _ROUNDS / round_s))
    shuffled = random.Random(seed)
    times: tuple[list[float], list[float]] = ([], [])
    ratios: list[float] = []
    end = time.perf_counter() + budget_s
    while len(ratios) < _LEAST_ROUNDS or (time.perf_counter() < end and not _precise(ratios)):
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(turns):
            for index in shuffled.sample((0, 1), 2):
                taken[index].extend([_time(calls[index], clock) for _ in range(counts[index])][1:])
        ratios.append(min(taken[0]) / min(taken[1]))
        for all_times, of_round in zip(times, taken, strict=True):
            all_times.extend(of_round)
    low, middle, high = (float(value) for value in np.percentile(ratios, [25, 50, 75]))
    base_ms, variant_ms = (1e3 * float(np.median(all_times)) for all_times in times)
    return Latency(base_ms, variant_ms, middle, low, high, len(ratios))


def on_onnxruntime(base: Path, variant: Path, sample: Inputs, budget_s: float = 1.5) -> Latency:
    """Time two deployables on ONNX Runtime, each with one thread.

    Args:
        base, variant: deployables.
        sample: as the network takes it, [batch, *shape]: the inputs of every call.
        budget_s: about how long measuring may take.

    Raises:
        ArtifactError: one of them can't be loaded.
    """
    sample = each(sample, np.ascontiguousarray)
    first, second = (_call(Predictor.load(directory, threads=1), sample) for directory in (base, variant))
    return interleaved(first, second, budget_s)


def _call(predictor: Predictor, sample: Inputs) -> Callable[[], Any]:
    fed, run = feed(predictor.manifest, sample), predictor.session.run
    return lambda: run(None, fed)


class PaddleRunner:
    """A model on Paddle Inference: one CPU thread, oneDNN off. Quantized layers compute with floats there."""

    def __init__(self, model: Model) -> None:
        from paddle import inference

        from paddlepress.deployment.trace import quiet, save_program

        with tempfile.TemporaryDirectory(prefix="paddlepress-") as folder, quiet():
            prefix = Path(folder) / "model"
            save_program(model, prefix)
            config = inference.Config(f"{prefix}.json", f"{prefix}.pdiparams")
            config.disable_gpu()
            config.disable_mkldnn()
            config.set_cpu_math_library_num_threads(1)
            config.disable_glog_info()
            self._predictor = inference.create_predictor(config)
        self._inputs = {name: self._predictor.get_input_handle(name) for name in self._predictor.get_input_names()}
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def __call__(self, inputs: Inputs) -> Array:
        """What the network gives for inputs [n, *shape] as it takes them."""
        for name, array in by_name(inputs, tuple(self._inputs)).items():
            self._inputs[name].copy_from_cpu(array)
        self._predictor.run()
        return np.asarray(self._output.copy_to_cpu())


def on_paddle(base: Model, variant: Model, sample: Inputs, budget_s: float = 1.5) -> Latency:
    """Time two models on Paddle Inference, each with one thread.

    Args:
        base, variant: models in memory.
        sample: as the network takes it, [batch, *shape]: the inputs of every call.
        budget_s: about how long measuring may take.

    Raises:
        RuntimeError: Paddle Inference can't run one of them.
    """
    sample = each(sample, np.ascontiguousarray)
    first, second = PaddleRunner(base), PaddleRunner(variant)
    return interleaved(lambda: first(sample), lambda: second(sample), budget_s)


def _precise(ratios: list[float]) -> bool:
    """Whether the median is known well enough: by the order of the ratios, whatever they are distributed like.

    Of n ratios, those at n / 2 - sqrt(n) and n / 2 + sqrt(n) are the ends of an interval of 95% around the median.
    """
    count = len(ratios)
    if count < _ROUNDS_TO_TRUST:
        return False
    ordered, reach = sorted(ratios), math.sqrt(count)
    low, high = ordered[math.floor(count / 2 - reach)], ordered[min(count - 1, math.ceil(count / 2 + reach) - 1)]
    return high - low <= 2 * _PRECISE * float(np.median(ordered))


def _warm(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    """Call until caches and allocators have settled; returns the shortest time of a call, in seconds."""
    end = time.perf_counter() + _WARM_UP_S
    shortest = min(_time(call, clock) for _ in range(3))
    while time.perf_counter() < end:
        shortest = min(shortest, _time(call, clock))
    return shortest


def _time(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    """Seconds that a call takes."""
    begin = clock()
    call()
    return clock() - begin
