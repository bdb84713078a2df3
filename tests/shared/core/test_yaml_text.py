"""YAML is read as version 1.2."""

from __future__ import annotations

from typing import Any

import pytest

from paddlepress.core.yaml_text import read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2:4", "2:4"),
        ("no", "no"),
        ("2026-01-31", "2026-01-31"),
        ("010", 10),
        ("-7", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("1.", 1.0),
        ("true", True),
        ("~", None),
        ("", None),
        ("'10'", "10"),
        ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
        ("{a: &x {b: 1}, c: {<<: *x, d: 2}}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_plain_scalars(text: str, value: Any) -> None:
    """Text, numbers, booleans and null are what the core schema of YAML 1.2 says; merges are read too."""
    found = read(text)
    assert found == value
    assert type(found) is type(value)
