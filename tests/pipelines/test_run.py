"""A whole run on real data, small enough for a test: from data to a champion, killed, resumed, decided anew."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import paddlepress as pp
from paddlepress_pipelines.recipe.schema import shipped
from tests.cli import paddlepress, start

RECIPE = """\
name: digits
title: Digits for a test
data: {source: digits, calibration: 100}
base:
  architecture: lenet
  training: {epochs: 6, batch_size: 32}
variants:
  filters50:
    - prune-filters: {ratio: 0.5, recovery_epochs: 4, recovery_batch_size: 32}
  filters50-int8:
    - prune-filters: {ratio: 0.5, recovery_epochs: 4, recovery_batch_size: 32}
    - quantize-post-training
  crushed:
    - prune-weights: {sparsity: 0.99, scope: layer, recovery_epochs: 0}
gates:
  - {metric: drop, at_most: 5}
evaluation: {latency_seconds: 0.2}
objective: {maximize: ratio}
"""


def write(folder: Path, text: str = RECIPE) -> Path:
    path = folder / "digits.yaml"
    path.write_text(text)
    return path


def finished(home: Path) -> dict[str, float]:
    """The finished tasks and when they were."""
    return {path.parent.name: path.stat().st_mtime for path in (home / "cache").glob("*/done.json")}


def table(home: Path) -> dict[str, dict[str, Any]]:
    done = paddlepress("compare", "digits", "--home", home, "--json", "--csv", home / "table.csv")
    assert done.returncode == 0, done.stderr
    assert len((home / "table.csv").read_text().splitlines()) == 1 + len(json.loads(done.stdout))
    return {row["variant"]: row for row in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the recipe ran to its end."""
    folder = tmp_path_factory.mktemp("run")
    done = paddlepress("run", write(folder), "--home", folder / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "output").write_text(done.stdout)
    return folder / "home"


def test_a_run_is_listed_with_its_champion_and_keeps_its_logs(home: Path) -> None:
    """The variant that `compare` shows in production; what a task printed is the run's own, whatever comes later."""
    (row,) = json.loads(paddlepress("runs", "--home", home, "--json").stdout)
    champions = [name for name, entry in table(home).items() if "champion" in entry["aliases"]]
    assert [row["champion"]] == champions
    assert row["state"] == "done" and row["tasks"].endswith(" done") and row["seconds"] > 0
    assert "epoch" in paddlepress("logs", "last", "train", "--home", home).stdout
    used = {path: path.stat().st_mtime for path in (home / "cache").rglob("*") if path.is_file()}
    cleaned = paddlepress("clean", "--older-than", "0s", "--home", home, TMPDIR=str(home.parent))
    assert cleaned.returncode == 0, cleaned.stderr
    assert {path: path.stat().st_mtime for path in (home / "cache").rglob("*") if path.is_file()} == used


def test_a_run_ends_with_a_table_a_champion_and_a_report(home: Path) -> None:
    """The output names every variant, the champion with the reason, and the report, which is there."""
    output = (home.parent / "output").read_text()
    for word in ("filters50-int8", "crushed", "champion", "Report"):
        assert word in output
    report = (home / "reports" / "digits.html").read_text()
    assert "<svg" in report and "filters50-int8" in report


def test_what_is_compared_was_measured(home: Path) -> None:
    """Sizes follow the chains, and a variant that lost its accuracy shows it."""
    rows = table(home)
    assert list(rows) == ["base", "filters50", "filters50-int8", "crushed"]
    assert rows["base"]["drop"] == 0
    assert rows["filters50"]["parameters"] < 0.6 * rows["base"]["parameters"]
    assert rows["filters50"]["macs"] < 0.5 * rows["base"]["macs"]
    assert rows["filters50-int8"]["bytes"] < rows["filters50"]["bytes"] / 3
    assert rows["crushed"]["drop"] > 5
    for row in rows.values():
        assert {"variant", "version", "aliases", "accuracy", "speedup_b1", "speedup_b32"} <= row.keys()


def test_the_best_variant_that_passes_is_champion(home: Path) -> None:
    """The smallest of all misses its gate, so it is not promoted; the best that passes is, and the reason is kept."""
    rows = table(home)
    assert rows["crushed"]["ratio"] > rows["filters50-int8"]["ratio"]
    assert not rows["crushed"]["passes_gates"]
    assert rows["filters50-int8"]["aliases"] == ["challenger", "champion"]
    assert rows["base"]["aliases"] == ["baseline"]
    refused = paddlepress("promote", "digits", "--variant", "crushed", "--home", home)
    assert refused.returncode == 1
    assert "drop" in refused.stderr and "limit of 5" in refused.stderr
    entries = json.loads(paddlepress("history", "digits", "--home", home, "--json").stdout)
    assert entries[0]["action"] == "promoted"
    assert entries[0]["variant"] == "filters50-int8"


def test_a_notebook_sees_and_decides_what_the_commands_do(home: Path) -> None:
    """One row a variant as the command prints them, and the same champion."""
    frame = pp.compare("digits", home)
    assert frame["variant"].tolist() == list(table(home))
    assert frame.set_index("variant")["bytes"].to_dict() == {name: row["bytes"] for name, row in table(home).items()}
    decision = pp.promote("digits", home=home)
    assert (decision.action, decision.champion) == ("kept", table(home)["filters50-int8"]["version"])


def test_running_again_makes_nothing_again(home: Path) -> None:
    """Everything that can be kept is kept, and the registry holds each variant once."""
    before = finished(home)
    done = paddlepress("run", home.parent / "digits.yaml", "--home", home)
    assert done.returncode == 0, done.stdout + done.stderr
    after = finished(home)
    remade = {name for name, when in after.items() if before.get(name) != when}
    assert all(name.startswith(("compare-", "promote-", "report-")) for name in remade), remade
    assert sorted(row["version"] for row in table(home).values()) == [1, 2, 3, 4]


def test_show_tells_what_a_model_is_made_of(home: Path) -> None:
    """The layers' shapes, bits and bytes stand in the table, the chain above it."""
    model = next((home / "cache").glob("quantize-post-training-*/compressed_model"))
    shown = paddlepress("show", model)
    assert shown.returncode == 0, shown.stderr
    for word in ("lenet", "preprocessing uint8 / 255, mean", "prune-filters", "quantize-post-training", "32x16x3x3"):
        assert word in shown.stdout
    graph = paddlepress("show", model, "--graph")
    assert "conv1" in graph.stdout


def test_show_takes_a_variant_of_the_last_run(home: Path, tmp_path: Path) -> None:
    """A recipe's name and a variant are enough, in a home that was moved too; a mistake names the variants."""
    copy = shutil.copytree(home, tmp_path / "moved")
    shown = paddlepress("show", "digits/filters50-int8", "--home", copy, "--json")
    assert shown.returncode == 0, shown.stderr
    chain = [entry["technique"] for entry in json.loads(shown.stdout)["manifest"]["lineage"]]
    assert chain == ["train", "prune-filters", "quantize-post-training"]
    base = json.loads(paddlepress("show", "digits/base", "--home", copy, "--json").stdout)
    assert [entry["technique"] for entry in base["manifest"]["lineage"]] == ["train"]
    for mistake in ("digits/filters5", "digits"):
        refused = paddlepress("show", mistake, "--home", home)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
        assert f"unknown model '{mistake}'" in refused.stderr
        assert "Valid: digits/base, digits/crushed, digits/filters50, digits/filters50-int8" in refused.stderr


PRODUCTION = """
import sys
import mlflow, numpy as np

mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}/mlflow.db")
model = mlflow.pyfunc.load_model("models:/digits@champion")
inputs, labels = (np.load(f"{sys.argv[2]}/test.{name}.npy") for name in ("input", "targets"))
assert inputs.dtype == np.uint8
told = model.predict(inputs)["label"].to_numpy()
print(repr(100.0 * float((told == labels.astype(str)).mean())))
"""


def test_production_needs_nothing_but_the_registered_model(home: Path) -> None:
    """On images as they come, the champion names classes with exactly the accuracy measured."""
    (test,) = (home / "cache").glob("load-data-*/test_data")
    done = subprocess.run(
        [sys.executable, "-c", PRODUCTION, str(home), str(test)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(table(home)["filters50-int8"]["accuracy"])


def test_a_stock_runtime_predicts_what_the_registry_says(home: Path, tmp_path: Path) -> None:
    """The champion as one ONNX file, in a stock ONNX Runtime, has exactly the accuracy measured."""
    done = paddlepress("export", "digits", "-o", tmp_path / "out", "--home", home)
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    row = table(home)["filters50-int8"]
    assert (said["name"], said["version"], said["variant"]) == ("digits", str(row["version"]), "filters50-int8")
    (test,) = (home / "cache").glob("load-data-*/test_data")
    (given,) = session.get_inputs()
    assert given.type == "tensor(uint8)"
    (logits,) = session.run(["logits"], {given.name: np.load(test / "test.input.npy")})
    assert 100.0 * (logits.argmax(1) == np.load(test / "test.targets.npy")).mean() == pytest.approx(row["accuracy"])


def test_exports_by_version_alias_and_folder(home: Path, tmp_path: Path) -> None:
    """A version's number, an alias, a variant of the last run and an artifact's folder name a model too."""
    version = table(home)["filters50"]["version"]
    folder = next((home / "cache").glob("quantize-post-training-*/compressed_model"))
    for number, model in enumerate((f"digits@{version}", "digits@baseline", "digits/filters50", folder)):
        done = paddlepress("export", model, "-o", tmp_path / str(number), "--home", home)
        assert done.returncode == 0, done.stderr
    names = ["filters50", "base", None, None]
    for number, name in enumerate(names):
        session = onnxruntime.InferenceSession(tmp_path / str(number) / "model.onnx")
        assert session.get_modelmeta().custom_metadata_map.get("variant") == name
    for mistake, words in (
        ("digits@99", "unknown version of 'digits' '99'"),
        ("digits@nobody", "unknown alias of 'digits' 'nobody'"),
        ("digit", "unknown registered model 'digit'"),
        ("digits/nothing", "unknown model 'digits/nothing'"),
    ):
        refused = paddlepress("export", mistake, "-o", tmp_path / "out", "--home", home)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
        assert words in refused.stderr
        assert not (tmp_path / "out").exists()
    refused = paddlepress("export", "digits", "-o", tmp_path / "0", "--home", home)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
    assert f"{tmp_path / '0'} exists already" in refused.stderr


def test_a_report_can_be_written_later(home: Path, tmp_path: Path) -> None:
    """`compare --output` writes the page from what the registry knows."""
    done = paddlepress("compare", "digits", "--home", home, "--output", tmp_path / "report.html")
    assert done.returncode == 0, done.stderr
    assert "<svg" in (tmp_path / "report.html").read_text()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 1000
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting for {what}"
        time.sleep(0.02)


def test_a_run_that_is_killed_three_times_is_finished_by_the_fourth(tmp_path: Path) -> None:
    """Killed while it trains, evaluates and registers, a run redoes no finished task and registers nothing twice.

    Nor are temporary files left.
    """
    home, recipe = tmp_path / "home", write(tmp_path)
    cache, outside = home / "cache", tmp_path / "tmp"
    outside.mkdir()
    command = ("run", recipe, "--home", home, "--only", "crushed")

    def half_evaluated() -> bool:
        return 0 < len(list(cache.glob("evaluate-*/done.json"))) < len(list(cache.glob("evaluate-*/task.log")))

    points: dict[str, Callable[[], bool]] = {
        "training": lambda: any(cache.glob("train-*/checkpoint/*/state.json")),
        "evaluating": half_evaluated,
        "registering": lambda: any(cache.glob("register-*/done.json")),
    }
    done: dict[str, float] = {}
    for what, reached in points.items():
        run = start(*command, TMPDIR=str(outside))
        wait_until(reached, what)
        os.kill(run.pid, signal.SIGKILL)
        run.communicate()
        kept = finished(home)
        assert {name: kept.get(name) for name in done} == done, f"redone while {what}"
        done = kept
    last = paddlepress(*command)
    assert last.returncode == 0, last.stdout + last.stderr
    kept = finished(home)
    assert {name: kept.get(name) for name in done} == done
    assert list(outside.iterdir()) == [], "tasks keep their temporary files below the home"
    assert not (home / "tmp").exists()
    assert "resuming after epoch" in next(cache.glob("train-*/task.log")).read_text()
    assert sorted(row["version"] for row in table(home).values()) == [1, 2]


def test_ctrl_c_says_what_will_be_resumed(tmp_path: Path) -> None:
    """An interrupted run ends at once, with what is finished and what comes next."""
    home = tmp_path / "home"
    endless = RECIPE.replace("epochs: 6", "epochs: 9000")  # so that it still trains when the signal comes
    run = start("run", write(tmp_path, endless), "--home", home)
    wait_until(lambda: any((home / "cache").glob("train-*/checkpoint/*/state.json")), "training")
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=1000)
    assert run.returncode == 130
    assert "Interrupted. 1 of " in output
    assert "the same command resumes with: train" in " ".join(output.split())


def test_the_pipeline_runs_under_kubeflows_own_local_runner(tmp_path: Path) -> None:
    """The compiled pipeline is an ordinary one: `kfp.local` runs it too."""
    code = f"""
from kfp import local
from paddlepress.core import compute
from paddlepress_pipelines.build import pipeline
from paddlepress_pipelines.recipe import load
local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root={str(tmp_path / "root")!r})
pipeline(load({str(write(tmp_path))!r}).only(["filters50"]))()
"""
    environment = {**os.environ, "PADDLEPRESS_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert table(tmp_path / "home")["filters50"]["aliases"] == ["challenger", "champion"]


def test_recipes_ship_with_the_package() -> None:
    """A recipe can be named without its path."""
    folder = shipped()
    assert folder is not None
    assert {"mnist.yaml", "digits.yaml"} <= {path.name for path in folder.iterdir()}
