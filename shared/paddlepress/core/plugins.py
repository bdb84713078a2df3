"""Find plugins by name through entry points, without importing any of them to list them."""

from __future__ import annotations

import inspect
from functools import cache
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any

from paddlepress.core.errors import UnknownName, UsageError

TECHNIQUES = "paddlepress.techniques"
ARCHITECTURES = "paddlepress.architectures"
TASKS = "paddlepress.tasks"
SOURCES = "paddlepress.sources"
MEASUREMENTS = "paddlepress.measurements"

_KINDS = {
    TECHNIQUES: "technique",
    ARCHITECTURES: "architecture",
    TASKS: "task",
    SOURCES: "source",
    MEASUREMENTS: "measurement",
}


def _origin(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


@cache
def listed(group: str) -> dict[str, EntryPoint]:
    """Every plugin of an entry-point group by name, sorted; imports none of them.

    Raises:
        UsageError: two distributions register the same name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        other = found.get(entry.name)
        if other is not None and other.value != entry.value:
            raise UsageError(
                f"two installed packages register the {_KINDS.get(group, group)} {entry.name!r}: "
                f"{_origin(other)} ({other.value}) and {_origin(entry)} ({entry.value}). "
                "Uninstall one of them"
            )
        found[entry.name] = entry
    return dict(sorted(found.items()))


def load(group: str, name: str, where: str = "") -> Any:
    """Import the plugin registered under a name.

    Raises:
        UnknownName: nothing is registered under that name; the message lists what is.
        UsageError: its package does not import.
    """
    known = listed(group)
    if name not in known:
        raise UnknownName(_KINDS.get(group, group), name, known, where)
    entry = known[name]
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"the {_KINDS.get(group, group)} {name!r} of {_origin(entry)} can't be imported: {error}"
        ) from error


def summary_of(plugin: Any) -> str:
    """The first paragraph of a plugin's docstring, on one line; empty if it has none."""
    return " ".join(inspect.cleandoc(plugin.__doc__ or "").split("\n\n")[0].split())


def distribution_version(name: str) -> str:
    """The version of the installed package that provides a technique, such as `paddlepress 0.1.0`."""
    entry = listed(TECHNIQUES).get(name)
    if entry is None or entry.dist is None:
        return f"paddlepress {version('paddlepress')}"
    return f"{entry.dist.name} {entry.dist.version}"
