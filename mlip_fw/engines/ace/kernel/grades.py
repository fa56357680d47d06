"""Extrapolation grades max |b A⁻¹| of eight atoms at a time (compiled)."""

from __future__ import annotations

import numpy as np

from mlip_fw.engines.ace.kernel.cache import compiled
from mlip_fw.engines.ace.kernel.layout import Element
from mlip_fw.engines.ace.kernel.memory import Memory
from mlip_fw.engines.ace.kernel.vector import WIDTH, absolute, larger, load, muladd, read, spread, store

COLUMNS = 6
"""Columns of the inverse that are processed together: as many accumulators as fit into registers."""


def for_grades(inverse: np.ndarray, rank1: np.ndarray, n_first: int) -> np.ndarray:
    """Return the inverse of an active set in the layout that :func:`grade` reads, (n_blocks, n_rows, COLUMNS).

    Parameters
    ----------
    inverse
        (n_functions, n_functions)
    rank1
        Positions of the rank-one functions among the ``n_first`` that the kernel computes.
    """
    n, n_rank1 = len(inverse), len(rank1)
    rows = np.zeros((n_first + n - n_rank1, -(-n // COLUMNS) * COLUMNS))
    rows[rank1, :n] = inverse[:n_rank1]
    rows[n_first:, :n] = inverse[n_rank1:]
    return np.ascontiguousarray(rows.reshape(len(rows), -1, COLUMNS).transpose(1, 0, 2))


@compiled
def grade(n_rows: int, inverse: int, element: Element, s: Memory) -> None:
    """Compute the grades of the atoms of a block from their basis functions; NaN in a function gives NaN."""
    largest, poison = spread(0.0), spread(0.0)
    at = 0
    for _ in range(0, element.n_rank1 + element.n_functions, COLUMNS):
        a0, a1, a2 = spread(0.0), spread(0.0), spread(0.0)
        a3, a4, a5 = spread(0.0), spread(0.0), spread(0.0)
        for f in range(0, n_rows * WIDTH, WIDTH):
            b = load(s.functions, f)
            a0 = muladd(spread(read(inverse, at)), b, a0)
            a1 = muladd(spread(read(inverse, at + 1)), b, a1)
            a2 = muladd(spread(read(inverse, at + 2)), b, a2)
            a3 = muladd(spread(read(inverse, at + 3)), b, a3)
            a4 = muladd(spread(read(inverse, at + 4)), b, a4)
            a5 = muladd(spread(read(inverse, at + 5)), b, a5)
            at += COLUMNS
        poison = poison + spread(0.0) * (a0 + a1 + a2 + a3 + a4 + a5)
        largest = larger(largest, larger(larger(absolute(a0), absolute(a1)), absolute(a2)))
        largest = larger(largest, larger(larger(absolute(a3), absolute(a4)), absolute(a5)))
    store(s.grades, 0, largest + poison)
