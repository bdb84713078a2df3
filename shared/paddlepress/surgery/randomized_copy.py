"""A network of a model's structure with random weights, on which cuts are tried out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paddlepress.network import edits
from paddlepress.surgery.groups import Group
from paddlepress.surgery.narrow import UnitIndices

if TYPE_CHECKING:
    import paddle

    from paddlepress.network.model import Model

Array = NDArray[Any]

# Weights repeat after as many numbers: drawing them all would take longer than a large network's forward pass.
# A prime number, so that no two rows of a weight are the same.
_POOL = 1_048_573


class StandIn:
    """A freshly built network with random weights, in which every unit counts in the output.

    Attributes:
        model: a model's architecture and edits, without the scales of quantized weights: the random ones are on no
            grid, and a cut must not round them to one.
    """

    def __init__(self, model: Model, numbers: np.random.Generator) -> None:
        from paddlepress.network.model import Model as Built

        self.model = Built.build(model.architecture, model.inputs, model.task, model.edits)
        network = self.model.network
        pool = numbers.standard_normal(_POOL, dtype=np.float32)
        self._values = {name: _weight(name, parameter, pool, numbers) for name, parameter in network.named_parameters()}
        kept = model.network.state_dict()
        self._buffers = {name for name, _ in network.named_buffers() if name in kept}
        self._values |= {name: np.array(kept[name].numpy()) for name in self._buffers}
        self._set(self._values)

    def _set(self, names: Iterable[str]) -> None:
        tensors = dict((*self.model.network.named_parameters(), *self.model.network.named_buffers()))
        for name in names:
            tensors[name].set_value(self._values[name])

    @contextmanager
    def restored(self, groups: Sequence[Group]) -> Iterator[None]:
        """Within it these groups may be silenced or cut, and the network run; afterwards it is as it was."""
        network = self.model.network
        layers = dict(network.named_sublayers(include_self=True))
        parameters = {name: dict(layer._parameters) for name, layer in layers.items()}
        sizes = {
            name: {attribute: vars(layer)[attribute] for attribute in edits.NARROWABLE & vars(layer).keys()}
            for name, layer in layers.items()
        }
        silenced = {part.parameter for group in groups for part in group.slices}
        # What training sets without gradients, such as a batch norm's statistics.
        noted = {name for name, parameter in network.named_parameters() if parameter.stop_gradient}
        try:
            yield
        finally:
            for name, layer in layers.items():
                layer._parameters.update(parameters[name])
                for attribute, value in sizes[name].items():
                    setattr(layer, attribute, value)
            edits.refresh_recurrent(network, layers)
            self._set(silenced | noted | self._buffers)

    def silence(self, chosen: Sequence[tuple[Group, UnitIndices]]) -> None:
        """Zero everything that the removed units own, what reads them included."""
        import paddle

        with paddle.no_grad():
            for group, keep in chosen:
                lost = np.setdiff1d(np.arange(group.units), keep)
                for part in group.slices:
                    parameter = edits.parameter(self.model.network, part.parameter)
                    stays = np.ones(parameter.shape[part.axis], self._values[part.parameter].dtype)
                    stays[part.indices[lost].reshape(-1)] = 0
                    along = [-1 if axis == part.axis else 1 for axis in range(parameter.ndim)]
                    parameter.multiply_(paddle.to_tensor(stays.reshape(along)))  # in place: weights may be large

    def outputs(self, inputs: Sequence[Array], *, training: bool = False, seed: int = 0) -> list[Array]:
        """What the network gives, as arrays in the order in which it returns them.

        Args:
            inputs: an array for each of the network's.
            training: whether in training mode.
            seed: of what is random there.
        """
        import paddle
        from paddle.utils import flatten

        from paddlepress.core.compute import seed_everything
        from paddlepress.network.inserted_layers import float_inputs

        network = self.model.network
        seed_everything(seed)
        network.train() if training else network.eval()
        try:
            with paddle.no_grad(), float_inputs(network), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what a network's own run may tell
                found = flatten(network(*(paddle.to_tensor(value) for value in inputs)))
        finally:
            network.eval()
        return [np.asarray(value.numpy()) for value in found if hasattr(value, "numpy")]


def _weight(name: str, parameter: paddle.Tensor, pool: Array, numbers: np.random.Generator) -> Array:
    """Values of a scale at which signals neither fade nor grow, for layers that rectify."""
    shape = tuple(int(size) for size in parameter.shape)
    dtype = np.dtype(str(parameter.dtype).removeprefix("paddle."))
    value: Array
    if len(shape) > 1:
        fan_in = max(prod(shape) // max(shape[0], 1), 1) if len(shape) != 2 else shape[0]
        size = prod(shape)
        start = int(numbers.integers(_POOL - size)) if size < _POOL else 0
        value = np.resize(pool[start : start + size], shape) * np.float32((2 / fan_in) ** 0.5)
    elif name.endswith(("_variance", "weight")):
        value = numbers.uniform(0.5, 1.5, shape)
    else:
        value = numbers.normal(0, 0.1, shape)
    return value.astype(dtype, copy=False)
