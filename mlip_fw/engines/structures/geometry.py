"""Interatomic distances and cell heights: checks for atoms too close and cells too thin."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from vesin import NeighborList

CLOSEST_FRACTION = 0.6
"""Atoms closer than this fraction of the sum of their covalent radii are refused everywhere."""


def closest_pair(atoms: Atoms) -> tuple[float, tuple[int, int]] | None:
    """Return the smallest distance in units of the sum of covalent radii, and its two atoms.

    None if no pair is closer than 1.2 times that sum.
    """
    reach = 2.4 * float(covalent_radii[atoms.numbers].max())
    i, j, d = NeighborList(cutoff=reach, full_list=True).compute(
        points=atoms.positions, box=atoms.cell.array, periodic=True, quantities="ijd"
    )
    if not len(d):
        return None
    ratio = d / (covalent_radii[atoms.numbers[i]] + covalent_radii[atoms.numbers[j]])
    k = int(np.argmin(ratio))
    return float(ratio[k]), (int(i[k]), int(j[k]))


def too_close(atoms: Atoms) -> str | None:
    """Return a sentence on the closest pair if it is unphysically close (see ``CLOSEST_FRACTION``), else None."""
    found = closest_pair(atoms)
    if found is None or found[0] >= CLOSEST_FRACTION:
        return None
    i, j = found[1]
    distance = float(atoms.get_distance(i, j, mic=True)) if i != j else float(min(atoms.cell.lengths()))
    symbols = atoms.get_chemical_symbols()
    return f"atoms {i} ({symbols[i]}) and {j} ({symbols[j]}) are {distance:.2f} Å apart"


def heights_a(cell: np.ndarray) -> np.ndarray:
    """Return the (3,) heights of a cell (3, 3), the distances between its opposite faces, Å."""
    return np.asarray(1 / np.linalg.norm(np.linalg.inv(cell), axis=0))


def distances_from(atoms: Atoms, center: int) -> np.ndarray:
    """Return the (n,) minimum-image distances of all atoms from one, Å."""
    return np.asarray(atoms.get_distances(center, range(len(atoms)), mic=True))
