"""A whole evaluation of small models on real digits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import digits_models
import numpy as np
import pytest

from paddlepress.artifact import manifest as manifests
from paddlepress.artifact import store
from paddlepress.core.errors import ArtifactError, TechniqueRefused, UsageError
from paddlepress.core.plugins import TASKS, listed
from paddlepress.core.progress import Silent
from paddlepress.data import Split, StoredDataset, StoredSplit
from paddlepress.evaluation import latency, size
from paddlepress.evaluation.evaluate import evaluate, exported
from paddlepress.evaluation.measurement import Measurement
from paddlepress.evaluation.metrics import known
from paddlepress.evaluation.result import Evaluation
from paddlepress.network.model import Model
from paddlepress.spec.metric import Metric
from paddlepress.spec.preprocessing import Preprocessing
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification
from paddlepress.tasks.base import task_class


@pytest.fixture(scope="module")
def digits() -> tuple[Split, Split]:
    return digits_models.digits()


@pytest.fixture(scope="module")
def lenet(digits: tuple[Split, Split]) -> Model:
    return digits_models.train(digits_models.build("lenet", (1, 8, 8)), digits[0])


@pytest.fixture(scope="module")
def folder(lenet: Model, digits: tuple[Split, Split], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the artifacts `base`, `sparse` and `int8`."""
    folder = tmp_path_factory.mktemp("models")
    store.save(lenet, folder / "base")
    store.save(digits_models.sparsified(lenet, 0.9), folder / "sparse")
    store.save(digits_models.quantized(lenet, digits[0].inputs), folder / "int8")
    return folder


def stored(split: Split) -> StoredDataset:
    """Test data as they are stored: here as the network takes them."""
    whole = StoredSplit(split.inputs, split.labels)
    task, inputs = Classification(classes=tuple("0123456789")), (TensorSpec(name="image", shape=(1, 8, 8)),)
    return StoredDataset("digits", inputs, task, {"test": whole}, "d", Preprocessing(dtype="float32"))


@pytest.fixture(scope="module")
def int8(folder: Path, digits: tuple[Split, Split]) -> Evaluation:
    test = stored(digits[1])
    subject = exported(folder / "int8", folder / "deployed", test)
    return evaluate(subject, exported(folder / "base", folder / "deployed-base", test), test, Silent(), budget_s=0.2)


def test_every_metric_is_measured_or_missing_with_a_reason(int8: Evaluation) -> None:
    """Each name of the table is a number, or has a reason why it is none."""
    others = {name for kind in listed(TASKS) for name in task_class(kind).metrics} - set(Classification.metrics)
    of_other_tasks = {f"{name}{end}" for name in others for end in ("", "_low", "_high")}
    assert set(int8.metrics) | set(int8.missing) == set(known()) - of_other_tasks
    assert all(int8.missing.values())


def test_accuracy_is_that_of_the_deployed_runtime(int8: Evaluation, lenet: Model, digits: tuple[Split, Split]) -> None:
    """Accuracy lies in its interval, the drop is against the base, and both runtimes agree."""
    metrics = int8.metrics
    test = digits[1]
    base = 100 * float(np.mean(lenet.predict(test.inputs).argmax(1) == test.labels))
    assert base > 90
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]
    assert metrics["drop"] == pytest.approx(base - metrics["accuracy"])
    assert abs(metrics["drop"]) <= 1
    assert metrics["runtime_agreement"] >= 99
    assert metrics["agreement"] >= 98


def test_bytes_are_those_of_the_deployed_files(int8: Evaluation, lenet: Model, folder: Path) -> None:
    """Graph, weights and manifest are counted, against the base's weights as float32."""
    on_disk = {path.name: path.stat().st_size for path in (folder / "deployed").iterdir()}
    assert int8.files == on_disk
    assert int8.metrics["bytes"] == sum(on_disk.values())
    numbers = sum(value.size for value in lenet.state().values())
    assert int8.metrics["ratio"] == pytest.approx(4 * numbers / sum(on_disk.values()))
    assert int8.metrics["parameters"] == numbers


def test_the_work_is_that_of_the_base(int8: Evaluation) -> None:
    """Quantization changes no shape, so the multiply-accumulates stay: 8*8*9*32 + 4*4*9*32*64 + dense layers."""
    dense = 64 * 2 * 2 * 128 + 128 * 10
    assert int8.metrics["macs"] == 8 * 8 * 9 * 32 + 4 * 4 * 9 * 32 * 64 + dense
    assert int8.metrics["macs_ratio"] == 1


def test_every_class_is_compared(int8: Evaluation, digits: tuple[Split, Split]) -> None:
    """Ten digits, whose counts add up to the test data."""
    assert [row.name for row in int8.per_class] == [str(digit) for digit in range(10)]
    assert sum(row.count for row in int8.per_class) == len(digits[1])


def test_the_evaluation_says_what_was_measured_where(int8: Evaluation, lenet: Model) -> None:
    """Digests of both models and the data, versions and processor are kept."""
    assert int8.base_digest == lenet.digest() != int8.model_digest
    assert int8.data_digest == "d"
    assert {"processor", "cores", "onnxruntime", "paddlepaddle", "paddlepress"} <= int8.environment.keys()


def test_what_cannot_be_measured_is_missing_not_made_up(
    folder: Path, digits: tuple[Split, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a runtime fails, or a layer's work can't be counted, the figure is absent and its reason is kept."""

    def fail(*_: object) -> None:
        raise RuntimeError("(Unimplemented)  no such\nkernel")

    def refuse(_: object) -> None:
        raise TechniqueRefused("a loop is not counted")

    monkeypatch.setattr("paddlepress.surgery.macs.macs", refuse)
    monkeypatch.setattr(latency, "PaddleRunner", fail)
    test = stored(digits[1])
    base = exported(folder / "base", folder / "deployed-base", test)
    result = evaluate(base, base, test, Silent(), budget_s=0.05)
    assert "paddle_speedup_b1" not in result.metrics
    assert result.missing["paddle_speedup_b1"] == "(Unimplemented) no such kernel"
    assert "macs" not in result.metrics
    assert result.missing["macs"] == "a loop is not counted"
    assert result.metrics["drop"] == 0
    assert result.metrics["agreement"] == 100


def test_a_measurement_that_keeps_no_promise_is_told(
    folder: Path, digits: tuple[Split, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A figure that it did not state is a mistake by name; one that is no number is missing, with what it was."""

    class Odd(Measurement):
        metrics: ClassVar[Mapping[str, Metric]] = {"peak_memory_mib": Metric("MiB", False, "odd")}
        found: ClassVar[dict[str, float]] = {"peak_memory_mib": float("nan")}

        def measure(self, *_: object) -> dict[str, float]:
            return self.found

    monkeypatch.setattr("paddlepress.evaluation.evaluate.measurements", lambda: {"odd": Odd()})
    test = stored(digits[1])
    base = exported(folder / "base", folder / "deployed-odd", test)
    result = evaluate(base, base, test, Silent())
    assert (result.metrics, result.missing) == ({}, {"peak_memory_mib": "it came out as nan"})
    Odd.found = {"weight": 1.0}
    with pytest.raises(UsageError, match=r"'odd' gave weight.*peak_memory_mib"):
        evaluate(base, base, test, Silent())


def test_zeros_are_counted_from_the_stored_weights(folder: Path, lenet: Model) -> None:
    """Sparsity is the share of zero weights; biases count as parameters only."""
    counts = size.count(folder / "sparse")
    weights = [value for value in store.load(folder / "sparse").state().values() if value.ndim >= 2]
    zeros = sum(int((value == 0).sum()) for value in weights) / sum(value.size for value in weights)
    assert counts.sparsity == pytest.approx(zeros)
    assert counts.sparsity == pytest.approx(0.9, abs=0.01)
    assert counts.parameters == sum(value.size for value in lenet.state().values())


def test_the_table_of_layers_tells_how_each_is_stored(folder: Path) -> None:
    """Bits, encoding and bytes are those of the file, and the bytes add up to nearly all of it."""
    rows = {f"{row.layer}.{row.parameter}": row for row in size.layers(folder / "int8")}
    assert rows["fc1.weight"].bits == 7  # its range is reduced
    assert rows["fc1.weight"].encoding in {"coded", "packed"}
    assert rows["fc1.bias"].bits == 32
    assert rows["conv2.weight"].shape == (64, 32, 3, 3)
    whole = manifests.read(folder / "int8").files["weights.safetensors"].bytes
    assert 0.9 * whole < sum(row.bytes for row in rows.values()) < whole
    sparse = {f"{row.layer}.{row.parameter}": row for row in size.layers(folder / "sparse")}
    assert sparse["fc1.weight"].encoding == "sparse"
    assert sparse["fc1.weight"].sparsity == pytest.approx(0.9, abs=0.01)


def test_a_damaged_artifact_has_no_size(folder: Path, tmp_path: Path) -> None:
    """Counting from a directory that is no artifact names the directory."""
    with pytest.raises(ArtifactError, match="no model artifact at"):
        size.layers(tmp_path / "nothing")
