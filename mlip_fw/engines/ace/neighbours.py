"""Neighbour lists of periodic cells, with a skin (Verlet list) for moving atoms."""

from __future__ import annotations

import numpy as np
from pyace.catomicenvironment import ACEAtomicEnvironment
from vesin import NeighborList

from mlip_fw.engines.ace.pairs import Pairs

_MAX_KEYS = 100_000_000
"""Largest array for numbering images without sorting; atoms far outside of the cell would need a longer one."""


class Neighbours:
    """The pairs of a fully periodic cell, built in linear time and reused.

    Periodic images within the cutoff are explicit ghost atoms. The list holds pairs up to ``cutoff_a + skin_a`` and is
    rebuilt only when motion of atoms or change of the cell could have brought another pair within ``cutoff_a``.

    Parameters
    ----------
    species
        (n,) index of each atom's element in the potential.
    cutoff_a, skin_a
        Cutoff of the potential and the extra distance, Å.
    """

    def __init__(self, species: np.ndarray, cutoff_a: float, skin_a: float = 0.0) -> None:
        self.species = np.asarray(species, dtype=np.int64)
        self.cutoff_a, self.skin_a = cutoff_a, skin_a
        self.builds = 0
        self._cell: np.ndarray | None = None
        self._pairs: Pairs
        self._environment, self._environment_of = ACEAtomicEnvironment(), 0

    def pairs_at(self, positions: np.ndarray, cell: np.ndarray) -> Pairs:
        """Return the pairs for ``positions`` (n, 3) in ``cell`` (3, 3), rows are vectors, Å."""
        known = self._known_at(positions, cell)
        if known is None:
            self._build(positions, cell)
            known = positions
        self._pairs = self._pairs._replace(positions=self._extended(known, cell))
        return self._pairs

    def update(self, positions: np.ndarray, cell: np.ndarray) -> ACEAtomicEnvironment:
        """Return the pairs as an environment of pyace."""
        self.pairs_at(positions, cell)
        return self._for_pyace()

    def with_own_images(self) -> ACEAtomicEnvironment:
        """Return the environment with images as separate atoms: their forces are not added to the originals'."""
        environment, n_images = ACEAtomicEnvironment(), len(self.origins) - len(self.species)
        usual = self._for_pyace()
        environment.x = usual.x
        environment.species_type = usual.species_type
        environment.neighbour_list = [*usual.neighbour_list, *[[] for _ in range(n_images)]]
        environment.origins = np.arange(len(self.origins))
        return environment

    @property
    def origins(self) -> np.ndarray:
        """Index of the original of each atom or image; originals come first and are their own."""
        return self._pairs.owner

    def _for_pyace(self) -> ACEAtomicEnvironment:
        """Return the environment of the last update; its Python lists are made once for each build."""
        pairs = self._pairs
        if self._environment_of != self.builds:
            self._environment, self._environment_of = ACEAtomicEnvironment(), self.builds
            self._environment.x = pairs.positions
            self._environment.species_type = pairs.species
            self._environment.neighbour_list = [part.tolist() for part in np.split(pairs.others, pairs.start[1:-1])]
            self._environment.origins = pairs.owner
        self._environment.x = pairs.positions
        return self._environment

    def _extended(self, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
        n, extended = len(positions), np.empty((len(positions) + len(self._origins), 3))
        extended[:n] = positions
        np.take(positions, self._origins, axis=0, out=extended[n:], mode="clip")  # the mode without a copy
        extended[n:] += self._shifts_a if self._is_as_built(cell) else self._shifts @ cell
        return extended

    def _known_at(self, positions: np.ndarray, cell: np.ndarray) -> np.ndarray | None:
        """Return positions without jumps by lattice vectors since the list was built; None if it must be rebuilt."""
        if self.skin_a <= 0 or self._cell is None:
            return None
        is_same = self._is_as_built(cell)
        if is_same and 2 * _farthest_a(positions - self._built_at) <= self.skin_a:
            return positions
        jumps = np.rint(positions @ (self._inverse if is_same else np.linalg.inv(cell)) - self._scaled)
        if jumps.any():
            positions = np.asarray(positions - jumps @ cell)
        shrink = 1.0 if is_same else float(np.linalg.svd(np.linalg.solve(self._cell, cell), compute_uv=False)[-1])
        largest = _farthest_a(positions - self._scaled @ cell)
        return positions if shrink * (self.cutoff_a + self.skin_a) - 2 * largest >= self.cutoff_a else None

    def _is_as_built(self, cell: np.ndarray) -> bool:
        return bool(cell.tobytes() == self._cell_bytes)

    def _build(self, positions: np.ndarray, cell: np.ndarray) -> None:
        reach = self.cutoff_a + self.skin_a
        i, j, shifts = NeighborList(cutoff=reach, full_list=True).compute(
            points=positions, box=cell, periodic=True, quantities="ijS"
        )
        # vesin's numbers are unsigned, which NumPy's bincount refuses up to version 2.1
        n, i, j = len(positions), i.astype(np.int64), j.astype(np.int64)
        order = np.argsort(i, kind="stable")
        index, self._origins, self._shifts = _with_images(j, shifts, n)
        self._cell, self._inverse, self._cell_bytes = cell.copy(), np.linalg.inv(cell), cell.tobytes()
        self._built_at, self._scaled, self._shifts_a = positions.copy(), positions @ self._inverse, self._shifts @ cell
        self._pairs = Pairs(
            start=np.concatenate([[0], np.cumsum(np.bincount(i, minlength=n))]).astype(np.int64),
            others=index[order],
            owner=np.concatenate([np.arange(n), self._origins]),
            species=np.concatenate([self.species, self.species[self._origins]]),
            positions=self._extended(positions, cell),
        )
        self.builds += 1


def _farthest_a(moved: np.ndarray) -> float:
    """Return the largest displacement of an atom relative to the mean displacement of all, (n, 3)."""
    moved -= np.add.reduce(moved) / len(moved)
    return float(np.sqrt(np.maximum.reduce(np.einsum("ij,ij->i", moved, moved))))


def _with_images(atoms: np.ndarray, shifts: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give each periodic image an index of its own, from atoms (n_pairs,) and lattice shifts (n_pairs, 3) of pairs.

    Returns
    -------
    tuple
        (n_pairs,) number of the atom, or n and more for an image; (n_images,) atom and (n_images, 3) shift of each.
    """
    reach = int(np.abs(shifts).max(initial=0))
    width = 2 * reach + 1
    # a shift as one integer: three digits between -reach and reach
    code = (shifts[:, 0].astype(np.int64) * width + shifts[:, 1]) * width + shifts[:, 2]
    outside, none = np.flatnonzero(code), (width**3 - 1) // 2
    keys, index = atoms[outside] * width**3 + code[outside] + none, atoms.copy()
    if n * width**3 > _MAX_KEYS:
        met, numbers = np.unique(keys, return_inverse=True)
        index[outside] = n + numbers
    else:  # without sorting, in a fifth of the time
        is_met = np.zeros(n * width**3, dtype=bool)
        is_met[keys] = True
        met = np.flatnonzero(is_met)
        number = np.empty(len(is_met), dtype=np.int32)
        number[met] = np.arange(n, n + len(met))
        index[outside] = number[keys]
    digits = met[:, None] // np.array([width**2, width, 1]) % width
    return index, met // width**3, (digits - reach).astype(float)
