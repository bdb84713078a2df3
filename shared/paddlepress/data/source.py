"""The interface of a source: what a recipe's `data:` key holds."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator, model_validator

from paddlepress.core import plugins
from paddlepress.core.errors import PaddlepressError
from paddlepress.core.fields import Fields, Place, worded
from paddlepress.core.storage import is_s3
from paddlepress.tasks.base import DEFAULT_KIND, stated_task, task_class

if TYPE_CHECKING:
    from paddlepress.core.progress import Progress
    from paddlepress.data.raw import Raw

KIND = "source"


class Source(Fields, ABC):
    """Which data, what a network is to learn of them, and how they are divided.

    Subclass it, add fields, implement `read`, and register it as an entry point of the group `paddlepress.sources`.
    A field that says where files are is called `path`, see `Located`. Splitting, checks of the targets, statistics
    and the artifact are not a source's affair.
    """

    source: str = Field(description="where the data come from")
    task: Annotated[dict[str, Any], BeforeValidator(stated_task)] = Field(
        default={},
        description="what a network learns: a task's name, or a mapping of `kind` and its fields; what is left out is "
        "taken from the data, and the task itself is a classification",
    )
    classes: tuple[str, ...] = Field(
        default=(), description="the classes' names, label 0 first; empty takes the source's own, or the labels"
    )
    validation: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="share of the training examples to hold out, if the source has no such split",
    )
    test: float = Field(
        default=0.2, gt=0, lt=1, description="share of all examples to hold out, if the source has no test split"
    )
    calibration: int = Field(
        default=1000, ge=1, description="training examples that calibrate: for quantization, data-aware factorization"
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        description="use at most so many training examples, and validation examples in the same proportion",
    )
    test_limit: int | None = Field(default=None, ge=1, description="use at most so many test examples")
    seed: int = Field(default=0, ge=0, description="what every random choice of examples follows")

    @abstractmethod
    def read(self, into: Path, progress: Progress) -> Raw:
        """Read the data.

        Args:
            into: a directory for what is downloaded; it may be thrown away afterwards.
            progress: is told of downloads, and of what takes long.

        Raises:
            DataError: they can't be found, read, or trusted.
        """

    def shape(self) -> tuple[int, ...] | None:
        """The shape of one example, as far as it can be told without reading or fetching any; else None."""
        return None

    @property
    def wanted(self) -> dict[str, Any]:
        """The task as far as it is stated: its `kind`, and fields."""
        stated = {"kind": DEFAULT_KIND, **self.task}
        return {**stated, "classes": list(self.classes)} if self.classes else stated

    @field_validator("classes")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise ValueError(f"names {twice[0]!r} more than once. Valid: one distinct name a class")
        if len(value) == 1:
            raise ValueError("names one class. Valid: two or more, or none to take the labels")
        return value

    @model_validator(mode="after")
    def _classes_of_a_classification(self) -> Source:
        kind = self.task.get("kind", DEFAULT_KIND)
        if self.classes and "classes" not in task_class(kind).model_fields:
            raise ValueError(f"'classes' are named, but the task {kind!r} has none")
        if self.classes and "classes" in self.task:
            raise ValueError("'classes' are named twice, here and in 'task'")
        return self

    @classmethod
    def chosen_by(cls, content: Any) -> type[Source]:
        """The class that fields are checked by: that of the source that they state; this one where they state none."""
        try:
            return source_class(content[KIND])
        except (PaddlepressError, LookupError, TypeError):
            return cls


class Located(Source):
    """A source that reads a file or folder."""

    path: Annotated[str, Place()] = Field(min_length=1, description="a local path or an s3:// location")

    @field_validator("path")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", value)
        if scheme and not re.match(r"s3://[^/]+", value):
            raise ValueError("is neither a local path nor an S3 location. Valid: a local path, or s3://bucket/key")
        return value

    def local_path(self, into: Path, progress: Progress, *, folder: bool = False) -> Path:
        """The local file or folder that `path` names, downloaded if need be.

        Args:
            into: a directory for what is downloaded.
            progress: is told of downloads.
            folder: it is a folder, whether or not an s3:// location ends in a slash.

        Raises:
            DataError: there is none.
        """
        from paddlepress.data.places import local

        slash = "/" if folder and is_s3(self.path) and not self.path.endswith("/") else ""
        return local(self.path + slash, into, progress)


Digest = Annotated[
    str,
    worded("([0-9a-fA-F]{64})?", "a SHA-256: 64 hexadecimal digits"),
    Field(description="digest that the file at path must have; empty accepts any"),
]


def source_class(name: str) -> type[Source]:
    """The source registered under a name.

    Raises:
        UnknownName: there is none; the message lists the known ones.
    """
    found: type[Source] = plugins.load(plugins.SOURCES, name)
    return found


def source_of(fields: Mapping[str, Any]) -> Source:
    """A source from its fields.

    Args:
        fields: its name under `source`, and its own.

    Raises:
        pydantic.ValidationError: they do not fit.
        ValueError: there is no source of that name, or none is named.
    """
    if KIND not in fields:
        raise ValueError(f"'source' is missing. Valid: {', '.join(plugins.listed(plugins.SOURCES))}")
    try:
        chosen = source_class(str(fields[KIND]))
    except PaddlepressError as error:
        raise ValueError(str(error)) from None
    return chosen.model_validate(dict(fields))


def _from_fields(value: Any) -> Any:
    return source_of(value) if isinstance(value, Mapping) else value


AnySource = Annotated[SerializeAsAny[Source], BeforeValidator(_from_fields)]
"""The type of a field that holds a source of any kind."""
