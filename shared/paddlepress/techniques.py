"""What a compression technique is, and what it is given.

A technique is a frozen pydantic model with one method. Its fields are its configuration: its recipe
keys, its component's typed inputs and its MLflow parameters; each default stands there and nowhere
else. It is found by name through the entry-point group `paddlepress.techniques`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_jsonable_python

from paddlepress import plugins
from paddlepress.errors import UsageError
from paddlepress.progress import Progress, Silent

if TYPE_CHECKING:
    from paddlepress.data import Split
    from paddlepress.model import Model

Family = Literal["pruning", "quantization", "distillation", "factorization", "other"]
MetricLogger = Callable[[str, float, int], None]


def _log_nothing(name: str, value: float, step: int) -> None:
    return None


@dataclass(frozen=True)
class Context:
    """What a technique may see while it works; never the test data.

    Attributes:
        train: data to train on.
        validation: held out from training, for early stopping and for choosing.
        calibration: a sample of the training data, for post-training quantization.
        base: the uncompressed model, the teacher of distillation; not to be changed.
        seed: every random choice must follow it.
        device: where Paddle computes, such as `cpu` or `gpu`.
        progress: shows how far long work has come.
        log: receives `(metric, value, step)` while the technique works.
        checkpoint: a directory that survives a kill, where training resumes from; None keeps nothing.
    """

    train: Split
    validation: Split
    calibration: Split
    base: Model
    seed: int = 0
    device: str = "cpu"
    progress: Progress = field(default_factory=Silent)
    log: MetricLogger = _log_nothing
    checkpoint: Path | None = None


class Technique(BaseModel, ABC):
    """A way to compress a model. Subclass it, add typed fields, implement `apply`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: ClassVar[Family] = "other"
    paper: ClassVar[str] = ""
    """Where the algorithm comes from: authors, title, venue, year."""
    image: ClassVar[str] = ""
    """The container image that a plugin's component runs in; empty: the project's own."""

    @abstractmethod
    def apply(self, model: Model, context: Context) -> Model:
        """Compress a model.

        Args:
            model: a copy made for this call; it may be changed in place and returned.
            context: data, teacher, seed and the like.

        Returns:
            The compressed model.

        Raises:
            TechniqueRefused: the technique has no meaning on this model.
        """


def technique_class(name: str, where: str = "") -> type[Technique]:
    """The technique registered under a name.

    Raises:
        UnknownName: there is none; the message lists the known ones.
        UsageError: what is registered there is no technique.
    """
    found = plugins.load(plugins.TECHNIQUES, name, where)
    if not (isinstance(found, type) and issubclass(found, Technique)):
        raise UsageError(f"the plugin {name!r} is {found!r}, not a subclass of paddlepress.techniques.Technique")
    return found


def technique(name: str, parameters: Mapping[str, Any], where: str = "") -> Technique:
    """Build a technique from its name and its fields' values.

    Raises:
        UsageError: an unknown technique or field, or a value of the wrong type or out of range.
    """
    chosen = technique_class(name, where)
    try:
        return chosen(**parameters)
    except ValidationError as error:
        raise UsageError(f"{where or name}: {explain(error, chosen)}") from None


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing pydantic found wrong, in one line: key, bad value, what is valid."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown field {key!r}. Valid: {', '.join(model.model_fields) or 'none'}"
    if first["type"] == "missing":
        return f"{key!r} is missing"
    subject = f"{key!r} is {first['input']!r}" if key else "invalid value"
    return f"{subject}: {first['msg'].removeprefix('Value error, ').removeprefix('Assertion failed, ')}"


def name_of(chosen: Technique | type[Technique]) -> str:
    """The name under which a technique is registered where its class is defined; else its class's name."""
    kind = chosen if isinstance(chosen, type) else type(chosen)
    value = f"{kind.__module__}:{kind.__qualname__}"
    for name, entry in plugins.listed(plugins.TECHNIQUES).items():
        if entry.value == value:
            return name
    return kind.__qualname__


def distribution_version(name: str) -> str:
    """The version of the installed package that provides a technique, such as `paddlepress 0.1.0`."""
    entry = plugins.listed(plugins.TECHNIQUES).get(name)
    if entry is None or entry.dist is None:
        return f"paddlepress {version('paddlepress')}"
    return f"{entry.dist.name} {entry.dist.version}"


def run(chosen: Technique, model: Model, context: Context, name: str = "") -> Model:
    """Apply a technique to a copy of a model, and record it in the result's lineage.

    Args:
        chosen: the technique.
        model: what it is applied to; it does not change.
        context: data, teacher, seed and the like.
        name: the technique's registered name; empty finds it by its class, see `name_of`.
    """
    from paddlepress.model import LineageEntry
    from paddlepress.runtime import seed_everything, use_device

    name = name or name_of(chosen)
    use_device(context.device)
    seed_everything(context.seed)
    parent = model.digest()
    result = chosen.apply(model.copy(), context)
    result.network.eval()
    result.drop_negative_zeros()
    entry = LineageEntry(
        technique=name,
        version=distribution_version(name),
        parameters=chosen.model_dump(mode="json"),
        seed=context.seed,
        parent=parent,
    )
    return result.with_lineage(entry)


def describe_fields(model: type[BaseModel]) -> list[dict[str, str]]:
    """A model's fields for people, its own before inherited ones: field, type, default, range, description.

    A description stands in the field, or in the `Attributes:` of the class's docstring.
    """
    schema = model.model_json_schema().get("properties", {})
    described = _attribute_docs(model)
    rows = []
    own = vars(model).get("__annotations__", {})
    for name, info in sorted(model.model_fields.items(), key=lambda field: field[0] not in own):
        default = info.get_default(call_default_factory=True)
        rows.append(
            {
                "field": name,
                "type": _type_text(info.annotation),
                "default": "required" if info.is_required() else json.dumps(to_jsonable_python(default)),
                "range": _range_text(schema.get(name, {})),
                "description": " ".join((info.description or described.get(name, "")).split()),
            }
        )
    return rows


def _attribute_docs(model: type[BaseModel]) -> dict[str, str]:
    from docstring_parser import parse

    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        for entry in parse(kind.__doc__ or "").params if issubclass(kind, BaseModel) else ():
            for name in entry.arg_name.split(","):
                found[name.strip()] = entry.description or ""
    return found


def _type_text(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(str(value) for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(_type_text(part) for part in get_args(annotation))
    if annotation is type(None):
        return "null"
    return getattr(annotation, "__name__", str(annotation)) if get_origin(annotation) is None else str(annotation)


def _range_text(schema: Mapping[str, Any]) -> str:
    candidates = [schema, *schema.get("anyOf", [])]
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    return ", ".join(f"{sign} {part[key]:g}" for part in candidates for key, sign in signs.items() if key in part)
