"""k-point meshes from a spacing, equally dense for small and large cells."""

from __future__ import annotations

import math

import numpy as np


def kpoint_grid(cell: np.ndarray, spacing_1_a: float | None) -> tuple[int, int, int] | None:
    """Return the divisions of a Γ-centred grid no coarser than ``spacing_1_a``; None is the Γ point alone.

    Parameters
    ----------
    cell
        Cell vectors (3, 3), Å.
    spacing_1_a
        Largest distance between k-points along a reciprocal vector, which has the factor 2π, 1/Å. This
        is VASP's KSPACING: n = max(1, ⌈b / spacing⌉) with the length b of the vector.

    Examples
    --------
    >>> kpoint_grid(np.diag([4.0, 4.0, 20.0]), 0.3)
    (6, 6, 2)
    """
    if spacing_1_a is None:
        return None
    lengths = 2 * math.pi * np.linalg.norm(np.linalg.inv(cell), axis=0)
    # rounding errors must not change the mesh between machines
    divisions = [max(1, math.ceil(length / spacing_1_a - 1e-8)) for length in lengths]
    return divisions[0], divisions[1], divisions[2]
