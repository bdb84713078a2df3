"""The figures that an evaluation can state, and how to read them.

Importable without NumPy or Paddle: recipes check their gates against these, and reports format by them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from paddlepress.core import plugins
from paddlepress.core.errors import UsageError

if TYPE_CHECKING:
    from paddlepress.evaluation.measurement import Measurement
    from paddlepress.spec.metric import Metric


@cache
def measurements() -> dict[str, Measurement]:
    """Every registered measurement by name, in the order of their positions.

    Raises:
        UsageError: what is registered is none, or two of them give a figure of the same name.
    """
    from paddlepress.evaluation.measurement import Measurement

    found: dict[str, Measurement] = {}
    for name in plugins.listed(plugins.MEASUREMENTS):
        kind = plugins.load(plugins.MEASUREMENTS, name)
        if not (isinstance(kind, type) and issubclass(kind, Measurement)):
            raise UsageError(f"the plugin {name!r} is {kind!r}, not a subclass of {Measurement.__qualname__}")
        found[name] = kind()
    owners: dict[str, str] = {}
    for name, measurement in found.items():
        for metric in measurement.metrics:
            if owners.setdefault(metric, name) != name:
                raise UsageError(f"the measurements {owners[metric]!r} and {name!r} both give {metric!r}")
    return dict(sorted(found.items(), key=lambda entry: entry[1].position))


@cache
def known() -> dict[str, Metric]:
    """Every figure by name, in the order in which tables list them."""
    return {name: metric for each in measurements().values() for name, metric in each.metrics.items()}
