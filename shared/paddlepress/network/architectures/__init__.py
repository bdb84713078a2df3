"""Architectures by name, through the entry-point group `paddlepress.architectures`.

An architecture is a callable `(inputs, task, **arguments) -> paddle.nn.Layer`: it is told what the
network must take and how many classes it must tell apart, and takes JSON arguments of its own. One that
has no parameter `inputs` or `task`, as a network's class mostly has not, is not told. Never is an import
path taken from an artifact or a recipe.

`vision/NAME` is a model of `paddle.vision.models`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paddlepress.core import compute, plugins
from paddlepress.core.errors import DataError, UnknownName, UsageError, in_one_line, shown

if TYPE_CHECKING:
    import paddle

    from paddlepress.spec.origin import ArchitectureRef
    from paddlepress.spec.signature import TensorSpec
    from paddlepress.tasks import Task

Architecture = Callable[..., "paddle.nn.Layer"]

VISION = "vision/"
_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "int": ("a whole number", (int,)),
    "float": ("a number", (int, float)),
    "str": ("text", (str,)),
    "bool": ("true or false", (bool,)),
}


@dataclass(frozen=True)
class ArchitectureName:
    """Marks a technique's field as the name of an architecture; a recipe is then refused if there is none.

    `student: Annotated[str, ArchitectureName(arguments="student_arguments")] = ""`; an empty name is not checked.

    Attributes:
        arguments: the technique's field that holds the arguments of the architecture; empty: it has none.
    """

    arguments: str = ""


def names() -> list[str]:
    """Every architecture's name; Paddle's own vision models are listed by importing Paddle."""
    from paddlepress.network.architectures import vision

    return [*plugins.listed(plugins.ARCHITECTURES), *(VISION + name for name in vision.names())]


def resolve(name: str, where: str = "") -> Architecture:
    """The architecture of a name.

    Raises:
        UnknownName: there is none; the message lists the known ones.
    """
    from paddlepress.network.architectures import vision

    _known(name, where)
    compute.prepare()
    if name.startswith(VISION):
        return vision.architecture(name.removeprefix(VISION))
    found: Architecture = plugins.load(plugins.ARCHITECTURES, name, where)
    return found


def _known(name: str, where: str) -> None:
    """Refuse an unknown name; imports Paddle only for a name that is not a plugin's."""
    if name not in plugins.listed(plugins.ARCHITECTURES) and name not in names():
        raise UnknownName("architecture", name, names(), where)


def check(reference: ArchitectureRef, where: str = "") -> None:
    """Check a name and its arguments, without building anything.

    Raises:
        UsageError: an unknown architecture or argument.
    """
    _known(reference.name, where)
    if not reference.arguments:
        return
    architecture = resolve(reference.name, where)
    parameters = inspect.signature(architecture).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    valid = [p.name for p in parameters if p.name not in {"inputs", "task"}]
    subject = f"architecture {reference.name!r}"
    for name in reference.arguments:
        if name not in valid:
            raise UnknownName("argument", name, valid, f"{where}: {subject}" if where else subject)


def build(reference: ArchitectureRef, inputs: tuple[TensorSpec, ...], task: Task) -> paddle.nn.Layer:
    """A network with fresh weights.

    Raises:
        UsageError: an unknown architecture or argument, or a value it does not take.
        DataError: inputs that the architecture does not fit.
    """
    check(reference)
    architecture = resolve(reference.name)
    _check_kinds(reference, architecture)
    told = {key: value for key, value in (("inputs", inputs), ("task", task)) if takes(architecture, key)}
    try:
        network = architecture(**told, **reference.arguments)
    except DataError:
        raise
    except (TypeError, ValueError) as error:
        given = in_one_line(dict(reference.arguments), 100)
        raise UsageError(f"architecture {reference.name!r} with {given}: {in_one_line(error)}") from None
    import paddle

    if not isinstance(network, paddle.nn.Layer):
        raise UsageError(f"architecture {reference.name!r} gives a {type(network).__name__}, and no paddle.nn.Layer")
    return network


def _check_kinds(reference: ArchitectureRef, architecture: Architecture) -> None:
    """Refuse a list where an architecture says that it takes a number, and the like."""
    parameters = inspect.signature(architecture).parameters
    for name, value in reference.arguments.items():
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # which Kubeflow makes 8.0 of 8
        stated = parameters[name].annotation if name in parameters else None
        words, kinds = _KINDS.get(stated if isinstance(stated, str) else getattr(stated, "__name__", ""), ("", ()))
        if words and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            raise UsageError(f"architecture {reference.name!r}: {name} is {shown(value, 100)}; it must be {words}")


def takes(architecture: Architecture, parameter: str) -> bool:
    """Whether an architecture is told `inputs` or `task`: by name, or a function that takes whatever it is given."""
    parameters = inspect.signature(architecture).parameters
    whatever = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return parameter in parameters or (whatever and not inspect.isclass(architecture))
