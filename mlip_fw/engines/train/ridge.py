"""Ridge regression for many ridges, with conditions, and with what the data leave open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Spectrum:
    """A least-squares problem taken apart, to be solved for many ridges."""

    values: np.ndarray
    along: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, targets: np.ndarray) -> Spectrum:
        """Take apart ``rows`` (m, n) and ``targets`` (m,)."""
        u, values, vt = np.linalg.svd(rows, full_matrices=False)
        return cls(values, u.T @ targets, vt.T)

    def solve(self, ridge: float) -> np.ndarray:
        """Return the solution (n,) with a penalty of ``ridge``² times its square."""
        kept = self.values / (self.values**2 + ridge**2)
        return np.asarray(self.vectors @ (kept * self.along))

    def cheapest(self, ridge: float) -> np.ndarray:
        """Return (n, n) columns of equal cost: their products with themselves add up to the inverse Hessian."""
        return np.asarray(self.vectors / np.sqrt(self.values**2 + ridge**2))

    def shift(self, rows: np.ndarray, misses: np.ndarray, ridge: float) -> np.ndarray:
        """Return the cheapest change x with ``rows @ x >= misses``.

        In the coordinates where cost is length this is least distance programming, which non-negative
        least squares solves (Lawson and Hanson, Solving Least Squares Problems, chapter 23).
        """
        if (misses <= 0).all():
            return np.zeros(rows.shape[1])
        cheap = self.cheapest(ridge)
        sides = np.column_stack([rows @ cheap, misses]).T
        aim = np.zeros(len(sides))
        aim[-1] = 1.0
        weights, _ = nnls(sides, aim)
        residual = sides @ weights - aim
        return np.asarray(cheap @ (-residual[:-1] / residual[-1]))
