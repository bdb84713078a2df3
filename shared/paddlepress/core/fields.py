"""Fields that people set, in recipes and as inputs of components: what is refused, and how they are described."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import to_jsonable_python

from paddlepress.core.errors import UnknownName, UsageError, shown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_SIGNS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
_MOST = 2**53  # beyond it Kubeflow, which keeps numbers as doubles, would pass on another one
_KINDS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping"),
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


class When:
    """Marks a field that counts only beside certain values of another field.

    A value other than its default is refused beside any other: whoever sets it expects that it does something.

        hint_weight: Annotated[float, When("loss", "hints")] = Field(default=0.3)

    Args:
        field: the other field.
        values: beside which it counts; `...` alone stands for any that is true, not zero, not empty.
        also: values of the marked field that may stand beside any: they say what is so anyway.
    """

    def __init__(self, field: str, *values: object, also: tuple[object, ...] = ()) -> None:
        self.field = field
        self.values = values
        self.also = also

    def problem(self, name: str, value: object, beside: object) -> str:
        """Why a value is in vain; empty if it is not.

        Args:
            name, value: of the marked field.
            beside: the other field's value.
        """
        if beside in self.values or value in self.also or (self.values == (...,) and beside):
            return ""
        told = [value for value in self.values if value is not None and value is not ...]
        other = f": it goes with {self.field} {' or '.join(map(repr, told))}" if told else ""
        return f"{name!r} is {value!r}, which does nothing with {self.field} {beside!r}{other}"


class Place:
    """Marks a field that says where files are, as a path or an `s3://` location, or lists several.

    A run on this machine looks first whether local ones are there.

    Args:
        words: which are no place, but mean something else.
    """

    def __init__(self, *words: str) -> None:
        self.words = words

    def places(self, value: str | list[str] | None) -> list[str]:
        """The places among a field's value."""
        found = [value] if isinstance(value, str) else value or []
        return [place for place in found if place not in ("", *self.words)]

    def local(self, value: str | list[str] | None) -> list[str]:
        """Those that are paths on this machine, as they were given; see `expanded`."""
        return [place for place in self.places(value) if "://" not in place]


def expanded(place: str) -> Path:
    """A path on this machine, `~` replaced by a home directory.

    Raises:
        UsageError: there is no such user, or nobody knows where the home directory is.
    """
    try:
        return Path(place).expanduser()
    except RuntimeError:
        user = Path(place).parts[0]
        raise UsageError(f"nobody's home directory is {shown(user)}") from None


def worded(pattern: str, words: str) -> AfterValidator:
    """Text that must fit a pattern as a whole; a mistake is told in words.

        Annotated[str, worded("[a-z]+", "small letters")]

    Args:
        pattern: a regular expression.
        words: what it says, after "must be".
    """

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {words}")
        return value

    return AfterValidator(check)


class Fields(BaseModel):
    """What has such fields; no unknown ones, no boolean for a number, no infinity, none in vain."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_boolean(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic takes true for 1: `bits: true` would be 1 bit.
        boolean = any(isinstance(inner, bool) for inner in (value if isinstance(value, list | tuple) else [value]))
        if boolean and not _takes_booleans(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError("neither true nor false is valid here")
        return value

    @field_validator("*")
    @classmethod
    def _is_plain(cls, value: Any) -> Any:
        if isinstance(value, int) and abs(value) > _MOST:
            raise ValueError(f"is too large a number. Valid: at most {_MOST}, either sign")
        # What pydantic sees to by itself, but for the values of a mapping of anything.
        if isinstance(value, dict):
            for inner in _leaves(value):
                if isinstance(inner, int) and abs(inner) > _MOST:
                    raise ValueError(f"holds {shown(inner)}. Valid: numbers up to {_MOST}, either sign")
                if isinstance(inner, float) and not math.isfinite(inner):
                    raise ValueError(f"holds {inner}, which is not a finite number")
                if not isinstance(inner, str | int | float | BaseModel | None):
                    raise ValueError(f"holds a {type(inner).__name__}. Valid: text, numbers, booleans, null")
        return value

    @model_validator(mode="after")
    def _none_in_vain(self) -> Self:
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            marks = [mark for mark in info.metadata if isinstance(mark, When)]
            if marks and value != info.get_default(call_default_factory=True):
                for problem in (mark.problem(name, value, getattr(self, mark.field)) for mark in marks):
                    if problem:
                        raise ValueError(problem)
        return self


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing pydantic found wrong, in one line: key, bad value, what is valid."""
    return explain_all(error, model)[0]


def explain_all(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Everything pydantic found wrong, a line each: see `explain`."""
    return [_explained(one, model) for one in error.errors()]


def _explained(error: ErrorDetails, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return str(UnknownName("field", key, model.model_fields))
    if error["type"] == "missing":
        return f"{key!r} is missing"
    subject = f"{key!r} is {shown(error['input'])}: " if key else ""
    return f"{subject}{reason(error, model)}"


def reason(error: ErrorDetails, model: type[BaseModel]) -> str:
    """What is valid instead, in words that are no pydantic's.

    Args:
        error: one of a `ValidationError`'s.
        model: whose field it is about.
    """
    field = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] in ("list_type", "tuple_type"):
        given = error["input"]
        return "must be a list" + (f", such as [{given}]" if isinstance(given, str | int | float) else "")
    kind = _KINDS.get(error["type"], "")
    if kind or error["type"] in _BOUNDS:
        known = field in model.model_fields
        limits = _range_text(model.model_json_schema()["properties"][field], " and ") if known else _limit_text(error)
        return " ".join(["must be", *filter(None, (kind, limits))])
    if error["type"] == "too_short":
        return f"must hold at least {error['ctx']['min_length']}"
    text = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return re.sub("^Input should be ", "must be ", text)


def describe_fields(model: type[BaseModel]) -> list[dict[str, str]]:
    """A model's fields for people: field, type, default, range, description.

    Its own come before those that it inherits, class by class. A description stands in the field, or in the
    `Attributes:` of the class's docstring.
    """
    schema = model.model_json_schema().get("properties", {})
    described = _attribute_docs(model)
    rows = []
    kinds = enumerate(model.__mro__)
    first_in = {name: place for place, kind in kinds for name in vars(kind).get("__annotations__", {})}
    for name, info in sorted(model.model_fields.items(), key=lambda field: first_in[field[0]]):
        default = info.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            default = default.model_dump(exclude_defaults=True)
        rows.append(
            {
                "field": name,
                "type": _type_text(info.annotation),
                "default": "required" if info.is_required() else json.dumps(to_jsonable_python(default)),
                "range": _range_text(schema.get(name, {}), ", "),
                "description": " ".join((info.description or described.get(name, "")).split()).rstrip("."),
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
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(str(value) or '""' for value in inner)
    if origin in (Union, UnionType):
        return " | ".join(dict.fromkeys(_type_text(part) for part in inner))
    if origin is Annotated:
        return _type_text(inner[0])
    if origin in (list, tuple):
        return f"list of {_type_text(inner[0])}"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "mapping"
    if annotation is type(None):
        return "null"
    return getattr(annotation, "__name__", str(annotation)) if origin is None else str(annotation)


def _range_text(schema: Mapping[str, Any], between: str) -> str:
    candidates = [schema, *schema.get("anyOf", [])]
    return between.join(
        f"{sign} {_number_text(part[key])}" for part in candidates for key, sign in _SIGNS.items() if key in part
    )


def _limit_text(error: ErrorDetails) -> str:
    """What a number inside of a field is below or above, which the field's own schema does not say."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return " and ".join(
        f"{signs[key]} {_number_text(value)}" for key, value in error.get("ctx", {}).items() if key in signs
    )


def _number_text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _takes_booleans(annotation: Any) -> bool:
    if annotation in (bool, Any):
        return True
    return get_origin(annotation) is not Literal and any(_takes_booleans(part) for part in get_args(annotation))


def _leaves(value: Any) -> Iterator[Any]:
    """What is in lists and mappings, with those keys that are no text."""
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
        if any(not isinstance(key, str) for key in (value if isinstance(value, dict) else ())):
            raise ValueError("holds a mapping with a key that is no text. Valid: quote it")
    else:
        yield value
