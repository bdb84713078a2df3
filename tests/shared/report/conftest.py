"""A report of the size and shape that the shipped MNIST recipe produces."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from paddlepress.report import ReportData

CLASS_COUNTS = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
TEST_EXAMPLES = sum(CLASS_COUNTS)
BASE_ERRORS = (4, 5, 9, 6, 9, 9, 9, 11, 8, 13)

PRUNE = {"technique": "prune-weights", "parameters": {"sparsity": 0.9, "schedule": "gradual", "epochs": 2}}
FILTERS = {"technique": "prune-filters", "parameters": {"ratio": 0.5, "importance": "taylor", "epochs": 2}}
INT8 = {"technique": "quantize-post-training", "parameters": {"bits": 8}}

# variant, chain, errors more than base by class, bytes, parameters, zeros, MACs, ms and spread at 1 and 32, agreement
VARIANTS: tuple[tuple[str, list[dict[str, Any]], tuple[int, ...], int, int, float, int, float, float], ...] = (
    ("base", [], (0,) * 10, 1_688_504, 421_642, 0.0, 4_241_152, 0.152, 3.42),
    ("sparse90", [PRUNE], (0, 1, -1, 0, 2, -1, 0, 2, 1, 3), 196_410, 421_642, 0.9, 4_241_152, 0.153, 3.40),
    ("filters50", [FILTERS], (1, 0, 2, -1, 1, 2, 0, 1, 2, 2), 848_900, 211_690, 0.0, 1_193_216, 0.108, 1.71),
    ("int8", [INT8], (0, 0, 0, 0, 1, 0, 0, -1, 0, 0), 428_020, 421_642, 0.0, 4_241_152, 0.281, 2.51),
    (
        "student",
        [{"technique": "distill-offline", "parameters": {"student": "lenet-half", "temperature": 4.0, "alpha": 0.7}}],
        (1, 1, 2, 1, -1, 2, 1, 3, 0, 4),
        423_700,
        105_786,
        0.0,
        1_067_776,
        0.094,
        1.66,
    ),
    (
        "lowrank",
        [{"technique": "factorize-dense", "parameters": {"energy": 0.9, "layers": ["fc1"]}}],
        (1, 0, 1, 2, 0, 1, 0, 3, 1, 4),
        380_240,
        94_912,
        0.0,
        3_914_500,
        0.149,
        3.31,
    ),
    ("filters50-int8", [FILTERS, INT8], (1, 0, 2, 0, 1, 2, 0, 1, 2, 3), 216_330, 211_690, 0.0, 1_193_216, 0.196, 1.29),
    ("sparse90-int8", [PRUNE, INT8], (3, 1, 6, 2, 11, 4, 2, 9, 5, 31), 71_950, 421_642, 0.9, 4_241_152, 0.283, 2.53),
)


def wilson(right: int, count: int) -> tuple[float, float]:
    z = 1.96
    share = right / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return 100 * (centre - half), 100 * (centre + half)


def variant(position: int) -> dict[str, Any]:
    name, chain, more, size, parameters, sparsity, macs, one, many = VARIANTS[position]
    base = VARIANTS[0]
    noise = random.Random(position)
    errors = [before + extra for before, extra in zip(BASE_ERRORS, more, strict=True)]
    right, base_right = TEST_EXAMPLES - sum(errors), TEST_EXAMPLES - sum(BASE_ERRORS)
    low, high = wilson(right, TEST_EXAMPLES)
    drop = 100 * (base_right - right) / TEST_EXAMPLES
    metrics = {
        "accuracy": 100 * right / TEST_EXAMPLES,
        "accuracy_low": low,
        "accuracy_high": high,
        "drop": drop,
        "bytes": size,
        "ratio": base[3] / size,
        "parameters": parameters,
        "nonzeros": round(parameters * (1 - sparsity)),
        "sparsity": sparsity,
        "macs": macs,
        "macs_ratio": base[6] / macs,
        "latency_b1_ms": one,
        "latency_b32_ms": many,
        "peak_memory_mib": 6 + parameters / 42_000,
        "agreement": 100.0 if not chain else 99.9 - drop * 1.3 - noise.random() / 4,
        "runtime_agreement": 100.0,
        "paddle_speedup_b1": 0.36 * base[7] / one,
        "paddle_speedup_b32": 0.64 * base[8] / many,
    }
    for batch, ratio in (("b1", base[7] / one), ("b32", base[8] / many)):
        metrics |= {
            f"speedup_{batch}": ratio,
            f"speedup_{batch}_low": ratio * 0.97,
            f"speedup_{batch}_high": ratio * 1.04,
        }
    missing = {}
    if name.endswith("int8"):
        missing = {"paddle_speedup_b1": "Paddle Inference has no int8 kernels on CPU"}
        missing["paddle_speedup_b32"] = missing["paddle_speedup_b1"]
        metrics = {key: value for key, value in metrics.items() if key not in missing}
    ratio = metrics["ratio"]
    gates = [
        {"text": f"drop {drop:.2f} points, at most 0.30", "passed": drop <= 0.3, "metric": "drop"},
        {"text": f"{ratio:.1f}× smaller, at least 2×", "passed": ratio >= 2, "metric": "ratio"},
    ]
    return {
        "variant": name,
        "version": position + 1,
        "aliases": {"base": ["baseline"], "filters50-int8": ["champion"], "student": ["challenger"]}.get(name, []),
        "chain": chain,
        "metrics": metrics,
        "missing": missing,
        "gates": gates if chain else [],
        "per_class": [
            {
                "name": str(label),
                "count": count,
                "accuracy": 100 * (count - errors[label]) / count,
                "base_accuracy": 100 * (count - BASE_ERRORS[label]) / count,
                "change": 100 * (BASE_ERRORS[label] - errors[label]) / count,
            }
            for label, count in enumerate(CLASS_COUNTS)
        ],
    }


def sample(**changes: Any) -> ReportData:
    """The sample report, with some of its fields replaced."""
    fields: dict[str, Any] = {
        "recipe": "mnist",
        "title": "MNIST with LeNet, compressed eight ways",
        "created": "2026-11-23T08:33:00+00:00",
        "dataset": {"name": "MNIST", "test_examples": TEST_EXAMPLES, "classes": 10},
        "objective": "The smallest variant that loses at most 0.30 points of accuracy and is at least 2× smaller.",
        "champion": {
            "variant": "filters50-int8",
            "version": 7,
            "reason": "passed 2 of 2 gates and has the highest ratio (7.81×) of the 5 variants that did; "
            "sparse90-int8 missed its gate: drop 0.74 points, at most 0.30.",
        },
        "variants": [variant(position) for position in range(len(VARIANTS))],
        "environment": {
            "paddlepress": "0.1.0",
            "Processor": "AMD EPYC, 2 cores, AVX2",
            "paddlepaddle": "3.3.1",
            "ONNX Runtime": "1.31.1",
            "Python": "3.11.2",
            "Recipe digest": "sha256:4f1c09…a2d7",
        },
    }
    return ReportData.model_validate(fields | changes)


@pytest.fixture
def report() -> ReportData:
    return sample()


@pytest.fixture
def make_report() -> Callable[..., ReportData]:
    return sample
