"""The pages of the techniques, made from the techniques themselves: `python -m paddlepress_components.documentation`.

Each technique gets a page `components/docs/NAME.md` with its fields, source, an example and what it gained and
cost where it was measured; the project's README gets the catalogue of all. Examples are the variants of the
recipe that runs every technique, figures are those that `make benchmark-techniques` left in `measured.json` and,
of the ways to distill, in `distillation.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from paddlepress.core import plugins, yaml_text
from paddlepress.core.errors import UsageError
from paddlepress.core.fields import describe_fields
from paddlepress.core.files import write_text
from paddlepress.evaluation.metrics import known
from paddlepress.techniques import technique, technique_class

RECIPE = Path("pipelines/recipes/mnist-all.yaml")
PAGES = Path("components/docs")
MEASURED = PAGES / "measured.json"
STUDY = PAGES / "distillation.json"
README = Path("README.md")
BEGIN = "<!-- The catalogue of techniques is generated: make docs -->"
END = "<!-- End of the catalogue -->"

# What a page shows of a variant, with the heading of each column.
FIGURES = {
    "accuracy": "accuracy %",
    "drop": "drop, points",
    "bytes": "bytes",
    "ratio": "times smaller",
    "macs_ratio": "times fewer MACs",
    "speedup_b1": "faster, batch 1",
    "speedup_b32": "faster, batch 32",
}


Chain = list[dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Sources:
    """What pages are made from besides the techniques.

    Attributes:
        variants: variant name -> its chain, each step a dict of one technique name and its fields.
        measured: `{"about": text, "base": figures, "variants": {name: figures}}`; empty before any measurement.
        origin: what the variants are made from: the recipe's `data` and `base`.
        study: `{"about": text, "rows": [figures]}` of the ways to distill; empty before any.
    """

    variants: Mapping[str, Chain]
    measured: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)
    study: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, variant: str) -> str:
        """A digest of all that makes a variant, defaults included: figures of other settings are not its own."""
        return settings_of(self.variants[variant], self.origin)


def settings_of(chain: Chain, origin: Mapping[str, Any]) -> str:
    """A digest of the fields of a chain, defaults included, and of what it is made from."""
    steps = [next(iter(step.items())) for step in chain]
    content = [origin, [[name, technique(name, fields).model_dump(mode="json")] for name, fields in steps]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def read_sources(root: Path) -> Sources:
    """The recipe that runs every technique, and what was measured of it.

    Args:
        root: of the repository.

    Raises:
        UsageError: it is not a checkout of the repository.
    """
    try:
        recipe = yaml_text.read((root / RECIPE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{root} is no checkout of paddlepress: it has no {RECIPE}") from None
    variants = {
        name: [{step: {}} if isinstance(step, str) else step for step in chain]
        for name, chain in recipe["variants"].items()
    }
    measured, study = (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for path in (root / MEASURED, root / STUDY)
    )
    return Sources(variants, measured, {key: recipe[key] for key in ("data", "base")}, study)


def page(name: str, sources: Sources) -> str:
    """The page of a technique, as Markdown."""
    chosen = technique_class(name)
    uses = {variant: chain for variant, chain in sources.variants.items() if chain and next(iter(chain[-1])) == name}
    parts = [
        f"# {name}\n",
        inspect.cleandoc(chosen.__doc__ or "") + "\n",
        f"Family: {chosen.family}. Source: {chosen.paper}.\n",
        "## Fields\n",
        fields_table(chosen),
        "## Example\n",
        _example(name, uses),
        *_measured(uses, sources),
        *(_study(sources.study) if chosen.family == "distillation" else []),
        "## As a component\n",
        f"`{name.replace('-', '_')}` takes the artifacts `model`, `base` and `data`, the fields above, `seed` and "
        "`device`, and gives `compressed_model` and `metrics`:\n",
        f'```python\nfrom paddlepress_components.catalogue import component\n\ncompress = component("{name}")\n```',
    ]
    return "\n".join(parts) + "\n"


def fields_table(chosen: type[BaseModel], without: Collection[str] = ()) -> str:
    """What can be set of a technique, or of a part of a recipe, as Markdown.

    Args:
        chosen: whose fields.
        without: fields that are told elsewhere.
    """
    rows = ["| field | default | valid | what it is |", "|---|---|---|---|"]
    for row in describe_fields(chosen):
        if row["field"] in without:
            continue
        valid = ", ".join(filter(None, (row["type"], row["range"])))
        cells = (f"`{row['field']}`", f"`{row['default']}`", valid, row["description"])
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def _example(name: str, uses: Mapping[str, Chain]) -> str:
    variant, chain = min(uses.items(), key=lambda use: len(use[1]), default=(name, [{name: {}}]))
    text = yaml_text.write({"variants": {variant: chain}})
    return f"```yaml\n{text}```\n"


def _measured(uses: Mapping[str, Chain], sources: Sources) -> list[str]:
    measured = sources.measured
    figures = {variant: measured.get("variants", {}).get(variant, {}) for variant in uses}
    found = {name: own for name, own in figures.items() if own.get("settings") == sources.settings(name)}
    if not found:
        return []
    rows = [f"| variant | {' | '.join(FIGURES.values())} |", "|---" * (len(FIGURES) + 1) + "|"]
    for variant, own in {"base": measured["base"], **found}.items():
        cells = [_cell(name, own[name]) if name in own else "" for name in FIGURES]
        rows.append(f"| {variant} | {' | '.join(cells)} |")
    settings = [f"- `{variant}`: {', then '.join(_step(step) for step in uses[variant])}" for variant in found]
    return ["## What it gains and costs\n", f"{measured['about']}\n", *rows, "", *settings, ""]


def _study(study: Mapping[str, Any]) -> list[str]:
    """The ranking of the ways to distill, those whose fields have other defaults by now left out."""
    rows = [row for row in study.get("rows", []) if row["settings"] in ("", settings_of(row["chain"], {}))]
    if not any(row["chain"] for row in rows):
        return []
    lines = [
        "| variant | accuracy % | standard error | beside alone, points | standard error |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        beside = f"{row['difference']:+.2f} | {row['difference_error']:.2f}" if row["difference_error"] else " | "
        lines.append(f"| {row['variant']} | {row['mean']:.2f} | {row['error']:.2f} | {beside} |")
    chains = [f"- `{row['variant']}`: {_step(row['chain'][0])}" for row in rows if row["chain"]]
    return ["## Where distillation matters\n", f"{study['about']}\n", *lines, "", *chains, ""]


def _cell(metric: str, value: float) -> str:
    """A figure without its unit, which the column's heading says."""
    return known()[metric].text(value).removesuffix("%").removesuffix(" points").removesuffix(" bytes")


def _step(step: Mapping[str, Mapping[str, Any]]) -> str:
    ((name, fields),) = step.items()
    values = ", ".join(f"{key}: {json.dumps(value)}" for key, value in fields.items())
    return f"{name} {{{values}}}" if values else name


def catalogue() -> str:
    """A table of all techniques that ship, as Markdown."""
    rows = ["| name | what it does | source |", "|---|---|---|"]
    for name in shipped():
        chosen = technique_class(name)
        what = plugins.summary_of(chosen)
        rows.append(f"| [`{name}`]({PAGES / f'{name}.md'}) | {what} | {chosen.paper} |")
    return "\n".join(rows)


def shipped() -> list[str]:
    """The techniques of this distribution, family by family."""
    found = [
        name
        for name, entry in plugins.listed(plugins.TECHNIQUES).items()
        if entry.value.startswith("paddlepress_components.")
    ]
    families = ["pruning", "quantization", "distillation", "factorization", "other"]
    return sorted(found, key=lambda name: (families.index(technique_class(name).family), name))


def documents(root: Path) -> dict[Path, str]:
    """Every generated file with its text: the pages, and the README with the catalogue in its place.

    Raises:
        UsageError: the README has lost the marks between which the catalogue stands.
    """
    sources = read_sources(root)
    found = {root / PAGES / f"{name}.md": page(name, sources) for name in shipped()}
    readme = (root / README).read_text(encoding="utf-8")
    if BEGIN not in readme or END not in readme:
        raise UsageError(f"{root / README} must hold the lines {BEGIN!r} and {END!r}")
    before, rest = readme.split(BEGIN, 1)
    found[root / README] = f"{before}{BEGIN}\n{catalogue()}\n{END}{rest.split(END, 1)[1]}"
    return found


def stale(root: Path) -> list[Path]:
    """The generated files that are not what they would be if they were made now, pages left over included."""
    wanted = documents(root)
    old = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    return old + [path for path in sorted((root / PAGES).glob("*.md")) if path not in wanted]


def main() -> None:
    """Write the pages and the catalogue, or check them with `--check`."""
    parser = argparse.ArgumentParser(description="Write the techniques' pages and the README's catalogue.")
    parser.add_argument("--root", type=Path, default=Path(), help="the repository; default: here")
    parser.add_argument("--check", action="store_true", help="write nothing, fail if something is out of date")
    given = parser.parse_args()
    try:
        found = stale(given.root)
        if given.check:
            sys.exit(f"out of date, run `make docs`: {', '.join(map(str, found))}" if found else 0)
        wanted = documents(given.root)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    for path in found:
        if path in wanted:
            write_text(path, wanted[path])
        else:
            path.unlink()
        print(path)


if __name__ == "__main__":
    main()
