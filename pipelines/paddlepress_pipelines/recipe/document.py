"""The YAML document that a recipe stands in: what it says, and on which line each of its keys is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from paddlepress.core.errors import RecipeError, shown
from paddlepress.core.yaml_text import CORE, DEEPEST, MERGE, TYPES, WORDS, TooManyValues, core_schema

Key = tuple[str, ...]
MOST_BYTES = 4 * 2**20
MOST_REPEATED = 20_000
"""How many values aliases may repeat: some hundred bytes of them can stand for more than any machine holds."""
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that terminals obey, or that no file can hold."""
_TOO_DEEP = f"more than {DEEPEST} lists and mappings are nested here, which no recipe needs"


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
        yaml = core_schema(duplicate_keys=True)  # the walk tells all of them
        node = yaml.compose(text)
        if node is None:
            raise RecipeError(f"{file}: the recipe is empty")
        walk = _Walk(document, yaml)
        walk.visit(node, (), ())
        if walk.hopeless:
            raise RecipeError(*document.mistakes.values())
        document.content = yaml.constructor.construct_document(node)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        if isinstance(error, MaxDepthExceededError):
            raise RecipeError(f"{where}: {_TOO_DEEP}") from None
        if isinstance(error, TooManyValues):
            raise RecipeError(f"{where}: the recipe is too long: {error.problem}") from None
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

    def __init__(self, document: Document, yaml: YAML) -> None:
        self.document = document
        self.hopeless = False
        self._yaml = yaml
        self._seen: set[int] = set()
        self._repeated = 0

    def visit(self, node: Node, at: Key, inside: tuple[Node, ...]) -> None:
        """Visit a node and what is in it.

        Args:
            node: what stands there.
            at: where that is.
            inside: the nodes around it.
        """
        self.document.lines.setdefault(at, node.start_mark.line + 1)
        self._count(node)
        if len(inside) > DEEPEST:  # by aliases of aliases
            raise RecipeError(f"{self.document.file}:{node.start_mark.line + 1}: {_TOO_DEEP}")
        if any(node is outer for outer in inside):
            self._mistake(node, at, f"{dotted(at)} is an alias of what it stands in itself", hopeless=True)
        elif self._is_plain(node, at):
            if isinstance(node, SequenceNode):
                for index, item in enumerate(node.value):
                    self.visit(item, (*at, str(index)), (*inside, node))
            elif isinstance(node, MappingNode):
                self._visit_keys(node, at, (*inside, node))
            elif isinstance(node, ScalarNode):
                self._check(node, at)

    def _visit_keys(self, node: MappingNode, at: Key, inside: tuple[Node, ...]) -> None:
        first: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._mistake(key, at, f"{dotted(at) or 'recipe'} has a key that is no text", hopeless=True)
                continue
            name = str(key.value)
            here = (*at, name)
            if name in first:
                what, line = "variant" if at == ("variants",) else "key", first[name].start_mark.line + 1
                self._mistake(key, here, f"two {what}s are called {shown(name)}; the first is on line {line}")
            if key.tag != MERGE and self._is_plain(key, here):
                self._check(key, here)
            first.setdefault(name, key)
            self.document.lines[here] = key.start_mark.line + 1
            self.visit(value, here, inside)

    def _is_plain(self, node: Node, at: Key) -> bool:
        """Whether a node is of a type that plain data have; refuse it if not."""
        tag = str(node.tag)
        if tag.removeprefix(CORE) in TYPES:
            return True
        what = shown(node.value) if isinstance(node, ScalarNode) else dotted(at) or "recipe"
        stated = f"!!{tag.removeprefix(CORE)}" if tag.startswith(CORE) else tag
        self._mistake(node, at, f"{what} is of the YAML type {shown(stated)}. Valid: {', '.join(TYPES)}", hopeless=True)
        return False

    def _count(self, node: Node) -> None:
        """Refuse a document whose aliases unfold to far more than it says."""
        if id(node) not in self._seen:
            self._seen.add(id(node))
            return
        self._repeated += 1
        if self._repeated > MOST_REPEATED:
            file, line = self.document.file, node.start_mark.line + 1
            raise RecipeError(f"{file}:{line}: its aliases unfold to more than {MOST_REPEATED:,} values: write fewer")

    def _check(self, node: ScalarNode, at: Key) -> None:
        """Refuse a number and the like that is none, words that once were booleans, and odd characters."""
        if node.style is None and node.value in WORDS:
            self._mistake(node, at, f"{node.value!r} is text: write true or false, or quote it if it is text")
        unfit = _UNFIT.search(node.value)
        if unfit:
            problem = f"{shown(node.value)} holds the character U+{ord(unfit[0]):04X}, which can't stand in a recipe"
            self._mistake(node, at, problem, hopeless=True)
        try:
            self._yaml.constructor.construct_object(node)
        except (ValueError, LookupError) as error:  # how ruamel.yaml's own conversions fail
            reason = f" ({error})" if isinstance(error, ValueError) else ""
            problem = (
                f"{shown(node.value)} is no YAML {str(node.tag).removeprefix(CORE)}{reason}; quote it if it is text"
            )
            self._mistake(node, at, problem, hopeless=True)

    def _mistake(self, node: Node, at: Key, problem: str, *, hopeless: bool = False) -> None:
        self.document.mistakes.setdefault(at, f"{self.document.file}:{node.start_mark.line + 1}: {problem}")
        self.hopeless |= hopeless
