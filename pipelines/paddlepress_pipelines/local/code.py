"""The code that computes a task: change it, and the task is made again; change other code, and it is not.

It is the library, but for the parts whose code can't change what the task computes, and of the installed
plugins those modules that the task reaches: its technique's, its networks' architectures', and what these
import in turn. Nothing is imported to find them.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points, version
from importlib.util import find_spec
from pathlib import Path

import paddlepress
import paddlepress_components
from paddlepress.core import files
from paddlepress.core.plugins import ARCHITECTURES, MEASUREMENTS, SOURCES, TASKS, TECHNIQUES, listed
from paddlepress_components.catalogue import loading

_DELIVERY_PACKAGES = frozenset({"registry", "report", "delivery"})
_OWN = frozenset({"paddlepress", "paddlepress_components"})
# Whose version can change what a task computes.
_LIBRARIES = ("paddlepaddle", "paddle2onnx", "onnxruntime", "numpy", "scikit-learn", "pillow", "pandas")
GROUPS = (TECHNIQUES, ARCHITECTURES, TASKS, SOURCES, MEASUREMENTS)
_DYNAMIC = frozenset({"import_module", "__import__", "entry_points"})


@cache
def library_digest(*, delivery: bool) -> str:
    """SHA-256 of paddlepress itself and of the libraries that it computes with.

    Args:
        delivery: with the code that registers, compares, promotes and reports.
    """
    sha = hashlib.sha256(paddlepress.__version__.encode())
    for package in (paddlepress, paddlepress_components):
        root = Path(str(package.__file__)).parent
        for file in sorted(root.rglob("*.py")):
            part = file.relative_to(root)
            if delivery or not _DELIVERY_PACKAGES & set(part.parts):
                sha.update(f"{part} {files.sha256_of(file)}\n".encode())
    for library in _LIBRARIES:
        sha.update(f"{library} {version(library)}\n".encode())
    return sha.hexdigest()


def plugins_digest(component: str, architectures: frozenset[str] | None, *, measures: bool = False) -> str:
    """SHA-256 of the plugins that a task uses; the same for all tasks that use none.

    Args:
        component: the task's: the name of the technique that it applies, or another.
        architectures: the networks that it builds; None: any.
        measures: whether it makes measurements.
    """
    entries = [entry for name, entry in listed(TECHNIQUES).items() if name == component]
    entries += listed(TASKS).values()  # whatever is done to a network follows its task
    entries += [entry for name, entry in listed(SOURCES).items() if loading(name) == component]
    if measures:
        entries += listed(MEASUREMENTS).values()
    entries += [
        entry for name, entry in listed(ARCHITECTURES).items() if architectures is None or name in architectures
    ]
    sha = hashlib.sha256()
    for entry in entries:
        if _top(entry.module) not in _OWN:
            # A technique's distribution and version stand in the lineage of what it made.
            origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else ""
            sha.update(f"{entry.name} {entry.value} {origin} {_plugin_digest(entry)}\n".encode())
    return sha.hexdigest()


@cache
def _plugin_digest(entry: EntryPoint) -> str:
    """Digest of the modules that a plugin's module reaches, and of the files of its package that are no modules."""
    sha = hashlib.sha256()
    for file in sorted({*_reached(entry.module), *_other_files(_top(entry.module))}):
        sha.update(f"{file.name} {files.sha256_of(file)}\n".encode())
    return sha.hexdigest()


def _reached(module: str) -> set[Path]:
    """The files of a module and of all that it imports, in packages of plugins.

    A module that imports by a computed name, or can't be parsed, reaches the whole of its package.
    """
    plugins = {_top(entry.module) for group in GROUPS for entry in entry_points(group=group)}
    found: set[Path] = set()
    waiting = list(_around(module))
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        for file in _files(name) - found:
            found.add(file)
            try:
                tree = ast.parse(file.read_bytes())
            except (SyntaxError, ValueError):
                found |= _sources(_top(name))
                continue
            if any(isinstance(node, ast.Name | ast.Attribute) and _called(node) in _DYNAMIC for node in ast.walk(tree)):
                found |= _sources(_top(name))
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            for imported in _imports(tree, package):
                if _top(imported) in plugins - _OWN and imported not in seen:
                    seen.add(imported)
                    waiting.append(imported)
    return found


def _called(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """The full names in a module's import statements, whether they are modules or what stands in one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*around, *([node.module] if node.module else [])])
            names = [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for imported in names for name in _around(imported))


def _around(module: str) -> Iterator[str]:
    """A module's name, and those of the packages around it, which are imported with it."""
    parts = module.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _files(module: str) -> set[Path]:
    """The source of a module, in each place of its top-level package."""
    top, *rest = module.split(".")
    found = set()
    for root in _roots(top):
        if root.is_file():
            found |= {root} if not rest else set()
        else:
            found |= {root.joinpath(*rest, "__init__.py"), root.joinpath(*rest).with_suffix(".py")}
    return {file for file in found if file.is_file()}


@cache
def _roots(top: str) -> tuple[Path, ...]:
    """The folders, or the one file, of a top-level package or module."""
    found = find_spec(top)
    if found is None:
        return ()
    if found.submodule_search_locations:
        return tuple(Path(place) for place in found.submodule_search_locations)
    return (Path(found.origin),) if found.origin else ()


def _sources(top: str) -> set[Path]:
    return {file for root in _roots(top) for file in ([root] if root.is_file() else root.rglob("*.py"))}


def _other_files(top: str) -> set[Path]:
    """What a package has beside modules, such as tables."""
    every = {file for root in _roots(top) if root.is_dir() for file in root.rglob("*")}
    return {file for file in every if file.is_file() and file.suffix not in (".py", ".pyc", ".pyi")}


def _top(module: str) -> str:
    return module.partition(".")[0]
