"""Read a recipe, and say of each mistake in which file, line and key it is."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from paddlepress.core.errors import RecipeError, UnknownName, UsageError, shown
from paddlepress.core.fields import reason
from paddlepress_pipelines.recipe import networks
from paddlepress_pipelines.recipe.document import Document, Key, dotted, parse, read
from paddlepress_pipelines.recipe.schema import Recipe, shipped

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MOST_TOLD = 20


def load(path: str | Path, *, build: bool = False) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a YAML file; a bare name such as `mnist` is a recipe that ships with paddlepress.
        build: try whether the networks that it gives arguments can be built, which takes some seconds.

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
    document = parse(file, text)
    recipe = _checked(document)
    if build and (found := networks.unbuildable(document.content, recipe.data)):
        raise RecipeError(*(_located(document, at, "", problem)[1] for at, problem in found))
    return recipe


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
    mistakes += [_located(document, at, "", problem) for at, problem in networks.unknown(document.content)]
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
    owner = _owner(where[:-1], document.content)
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


def _owner(where: Key, content: Any) -> type[Any]:
    """The pydantic class that a place in a recipe is checked by."""
    owner: Any = Recipe
    for part in where:
        content = content.get(part) if isinstance(content, dict) else None
        if not hasattr(owner, "model_fields") or part not in owner.model_fields:
            continue
        owner = owner.model_fields[part].annotation
        arguments = [a for a in getattr(owner, "__args__", ()) if hasattr(a, "model_fields")]
        owner = arguments[0] if arguments else owner
        owner = owner.chosen_by(content) if hasattr(owner, "chosen_by") else owner
    return owner if hasattr(owner, "model_fields") else Recipe


def _quoted(document: Document, where: Key, message: str) -> Key:
    """The key below a place that a message speaks of, or the place itself."""
    below = [at for at in document.lines if at[: len(where)] == where and len(at) > len(where)]
    quoted = [at for at in below if repr(at[-1]) in message]
    return max(quoted, key=lambda at: (len(at), -message.index(repr(at[-1]))), default=where)
