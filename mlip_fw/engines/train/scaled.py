"""The least-squares problem of a fit with scaled columns, and the choice of its ridge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from mlip_fw.engines.train.ridge import Spectrum
from mlip_fw.engines.train.triangles import all_but_each, joined

_RIDGES = np.logspace(-8, -1, 15)
_DEFAULT_RIDGE = 1e-4
"""For a single label, which nothing can be validated against."""
_AS_WELL = 1.04
"""Squares of what is predicted that differ by less than this factor, 2 % of the error, are as good."""


@dataclass(frozen=True)
class Scaled:
    """The least-squares problem of a fit, with columns to be divided by ``scale``."""

    folds: list[np.ndarray]
    """(n + 1, n + 1) triangles, each of nothing but its own fold: what the pressure has of all is not in them."""
    whole: np.ndarray
    """(n + 1, n + 1) triangle of all folds."""
    scale: np.ndarray
    """(n,) root of the squares of each column, times the growth of the penalty."""
    apart: np.ndarray | None = None
    """(n + 1, n + 1) triangle of labels that are in every fit, and that no ridge is chosen for."""

    def spectrum(self, triangle: np.ndarray, start: np.ndarray) -> Spectrum:
        """Return the problem of a triangle for the change of the coefficients from ``start``."""
        n = len(self.scale)
        return Spectrum.of(triangle[:, :n] / self.scale, triangle[:, n] - triangle[:, :n] @ start)

    def best_ridge(self, start: np.ndarray) -> float:
        """Return the largest ridge whose fits to all folds but one predict the left-out fold as well as any do.

        Labels that say all that is asked of them are predicted alike by fits of very different ridges, and the smaller
        leave wild what no label speaks of.
        """
        if len(self.folds) < 2:
            return _DEFAULT_RIDGE
        losses = self.losses(start)
        return float(_RIDGES[losses <= _AS_WELL * losses.min()].max())

    def losses(self, start: np.ndarray, more: np.ndarray | None = None) -> np.ndarray:
        """Return (n_ridges,) the squares that fits to all folds but one leave of that one, over all folds.

        The rows of ``more``, a triangle (n + 1, n + 1), are in all fits and are not predicted.
        """
        losses, always = np.zeros(len(_RIDGES)), [part for part in (self.apart, more) if part is not None]
        for fold, rest in zip(self.folds, all_but_each(self.folds), strict=True):
            problem = self.spectrum(reduce(joined, always, rest), start)
            found = [start + problem.solve(ridge) / self.scale for ridge in _RIDGES]
            losses += [float(np.sum((fold @ np.append(coefficients, -1.0)) ** 2)) for coefficients in found]
        return losses
