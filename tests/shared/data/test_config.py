"""What a recipe's `data:` key may hold."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from paddlepress.core.fields import explain
from paddlepress.data import DataConfig


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "cifar"}, r"'source' is 'cifar': .*'mnist', 'idx', 'npz' or 'digits'"),
        ({"source": "mnist", "shuffle": True}, r"unknown field 'shuffle'. Valid: .*path, .*source, "),
        ({}, r"'source' is missing"),
        ({"source": "npz"}, r"'npz' needs 'path'"),
        ({"source": "idx"}, r"'idx' needs 'path'"),
        ({"source": "digits", "path": "x"}, r"'path' is 'x', but .*'digits'.* takes none"),
        ({"source": "npz", "path": "ftp://host/x"}, r"'path' is 'ftp://host/x': .* Valid: a local path, or s3://"),
        ({"source": "npz", "path": "s3://"}, r"'path' is 's3://': .* Valid: "),
        ({"source": "mnist", "validation": 0}, r"'validation' is 0: must be > 0 and < 1"),
        ({"source": "mnist", "validation": 1.0}, r"'validation' is 1.0: must be > 0 and < 1"),
        ({"source": "mnist", "test": "half"}, r"'test' is 'half': .*number"),
        ({"source": "mnist", "calibration": 0}, r"'calibration' is 0: must be >= 1"),
        ({"source": "mnist", "limit": 1.5}, r"'limit' is 1.5: must be a whole number >= 1"),
        ({"source": "mnist", "seed": -1}, r"'seed' is -1: "),
        ({"source": "mnist", "sha256": "abc"}, r"'sha256' is 'abc': .*64 hexadecimal digits; this has 3"),
        ({"source": "mnist", "sha256": "0" * 64}, r"'sha256' is of one file"),
        ({"source": "idx", "path": "x", "sha256": "0" * 64}, r"'sha256' is of one file"),
        ({"source": "mnist", "classes": ["a", "b", "a"]}, r"'classes' is .*names 'a' more than once"),
        ({"source": "mnist", "classes": ["a"]}, r"names one class"),
    ],
)
def test_a_wrong_configuration_is_told_in_one_line(fields: dict[str, Any], message: str) -> None:
    """A wrong field names its key, its value and what is valid, in one line."""
    with pytest.raises(ValidationError) as caught:
        DataConfig(**fields)
    told = explain(caught.value, DataConfig)
    assert re.search(message, told), told
    assert "\n" not in told


def test_the_configuration_brings_in_nothing_heavy() -> None:
    """Reading a recipe's data section imports no NumPy, Paddle, scikit-learn or boto3."""
    code = "import sys; from paddlepress.data.config import DataConfig; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert not loaded & {"numpy", "paddle", "sklearn", "boto3", "safetensors"}


def test_every_field_is_described() -> None:
    """The published JSON schema explains each field."""
    schema = DataConfig.model_json_schema()["properties"]
    assert all(field.get("description") for field in schema.values())
