"""Ridge regression by singular value decomposition: many ridges, inequality constraints, posterior covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class RidgeProblem:
    """A least-squares problem in its singular value decomposition, which solves it for any ridge at little cost."""

    values: np.ndarray
    """(k,) singular values of the rows."""
    projected: np.ndarray
    """(k,) targets projected on the left singular vectors."""
    vectors: np.ndarray
    """(n, k) right singular vectors."""

    @classmethod
    def of(cls, rows: np.ndarray, targets: np.ndarray) -> RidgeProblem:
        """Decompose ``rows`` (m, n) and ``targets`` (m,)."""
        u, values, vt = np.linalg.svd(rows, full_matrices=False)
        return cls(values, u.T @ targets, vt.T)

    def solve(self, ridge: float) -> np.ndarray:
        """Return the coefficients (n,) that minimise the squares of the residuals plus ``ridge``² times their own."""
        kept = self.values / (self.values**2 + ridge**2)
        return np.asarray(self.vectors @ (kept * self.projected))

    def inverse_hessian_root(self, ridge: float) -> np.ndarray:
        """Return a square root (n, n) of the inverse Hessian: of the posterior covariance for unit noise variance."""
        return np.asarray(self.vectors / np.sqrt(self.values**2 + ridge**2))

    def constrained_change(self, rows: np.ndarray, misses: np.ndarray, ridge: float) -> np.ndarray:
        """Return the change x of the coefficients with ``rows @ x >= misses`` that increases the loss least.

        In coordinates where the increase is the squared length of x, this is the problem LDP (least distance
        programming), which is solved by non-negative least squares (Lawson and Hanson, Solving Least Squares
        Problems, chapter 23).
        """
        if (misses <= 0).all():
            return np.zeros(rows.shape[1])
        cheap = self.inverse_hessian_root(ridge)
        sides = np.column_stack([rows @ cheap, misses]).T
        aim = np.zeros(len(sides))
        aim[-1] = 1.0
        weights, _ = nnls(sides, aim)
        residual = sides @ weights - aim
        return np.asarray(cheap @ (-residual[:-1] / residual[-1]))
