"""The YAML document that a recipe stands in: what it says, and on which line each of its keys is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from paddlepress.core.errors import RecipeError, shown
from paddlepress.core.yaml_text import WORDS, Loader

Key = tuple[str, ...]
MERGE = "<<"
MOST_BYTES = 4 * 2**20
MOST_REPEATED = 20_000
"""How many values aliases may repeat: some hundred bytes of them can stand for more than any machine holds."""
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that terminals obey, or that no file can hold."""


@dataclass
class Document:
    """What a file says.

    Attributes:
        file: where it stands.
        content: the plain data.
        lines: key, as the path of names and positions to it -> line.
        mistakes: key -> what is wrong there already, told with the line.
    """

    file: Path
    content: Any = None
    lines: dict[Key, int] = field(default_factory=dict)
    mistakes: dict[Key, str] = field(default_factory=dict)

    def line(self, at: Key) -> int:
        """The line of a key, or of the nearest one around it that the file has."""
        return next(self.lines[at[:n]] for n in range(len(at), -1, -1) if at[:n] in self.lines)


def read(file: Path) -> str:
    """The text of a file.

    Raises:
        RecipeError: it can't be read, is no text, or is larger than a recipe can be.
        FileNotFoundError: it is not there.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RecipeError(f"can't read the recipe {file}: {error.strerror}") from None
    except ValueError as error:
        raise RecipeError(f"can't read the recipe {shown(str(file))}: {error}") from None
    if len(content) > MOST_BYTES:
        raise RecipeError(f"can't read the recipe {file}: it has more than {MOST_BYTES:,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise RecipeError(f"can't read the recipe {file}: it is not UTF-8 text") from None


def parse(file: Path, text: str) -> Document:
    """A file's content, where each key stands, and the mistakes that leave the rest readable.

    Raises:
        RecipeError: it is no YAML, or says what no recipe can mean.
    """
    document = Document(file)
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise RecipeError(f"{file}: the recipe is empty")
        walk = _Walk(document, loader)
        walk.visit(node, (), ())
        if walk.hopeless:
            raise RecipeError(*document.mistakes.values())
        document.content = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        problem = ", ".join(" ".join(part.split()) for part in (error.context, error.problem) if part)
        raise RecipeError(f"{where}: not valid YAML: {problem}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RecipeError(f"{file}:{line}: not valid YAML: {' '.join(str(error).split())}") from None
    return document


def dotted(at: Key) -> str:
    """A key as people write it: `variants.int8.0`."""
    return ".".join(part if len(part) <= 60 else f"{part[:57]}..." for part in at if part != "[key]")


class _Walk:
    """Goes through a document before it is converted.

    It notes the line of each key, and refuses what YAML can say and a recipe can't mean.

    Attributes:
        hopeless: whether there is a mistake after which the document can't be converted.
    """

    def __init__(self, document: Document, loader: Loader) -> None:
        self.document = document
        self.hopeless = False
        self._loader = loader
        self._seen: set[int] = set()
        self._repeated = 0

    def visit(self, node: yaml.Node, at: Key, inside: tuple[yaml.Node, ...]) -> None:
        """Visit a node and what is in it.

        Args:
            node: what stands there.
            at: where that is.
            inside: the nodes around it.
        """
        self.document.lines.setdefault(at, node.start_mark.line + 1)
        self._count(node)
        if any(node is outer for outer in inside):
            self._mistake(node, at, f"{dotted(at)} is an alias of what it stands in itself", hopeless=True)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.visit(item, (*at, str(index)), (*inside, node))
        elif isinstance(node, yaml.MappingNode):
            self._visit_keys(node, at, (*inside, node))
        elif isinstance(node, yaml.ScalarNode):
            self._check(node, at)

    def _visit_keys(self, node: yaml.MappingNode, at: Key, inside: tuple[yaml.Node, ...]) -> None:
        first: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(key.value)
            here = (*at, name)
            if name in first and name != MERGE:
                what, line = "variant" if at == ("variants",) else "key", first[name].start_mark.line + 1
                self._mistake(key, here, f"two {what}s are called {shown(name)}; the first is on line {line}")
            if isinstance(key, yaml.ScalarNode) and name != MERGE:
                self._check(key, here)
            first.setdefault(name, key)
            self.document.lines[here] = key.start_mark.line + 1
            self.visit(value, here, inside)

    def _count(self, node: yaml.Node) -> None:
        """Refuse a document whose aliases unfold to far more than it says."""
        if id(node) not in self._seen:
            self._seen.add(id(node))
            return
        self._repeated += 1
        if self._repeated > MOST_REPEATED:
            file, line = self.document.file, node.start_mark.line + 1
            raise RecipeError(f"{file}:{line}: its aliases unfold to more than {MOST_REPEATED:,} values: write fewer")

    def _check(self, node: yaml.ScalarNode, at: Key) -> None:
        """Refuse a date, a number and the like that is none, words that once were booleans, and odd characters."""
        if node.style is None and node.value in WORDS:
            self._mistake(node, at, f"{node.value!r} is text: write true or false, or quote it if it is text")
        unfit = _UNFIT.search(node.value)
        if unfit:
            problem = f"{shown(node.value)} holds the character U+{ord(unfit[0]):04X}, which can't stand in a recipe"
            self._mistake(node, at, problem, hopeless=True)
        try:
            self._loader.construct_object(node)
        except (ValueError, LookupError, AttributeError) as error:  # how PyYAML's own conversions fail
            reason = f" ({error})" if isinstance(error, ValueError) else ""
            kind = node.tag.rpartition(":")[2]
            problem = f"{shown(node.value)} is no YAML {kind}{reason}; quote it if it is text"
            self._mistake(node, at, problem, hopeless=True)

    def _mistake(self, node: yaml.Node, at: Key, problem: str, *, hopeless: bool = False) -> None:
        self.document.mistakes.setdefault(at, f"{self.document.file}:{node.start_mark.line + 1}: {problem}")
        self.hopeless |= hopeless
