"""A whole run of a network that takes pictures, words and numbers: from a table to a registered model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.cli import paddlepress

RECIPE = """\
name: mixed
data:
  source: table
  path: digits.csv
  target: digit
  inputs: [upper, lower]
  text: parity
  images: picture
  size: 16
  color: grayscale
  calibration: 100
base:
  architecture: late-fusion
  arguments: {filters: [16, 32], embedding: 8}
  training: {epochs: 6, batch_size: 32, learning_rate: 0.003, augmentation: [{crop: {padding: 1}}]}
variants:
  filters50-int8:
    - prune-filters: {ratio: 0.5, recovery_epochs: 3, recovery_batch_size: 32, recovery_learning_rate: 0.003}
    - quantize-post-training
gates:
  - {metric: drop, at_most: 8}
evaluation: {latency_seconds: 0.2}
objective: {maximize: ratio}
"""

PREDICT = """
import sys, json, numpy as np, pandas as pd, mlflow
from PIL import Image
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
rows = pd.read_csv("digits.csv").tail(200)
pictures = np.stack([np.asarray(Image.open(name))[None] for name in rows["picture"]])
numbers = rows[["upper", "lower"]].to_numpy("f4")
given = {"picture": pictures, "parity": rows["parity"].to_numpy(str), "features": numbers}
found = model.predict(given)
names = [spec.name for spec in model.metadata.get_input_schema().inputs]
print(json.dumps([names, float((found["label"].astype(int) == rows["digit"].to_numpy()).mean())]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of scikit-learn's digits, with the pictures beside it."""
    folder, found = tmp_path_factory.mktemp("mixed"), load_digits()
    (folder / "pictures").mkdir()
    for place, image in enumerate(found.images):
        picture = Image.fromarray((image * 15).astype(np.uint8)).resize((16, 16))
        picture.save(folder / "pictures" / f"{place}.png")
    pd.DataFrame(
        {
            "picture": [f"pictures/{place}.png" for place in range(len(found.target))],
            "parity": np.where(found.target % 2, "It is odd.", "It is even."),
            "upper": found.images[:, :4].mean((1, 2)),
            "lower": found.images[:, 4:].mean((1, 2)),
            "digit": found.target,
        }
    ).to_csv(folder / "digits.csv", index=False)
    (folder / "mixed.yaml").write_text(RECIPE)
    return folder


def test_a_run_of_several_inputs_ends_with_a_model_that_others_load(folder: Path) -> None:
    """The champion is pruned and on integers, and predicts by raw inputs in a process that has nothing but MLflow."""
    done = paddlepress("run", "mixed.yaml", "--home", folder / "home", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    said = paddlepress("compare", "mixed", "--home", folder / "home", "--json")
    rows = {row["variant"]: row for row in json.loads(said.stdout)}
    assert rows["filters50-int8"]["aliases"] == ["challenger", "champion"]
    assert rows["base"]["accuracy"] > 80
    assert rows["filters50-int8"]["macs"] < 0.6 * rows["base"]["macs"]
    assert rows["filters50-int8"]["bytes"] < 0.5 * rows["base"]["bytes"]

    database = f"sqlite:///{folder / 'home' / 'mlflow.db'}"
    command = [sys.executable, "-c", PREDICT, database, "models:/mixed@champion"]
    predicted = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert predicted.returncode == 0, predicted.stderr
    names, share = json.loads(predicted.stdout.splitlines()[-1])
    assert names == ["picture", "parity", "features"]
    assert share > 0.7
