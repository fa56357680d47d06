"""Least-squares problems as triangles: R of the QR decomposition of the rows [X | y].

A triangle has all that a solution needs of its rows, whatever their number. Triangles are joined by orthogonal
transformations alone, so nothing is lost as it would be in products X'X, whose condition number is squared.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from scipy.linalg.lapack import dtpqrt

_BLOCK = 32
"""Columns that LAPACK takes at a time."""


def with_rows(triangle: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the triangle (n, n) of the rows of another and of ``rows`` (m, n), in time proportional to m."""
    return _joined(triangle, rows, 0)


def joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the triangle (n, n) of the rows of two triangles, in a third of the time that full matrices take."""
    return _joined(first, second, len(second))


def all_but_each(triangles: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return for each of two or more triangles that of the rows of all others.

    What precedes and what follows is joined step by step, so the number of joins grows with that of
    triangles, not with its square.
    """
    before = list(accumulate(triangles[:-1], joined))
    after = list(accumulate(triangles[:0:-1], joined))[::-1]
    between = [joined(these, those) for these, those in zip(before, after[1:], strict=False)]
    return [after[0], *between, before[-1]]


def _joined(triangle: np.ndarray, rows: np.ndarray, triangular: int) -> np.ndarray:
    """Return the triangle of both; the last ``triangular`` of ``rows`` are a triangle themselves."""
    r, _, _, info = dtpqrt(triangular, min(_BLOCK, len(triangle)), triangle, rows)
    assert info == 0
    return np.asarray(r)
