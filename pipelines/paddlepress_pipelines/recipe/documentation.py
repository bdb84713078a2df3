"""The page of what a recipe may say, made from what checks it.

`python -m paddlepress_pipelines.recipe.documentation` writes it.
"""

from __future__ import annotations

import argparse
import sys

from pydantic import BaseModel

from paddlepress.core import plugins
from paddlepress.core.files import write_text
from paddlepress.data.source import Source, source_class
from paddlepress.evaluation.metrics import known
from paddlepress.registry.gates import Gate, Objective
from paddlepress.spec.preprocessing import Preprocessing
from paddlepress.training.augmentation import STEPS
from paddlepress.training.settings import TrainingSettings
from paddlepress_components.documentation import fields_table
from paddlepress_pipelines.recipe.schema import BaseModelSpec, Cluster, EvaluationSpec, Recipe, shipped

PAGE = "README.md"
_INTRODUCTION = """\
# Recipes

A recipe is one YAML file; those in this folder ship, and `paddlepress run NAME` finds them by name. Below is every
key that a recipe may have. A variant's chain is a list of steps, each a technique's name or `name: {field: value}`;
the fields are on the [techniques' pages](../../components/docs) and in `paddlepress techniques NAME`.
"""
_AUGMENTATION = """\
### `augmentation`

A list of steps, each a name or `name: {field: value}`, that change the inputs of every training step in their order:
`augmentation: [flip, {crop: {padding: 4}}, {cutout: {size: 8}}, mixup]`. `shift: 2` is `crop: {padding: 2}` before all
others. A step that a task refuses, or that does not fit the examples, is told before training starts. Techniques that
train take such a list as `augmentation` or `recovery_augmentation`; their teachers then see the changed inputs.
"""
_PARTS: dict[str, type[BaseModel]] = {
    "The recipe": Recipe,
    "data": Source,
    "base": BaseModelSpec,
    "base.training": TrainingSettings,
    "base.preprocessing": Preprocessing,
    "evaluation": EvaluationSpec,
    "gates": Gate,
    "objective": Objective,
    "cluster": Cluster,
}


def page() -> str:
    """The page, as Markdown."""
    parts = [_INTRODUCTION]
    for heading, part in _PARTS.items():
        name = heading if part is Recipe else f"`{heading}`" + (", each of the list" if part is Gate else "")
        parts += [f"## {name}\n", fields_table(part)]
        if part is Source:
            for source in plugins.listed(plugins.SOURCES):
                parts += _of_source(source)
        if part is TrainingSettings:
            parts += _of_augmentation()
    rows = [f"| `{name}` | {metric.unit} | {metric.description} |" for name, metric in known().items()]
    parts += ["## Metrics of gates and objective\n", "| metric | unit | what it is |", "|---|---|---|", *rows]
    return "\n".join(parts) + "\n"


def _of_augmentation() -> list[str]:
    """The steps of augmentation, with their fields."""
    parts = [_AUGMENTATION]
    for name, step in STEPS.items():
        text = " ".join((step.__doc__ or "").split())
        parts += [f"#### `{name}`\n", f"{text}\n", fields_table(step)]
    return parts


def _of_source(name: str) -> list[str]:
    """What a source is, and the fields that it has beside those that all have."""
    chosen = source_class(name)
    if chosen.__module__.partition(".")[0] != "paddlepress":  # a plugin's own page
        return []
    own = set(chosen.model_fields) - set(Source.model_fields)
    text = " ".join((chosen.__doc__ or "").split("Attributes:")[0].split())
    table = [fields_table(chosen, without=set(Source.model_fields))] if own else []
    return [f"### `source: {name}`\n", f"{text}\n", *table]


def main() -> None:
    """Write the page."""
    argparse.ArgumentParser(description="Write the page of what a recipe may say.").parse_args()
    folder = shipped()
    if folder is None:
        sys.exit("error: there is no folder of recipes: paddlepress is not installed from a checkout")
    write_text(folder / PAGE, page())


if __name__ == "__main__":
    main()
