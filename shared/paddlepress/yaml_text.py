"""YAML as people mean it: that of version 1.2, where PyYAML reads 1.1."""

from __future__ import annotations

from typing import Any

import yaml

_CORE = "tag:yaml.org,2002:"


class Loader(yaml.SafeLoader):
    """Version 1.2's core: `2:4`, `yes` and `2026-01-31` are text, not 124 (to base 60), true and a date."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        tag = str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        is_number = tag in (f"{_CORE}int", f"{_CORE}float")
        is_word = tag == f"{_CORE}bool" and value.lower() not in ("true", "false")
        is_text = (is_number and ":" in value) or is_word or tag == f"{_CORE}timestamp"
        return str(self.DEFAULT_SCALAR_TAG) if is_text else tag


def read(text: str) -> Any:
    """What a YAML document says; only plain data, see `yaml.SafeLoader`.

    Raises:
        yaml.YAMLError: it is none.
    """
    return yaml.load(text, Loader=Loader)
