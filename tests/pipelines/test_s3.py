"""A run whose data and base model lie in S3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from paddlepress.artifact.store import save
from paddlepress.core import compute
from paddlepress.core.storage import push
from paddlepress.tasks import Classification
from tests.cli import paddlepress

RECIPE = """\
name: remote
data: {{source: npz, path: "s3://{bucket}/remote/digits.npz", calibration: 50}}
base: {{artifact: "s3://{bucket}/remote/model/", preprocessing: {{scale: 255, mean: [0.019], std: [0.0236]}}}}
variants:
  sparse:
    - prune-weights: {{sparsity: 0.7, recovery_epochs: 0}}
evaluation: {{latency_seconds: 0.2}}
"""


def test_data_and_base_model_come_from_s3(s3: Any, tmp_path: Path) -> None:
    """The recipe names both by `s3://`; the imported model is the base, and keeps its weights and preprocessing."""
    compute.prepare()
    from sklearn.datasets import load_digits

    from paddlepress.data import Split
    from paddlepress.network.model import Model
    from paddlepress.spec.origin import ArchitectureRef
    from paddlepress.spec.signature import TensorSpec
    from paddlepress.training.context import TrainingContext
    from paddlepress.training.loop import fit
    from paddlepress.training.settings import TrainingSettings

    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.int64)
    np.savez(tmp_path / "digits.npz", x=images, y=labels)
    inputs = (TensorSpec(name="input", shape=(1, 8, 8)),)
    model = Model.build(ArchitectureRef(name="lenet-300-100"), inputs, Classification(classes=tuple("0123456789")))
    scaled = ((images[:, None] / 255 - 0.019) / 0.0236).astype(np.float32)
    split = Split(scaled, labels)
    fit(
        model.network,
        model.task,
        TrainingContext(train=split, validation=split),
        TrainingSettings(epochs=2, batch_size=64),
    )
    save(model, tmp_path / "model")
    push(tmp_path / "digits.npz", f"s3://{s3.bucket}/remote/digits.npz")
    push(tmp_path / "model", f"s3://{s3.bucket}/remote/model/")

    recipe = tmp_path / "remote.yaml"
    recipe.write_text(RECIPE.format(bucket=s3.bucket))
    done = paddlepress("run", recipe, "--home", tmp_path / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    listed = paddlepress("compare", "remote", "--home", tmp_path / "home", "--json")
    rows = {row["variant"]: row for row in json.loads(listed.stdout)}
    assert rows["base"]["accuracy"] > 80
    assert rows["sparse"]["bytes"] < 0.6 * rows["base"]["bytes"]
    assert "import-model" in done.stdout and "train" not in done.stdout
