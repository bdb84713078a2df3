"""Read a recipe, and say of a mistake in which file, line and key it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from paddlepress.errors import RecipeError, UnknownName, UsageError
from paddlepress_pipelines.recipe.schema import Recipe, Step, shipped

Key = tuple[str | int, ...]


class _Lines(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice, and remembers where each key stands."""


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
    if path.exists():
        return path
    folder = shipped()
    known = sorted(file.stem for file in folder.glob("*.yaml")) if folder else []
    if folder and len(path.parts) == 1 and path.name in known:
        return folder / f"{path.name}.yaml"
    raise RecipeError(f"no recipe at {path}. Give a YAML file, or one that ships: {', '.join(known) or 'none'}")


def _parse(file: Path, text: str) -> tuple[Any, dict[Key, int]]:
    try:
        node = yaml.compose(text, Loader=_Lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"{file}:{line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{file}: not valid YAML: {error}") from None
    lines: dict[Key, int] = {}
    if node is None:
        raise RecipeError(f"{file}: the recipe is empty")
    _walk(file, node, (), lines)
    return yaml.load(text, Loader=_Lines), lines


def _walk(file: Path, node: yaml.Node, at: Key, lines: dict[Key, int]) -> None:
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(file, item, (*at, index), lines)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen and name != "<<":
                what = "variant" if at == ("variants",) else "key"
                raise RecipeError(f"{file}:{line}: two {what}s are called {name!r}; the first is on line {seen[name]}")
            seen[name] = line
            lines[(*at, name)] = line
            _walk(file, value, (*at, name), lines)


def _explain(file: Path, error: ValidationError, lines: dict[Key, int]) -> str:
    # A misspelt key is two errors, an unknown key and a missing one: the unknown one helps.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = tuple(first["loc"])
    parent: type[Any] = Recipe
    key = ".".join(str(part) for part in where if part != "[key]")
    line = next(lines[where[:n]] for n in range(len(where), -1, -1) if where[:n] in lines)
    message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if first["type"] == "extra_forbidden":
        parent = _owner(where[:-1])
        problem = str(UnknownName("key", str(where[-1]), parent.model_fields))
        return (
            f"{file}:{line}: {problem}"
            if len(where) == 1
            else f"{file}:{line}: {'.'.join(map(str, where[:-1]))}: {problem}"
        )
    if first["type"] == "missing":
        return f"{file}:{line}: {key!r} is missing"
    if where and where[0] == "variants" and first["type"] == "value_error":
        return f"{file}:{_step_line(where, message, lines, line)}: {key}: {message}"
    return f"{file}:{line}: {key or 'recipe'} is {_short(first['input'])}: {message}"


def _owner(where: Key) -> type[Any]:
    """The pydantic class that a place in a recipe is checked by."""
    owner: Any = Recipe
    for part in where:
        if isinstance(part, int) or not hasattr(owner, "model_fields") or part not in owner.model_fields:
            continue
        owner = owner.model_fields[part].annotation
        arguments = [a for a in getattr(owner, "__args__", ()) if hasattr(a, "model_fields")]
        owner = arguments[0] if arguments else owner
    return owner if hasattr(owner, "model_fields") else Recipe


def _step_line(where: Key, message: str, lines: dict[Key, int], default: int) -> int:
    """The line of the field that a step's message speaks of, if it can be told."""
    below = [(at, line) for at, line in lines.items() if at[: len(where)] == where and len(at) > len(where)]
    quoted = [(at, line) for at, line in below if f"{str(at[-1])!r}" in message]
    return max(quoted, key=lambda item: len(item[0]))[1] if quoted else default


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_architectures(file: Path, recipe: Recipe, lines: dict[Key, int]) -> None:
    """Architecture names are checked here, not in the schema: `vision/...` needs Paddle to be listed."""
    from paddlepress import architectures
    from paddlepress.model import ArchitectureRef

    def check(name: str, arguments: Any, at: Key) -> None:
        if not name:
            return
        line = next(lines[at[:n]] for n in range(len(at), -1, -1) if at[:n] in lines)
        try:
            architectures.check(ArchitectureRef(name=name, arguments=arguments), f"{file}:{line}")
        except UsageError as error:
            text = str(error)
            raise RecipeError(text if text.startswith(f"{file}:") else f"{file}:{line}: {text}") from None

    check(recipe.base.architecture, recipe.base.arguments, ("base", "architecture"))
    for variant, chain in recipe.variants.items():
        for index, step in enumerate(chain):
            _check_students(step, ("variants", variant, index, step.technique, "student"), check)


def _check_students(step: Step, at: Key, check: Any) -> None:
    student = step.parameters.get("student")
    if isinstance(student, str):
        check(student, step.parameters.get("student_arguments") or {}, at)
