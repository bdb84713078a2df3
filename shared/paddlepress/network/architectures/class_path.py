"""Where a network's class stands, as a person types it: the registered name of it, which an artifact may hold.

The path itself goes no further: what an artifact names is found among installed entry points, so that whoever makes
an artifact can't have code imported that its reader has not installed as an architecture.
"""

from __future__ import annotations

import ast
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from paddlepress.core import compute, plugins
from paddlepress.core.errors import UnknownName, UsageError, in_one_line, shown

_SECTION = f'[project.entry-points."{plugins.ARCHITECTURES}"]'


def is_path(text: str) -> bool:
    """Whether it is no registered name, which never has a colon."""
    return ":" in text


def registered_name(path: str) -> str:
    """The name under which the class or function at `package.module:Name` or `FILE.py:Name` is registered.

    Raises:
        UsageError: there is none, or it is not registered; says the line of `pyproject.toml` that registers it.
    """
    place, _, name = path.rpartition(":")
    if place.endswith(".py") and name.isidentifier():
        return _in_file(Path(place), name)
    if not name.isidentifier() or not all(part.isidentifier() for part in place.split(".")):
        raise UsageError(f"{shown(path)} is no class. Valid: package.module:Name, FILE.py:Name, or a registered name")
    entries = plugins.listed(plugins.ARCHITECTURES)
    exact = [key for key, entry in entries.items() if (entry.module, entry.attr) == (place, name)]
    if exact:
        return exact[0]
    package = place.partition(".")[0]
    found = _imported(place, name, package)
    for key, entry in entries.items():  # it may be registered under another path, as the package itself may offer it
        if entry.module.partition(".")[0] == package and plugins.load(plugins.ARCHITECTURES, key) is found:
            return key
    raise _unregistered(path, place, name, _file_of(package), "the pyproject.toml of its package")


def _in_file(file: Path, name: str) -> str:
    try:
        defined = [
            node.name for node in ast.parse(file.read_bytes()).body if isinstance(node, ast.ClassDef | ast.FunctionDef)
        ]
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror or error}") from None
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{file} is no Python: {in_one_line(error)}") from None
    if name not in defined:
        raise UnknownName("class or function", name, defined, str(file))
    for key, entry in plugins.listed(plugins.ARCHITECTURES).items():
        if entry.attr == name and _same(_file_of(entry.module), file):
            return key
    folder, module = file.resolve().parent, file.stem
    while (folder / "__init__.py").exists():
        folder, module = folder.parent, f"{folder.name}.{module}"
    project = f"a pyproject.toml in {folder}, with a [project] of name and version"
    raise _unregistered(f"{file}:{name}", module.removesuffix(".__init__"), name, file.resolve(), project)


def _unregistered(path: str, module: str, name: str, file: Path | None, project: str) -> UsageError:
    """What to do about a class that no installed package registers.

    Args:
        path, module, name: as it was typed, and where it stands.
        file: where its project is looked for, in the folders that it is in.
        project: what to say where there is none.
    """
    folders = file.parents if file is not None and "site-packages" not in file.parts else ()
    folder = next((folder for folder in folders if (folder / "pyproject.toml").is_file()), None)
    again = "install that"
    if folder is not None:
        project, again = str(folder / "pyproject.toml"), f"pip install -e {folder}"
    key = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).replace("_", "-").lower()
    return UsageError(
        f"{path} is not registered, and models name only networks that are. "
        f'Put {key} = "{module}:{name}" below {_SECTION} in {project}, and {again}'
    )


def _imported(module: str, name: str, package: str) -> Any:
    compute.prepare()
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        missing = error.name or package
        raise UsageError(f"{module}:{name}: there is no module {missing!r}; is its package installed here?") from None
    except AttributeError:
        raise UsageError(f"{module} has no {name!r}") from None
    except Exception as error:  # anybody's code
        raise UsageError(f"{module} can't be imported: {in_one_line(f'{type(error).__name__}: {error}')}") from None


def _file_of(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except Exception:  # it imports the package that the module is in, which is anybody's code
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def _same(one: Path | None, other: Path) -> bool:
    return one is not None and one.exists() and one.samefile(other)
