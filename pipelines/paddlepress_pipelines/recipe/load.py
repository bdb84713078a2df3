"""Read a recipe, and say of each mistake in which file, line and key it is."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from paddlepress import architectures
from paddlepress.errors import RecipeError, UnknownName, UsageError, shown
from paddlepress.fields import reason
from paddlepress.model import ArchitectureRef
from paddlepress_pipelines.recipe.document import Document, Key, dotted, parse, read
from paddlepress_pipelines.recipe.schema import Recipe, Step, shipped

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MOST_TOLD = 20


def load(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a YAML file; a bare name such as `mnist` is a recipe that ships with paddlepress.

    Raises:
        RecipeError: it is missing, is no YAML, or says something that can't be done; every mistake is in `mistakes`.
    """
    file = _locate(Path(path))
    try:
        text = read(file)
    except FileNotFoundError:
        raise RecipeError(
            f"no recipe at {path}. Give a YAML file, or one that ships: {', '.join(_shipped()) or 'none'}"
        ) from None
    try:
        return _checked(parse(file, text))
    except RecursionError:
        raise RecipeError(f"{file}: not a recipe: it is nested too deeply") from None


def _locate(path: Path) -> Path:
    """The file that is meant: a bare name without a file of that name is a recipe that ships."""
    ships = _shipped()
    return ships[path.name] if len(path.parts) == 1 and path.name in ships and not path.exists() else path


def _shipped() -> dict[str, Path]:
    folder = shipped()
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))} if folder else {}


def _checked(document: Document) -> Recipe:
    """The recipe that a document holds, or all that is wrong with it in the order of its lines."""
    if not isinstance(document.content, dict):
        raise RecipeError(f"{document.file}: a recipe is a mapping of keys, this is {type(document.content).__name__}")
    mistakes = [(document.line(at), text) for at, text in document.mistakes.items()]
    recipe = None
    try:
        recipe = Recipe.model_validate(document.content)
    except ValidationError as error:
        found = [one for one in _relevant(error.errors()) if not _told(one, document.mistakes)]
        for one in found[:MOST_TOLD]:
            mistakes += _explain(document, one)
        mistakes += [(document.line(()), "") for _ in found[MOST_TOLD:]]
    mistakes += _unknown_architectures(document)
    if mistakes or recipe is None:
        texts = list(dict.fromkeys(text for _, text in sorted(mistakes, key=lambda one: one[0]) if text))
        more = len(texts[MOST_TOLD:]) + sum(not text for _, text in mistakes)
        raise RecipeError(*texts[:MOST_TOLD], *([f"{document.file}: and {more} more"] if more else []))
    return recipe


def _told(error: ErrorDetails, mistakes: dict[Key, str]) -> bool:
    """Whether the document's own mistakes say already what is wrong at a place."""
    where = tuple(map(str, error["loc"]))
    return any(where[:n] in mistakes for n in range(len(where) + 1))


def _relevant(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """All errors but those that only follow from another.

    A misspelt key is two, an unknown key and a missing one: the unknown one helps. A chain without a valid step is
    said to be too short.
    """
    places = {error["loc"] for error in errors}
    unknown: dict[tuple[int | str, ...], list[str]] = {}
    for error in errors:
        if error["type"] == "extra_forbidden":
            unknown.setdefault(error["loc"][:-1], []).append(str(error["loc"][-1]))
    return [
        error
        for error in errors
        if not (
            error["type"] == "missing"
            and get_close_matches(str(error["loc"][-1]), unknown.get(error["loc"][:-1], []), n=1)
        )
        and not (error["type"] == "too_short" and any(place[:-1] == error["loc"] for place in places))
    ]


def _explain(document: Document, error: ErrorDetails) -> list[tuple[int, str]]:
    """What pydantic found wrong at a place, with the line; a step's fields may be wrong in several ways."""
    where = tuple(map(str, error["loc"]))
    owner = _owner(where[:-1])
    if error["type"] == "extra_forbidden":
        problem = str(UnknownName("key", where[-1], owner.model_fields))
        return [_located(document, where, dotted(where[:-1]), problem)]
    if error["type"] == "missing":
        return [_located(document, where, "", f"{dotted(where)!r} is missing")]
    if error["type"] == "value_error" and ("variants" in where[:1] or isinstance(error["input"], dict)):
        # What is wrong is how keys go together, or a step: the message itself says which value.
        cause = getattr(error.get("ctx", {}).get("error"), "__cause__", None)
        several = cause.mistakes if isinstance(cause, UsageError) else ()
        return [
            _located(document, _quoted(document, where, message), dotted(where), message)
            for message in several or (reason(error, owner),)
        ]
    message = f"{dotted(where) or 'recipe'} is {shown(error['input'])}: {reason(error, owner)}"
    return [_located(document, where, "", message)]


def _located(document: Document, at: Key, subject: str, problem: str) -> tuple[int, str]:
    line = document.line(at)
    return line, f"{document.file}:{line}: {subject}: {problem}" if subject else f"{document.file}:{line}: {problem}"


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


def _quoted(document: Document, where: Key, message: str) -> Key:
    """The key below a place that a message speaks of, or the place itself."""
    below = [at for at in document.lines if at[: len(where)] == where and len(at) > len(where)]
    quoted = [at for at in below if repr(at[-1]) in message]
    return max(quoted, key=lambda at: (len(at), -message.index(repr(at[-1]))), default=where)


def _unknown_architectures(document: Document) -> Iterator[tuple[int, str]]:
    """Architecture names are checked here, not in the schema: `vision/...` needs Paddle to be listed."""
    for name, arguments, at in named_architectures(document.content):
        try:
            architectures.check(ArchitectureRef(name=name, arguments=arguments))
        except ValidationError:
            continue  # arguments that are no plain data, which is said of the field that they stand in
        except UsageError as error:
            yield _located(document, at, "", str(error))


def named_architectures(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Key]]:
    """Every architecture that a recipe names, with its arguments and where it stands.

    Args:
        content: the recipe as it is written; what is no recipe in it is passed over.
    """
    base = content.get("base")
    if isinstance(base, dict) and isinstance(base.get("architecture"), str) and base["architecture"]:
        arguments = base.get("arguments")
        yield base["architecture"], arguments if isinstance(arguments, dict) else {}, ("base", "architecture")
    variants = content.get("variants")
    for variant, chain in variants.items() if isinstance(variants, dict) else ():
        for index, step in enumerate(chain if isinstance(chain, list) else ()):
            yield from _in_step(step, ("variants", str(variant), str(index)))


def _in_step(written: Any, at: Key) -> Iterator[tuple[str, dict[str, Any], Key]]:
    try:
        step = Step.model_validate(written)
    except ValidationError:
        return
    technique = step.build()
    for field, info in type(technique).model_fields.items():
        mark = next((m for m in info.metadata if isinstance(m, architectures.ArchitectureName)), None)
        if mark is not None and (name := getattr(technique, field)):
            arguments = getattr(technique, mark.arguments) if mark.arguments else {}
            yield name, arguments, (*at, step.technique, field)
