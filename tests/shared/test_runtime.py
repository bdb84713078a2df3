"""Settings for the processor, and what is imported when."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from paddlepress import runtime


def test_settings_are_applied_unless_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """`PADDLEPRESS_CPU_TUNING=0` leaves a process as it was."""
    assert runtime.subprocess_environment()["MKL_DEBUG_CPU_TYPE"] == "5"
    for word in ("0", "false", "Off"):
        monkeypatch.setenv(runtime.SWITCH, word)
        assert runtime.subprocess_environment() == {}


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is there already is not overwritten."""
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "4")
    runtime.prepare()
    assert os.environ["MKL_DEBUG_CPU_TYPE"] == "4"


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], {"paddle", "mlflow", "kfp", "onnxruntime", "boto3", "numpy", "pydantic", "yaml"}),
        (["techniques"], {"paddle", "mlflow", "kfp", "onnxruntime", "boto3", "sklearn", "pandas"}),
        (["techniques", "prune-filters"], {"paddle", "mlflow", "kfp", "onnxruntime", "boto3", "sklearn", "pandas"}),
        (["history", "mnist", "--home", "/nonexistent"], {"paddle", "mlflow", "kfp", "onnxruntime", "boto3"}),
    ],
)
def test_a_command_imports_only_what_it_needs(arguments: list[str], heavy: set[str]) -> None:
    """Help and lists come at once because nothing heavy is imported for them."""
    code = (
        "import atexit, sys; from paddlepress_pipelines.cli import main;"
        "atexit.register(lambda: print('IMPORTED', *sys.modules)); main()"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    imported = set(done.stdout.rpartition("IMPORTED")[2].split())
    assert imported
    assert not heavy & imported


def test_compiling_a_pipeline_imports_no_framework(tmp_path: os.PathLike[str]) -> None:
    """A recipe compiles where neither Paddle nor MLflow is at work."""
    code = (
        "import sys; from paddlepress_pipelines.build import compile_to; from paddlepress_pipelines.recipe import load;"
        f"compile_to(load('mnist'), {os.fspath(tmp_path)!r} + '/p.yaml');"
        "print(*{'paddle', 'mlflow', 'onnxruntime', 'boto3', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
