"""Plugins of all kinds from a package that knows paddlepress, but that paddlepress does not know."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "plugin_package"

RECIPE = """\
name: plugged
data: {source: digits, limit: 300, test_limit: 100, calibration: 50}
base:
  architecture: example-mlp
  arguments: {hidden: 32}
  training: {epochs: 3, batch_size: 32}
variants:
  fewer:
    - prune-below-deviation: {quality: 0.7}
gates: [{metric: calibration_error, at_most: 100}]
evaluation: {latency_seconds: 0.2}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python into which the example distribution is installed."""
    target = tmp_path_factory.mktemp("site-packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, "--target", str(target), str(PACKAGE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {**os.environ, "PYTHONPATH": str(target)}


def paddlepress(environment: dict[str, str], *arguments: str, cwd: Path | None = None) -> str:
    """What the command line prints."""
    code = "from paddlepress_pipelines.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False, cwd=cwd
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_listed_with_its_package(installed: dict[str, str]) -> None:
    """`paddlepress techniques` shows the plugin beside the built-in techniques, and `NAME` its fields."""
    listed = {row["name"]: row for row in json.loads(paddlepress(installed, "techniques", "--json"))}
    assert listed["prune-below-deviation"]["package"] == "paddlepress-example"
    assert listed["prune-weights"]["package"] == "paddlepress"
    assert "quality" in paddlepress(installed, "techniques", "prune-below-deviation")
    assert "example-mlp" in paddlepress(installed, "architectures").splitlines()


def test_it_runs_in_a_recipe(installed: dict[str, str], tmp_path: Path) -> None:
    """A recipe may name the plugin's technique, architecture and figure like any other.

    Editing the technique makes only its own work again.
    """
    recipe = tmp_path / "plugged.yaml"
    recipe.write_text(RECIPE)
    home = str(tmp_path / "home")
    paddlepress(installed, "run", str(recipe), "--home", home)
    rows = {
        row["variant"]: row
        for row in json.loads(paddlepress(installed, "compare", "plugged", "--home", home, "--json"))
    }
    assert rows["fewer"]["bytes"] < rows["base"]["bytes"]
    assert rows["fewer"]["sparsity"] > 0.3
    assert rows["fewer"]["chain"] == [{"technique": "prune-below-deviation", "parameters": {"quality": 0.7}}]

    assert 0 < rows["fewer"]["calibration_error"] < 100
    assert rows["fewer"]["passes_gates"]

    technique = Path(installed["PYTHONPATH"]) / "paddlepress_example" / "technique.py"
    technique.write_text(technique.read_text() + "# edited\n")
    before = finished(tmp_path / "home")
    paddlepress(installed, "run", str(recipe), "--home", home)
    made = {name.rpartition("-")[0] for name in finished(tmp_path / "home") - before}
    # The model that it makes is the same as before, so that nothing behind it is made again either.
    assert made == {"prune-below-deviation"}, "the base model does not depend on it"


def finished(home: Path) -> set[str]:
    """What the cache holds, but for what is asked of the registry every time."""
    done = {path.parent.name for path in (home / "cache").glob("*/done.json")}
    return {name for name in done if not name.startswith(("compare-", "promote-", "report-"))}


def test_it_stands_the_contract(installed: dict[str, str]) -> None:
    """The plugin's own tests inherit `TechniqueContract` and pass, with nothing that the next pytest removes."""
    strict = ["-W", "error::pytest.PytestDeprecationWarning", "--override-ini=norecursedirs="]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *strict, str(PACKAGE)],
        env=installed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_contributing_shows_what_is_installed_here() -> None:
    """The code of the page is that of the example, which the tests above use."""
    text = (PACKAGE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n# (\S+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert {name for name, _ in shown} == {"technique.py", "architecture.py", "task.py", "source.py", "measurement.py"}
    for name, code in shown:
        assert code == (PACKAGE / "paddlepress_example" / name).read_text(encoding="utf-8"), name
        lines = [line for line in code.splitlines() if line.strip()]
        assert len(lines) <= 40, name
    (project,) = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert project.strip() in (PACKAGE / "pyproject.toml").read_text(encoding="utf-8")


COUNTING = """\
name: counting
data: {source: ink, darkness: 6, task: counts, calibration: 50}
base:
  architecture: example-mlp
  training: {epochs: 20, batch_size: 32, learning_rate: 0.01}
variants:
  fewer: [prune-below-deviation: {quality: 0.1}]
gates: [{metric: r2, at_least: 35}]
evaluation: {latency_seconds: 0.2}
"""


def test_its_source_and_task_go_all_the_way(installed: dict[str, str], tmp_path: Path) -> None:
    """A recipe of a plugin's source, task, architecture and technique ends in a champion that can be exported.

    What has no meaning for the task is missing, with the reason.
    """
    (tmp_path / "counting.yaml").write_text(COUNTING)
    home = str(tmp_path / "home")
    said = paddlepress(installed, "run", str(tmp_path / "counting.yaml"), "--home", home)
    assert "R squared %" in said and "fewer (version" in said
    text = paddlepress(installed, "compare", "counting", "--home", home, "--json")
    rows = {row["variant"]: row for row in json.loads(text)}
    assert rows["fewer"]["passes_gates"] and rows["fewer"]["r2"] > 35 and rows["fewer"]["sparsity"] > 0.03
    assert "calibration_error" not in rows["fewer"]
    (found,) = Path(home).glob("cache/load-data-*/test_data/data.json")
    assert json.loads(found.read_text())["task"] == {"kind": "counts", "targets": ["inked"], "mean": [], "std": []}

    paddlepress(installed, "export", "counting@champion", "-o", str(tmp_path / "exported"), "--home", home)
    assert (tmp_path / "exported" / "model.onnx").is_file()
