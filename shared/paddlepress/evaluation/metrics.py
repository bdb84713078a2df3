"""The numbers that an evaluation states, and how to read them.

Importable without NumPy or Paddle: recipes check their gates against this table, and reports format by it.
"""

from __future__ import annotations

from paddlepress.spec.metric import Metric

METRICS: dict[str, Metric] = {
    "accuracy": Metric("%", True, "share of test examples classified correctly, on the deployed runtime"),
    "accuracy_low": Metric("%", True, "lower end of the accuracy's 95% Wilson interval"),
    "accuracy_high": Metric("%", True, "upper end of the accuracy's 95% Wilson interval"),
    "drop": Metric("points", False, "accuracy of the base model minus that of this one"),
    "bytes": Metric("bytes", False, "size of all files that are deployed: graph, encoded weights, manifest", 0),
    "ratio": Metric("x", True, "float32 bytes of the base model's weights, divided by the bytes deployed"),
    "parameters": Metric("", False, "numbers in weights and buffers", 0),
    "nonzeros": Metric("", False, "numbers in weights and buffers that are not zero", 0),
    "sparsity": Metric("", None, "share of weights that are zero, 0 to 1", 3),
    "macs": Metric("", False, "multiply-accumulate operations for one input", 0),
    "macs_ratio": Metric("x", True, "the base model's multiply-accumulate operations, divided by this model's"),
    "latency_b1_ms": Metric(
        "ms", False, "time for one input, one thread, ONNX Runtime, without preprocessing, paired with the base's", 3
    ),
    "latency_b32_ms": Metric(
        "ms",
        False,
        "time for a batch of 32, one thread, ONNX Runtime, without preprocessing, paired with the base's",
        3,
    ),
    "speedup_b1": Metric("x", True, "time of the base model over time of this one, one input, ONNX Runtime"),
    "speedup_b1_low": Metric("x", True, "lower quartile of the paired speed-ups with one input"),
    "speedup_b1_high": Metric("x", True, "upper quartile of the paired speed-ups with one input"),
    "speedup_b32": Metric("x", True, "time of the base model over time of this one, batch of 32, ONNX Runtime"),
    "speedup_b32_low": Metric("x", True, "lower quartile of the paired speed-ups with a batch of 32"),
    "speedup_b32_high": Metric("x", True, "upper quartile of the paired speed-ups with a batch of 32"),
    "paddle_speedup_b1": Metric("x", True, "speed-up with one input on Paddle Inference, where all weights are floats"),
    "paddle_speedup_b32": Metric("x", True, "speed-up with a batch of 32 on Paddle Inference"),
    "peak_memory_mib": Metric(
        "MiB", False, "memory that loading the deployable and one prediction take at the most", 1
    ),
    "agreement": Metric("%", True, "share of test examples that the base model classifies alike"),
    "runtime_agreement": Metric("%", True, "share of test examples that Paddle and ONNX Runtime classify alike"),
}
