"""YAML as people mean it: that of version 1.2, where PyYAML reads 1.1."""

from __future__ import annotations

import re
from typing import Any

import yaml

WORDS = frozenset({"yes", "no", "on", "off"})
"""Booleans of version 1.1 that are text in 1.2."""
MOST_DIGITS = 300
_CORE = "tag:yaml.org,2002:"
_DIGITS = list("-+.0123456789")


class Loader(yaml.SafeLoader):
    """The core schema of version 1.2: `2:4`, `no` and `2026-01-31` are text, `010` is 10, `1e-3` a number."""

    # For each first character what a plain scalar may be; only null and merges (`<<`) are as in version 1.1.
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag in (f"{_CORE}null", f"{_CORE}merge")]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def whole_number(self, node: yaml.ScalarNode) -> int:
        """An integer: decimal, octal with 0o, hexadecimal with 0x."""
        text = str(node.value)
        if len(text) > MOST_DIGITS:
            raise ValueError(f"{len(text)} digits, where at most {MOST_DIGITS} can be read")
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


Loader.add_implicit_resolver(f"{_CORE}bool", re.compile("^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
Loader.add_implicit_resolver(f"{_CORE}int", re.compile("^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), _DIGITS)
Loader.add_implicit_resolver(
    f"{_CORE}float",
    re.compile(r"^[-+]?((\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))$|^\.(nan|NaN|NAN)$"),
    _DIGITS,
)
Loader.add_constructor(f"{_CORE}int", Loader.whole_number)


def read(text: str) -> Any:
    """What a YAML document says; only plain data, see `yaml.SafeLoader`.

    Raises:
        yaml.YAMLError: it is none.
    """
    return yaml.load(text, Loader=Loader)
