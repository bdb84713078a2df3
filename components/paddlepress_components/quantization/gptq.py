"""Rounding weights one input after the other, where those still to come make up for the error.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023,
after Hassibi and Stork, "Second order derivatives for network pruning: Optimal Brain Surgeon", NeurIPS 1992.
A weight that has to stay zero is a weight whose code is given; its error is made up for as any other.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtri

from paddlepress.network.grids import Cover, fit_scale, largest_code

BLOCK = 128
"""Columns whose errors reach the columns after them together."""


@dataclass(frozen=True)
class Rows:
    """Weights that read the same inputs, and the grid that they are to be put on.

    Attributes:
        values: float32 [outputs, inputs].
        zeros: bool [outputs, inputs], weights that get the code 0 whatever happens.
        scales: float32 [outputs, groups].
        places: int64 [inputs]: the group that an input's weights belong to.
        bits, reduce_range: of the grid; codes of 1 bit are -1 and 1.
        refitted: the groups whose scales are fitted anew when their first input is reached.
        cover: how they are, see `grid.fit_scale`.
    """

    values: NDArray[Any]
    zeros: NDArray[np.bool_]
    scales: NDArray[Any]
    places: NDArray[np.int64]
    bits: int
    reduce_range: bool = False
    refitted: frozenset[int] = frozenset()
    cover: Cover | None = None

    def codes(self, column: np.intp | int, weights: NDArray[Any]) -> NDArray[np.float64]:
        """The codes nearest to weights [outputs] of one input."""
        if self.bits == 1:
            found = np.where(weights < 0, -1.0, 1.0)
        else:
            levels = largest_code(self.bits, self.reduce_range)
            found = np.clip(np.rint(weights / self.scales[:, self.places[column]]), -levels, levels)
        found[self.zeros[:, column]] = 0
        return found

    def nearest(self) -> NDArray[np.float64]:
        """The codes nearest to all weights, [outputs, inputs]."""
        return np.stack([self.codes(column, self.values[:, column]) for column in range(self.values.shape[1])], axis=1)

    def rounded(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """The weights that codes stand for."""
        return np.asarray(codes * self.scales.astype(np.float64)[:, self.places])

    def error(self, codes: NDArray[Any], hessian: NDArray[Any]) -> NDArray[np.float64]:
        """Squared error of each output's products that codes bring about, [outputs]."""
        off = self.rounded(codes) - self.values
        return np.asarray(((off @ hessian) * off).sum(axis=1))


def gptq(
    rows: Rows, hessian: NDArray[np.float64], damping: float = 0.01, by_activity: bool = False
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round weights so that the products with their inputs change little.

    An output for which this errs more than rounding to the nearest code, as may happen at the ends of a grid,
    keeps its nearest codes.

    Args:
        rows: the weights and their grid.
        hessian: the sum of the inputs' outer products, [inputs, inputs].
        damping: added to the Hessian's diagonal, as a share of its mean.
        by_activity: round the inputs with the most energy first; groups then keep the scales they have.

    Returns:
        Codes [outputs, inputs] and scales [outputs, groups].
    """
    if by_activity:
        rows = replace(rows, refitted=frozenset())
    energy = np.diag(hessian)
    order = np.argsort(-energy, kind="stable") if by_activity else np.arange(len(energy))
    fed = replace(rows, scales=rows.scales.copy())
    codes = _feed_back(fed, order, _inverse_root(hessian[np.ix_(order, order)], damping))
    nearest = rows.nearest()
    worse = fed.error(codes, hessian) > rows.error(nearest, hessian)
    codes[worse], fed.scales[worse] = nearest[worse], rows.scales[worse]
    return codes.astype(np.int8), fed.scales


def _inverse_root(hessian: NDArray[np.float64], damping: float) -> NDArray[np.float64]:
    """The upper triangular U with `U.T @ U` the inverse of a damped Hessian.

    It is the inverse of the upper triangular R with `R @ R.T` the Hessian, which costs less than inverting that.
    """
    damped = hessian.copy()
    diagonal = np.einsum("ii->i", damped)
    diagonal[diagonal == 0] = 1.0  # an input that was always 0 tells nothing: its weights are rounded to the nearest
    diagonal += damping * diagonal.mean()
    upper = np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1]
    inverse, _ = dtrtri(np.asfortranarray(upper))
    return np.ascontiguousarray(np.triu(inverse))


def _feed_back(rows: Rows, order: NDArray[np.int64], root: NDArray[np.float64]) -> NDArray[np.float64]:
    """Codes [outputs, inputs]; the scales of groups that are fitted anew are set in `rows`."""
    weights = rows.values[:, order].astype(np.float64)
    codes = np.zeros_like(weights)
    for start, end in _blocks(rows, len(order)):
        group = int(rows.places[order[start]])
        if group in rows.refitted and (start == 0 or rows.places[order[start - 1]] != group):
            members = weights[:, rows.places[order] == group].astype(np.float32)
            rows.scales[:, group] = fit_scale(members, rows.bits, 0, reduce_range=rows.reduce_range, cover=rows.cover)
        errors = np.zeros((len(weights), end - start))
        for place in range(start, end):
            column = order[place]
            found = rows.codes(column, weights[:, place])
            codes[:, column] = found
            off = (weights[:, place] - found * rows.scales[:, rows.places[column]]) / root[place, place]
            weights[:, place + 1 : end] -= np.outer(off, root[place, place + 1 : end])
            errors[:, place - start] = off
        weights[:, end:] -= errors @ root[start:end, end:]
    return codes


def _blocks(rows: Rows, columns: int) -> list[tuple[int, int]]:
    """Begin and end of runs of columns; a group that is fitted anew begins one, when all before it is settled."""
    begins = {int(np.argmax(rows.places == group)) for group in rows.refitted}
    bounds = sorted({*range(0, columns, BLOCK), *begins, columns})
    return list(itertools.pairwise(bounds))
