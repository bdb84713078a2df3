"""A whole run on text: from which library a docstring is, by its words."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli import paddlepress

LIBRARIES = ("pandas", "sqlalchemy")
EACH = 600
RECIPE = """\
name: docstrings
data: {source: table, path: docstrings.csv, target: library, text: docstring, vocabulary: 3000, length: 40}
base:
  architecture: text-cnn
  arguments: {embedding: 24, filters: 12, widths: [3]}
  training: {epochs: 4, batch_size: 32, learning_rate: 0.003}
variants:
  int8:
    - quantize-post-training
gates:
  - {metric: drop, at_most: 3}
evaluation: {latency_seconds: 0.2}
objective: {maximize: ratio}
"""

PREDICT = """
import sys, json, mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/docstrings@champion")
rows = pd.read_csv("docstrings.csv").iloc[::10]
found = model.predict(rows["docstring"].to_numpy(str))
print(json.dumps(float((found["label"].to_numpy() == rows["library"].to_numpy()).mean())))
"""


def docstrings(library: str) -> list[str]:
    """The first two paragraphs of what functions and classes of an installed library say of themselves."""
    spec = find_spec(library)
    assert spec is not None and spec.origin is not None
    found: dict[str, None] = {}
    for file in sorted(Path(spec.origin).parent.rglob("*.py")):
        if "tests" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            said = ast.get_docstring(node) if isinstance(node, ast.FunctionDef | ast.ClassDef) else None
            if said and len(said.split()) >= 8:
                found[" ".join(" ".join(said.split("\n\n")[:2]).split())] = None
    return list(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of docstrings with the names of their libraries, which are taken out of the text."""
    folder, numbers = tmp_path_factory.mktemp("text"), np.random.default_rng(0)
    rows = []
    for library in LIBRARIES:
        texts = docstrings(library)
        for place in numbers.choice(len(texts), EACH, replace=False):
            rows.append({"docstring": texts[place].replace(library, "it"), "library": library})
    pd.DataFrame(rows).to_csv(folder / "docstrings.csv", index=False)
    (folder / "docstrings.yaml").write_text(RECIPE)
    return folder


def test_a_run_on_text_ends_with_a_small_champion_that_takes_text(folder: Path) -> None:
    """It tells libraries apart, takes far fewer bytes, and predicts from text in another process."""
    done = paddlepress("run", "docstrings.yaml", "--home", folder / "home", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    said = paddlepress("compare", "docstrings", "--home", folder / "home", "--json")
    rows = {row["variant"]: row for row in json.loads(said.stdout)}
    assert rows["base"]["accuracy"] > 75
    assert rows["int8"]["drop"] < 3 and rows["int8"]["bytes"] < rows["base"]["bytes"] / 2.5
    assert rows["int8"]["aliases"] == ["challenger", "champion"]

    database = f"sqlite:///{folder / 'home' / 'mlflow.db'}"
    command = [sys.executable, "-c", PREDICT, database]
    predicted = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert predicted.returncode == 0, predicted.stderr
    assert json.loads(predicted.stdout.splitlines()[-1]) > 0.75
