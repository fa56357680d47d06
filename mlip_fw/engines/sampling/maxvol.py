"""MaxVol algorithm: find the rows of a tall matrix that span (nearly) the largest volume (D-optimality)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TOLERANCE = 1.001
"""MaxVol stops when no environment has a larger extrapolation grade than this."""
MAX_SWAPS = 5000
"""Limit on row exchanges, in case rounding errors prevent convergence."""
_VIRTUAL_SCALE = 1e-2
_SMALLEST = 1e-6
_POOL = 10
"""Number of candidate rows considered at a time, as a multiple of the size of the active set."""
_BLOCK = 500
"""Rows multiplied by the inverse at a time, so that the product stays in the processor's cache."""
_UNSCALED = 1e-20
"""Size of virtual rows before any environment has shown how large the basis functions are."""


@dataclass(frozen=True)
class ActiveSet:
    """The active set of one element.

    Rows that no environment has filled yet are *virtual*: tiny multiples of unit vectors. They keep the matrix
    invertible, and make gamma large in every direction that the data do not span.
    """

    matrix: np.ndarray
    """(n, n) one environment (its basis functions) in each row."""
    inverse: np.ndarray
    """(n, n)"""

    def gamma(self, rows: np.ndarray) -> np.ndarray:
        """Return the extrapolation grade of ``rows`` (m, n): (m,)."""
        found = np.empty(len(rows))
        for first in range(0, len(rows), _BLOCK):
            components = rows[first : first + _BLOCK] @ self.inverse
            np.abs(components, out=components).max(axis=1, out=found[first : first + _BLOCK])
        return found

    @property
    def is_blank(self) -> bool:
        """Whether all rows are virtual and no environment has set their scale."""
        return bool(np.abs(self.matrix).max() < 2 * _UNSCALED)

    @classmethod
    def from_inverse(cls, inverse: np.ndarray) -> ActiveSet:
        """Make an active set from its stored inverse."""
        return cls(np.linalg.inv(inverse), inverse)

    @classmethod
    def empty(cls, rows: np.ndarray, n_functions: int) -> ActiveSet:
        """Return an active set of virtual rows, scaled by the root mean square of each column of ``rows`` (m, n)."""
        typical = np.sqrt(np.mean(rows**2, axis=0)) if len(rows) else np.zeros(n_functions)
        largest = float(typical.max(initial=0.0))
        scale = (
            np.maximum(typical, _SMALLEST * largest) * _VIRTUAL_SCALE if largest else np.full(n_functions, _UNSCALED)
        )
        return cls(np.diag(scale), np.diag(1 / scale))


@dataclass(frozen=True)
class Exchange:
    """Result of a MaxVol run."""

    active: ActiveSet
    swaps: int
    log_gain: float
    """Growth of ln |det A|."""

    def followed_by(self, more: Exchange) -> Exchange:
        """Return the combined result of this run and one that continued from it."""
        return Exchange(more.active, self.swaps + more.swaps, self.log_gain + more.log_gain)


def exchange(
    active: ActiveSet, rows: np.ndarray, *, tolerance: float = TOLERANCE, max_swaps: int = MAX_SWAPS
) -> Exchange:
    """Exchange rows of the active set for rows of larger gamma until no exchange increases the volume.

    Parameters
    ----------
    active
        Initial active set; the better it is, the fewer exchanges are needed.
    rows
        (m, n) environments to choose from.
    tolerance
        Stop when no row has a gamma above this.
    max_swaps
        Limit on the number of exchanges.

    Notes
    -----
    Each exchange multiplies the volume by the largest component and costs O(m n), by a rank-1
    update (Goreinov et al., "How to find a good submatrix", 2010; Podryabinkin and Shapeev,
    Comput. Mater. Sci. 140, 171 (2017)). Of very many rows, only a pool with the largest gamma takes part at first;
    when it has converged, gamma of all rows is computed again.
    """
    found, limit = Exchange(active, 0, 0.0), _POOL * active.matrix.shape[1]
    while found.swaps < max_swaps and len(rows):
        gamma = found.active.gamma(rows)
        if gamma.max() <= tolerance:
            break
        pool = rows if len(rows) <= limit else rows[np.sort(np.argpartition(gamma, -limit)[-limit:])]
        more = _exchange_within(found.active, pool, tolerance, max_swaps - found.swaps)
        if not more.swaps:
            break
        found = found.followed_by(more)
    return found


def _exchange_within(active: ActiveSet, rows: np.ndarray, tolerance: float, max_swaps: int) -> Exchange:
    matrix, swaps, log_gain = active.matrix.copy(), 0, 0.0
    components = rows @ active.inverse
    while swaps < max_swaps:
        flat = int(np.abs(components).argmax())
        i, j = divmod(flat, components.shape[1])
        pivot = components[i, j]
        if abs(pivot) <= tolerance:
            break
        log_gain += float(np.log(abs(pivot)))
        matrix[j] = rows[i]
        change = components[i].copy()
        change[j] -= 1.0
        components -= np.outer(components[:, j] / pivot, change)
        swaps += 1
        if swaps % 200 == 0:
            components = rows @ np.linalg.inv(matrix)
    if not swaps:
        return Exchange(active, 0, 0.0)
    return Exchange(ActiveSet(matrix, np.linalg.inv(matrix)), swaps, log_gain)
