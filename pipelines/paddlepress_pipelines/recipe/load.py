"""Read a recipe, and say of a mistake in which file, line and key it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.reader import ReaderError

from paddlepress import architectures
from paddlepress.errors import RecipeError, UnknownName, UsageError
from paddlepress.fields import reason
from paddlepress.model import ArchitectureRef
from paddlepress.yaml_text import WORDS, Loader
from paddlepress_pipelines.recipe.schema import Recipe, shipped

Key = tuple[str, ...]
MERGE = "<<"


def load(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a YAML file; a bare name such as `mnist` is a recipe that ships with paddlepress.

    Raises:
        RecipeError: it is missing, is no YAML, or says something that can't be done.
    """
    file = _locate(Path(path))
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(
            f"no recipe at {path}. Give a YAML file, or one that ships: {', '.join(_shipped()) or 'none'}"
        ) from None
    except OSError as error:
        raise RecipeError(f"can't read the recipe {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"can't read the recipe {file}: it is not UTF-8 text") from None
    content, lines = _parse(file, text)
    if not isinstance(content, dict):
        raise RecipeError(f"{file}: a recipe is a mapping of keys, this is {type(content).__name__}")
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(_explain(file, error, lines)) from None
    _check_architectures(file, recipe, lines)
    return recipe


def _locate(path: Path) -> Path:
    """The file that is meant: a bare name without a file of that name is a recipe that ships."""
    ships = _shipped()
    return ships[path.name] if len(path.parts) == 1 and path.name in ships and not path.exists() else path


def _shipped() -> dict[str, Path]:
    folder = shipped()
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))} if folder else {}


def _parse(file: Path, text: str) -> tuple[Any, dict[Key, int]]:
    """What the YAML says, and the line on which each of its keys stands."""
    try:
        document = _Document(file, text)
        return document.content(), document.lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise RecipeError(f"{where}: not valid YAML: {problem}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RecipeError(f"{file}:{line}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise RecipeError(f"{file}: not a recipe: it is nested too deeply") from None


class _Document:
    """A YAML document that is walked before it is converted, to tell where each key stands."""

    def __init__(self, file: Path, text: str) -> None:
        self.file = file
        self.lines: dict[Key, int] = {}
        self._loader = Loader(text)

    def content(self) -> Any:
        node = self._loader.get_single_node()
        if node is None:
            raise RecipeError(f"{self.file}: the recipe is empty")
        self._walk(node, (), ())
        return self._loader.construct_document(node)

    def _walk(self, node: yaml.Node, at: Key, inside: tuple[yaml.Node, ...]) -> None:
        """Note the line of each key, and refuse what YAML can say and a recipe can't mean."""
        self.lines.setdefault(at, node.start_mark.line + 1)
        if any(node is outer for outer in inside):
            raise self._error(node, f"{_dotted(at)} is an alias of what it stands in itself")
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._walk(item, (*at, str(index)), (*inside, node))
        elif isinstance(node, yaml.MappingNode):
            seen: dict[str, yaml.Node] = {}
            for key, value in node.value:
                name = str(key.value)
                if name in seen and name != MERGE:
                    what, first = "variant" if at == ("variants",) else "key", seen[name].start_mark.line + 1
                    raise self._error(key, f"two {what}s are called {name!r}; the first is on line {first}")
                if isinstance(key, yaml.ScalarNode) and name != MERGE:
                    self._check(key)
                seen[name] = key
                self.lines[(*at, name)] = key.start_mark.line + 1
                self._walk(value, (*at, name), (*inside, node))
        else:
            self._check(node)

    def _check(self, node: yaml.Node) -> None:
        """Refuse a date, a number and the like that is none, and words that once were booleans."""
        if isinstance(node, yaml.ScalarNode) and node.style is None and node.value in WORDS:
            raise self._error(node, f"{node.value!r} is text: write true or false, or quote it if it is text")
        try:
            self._loader.construct_object(node)
        except (ValueError, LookupError, AttributeError) as error:  # how PyYAML's own conversions fail
            reason = f" ({error})" if isinstance(error, ValueError) else ""
            kind = node.tag.rpartition(":")[2]
            raise self._error(node, f"{_short(node.value)} is no YAML {kind}{reason}; quote it if it is text") from None

    def _error(self, node: yaml.Node, problem: str) -> RecipeError:
        return RecipeError(f"{self.file}:{node.start_mark.line + 1}: {problem}")


def _explain(file: Path, error: ValidationError, lines: dict[Key, int]) -> str:
    # A misspelt key is two errors, an unknown key and a missing one: the unknown one helps.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = tuple(map(str, first["loc"]))
    key, line = _dotted(where), _line(lines, where)
    message = reason(first, _owner(where[:-1]))
    if first["type"] == "extra_forbidden":
        problem = str(UnknownName("key", where[-1], _owner(where[:-1]).model_fields))
        return f"{file}:{line}: {_dotted(where[:-1])}: {problem}" if len(where) > 1 else f"{file}:{line}: {problem}"
    if first["type"] == "missing":
        return f"{file}:{line}: {key!r} is missing"
    if first["type"] == "value_error" and ("variants" in where[:1] or isinstance(first["input"], dict)):
        # What is wrong is how keys go together, or a step: the message itself says which value.
        return f"{file}:{_line_of_quoted(lines, where, message)}: {key}: {message}"
    return f"{file}:{line}: {key or 'recipe'} is {_short(first['input'])}: {message}"


def _dotted(at: Key) -> str:
    return ".".join(part for part in at if part != "[key]")


def _line(lines: dict[Key, int], at: Key) -> int:
    """The line of a key, or of the nearest one around it that the file has."""
    return next(lines[at[:n]] for n in range(len(at), -1, -1) if at[:n] in lines)


def _owner(where: Key) -> type[Any]:
    """The pydantic class that a place in a recipe is checked by."""
    owner: Any = Recipe
    for part in where:
        if not hasattr(owner, "model_fields") or part not in owner.model_fields:
            continue
        owner = owner.model_fields[part].annotation
        arguments = [a for a in getattr(owner, "__args__", ()) if hasattr(a, "model_fields")]
        owner = arguments[0] if arguments else owner
    return owner if hasattr(owner, "model_fields") else Recipe


def _line_of_quoted(lines: dict[Key, int], where: Key, message: str) -> int:
    """The line of the key below a place that a message speaks of, or of the place itself."""
    below = [at for at in lines if at[: len(where)] == where and len(at) > len(where)]
    quoted = [at for at in below if repr(at[-1]) in message]
    return _line(lines, max(quoted, key=lambda at: (len(at), -message.index(repr(at[-1]))), default=where))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_architectures(file: Path, recipe: Recipe, lines: dict[Key, int]) -> None:
    """Architecture names are checked here, not in the schema: `vision/...` needs Paddle to be listed."""
    for name, arguments, at in _named_architectures(recipe):
        where = f"{file}:{_line(lines, at)}"
        try:
            architectures.check(ArchitectureRef(name=name, arguments=arguments), where)
        except UsageError as error:
            text = str(error)
            raise RecipeError(text if text.startswith(where) else f"{where}: {text}") from None


def _named_architectures(recipe: Recipe) -> Iterator[tuple[str, dict[str, Any], Key]]:
    """Every architecture that a recipe names, with its arguments and where it stands."""
    if recipe.base.architecture:
        yield recipe.base.architecture, recipe.base.arguments, ("base", "architecture")
    for variant, chain in recipe.variants.items():
        for index, step in enumerate(chain):
            technique = step.build()
            for field, info in type(technique).model_fields.items():
                mark = next((m for m in info.metadata if isinstance(m, architectures.ArchitectureName)), None)
                if mark is not None and (name := getattr(technique, field)):
                    arguments = getattr(technique, mark.arguments) if mark.arguments else {}
                    yield name, arguments, ("variants", variant, str(index), step.technique, field)
