"""The public interface: what a notebook needs, and nothing heavy before it is used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits

import paddlepress as pp
from paddlepress.core.errors import UsageError
from paddlepress.core.progress import Silent

HEAVY = ("paddle", "mlflow", "onnxruntime", "kfp", "boto3", "numpy", "pandas")


@pytest.fixture(scope="module")
def digits() -> pp.Data:
    found = load_digits()
    return pp.from_arrays(found.images.astype(np.uint8), found.target, name="digits")


def test_everything_that_is_public_is_there() -> None:
    """Each name of `__all__` can be imported, and `dir` lists these and no others."""
    assert all(hasattr(pp, name) for name in pp.__all__)
    assert dir(pp) == sorted(pp.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pp.nothing


def test_importing_it_brings_in_nothing_heavy() -> None:
    """A notebook's first cell takes no seconds."""
    code = f"import sys, paddlepress; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_is_trained_compressed_and_measured_without_a_recipe(digits: pp.Data, tmp_path: Path) -> None:
    """From arrays to figures: half the multiply-accumulates, fewer bytes, and still right about digits."""
    base = pp.train("lenet", digits, epochs=4, batch_size=32, progress=Silent())
    small = pp.compress(base, "prune-filters", digits, macs=0.5, recovery_epochs=1, progress=Silent())
    found = pp.evaluate(small, base, digits, latency_seconds=0.05, progress=Silent())
    assert found.metrics["macs_ratio"] > 1.8
    assert found.metrics["ratio"] > 1.3
    assert found.metrics["accuracy"] > 80
    pp.save(small, tmp_path / "small")
    again = pp.load(tmp_path / "small")
    images = digits.test.split("test").inputs[:20]
    assert np.array_equal(again.predict(again.prepare(images)), small.predict(small.prepare(images)))
    assert [step.technique for step in again.lineage] == ["train", "prune-filters"]


def test_numbers_are_learned_and_compressed_too(tmp_path: Path) -> None:
    """How diabetes goes on (Efron et al., Annals of Statistics 2004) is predicted by a network of half the neurons."""
    found = load_diabetes()
    x = found.data.astype(np.float32)[:, None, None]
    data = pp.from_arrays(x, found.target, task=pp.Regression(targets=("progression",)), name="diabetes")
    base = pp.train("lenet-300-100", data, epochs=20, batch_size=32, learning_rate=1e-3, progress=Silent())
    recovery = {"recovery_epochs": 5, "recovery_loss": "distilled"}
    small = pp.compress(base, "prune-neurons", data, ratio=0.5, **recovery, progress=Silent())
    small = pp.compress(small, "quantize-post-training", data, base=base, progress=Silent())
    result = pp.evaluate(small, base, data, latency_seconds=0.05, progress=Silent())
    assert result.metrics["r2"] > 25
    assert result.metrics["r2_low"] < result.metrics["r2"] < result.metrics["r2_high"]
    assert result.metrics["drop"] < 10
    assert result.metrics["ratio"] > 4
    pp.save(small, tmp_path / "small")
    assert pp.load(tmp_path / "small").task == data.learning.task
    images = data.test.split("test").inputs[:5]
    assert 50 < small.task.decode(small.predict(small.prepare(images)))["progression"].mean() < 300


def test_several_labels_at_once_are_learned_and_compressed_too(digits: pp.Data) -> None:
    """An image is told whether its digit is even, above four, with a loop; a student learns it from its teacher."""
    found = load_digits()
    y = np.stack([found.target % 2 == 0, found.target > 4, np.isin(found.target, [0, 6, 8, 9])], axis=1)
    task = pp.MultiLabel(labels=("even", "above four", "loop"))
    data = pp.from_arrays(found.images.astype(np.uint8), y, task=task)
    base = pp.train("lenet", data, epochs=3, batch_size=32, progress=Silent())
    small = pp.compress(base, "distill-offline", data, student="lenet-half", epochs=4, batch_size=32, progress=Silent())
    result = pp.evaluate(small, base, data, latency_seconds=0.05, progress=Silent())
    assert result.metrics["f1"] > 90
    assert [row.name for row in result.per_class] == list(task.labels)
    with pytest.raises(pp.PaddlepressError, match=r"'decoupled' compares classes.*multi-label"):
        pp.compress(base, "distill-offline", data, loss="decoupled", progress=Silent())
    with pytest.raises(pp.PaddlepressError, match=r"label_smoothing is 0\.1.*multi-label"):
        pp.train("lenet", data, label_smoothing=0.1, progress=Silent())


def test_what_the_readme_shows_in_a_notebook_runs(tmp_path: Path) -> None:
    """The example ends with figures and a saved model."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (snippet,) = (
        block for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.M) if "from_arrays" in block
    )
    done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "'bytes'" in done.stdout
    assert (tmp_path / "small" / "model.json").exists()


def test_mistakes_are_told_as_in_a_recipe(digits: pp.Data) -> None:
    """An unknown setting, technique or field names itself and what is valid."""
    with pytest.raises(UsageError, match="epoch"):
        pp.train("lenet", digits, epoch=3)
    model = pp.Model.build(pp.ArchitectureRef(name="lenet"), digits.learning.inputs, digits.learning.task)
    with pytest.raises(UsageError, match=r"'prune-filter'.*prune-filters"):
        pp.compress(model, "prune-filter", digits)
    with pytest.raises(UsageError, match="ratio"):
        pp.compress(model, "prune-filters", digits, ratio=2)


def test_splits_of_ones_own_stay_apart() -> None:
    """Examples given for testing are judged on, and those given for training are divided for the rest."""
    x, y = np.arange(400, dtype=np.uint8).reshape(100, 4) % 16, np.arange(100) % 2
    data = pp.from_arrays(
        x, y, (x[:10], y[:10]), sizes=pp.Sizes(validation=0.2, calibration=30), classes=("even", "odd")
    )
    assert {name: len(part) for name, part in data.learning.splits.items()} == {
        "train": 80,
        "validation": 20,
        "calibration": 30,
    }
    assert np.array_equal(data.test.split("test").inputs, x[:10])
    assert data.learning.task == pp.Classification(classes=("even", "odd"))
