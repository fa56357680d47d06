"""Periodic cells with vacuum for molecules, clusters, wires and slabs."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from mlip_fw.errors import CampaignError

_MORE_A = 1.0


def in_vacuum(atoms: Atoms, cutoff_a: float, where: str) -> Atoms:
    """Return a fully periodic copy with vacuum along non-periodic directions: images are beyond the cutoff.

    Positions and the cell vectors of periodic directions are unchanged; the other cell vectors become orthogonal to
    them.

    Raises
    ------
    CampaignError
        If a periodic direction has no cell vector.
    """
    cell, pbc = atoms.cell.array.copy(), atoms.pbc.copy()
    if np.linalg.matrix_rank(cell[pbc]) < pbc.sum():
        raise CampaignError(f"{where} is periodic along a direction without a cell vector; give its Lattice, or pbc F")
    for axis in np.flatnonzero(~pbc):
        cell[axis] = 0.0
    for axis in np.flatnonzero(~pbc):
        normal = _normal(cell)
        along = atoms.positions @ normal
        cell[axis] = normal * (np.ptp(along) + cutoff_a + _MORE_A)
    if np.linalg.det(cell) < 0:
        cell[np.flatnonzero(~pbc)[-1]] *= -1
    return Atoms(atoms.numbers, atoms.positions, cell=cell, pbc=True)


def _normal(cell: np.ndarray) -> np.ndarray:
    """Return a (3,) unit vector orthogonal to all non-zero cell vectors; along a Cartesian axis if possible."""
    given = cell[np.any(cell != 0.0, axis=1)]
    for axis in np.eye(3):
        if not np.any(np.abs(given @ axis) > 1e-12):
            return np.asarray(axis)
    _, _, directions = np.linalg.svd(np.vstack([given, np.zeros((3 - len(given), 3))]))
    return np.asarray(directions[len(given)] if len(given) < 3 else directions[-1])
