"""A whole run on lines of text: drawn digits, read by a network that is pruned and on integers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import paddlepress
from tests.drawn_lines import write

RECIPE = """\
name: lines
data:
  source: image-list
  path: lines
  size: [16, 48]
  color: grayscale
  labels: text
  dictionary: digits.txt
  task: text-recognition
  calibration: 100
base:
  architecture: crnn
  arguments: {width: 8, hidden: 24}
  training: {epochs: 10, batch_size: 16, learning_rate: 0.005}
variants:
  filters30-int8:
    - prune-filters: {ratio: 0.3, recovery_epochs: 2, recovery_batch_size: 16, recovery_learning_rate: 0.003}
    - quantize-post-training
gates:
  - {metric: drop, at_most: 15}
  - {metric: edit_similarity, at_least: 80}
evaluation: {latency_seconds: 0.2}
objective: {maximize: ratio}
"""

PREDICT = """
import sys, json, mlflow, numpy as np
from PIL import Image
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/lines@champion")
rows = [line.rstrip("\\n").split("\\t") for line in open("lines/test_list.txt")]
found = model.predict(np.stack([np.asarray(Image.open("lines/" + path))[None] for path, _ in rows]))
columns = [(each.name, each.type.name) for each in model.metadata.get_output_schema().inputs]
print(json.dumps([columns, float((found["text"] == [text for _, text in rows]).mean())]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of lines and their lists, beside a recipe."""
    folder = tmp_path_factory.mktemp("lines")
    write(folder / "lines", {"train": 700, "val": 100, "test": 150})
    (folder / "lines.yaml").write_text(RECIPE)
    return folder


def test_a_run_on_lines_of_text_ends_with_a_champion_that_tells_them(folder: Path) -> None:
    """It reads most lines, its figures are those of its task, and it gives texts in another process."""
    done = paddlepress("run", "lines.yaml", "--home", folder / "home", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Line accuracy" in done.stdout
    said = paddlepress("compare", "lines", "--home", folder / "home", "--json")
    rows = {row["variant"]: row for row in json.loads(said.stdout)}
    assert rows["base"]["line_accuracy"] > 80
    champion = rows["filters30-int8"]
    assert champion["aliases"] == ["challenger", "champion"]
    assert champion["edit_similarity"] > champion["line_accuracy"] > 60
    assert champion["bytes"] < 0.7 * rows["base"]["bytes"]
    report = (folder / "home" / "reports" / "lines.html").read_text()
    assert "Line accuracy" in report and "1 to 4 characters" in report

    database = f"sqlite:///{folder / 'home' / 'mlflow.db'}"
    command = [sys.executable, "-c", PREDICT, database]
    predicted = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert predicted.returncode == 0, predicted.stderr
    columns, share = json.loads(predicted.stdout.splitlines()[-1])
    assert columns == [["text", "string"], ["score", "float"]]
    assert 100 * share == pytest.approx(champion["line_accuracy"])
