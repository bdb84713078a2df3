"""YAML of version 1.2, with the types of its core schema and no other."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

WORDS = frozenset({"yes", "no", "on", "off"})
"""Booleans of version 1.1 that are text in 1.2."""
TYPES = ("null", "bool", "int", "float", "str", "seq", "map")
DEEPEST = 60
"""How many lists and mappings may stand in each other."""
MOST_VALUES = 50_000
"""How many keys and values a document may have: each takes some 50 microseconds and a kilobyte to read."""
MOST_DIGITS = 300
CORE = "tag:yaml.org,2002:"
MERGE = f"{CORE}merge"
_PLAIN = {
    f"{CORE}null": re.compile("(~|null|Null|NULL)?"),
    f"{CORE}bool": re.compile("true|True|TRUE|false|False|FALSE"),
    f"{CORE}int": re.compile("[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    f"{CORE}float": re.compile(
        r"[-+]?((\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)"
    ),
    MERGE: re.compile("<<"),
}


class _CoreSchema(VersionedResolver):
    """What a plain scalar is, whatever version a document says: `2:4`, `no`, `1_000` and `2026-01-31` are text."""

    processing_version = (1, 2)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a node that states none; quoted text is not `implicit[0]`."""
        if kind is ScalarNode and implicit[0]:
            for tag, pattern in _PLAIN.items():
                if pattern.fullmatch(value):
                    return Tag(suffix=tag)
        return super().resolve(kind, value, (False, False))


class TooManyValues(MarkedYAMLError):
    """A document has more than `MOST_VALUES` keys and values."""


class _BoundedComposer(Composer):
    """Puts a document together, up to a number of keys and values."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self._values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next key or value, with all in it."""
        self._values += 1
        if self._values > MOST_VALUES:
            problem = f"it has more than {MOST_VALUES:,} keys and values"
            raise TooManyValues(problem=problem, problem_mark=self.parser.peek_event().start_mark)
        return super().compose_node(parent, index)


class _CoreConstructor(SafeConstructor):
    """The values of the core schema; any other tag is refused."""

    yaml_constructors = {
        tag: construct
        for tag, construct in SafeConstructor.yaml_constructors.items()
        if tag is None or tag.removeprefix(CORE) in TYPES
    }

    def whole_number(self, node: Any) -> int:
        """An integer, of so many digits that reading it takes no time."""
        if len(self.construct_scalar(node)) > MOST_DIGITS:
            raise ValueError(f"{len(node.value)} digits, where at most {MOST_DIGITS} can be read")
        return self.construct_yaml_int(node)


_CoreConstructor.add_constructor(f"{CORE}int", _CoreConstructor.whole_number)


def core_schema(*, duplicate_keys: bool = False) -> YAML:
    """A reader and writer of one document.

    Args:
        duplicate_keys: whether of two equal keys the first counts, where it is else an error.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver, yaml.Composer, yaml.Constructor = _CoreSchema, _BoundedComposer, _CoreConstructor
    yaml.max_depth = DEEPEST
    yaml.allow_duplicate_keys = duplicate_keys
    yaml.composer.warn_double_anchors = False
    return yaml


def read(text: str) -> Any:
    """What a YAML document says; only plain data.

    Raises:
        ruamel.yaml.error.YAMLError: it is none, has a key twice, is nested too deeply, or has too many values.
    """
    return core_schema().load(text)


def write(content: Any) -> str:
    """Plain data as a YAML document: in the order given, what is innermost on one line."""
    yaml, stream = core_schema(), StringIO()
    yaml.width = 200  # it breaks a line after a colon
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(content, stream)
    return stream.getvalue()
