"""What an architecture is and which arguments it takes, read off its signature and docstring."""

from __future__ import annotations

import inspect
import json
from functools import partial
from typing import Any

from paddlepress.core import plugins
from paddlepress.network.architectures import VISION, resolve

_GIVEN = frozenset({"inputs", "task"})
"""What the data decide."""
_FIXED = frozenset({"pretrained", "num_classes"})
"""Arguments of Paddle's vision models that a recipe can't set: nothing is downloaded, and the data have the classes."""


def summary(name: str) -> str:
    """An architecture's first sentence or two; imports it."""
    return plugins.summary_of(_source(name))


def arguments(name: str) -> list[dict[str, str]]:
    """The arguments that a recipe may give an architecture: `argument`, `type`, `default`, `description` of each.

    Those of `vision/NAME` are the ones its function states; it hands further keyword arguments to its class.

    Raises:
        UnknownName: there is no such architecture.
    """
    from docstring_parser import parse

    source = _source(name)
    described = {entry.arg_name: entry.description or "" for entry in parse(source.__doc__ or "").params}
    rows = []
    for parameter in inspect.signature(source).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if parameter.name in (_FIXED if name.startswith(VISION) else _GIVEN):
            continue
        rows.append(
            {
                "argument": parameter.name,
                "type": _type(parameter),
                "default": "required" if parameter.default is parameter.empty else _default(parameter),
                "description": " ".join(described.get(parameter.name, "").split()).rstrip("."),
            }
        )
    return rows


def _source(name: str) -> Any:
    """What has the docstring and the signature: of a vision model Paddle's own function."""
    found = resolve(name)
    if isinstance(found, partial):
        import paddle.vision.models as models

        return getattr(models, name.removeprefix(VISION))
    return found


def _default(parameter: inspect.Parameter) -> str:
    """As JSON where it is some: a network's class may take what a recipe can't give, such as another class."""
    return json.dumps(parameter.default, default=str)


def _type(parameter: inspect.Parameter) -> str:
    if parameter.annotation is parameter.empty:
        return "" if parameter.default in (parameter.empty, None) else type(parameter.default).__name__
    if isinstance(parameter.annotation, str):
        return parameter.annotation
    return getattr(parameter.annotation, "__name__", str(parameter.annotation))
