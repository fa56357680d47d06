"""Least-squares problem with scaled columns, and the choice of the ridge by k-fold cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np

from mlip_fw.engines.train.folds import TriangularFactor
from mlip_fw.engines.train.qr_update import leave_one_out, merge
from mlip_fw.engines.train.ridge import RidgeProblem

RIDGES = np.logspace(-8, 1, 19)
"""The ridges that cross-validation chooses from."""
_DEFAULT_RIDGE = 1e-4
"""Ridge for a single label, with which no cross-validation is possible."""
_AS_WELL = 1.04
"""Cross-validation losses (squares) within this factor of the lowest, 2 % of the error, count as equally good."""


def edge_of_grid(ridge: float) -> Literal["smallest", "largest"] | None:
    """Return which edge of the ridges that are tried this one lies at, if it does."""
    if ridge <= RIDGES[0]:
        return "smallest"
    return "largest" if ridge >= RIDGES[-1] else None


@dataclass(frozen=True)
class ScaledProblem:
    """Least-squares problem of a fit; its columns are divided by ``scale`` before it is solved."""

    folds: list[np.ndarray]
    """(n + 1, n + 1) factors of the single folds, without the rows that all folds share (pressure, offsets)."""
    whole: np.ndarray
    """(n + 1, n + 1) factor of all rows."""
    scale: np.ndarray
    """(n,) norm of each column, times the relative penalty of its coefficient."""
    down_weighted: np.ndarray | None = None
    """(n + 1, n + 1) factor of down-weighted labels: in all training sets of the cross-validation, never predicted."""

    def spectrum(self, r_factor: np.ndarray, start: np.ndarray) -> RidgeProblem:
        """Return the ridge problem of a factor for the difference of the coefficients from ``start``."""
        n = len(self.scale)
        return RidgeProblem.of(r_factor[:, :n] / self.scale, r_factor[:, n] - r_factor[:, :n] @ start)

    def best_ridge(self, start: np.ndarray) -> float:
        """Return the largest ridge within 2 % of the lowest k-fold cross-validation error.

        Where labels determine all that is validated, very different ridges have the same error. The largest of them is
        the safest, because it keeps directions small that no label determines.
        """
        if len(self.folds) < 2:
            return _DEFAULT_RIDGE
        losses = self.losses(start)
        return float(RIDGES[losses <= _AS_WELL * losses.min()].max())

    def left_out_rmse(self, start: np.ndarray, ridge: float, left_out: Sequence[TriangularFactor]) -> float | None:
        """Return the k-fold cross-validation error of some of the rows of each fold, as of its forces.

        ``left_out`` are the triangular factors of these rows, one for each fold. None with fewer than two folds.
        """
        if len(self.folds) < 2:
            return None
        always = [] if self.down_weighted is None else [self.down_weighted]
        squares = 0.0
        for rows, rest in zip(left_out, leave_one_out(self.folds), strict=True):
            coefficients = start + self.spectrum(reduce(merge, always, rest), start).solve(ridge) / self.scale
            squares += rows.n_rows * rows.rmse(coefficients) ** 2
        n_rows = sum(rows.n_rows for rows in left_out)
        return float(np.sqrt(squares / n_rows)) if n_rows else None

    def losses(self, start: np.ndarray, more: np.ndarray | None = None) -> np.ndarray:
        """Return (n_ridges,) k-fold cross-validation losses: sums of squares over all left-out folds.

        Rows of the factor ``more`` (n + 1, n + 1) are added to all training sets and never predicted.
        """
        losses, always = np.zeros(len(RIDGES)), [part for part in (self.down_weighted, more) if part is not None]
        for fold, rest in zip(self.folds, leave_one_out(self.folds), strict=True):
            problem = self.spectrum(reduce(merge, always, rest), start)
            found = [start + problem.solve(ridge) / self.scale for ridge in RIDGES]
            losses += [float(np.sum((fold @ np.append(coefficients, -1.0)) ** 2)) for coefficients in found]
        return losses
