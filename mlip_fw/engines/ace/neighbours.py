"""Neighbour lists of periodic cells as pyace environments, with a skin (Verlet list) for moving atoms."""

from __future__ import annotations

import numpy as np
from pyace.catomicenvironment import ACEAtomicEnvironment
from vesin import NeighborList


class Neighbours:
    """The pyace environment of a fully periodic cell, built in linear time and reused.

    Periodic images within the cutoff are explicit ghost atoms. The list holds pairs up to ``cutoff_a + skin_a`` and is
    rebuilt only when a pair outside of it could have come within ``cutoff_a`` by motion of atoms or change of the cell.

    Parameters
    ----------
    species
        (n,) index of each atom's element in the potential.
    cutoff_a, skin_a
        Cutoff of the potential and the extra distance, Å.
    """

    def __init__(self, species: np.ndarray, cutoff_a: float, skin_a: float = 0.0) -> None:
        self.species = np.asarray(species, dtype=int)
        self.cutoff_a, self.skin_a = cutoff_a, skin_a
        self.environment = ACEAtomicEnvironment()
        self.builds = 0
        self._cell: np.ndarray | None = None

    def update(self, positions: np.ndarray, cell: np.ndarray) -> ACEAtomicEnvironment:
        """Return the environment for ``positions`` (n, 3) in ``cell`` (3, 3), rows are vectors, Å."""
        if self._cell is None or not self._still_valid(positions, cell):
            self._build(positions, cell)
        else:
            positions = self._unwrapped(positions, cell)
        self.environment.x = self._extended(positions, cell)
        return self.environment

    def with_own_images(self) -> ACEAtomicEnvironment:
        """Return the environment with images as separate atoms: their forces are not added to the originals'."""
        environment, n_images = ACEAtomicEnvironment(), len(self.origins) - len(self.species)
        environment.x = self.environment.x
        environment.species_type = self.environment.species_type
        environment.neighbour_list = [*self.environment.neighbour_list, *[[] for _ in range(n_images)]]
        environment.origins = np.arange(len(self.origins))
        return environment

    @property
    def origins(self) -> np.ndarray:
        """Index of the original of each atom of the environment; originals come first and are their own."""
        return np.concatenate([np.arange(len(self.species)), self._origins])

    def _extended(self, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
        ghosts = positions[self._origins] + self._shifts @ cell
        return np.concatenate([positions, ghosts])

    def _unwrapped(self, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """Undo jumps by lattice vectors since the list was built."""
        scaled = positions @ np.linalg.inv(cell)
        return np.asarray(positions - np.round(scaled - self._scaled) @ cell)

    def _still_valid(self, positions: np.ndarray, cell: np.ndarray) -> bool:
        if self.skin_a <= 0 or self._cell is None:
            return False
        deformation = np.linalg.solve(self._cell, cell)
        shrink = np.linalg.svd(deformation, compute_uv=False)[-1]
        moved = self._unwrapped(positions, cell) - self._scaled @ cell
        moved -= moved.mean(axis=0)
        largest = np.sqrt(np.einsum("ij,ij->i", moved, moved).max())
        return bool(shrink * (self.cutoff_a + self.skin_a) - 2 * largest >= self.cutoff_a)

    def _build(self, positions: np.ndarray, cell: np.ndarray) -> None:
        reach = self.cutoff_a + self.skin_a
        i, j, shifts = NeighborList(cutoff=reach, full_list=True).compute(
            points=positions, box=cell, periodic=True, quantities="ijS"
        )
        n, inside = len(positions), ~np.any(shifts, axis=1)
        outside = ~inside
        first, inverse = _distinct(j[outside], shifts[outside])
        index = j.astype(np.int64)
        index[outside] = n + inverse
        order = np.argsort(i, kind="stable")
        ends = np.cumsum(np.bincount(i, minlength=n))[:-1]
        lists = np.split(index[order], ends)

        self._origins = j[outside][first].astype(int)
        self._shifts = shifts[outside][first].astype(float)
        self._cell, self._scaled = cell.copy(), positions @ np.linalg.inv(cell)
        environment = ACEAtomicEnvironment()
        environment.x = self._extended(positions, cell)
        environment.species_type = np.concatenate([self.species, self.species[self._origins]])
        environment.neighbour_list = [part.tolist() for part in lists]
        environment.origins = self.origins
        self.environment = environment
        self.builds += 1


def _distinct(atoms: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first index of each distinct (atom, shift) pair, and for every pair the number of its distinct one."""
    reach = int(np.abs(shifts).max(initial=0))
    keys = atoms.astype(np.int64)
    for axis in range(3):
        keys = keys * (2 * reach + 1) + shifts[:, axis] + reach
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first, inverse
