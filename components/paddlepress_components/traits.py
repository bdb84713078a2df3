"""What a component needs of whatever runs it: each says so itself, and runners and compilers read it from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from paddlepress.core.fields import Place


@dataclass(frozen=True)
class Traits:
    """What a component needs.

    Attributes:
        accelerator: it computes for long, on an accelerator where there is one.
        alone: it measures times, so nothing else may run beside it.
        registry: what it does, it does to the registry. Kubeflow, which does not know of that, must not take it from
            its cache; a run here does as long as the registry is the same and holds what was made.
        kept: what it gives may be used by later runs, as long as nothing that goes into it changes.
        networks: it builds networks, so the code of their architectures can change what it gives.
        measures: so can the code of the measurements.
        places: its parameters that name something outside the pipeline; of its fields, those marked as a `Place`.
        modules: what it spends most of its time on importing. It is short, computes on no accelerator, and may be
            served by a process that has them already.
    """

    accelerator: bool = False
    alone: bool = False
    registry: bool = False
    kept: bool = True
    networks: bool = True
    measures: bool = False
    places: Mapping[str, Place] = field(default_factory=dict)
    modules: tuple[str, ...] = ()

    @property
    def kept_by_kubeflow(self) -> bool:
        """Whether Kubeflow may take its outputs from a former run."""
        return self.kept and not self.registry


REGISTRY = (
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "paddlepress.registry.register",
)
"""The modules of a component that works on the registry."""
