"""Every component by name: the techniques, and what stands around them in a pipeline."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from paddlepress.core import plugins

if TYPE_CHECKING:
    from paddlepress_components.traits import Traits

_FIXED = {
    "train": "paddlepress_components.training.train",
    "import-model": "paddlepress_components.training.import_model",
    "compress": "paddlepress_components.apply",
    "export": "paddlepress_components.evaluation.export",
    "evaluate": "paddlepress_components.evaluation.evaluate",
    "register": "paddlepress_components.delivery.register",
    "compare": "paddlepress_components.delivery.compare",
    "promote": "paddlepress_components.delivery.promote",
    "report": "paddlepress_components.delivery.report",
}


_LOAD = "load-data-"
"""What the name of a source's component begins with."""


def names() -> list[str]:
    """The names of all components; imports none of them."""
    sources = [loading(name) for name in plugins.listed(plugins.SOURCES)]
    return [*sources, *_FIXED, *plugins.listed(plugins.TECHNIQUES)]


def loading(source: str) -> str:
    """The name of the component that loads data from a source."""
    return _LOAD + source


def component(name: str) -> Any:
    """A Kubeflow component by name.

    Raises:
        UnknownName: there is no technique or component of that name.
    """
    if name in _FIXED:
        return import_module(_FIXED[name]).component()
    if name.startswith(_LOAD):
        from paddlepress_components.data import load_data

        return load_data.component(name.removeprefix(_LOAD))
    from paddlepress_components.factory import technique_component

    return technique_component(name)


def traits(name: str) -> Traits:
    """What a component needs of whatever runs it.

    Raises:
        UnknownName: there is no technique or component of that name.
    """
    found: Traits = component(name).traits
    return found
