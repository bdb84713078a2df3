"""A technique of a chain as the report draws it: its family and the parameters someone chose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paddlepress.core.errors import PaddlepressError
from paddlepress.report.data import Step
from paddlepress.techniques import technique_class

_LONGEST_VALUE = 40


@dataclass(frozen=True)
class StepView:
    """One box of a chain.

    Attributes:
        technique: its registered name.
        family: pruning, quantization and so on; `other` when the technique isn't installed here.
        parameters: name and value of those that differ from their defaults.
        everything: all parameters in one text, for the box's title.
    """

    technique: str
    family: str
    parameters: tuple[tuple[str, str], ...]
    everything: str


def view_of(step: Step) -> StepView:
    """What to draw for a step. A technique that can't be loaded here is drawn with all its parameters."""
    family, defaults = _known(step.technique)
    chosen = tuple(
        (name, value_text(value))
        for name, value in step.parameters.items()
        if name not in defaults or defaults[name] != value
    )
    everything = ", ".join(f"{name} = {value_text(value, 400)}" for name, value in step.parameters.items())
    return StepView(step.technique, family, chosen, everything)


def value_text(value: Any, longest: int = _LONGEST_VALUE) -> str:
    """A parameter's value as one would write it in a recipe."""
    if isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "none"}[value]
    elif isinstance(value, float):
        text = f"{value:g}"
    elif isinstance(value, str):
        text = value
    elif isinstance(value, (list, tuple)) and all(isinstance(one, (str, int, float)) for one in value):
        text = ", ".join(value_text(one) for one in value) or "[]"
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _known(technique: str) -> tuple[str, Mapping[str, Any]]:
    """The family of an installed technique and its fields' defaults as JSON values."""
    from pydantic_core import to_jsonable_python

    try:
        found = technique_class(technique)
    except (PaddlepressError, ImportError, AttributeError):
        # A report of a run on another machine may name a plugin that is not installed here.
        return "other", {}
    defaults = {
        name: to_jsonable_python(field.get_default(call_default_factory=True), serialize_unknown=True)
        for name, field in found.model_fields.items()
        if not field.is_required()
    }
    return found.family, defaults
