"""QR updates: triangular factors R of the QR decomposition of rows [X | y].

R contains all that a least-squares solution needs of its rows, whatever their number. Factors are merged by orthogonal
transformations, which avoids the squared condition number of the normal equations X'X.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from scipy.linalg.lapack import dtpqrt

_BLOCK = 32
"""Block size of LAPACK's ``dtpqrt`` (columns)."""


def add_rows(r_factor: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the factor (n, n) ``r_factor`` updated with ``rows`` (m, n); cost proportional to m."""
    return _joined(r_factor, rows, 0)


def merge(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the factor (n, n) of the rows of two factors, in a third of the time for full matrices."""
    return _joined(first, second, len(second))


def leave_one_out(r_factors: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the leave-one-out factors: for each of two or more factors, that of all others.

    Partial merges from both ends are reused, so the number of merges is linear in the number of factors.
    """
    before = list(accumulate(r_factors[:-1], merge))
    after = list(accumulate(r_factors[:0:-1], merge))[::-1]
    between = [merge(these, those) for these, those in zip(before, after[1:], strict=False)]
    return [after[0], *between, before[-1]]


def _joined(r_factor: np.ndarray, rows: np.ndarray, triangular: int) -> np.ndarray:
    """Return the merged factor; the last ``triangular`` of ``rows`` are upper triangular themselves."""
    r, _, _, info = dtpqrt(triangular, min(_BLOCK, len(r_factor)), r_factor, rows)
    assert info == 0
    return np.asarray(r)
