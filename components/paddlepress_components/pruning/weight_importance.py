"""How much a network needs each of its units, told from its weights alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn
from paddle.nn.layer.norm import _BatchNormBase

from paddlepress.core.errors import TechniqueRefused
from paddlepress.network.edits import find, parameter
from paddlepress.surgery.groups import Group, Slice

Scores = dict[str, NDArray[np.float64]]
"""Importance of each unit, float64 array [units] by group name: those with the lowest go first."""

_COLUMNS = 2**22  # elements of unit vectors that are looked at together


def l1(network: nn.Layer, groups: Sequence[Group]) -> Scores:
    """The sum of magnitudes of the weights that make each unit (Li et al., ICLR 2017)."""
    return _over_vectors(network, groups, lambda vectors: np.abs(vectors).sum(axis=1))


def l2(network: nn.Layer, groups: Sequence[Group]) -> Scores:
    """The Euclidean length of the weights that make each unit."""
    squares = _over_vectors(network, groups, lambda vectors: np.square(vectors).sum(axis=1))
    return {name: np.sqrt(found) for name, found in squares.items()}


def geometric_median(network: nn.Layer, groups: Sequence[Group]) -> Scores:
    """How far each unit's weights are from those of all the others (He et al., "FPGM", CVPR 2019, equation 5).

    A unit near the geometric median of all is the one that the others stand in for most easily, however
    large its weights are.
    """
    squares = _over_vectors(network, groups, _squared_distances)
    return {name: np.sqrt(found).sum(axis=1) for name, found in squares.items()}


def _squared_distances(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between any two rows: float64 array [rows, rows]."""
    centred = vectors - vectors.mean(axis=0)  # distances stay, products are smaller and rounded less
    lengths = np.square(centred).sum(axis=1)
    found: NDArray[np.float64] = np.maximum(lengths[:, None] + lengths - 2 * centred @ centred.T, 0)
    # What is left of a distance of 0 after rounding counts as 0.
    found[found <= 1e-12 * (lengths[:, None] + lengths)] = 0
    return found


def batch_norm(network: nn.Layer, groups: Sequence[Group]) -> Scores:
    """The magnitude of the scale by which a batch norm multiplies each unit (Liu et al., ICCV 2017).

    Where several norms scale a group's units, as on a residual path, the sum over them.

    Raises:
        TechniqueRefused: no batch norm scales the units of a group.
    """
    scores = {}
    for group in groups:
        scales = [part for part in group.slices if _is_norm_scale(network, part)]
        if not scales:
            raise TechniqueRefused(
                f"no batch norm scales the {group.kind} of {group.name!r}: exclude it, or choose another importance"
            )
        scores[group.name] = sum((np.abs(_rows(network, part)).sum(axis=1) for part in scales), np.zeros(group.units))
    return scores


def _is_norm_scale(network: nn.Layer, part: Slice) -> bool:
    owner, _, leaf = part.parameter.rpartition(".")
    return leaf == "weight" and isinstance(find(network, owner), (_BatchNormBase, nn.BatchNorm))


def making(group: Group) -> list[Slice]:
    """The slices that make a group's units, not those that read them.

    They are the weights and biases of its producers, and the scales and shifts of norms after those. On a
    residual path a layer may make and read the units: then its weight belongs to the group along either axis.
    """
    return [part for part in group.slices if part.direction != "in"]


def weights(group: Group) -> list[Slice]:
    """The slices of the weights, without biases and norms, that make a group's units."""
    return [part for part in group.slices if part.direction == "out"]


def _over_vectors(
    network: nn.Layer, groups: Sequence[Group], measure: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> Scores:
    """The sum of a measure, which is additive over the elements of units' weights."""
    scores = {}
    for group in groups:
        total: Any = np.zeros(())
        for part in weights(group):
            for vectors in _chunks(_rows(network, part)):
                total = total + measure(vectors)
        scores[group.name] = np.asarray(total, np.float64)
    return scores


def _rows(network: nn.Layer, part: Slice) -> NDArray[Any]:
    """A parameter's values by unit: array [units, elements of each]."""
    return by_unit(np.asarray(parameter(network, part.parameter).numpy()), part)


def by_unit(values: NDArray[Any], part: Slice) -> NDArray[Any]:
    """An array of a parameter's shape as [units, elements of each]."""
    return np.moveaxis(values, part.axis, 0)[part.indices].reshape(len(part.indices), -1)


def _chunks(rows: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    step = max(1, _COLUMNS // len(rows))
    for start in range(0, rows.shape[1], step):
        yield rows[:, start : start + step].astype(np.float64)


def trainable(network: nn.Layer) -> dict[str, paddle.Tensor]:
    """The parameters that learn, by name; a batch norm's statistics don't."""
    return {name: tensor for name, tensor in network.named_parameters() if not tensor.stop_gradient}
