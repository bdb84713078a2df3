"""What a recipe's `data:` key holds."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from paddlepress.core.fields import Fields, Place

Source = Literal["mnist", "idx", "npz", "digits"]


class DataConfig(Fields):
    """Which data set, and how it is divided."""

    source: Source = Field(
        description="mnist (fetched if no path is given); idx, a folder of IDX files named as MNIST's; npz, arrays "
        "x_train, y_train, x_test, y_test, or x and y; digits, scikit-learn's 8x8 digits, which need no network"
    )
    path: Annotated[str, Place()] = Field(
        default="", description="a local path or an s3:// location; needed for idx and npz"
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
    sha256: str = Field(default="", description="digest that the file at path must have; empty accepts any")
    classes: tuple[str, ...] = Field(
        default=(), description="the classes' names, label 0 first; empty takes the source's own, or the labels"
    )

    @field_validator("path")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", value)
        if scheme and not re.match(r"s3://[^/]+", value):
            raise ValueError("is neither a local path nor an S3 location. Valid: a local path, or s3://bucket/key")
        return value

    @field_validator("sha256")
    @classmethod
    def _hexadecimal(cls, value: str) -> str:
        if value and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise ValueError(f"is not a SHA-256. Valid: 64 hexadecimal digits; this has {len(value)} characters")
        return value.lower()

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
    def _path_fits_source(self) -> DataConfig:
        if self.source in ("idx", "npz") and not self.path:
            needed = "a folder of IDX files" if self.source == "idx" else "an .npz file"
            raise ValueError(f"the source {self.source!r} needs 'path': {needed}, local or s3://")
        if self.source == "digits" and self.path:
            raise ValueError(f"'path' is {self.path!r}, but the source 'digits' comes with scikit-learn and takes none")
        if self.sha256 and (not self.path or self.source == "idx" or self.path.endswith("/")):
            raise ValueError("'sha256' is of one file. Valid: with 'path' naming a file, for the sources mnist and npz")
        return self
