"""The suite itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def collected(seed: str) -> list[str]:
    """Every test's name, the zoo's too, as a process with this hash seed collects them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests", "tests/zoo"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command, cwd=ROOT, env={**environment, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_no_name_depends_on_time_or_hashing() -> None:
    """Two processes collect the same tests under the same names in the same order, as parallel workers must."""
    first, second = collected("1"), collected("2")
    assert first == second
    assert len(first) == len(set(first)) > 1000


def test_the_architecture_page_names_the_packages_that_there_are() -> None:
    """Its table has every package of the library, in the order that the import contract holds."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if "containers" in contract)
    held = [[name.strip() for name in layer.split("|")] for layer in layers]
    rows = re.findall(r"^\| (`[^|]*`) \|", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.MULTILINE)
    told = [re.findall(r"`(\w+)`", row) for row in rows]
    assert [set(layer) for layer in told] == [set(layer) for layer in held]
