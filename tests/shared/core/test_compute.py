"""Settings for the processor, and what is imported when."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paddlepress.core import compute


def test_settings_are_applied_unless_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """`PADDLEPRESS_CPU_TUNING=0` leaves a process as it was."""
    assert compute.subprocess_environment()["MALLOC_TOP_PAD_"]
    for word in ("0", "false", "Off"):
        monkeypatch.setenv(compute.SWITCH, word)
        assert compute.subprocess_environment() == {}


_AVX512 = "fpu sse avx2 avx512f avx512dq avx512cd avx512bw avx512vl"


@pytest.mark.parametrize(
    ("vendor", "flags", "expected"),
    [
        ("AuthenticAMD", "fpu sse avx2", {"MKL_DEBUG_CPU_TYPE": "5"}),
        ("AuthenticAMD", _AVX512, {"MKL_DEBUG_CPU_TYPE": "5"}),
        ("GenuineIntel", _AVX512, {"MKL_ENABLE_INSTRUCTIONS": "AVX512"}),
        ("GenuineIntel", "fpu sse avx2", {}),
        ("GenuineIntel", "fpu sse avx2 avx512f avx512cd avx512er avx512pf", {}),
        ("CentaurHauls", _AVX512, {}),
    ],
)
def test_matrix_products_are_tuned_by_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendor: str, flags: str, expected: dict[str, str]
) -> None:
    """What makes MKL fast on AMD's processors makes it slow on Intel's, and is set on AMD's alone."""
    block = "processor\t: {}\nvendor_id\t: " + vendor + "\nmodel name\t: any\nflags\t\t: " + flags + "\n\n"
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(block.format(0) + block.format(1))
    monkeypatch.setattr(compute, "CPUINFO", cpuinfo)
    for name in ("MKL_DEBUG_CPU_TYPE", "MKL_ENABLE_INSTRUCTIONS"):
        monkeypatch.delenv(name, raising=False)
    compute.prepare()
    for found in (dict(os.environ), compute.subprocess_environment()):
        assert {name: value for name, value in found.items() if name.startswith("MKL_")} == expected
    for name in expected:
        os.environ.pop(name)


def test_an_unknown_machine_is_left_alone(tmp_path: Path) -> None:
    """Where the processor is not described, or in other words, no variable is set."""
    (tmp_path / "arm").write_text("processor\t: 0\nCPU implementer\t: 0x41\n")
    assert compute.mkl_environment(tmp_path / "arm") == compute.mkl_environment(tmp_path / "none") == {}


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is there already is not overwritten."""
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "4")
    compute.prepare()
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
