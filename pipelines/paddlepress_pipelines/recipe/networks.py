"""The networks that a recipe names: whether there are such architectures, and whether they take their arguments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from paddlepress.core.errors import UsageError
from paddlepress.data.source import Source
from paddlepress.network import architectures
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification, Task
from paddlepress.tasks.base import task_class
from paddlepress_pipelines.recipe.document import Key
from paddlepress_pipelines.recipe.schema import Step


@dataclass(frozen=True)
class Named:
    """A network that a recipe names.

    Attributes:
        reference: the architecture with its arguments.
        at, arguments_at: the keys of its name and of its arguments.
    """

    reference: ArchitectureRef
    at: Key
    arguments_at: Key


def unknown(content: dict[str, Any]) -> Iterator[tuple[Key, str]]:
    """Architectures and arguments that there are not, with the key. Those of Paddle take Paddle to be listed.

    Args:
        content: the recipe as it is written; what is no recipe in it is passed over.
    """
    for named in _all(content):
        try:
            architectures.check(named.reference)
        except UsageError as error:
            yield named.at, str(error)


def unbuildable(content: dict[str, Any], data: Source) -> list[tuple[Key, str]]:
    """Networks that can't be built with their arguments, with the key; those without arguments are not tried.

    Nor is any where the data's shape is not known before they are read.
    """
    from paddlepress.network.architectures import sandbox

    found = {named.reference.model_dump_json(): named for named in _all(content) if named.reference.arguments}
    shape = data.shape() if found else None
    if shape is None:
        return []
    inputs = (TensorSpec(name="input", shape=shape),)
    task = _as_far_as_told(data)
    if task is None:
        return []
    problems = sandbox.problems([named.reference for named in found.values()], inputs, task)
    return [(named.arguments_at, text) for named, text in zip(found.values(), problems, strict=True) if text]


def _as_far_as_told(data: Source) -> Task | None:
    """The task of a recipe whose data have not been read; None where they alone can tell."""
    wanted = data.wanted
    if wanted["kind"] == Classification.model_fields["kind"].default:
        return Classification(classes=wanted.get("classes") or tuple(map(str, range(10))))
    try:
        return task_class(wanted["kind"]).stating(wanted)
    except UsageError:
        return None


def _all(content: dict[str, Any]) -> Iterator[Named]:
    base = content.get("base")
    if isinstance(base, dict) and isinstance(base.get("architecture"), str) and base["architecture"]:
        arguments = base.get("arguments")
        yield from _named(base["architecture"], arguments, ("base", "architecture"), ("base", "arguments"))
    variants = content.get("variants")
    for variant, chain in variants.items() if isinstance(variants, dict) else ():
        for index, step in enumerate(chain if isinstance(chain, list) else ()):
            yield from _in_step(step, ("variants", str(variant), str(index)))


def _in_step(written: Any, at: Key) -> Iterator[Named]:
    try:
        step = Step.model_validate(written)
    except ValidationError:
        return
    technique = step.build()
    for field, info in type(technique).model_fields.items():
        mark = next((m for m in info.metadata if isinstance(m, architectures.ArchitectureName)), None)
        if mark is not None and (name := getattr(technique, field)):
            arguments = getattr(technique, mark.arguments) if mark.arguments else {}
            inside = (*at, step.technique)
            yield from _named(name, arguments, (*inside, field), (*inside, mark.arguments))


def _named(name: str, arguments: Any, at: Key, arguments_at: Key) -> Iterator[Named]:
    try:
        reference = ArchitectureRef(name=name, arguments=arguments if isinstance(arguments, dict) else {})
    except ValidationError:
        return  # arguments that are no plain data, which is said of the field that they stand in
    yield Named(reference, at, arguments_at)
