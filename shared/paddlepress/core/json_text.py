"""JSON from files that anybody may have written: plain, of a bounded size and depth, each key once."""

from __future__ import annotations

import json
import math
from typing import Any

LARGEST = 8 * 2**20
"""Bytes of a text; one of a network with tens of thousands of tensors is smaller."""
DEEPEST = 64


def parse(data: bytes) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is no JSON in UTF-8, too long or too deep, says a key twice, or has what JSON does not
            know or other programs can't take: NaN, infinity, halves of surrogate pairs.
    """
    if len(data) > LARGEST:
        raise ValueError(f"it has {len(data):,} bytes, more than {LARGEST:,}")
    try:
        content = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refused)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from None
    _check(content)
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")


def _check(content: Any) -> None:
    # One level at a time, for recursion is what too deep a text would break.
    level = [content]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, str):
                value.encode("utf-8")  # UnicodeEncodeError, a ValueError, for half a surrogate pair
            elif isinstance(value, float):
                if not math.isfinite(value):
                    raise ValueError("a number is too large")
            elif isinstance(value, dict):
                inner.extend(value)
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
        if not inner:
            return
        level = inner
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")
