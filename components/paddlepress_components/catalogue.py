"""Every component by name: the techniques, and what stands around them in a pipeline."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from paddlepress.core import plugins

if TYPE_CHECKING:
    from paddlepress_components.traits import Traits

_FIXED = {
    "load-data": "paddlepress_components.data.load_data",
    "train": "paddlepress_components.training.train",
    "import-model": "paddlepress_components.training.import_model",
    "export": "paddlepress_components.evaluation.export",
    "evaluate": "paddlepress_components.evaluation.evaluate",
    "register": "paddlepress_components.delivery.register",
    "compare": "paddlepress_components.delivery.compare",
    "promote": "paddlepress_components.delivery.promote",
    "report": "paddlepress_components.delivery.report",
}


def names() -> list[str]:
    """The names of all components; imports none of them."""
    return [*_FIXED, *plugins.listed(plugins.TECHNIQUES)]


def component(name: str) -> Any:
    """A Kubeflow component by name.

    Raises:
        UnknownName: there is no technique or component of that name.
    """
    if name in _FIXED:
        return import_module(_FIXED[name]).component()
    from paddlepress_components.factory import technique_component

    return technique_component(name)


def traits(name: str) -> Traits:
    """What a component needs of whatever runs it.

    Raises:
        UnknownName: there is no technique or component of that name.
    """
    found: Traits = component(name).traits
    return found
