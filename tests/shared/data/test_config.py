"""What a recipe's `data:` key may hold."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from paddlepress.core.fields import explain
from paddlepress.core.plugins import SOURCES, listed
from paddlepress.data.source import Source, source_class, source_of


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "cifar"}, r"unknown source 'cifar'. Valid: digits, .*mnist, npz"),
        ({"source": "mnist", "shuffle": True}, r"unknown field 'shuffle'. Valid: .*path, .*source, "),
        ({}, r"'source' is missing. Valid: digits, "),
        ({"source": "npz"}, r"'path' is missing"),
        ({"source": "idx"}, r"'path' is missing"),
        ({"source": "digits", "path": "x"}, r"unknown field 'path'. Valid: calibration, "),
        ({"source": "npz", "path": "ftp://host/x"}, r"'path' is 'ftp://host/x': .* Valid: a local path, or s3://"),
        ({"source": "npz", "path": "s3://"}, r"'path' is 's3://': .* Valid: "),
        ({"source": "mnist", "validation": 0}, r"'validation' is 0: must be > 0 and < 1"),
        ({"source": "mnist", "validation": 1.0}, r"'validation' is 1.0: must be > 0 and < 1"),
        ({"source": "mnist", "test": "half"}, r"'test' is 'half': .*number"),
        ({"source": "mnist", "calibration": 0}, r"'calibration' is 0: must be >= 1"),
        ({"source": "mnist", "limit": 1.5}, r"'limit' is 1.5: must be a whole number >= 1"),
        ({"source": "mnist", "seed": -1}, r"'seed' is -1: "),
        ({"source": "mnist", "sha256": "abc"}, r"'sha256' is 'abc': .*64 hexadecimal digits"),
        ({"source": "mnist", "sha256": "0" * 64}, r"'sha256' is of one file"),
        ({"source": "npz", "path": "s3://b/x/", "sha256": "0" * 64}, r"'sha256' is of one file"),
        ({"source": "idx", "path": "x", "sha256": "0" * 64}, r"unknown field 'sha256'"),
        (
            {"source": "image-folder", "path": "x", "size": 3.5},
            r"'size' is 3.5: must be a height and a width in pixels",
        ),
        ({"source": "image-folder", "path": "x", "size": "64"}, r"'size' is '64': must be .* or one number for both"),
        ({"source": "image-folder", "path": "x", "size": [0, 5]}, r"'size' is \[0, 5\]: .* each 1 to 4096"),
        ({"source": "mnist", "classes": ["a", "b", "a"]}, r"'classes' is .*names 'a' more than once"),
        ({"source": "mnist", "classes": ["a"]}, r"names one class"),
        ({"source": "mnist", "task": "poetry"}, r"unknown task 'poetry'. .*Valid: .*regression"),
        (
            {"source": "mnist", "task": []},
            r"'task' is \[\]: must be a task's name, or a mapping of 'kind' and its fields",
        ),
        ({"source": "mnist", "task": {5: 3}}, r"unknown field '5'. Valid: class_weights, classes, kind$"),
        (
            {"source": "mnist", "task": {"kind": "multi-label", "labels": []}},
            r"'labels' is \[\]: must hold at least 1$",
        ),
        ({"source": "table", "path": "x", "target": []}, r"'target' is \[\]: must hold at least 1$"),
        (
            {"source": "image-folder", "path": "x", "size": 8, "resize": "fit"},
            r"'resize' is 'fit': must be 'stretch', ",
        ),
        ({"source": "mnist", "task": {"kind": "regression", "target": "x"}}, r"unknown field 'target'.*targets"),
        (
            {"source": "mnist", "task": {"kind": "regression", "std": [0], "mean": [0], "targets": ["a"]}},
            r"'std' holds 0",
        ),
        ({"source": "mnist", "task": "regression", "classes": ["a", "b"]}, r"'classes' are named, but .* has none"),
        ({"source": "mnist", "task": {"classes": ["a", "b"]}, "classes": ["a", "b"]}, r"named twice"),
    ],
)
def test_a_wrong_configuration_is_told_in_one_line(fields: dict[str, Any], message: str) -> None:
    """A wrong field names its key, its value and what is valid, in one line."""
    with pytest.raises(ValueError) as caught:
        source_of(fields)
    told = (
        explain(caught.value, Source.chosen_by(fields))
        if isinstance(caught.value, ValidationError)
        else str(caught.value)
    )
    assert re.search(message, told), told
    assert "\n" not in told


@pytest.mark.parametrize("source", listed(SOURCES))
def test_a_source_brings_in_nothing_heavy(source: str) -> None:
    """Reading a recipe's data section imports no NumPy, Paddle, scikit-learn or boto3."""
    given = {"path": "x", "size": 8, "target": "y"}
    known = source_class(source).model_fields
    fields = {name: value for name, value in given.items() if name in known and known[name].is_required()}
    code = "import sys; from paddlepress.data.source import source_of; "
    code += f"source_of({{'source': {source!r}, **{fields!r}}}); print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert not loaded & {"numpy", "paddle", "sklearn", "boto3", "safetensors"}


@pytest.mark.parametrize("source", listed(SOURCES))
def test_every_field_is_described(source: str) -> None:
    """The published JSON schema explains each field."""
    schema = source_class(source).model_json_schema()["properties"]
    assert all(field.get("description") for field in schema.values())
