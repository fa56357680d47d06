"""Whether the chemistry of a structure is still that of its start: whole molecules, and as many neighbours as before.

Two limits stand for each bond, not one, so that atoms that vibrate are never taken for atoms that move elsewhere:

- *Molecules* are finite groups of atoms within bond distance at the start, each with at least one nonmetal. A bond of
  theirs has broken beyond 1.5 times the sum of the covalent radii, and a new one counts below 1.15 times.
- *Other atoms* are compared by their number of neighbours of each element within the first shell of the start, which
  ends where the distances have their widest gap. An atom has too few neighbours if the far end of the gap holds fewer
  than any atom of the element had, too many if the first fifth of it holds more. A start without a gap, as a liquid,
  has no shell that could be left.
- Elements that have no bond at the start, as two oxygen atoms of an oxide, may get none; two metals may.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from vesin import NeighborList

_BONDED, _FORMED, _BROKEN = 1.25, 1.15, 1.5
"""Bond distances in units of the sum of two covalent radii: at the start; of a new bond; beyond it one has broken."""
_REACH = 1.7
"""How far a first shell may reach, in units of the shortest distance: the gap of fcc ends at 1.41, of bcc at 1.63."""
_SMALLEST_GAP = 0.15
"""Of a first shell, in units of the shortest distance; a narrower one comes by chance, as in a liquid."""
_NEAR_GAP = 0.2
"""Part of the gap within which an atom is a neighbour beyond doubt."""
_NONMETALS = frozenset(Atoms("HBCNOFSiPSClGeAsSeBrTeI").numbers.tolist())


@dataclass(frozen=True)
class Change:
    """Atoms of one element with another number of neighbours of an element than at the start, or changed molecules."""

    n_changed: int
    n_all: int
    sentence: str
    """As ``4 of 32 O have 3 H neighbours; at the start all had 2``."""


@dataclass(frozen=True)
class _Pairs:
    """All pairs of atoms within reach, each in both directions."""

    i: np.ndarray
    j: np.ndarray
    distance_a: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, atoms: Atoms, cutoff_a: float) -> _Pairs:
        box = atoms.cell.array if atoms.pbc.any() else np.zeros((3, 3))
        found = NeighborList(cutoff=cutoff_a, full_list=True).compute(
            points=atoms.positions, box=box, periodic=bool(atoms.pbc.any()), quantities="ijdS"
        )
        return cls(*(np.asarray(one) for one in found))

    def within(self, limit_a: np.ndarray | float) -> _Pairs:
        """Return the pairs that are closer than a limit, one for all or one for each."""
        near = self.distance_a < limit_a
        return _Pairs(self.i[near], self.j[near], self.distance_a[near], self.shift[near])

    def counts(self, numbers: np.ndarray, center: int, neighbour: int) -> np.ndarray:
        """Return how many neighbours of one element each atom of another has."""
        chosen = (numbers[self.i] == center) & (numbers[self.j] == neighbour)
        return np.asarray(np.bincount(self.i[chosen], minlength=len(numbers))[numbers == center])


@dataclass(frozen=True)
class _Shell:
    """Neighbours of one element around another: how many at the start, and the limits of a changed number, Å."""

    center: int
    neighbour: int
    near_a: float
    far_a: float
    counts: np.ndarray
    """(n,) of each atom of the central element at the start."""


class Chemistry:
    """Molecules and first shells of a start structure, with which later frames of it are compared."""

    def __init__(self, start: Atoms) -> None:
        self._numbers = start.numbers.copy()
        self._pbc = start.pbc.copy()
        pairs = _Pairs.of(start, _REACH * _BONDED * _bond_lengths(start.numbers).max())
        bonds = pairs.within(_BONDED * _sums(pairs, start.numbers))
        self._molecule_of = _molecules(bonds, start.numbers)
        self._bonds = _as_set(bonds)
        self._shells = [
            shell
            for center in np.unique(start.numbers)
            for neighbour in np.unique(start.numbers)
            if (shell := self._shell(pairs, bonds, int(center), int(neighbour))) is not None
        ]
        self._reach_a = max([_BROKEN * _bond_lengths(start.numbers).max(), *(shell.far_a for shell in self._shells)])

    def changes(self, frame: Atoms) -> list[Change]:
        """Return what differs from the start, changed molecules first; nothing where atoms only vibrate.

        Parameters
        ----------
        frame
            The atoms of the start in the same order, elsewhere; the cell may be another one.
        """
        pairs = _Pairs.of(Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=self._pbc), self._reach_a)
        found = [self._changed_molecules(pairs), *(self._changed_shell(shell, pairs) for shell in self._shells)]
        return [one for one in found if one is not None]

    def _shell(self, pairs: _Pairs, bonds: _Pairs, center: int, neighbour: int) -> _Shell | None:
        """Return the shell of one element around another at the start; None if it has no clear end."""
        numbers = self._numbers
        length = float(covalent_radii[center] + covalent_radii[neighbour])
        bonded = bonds.within(np.where(_are(bonds, numbers, center, neighbour), np.inf, 0.0))
        if not len(bonded.i) and not {center, neighbour} & _NONMETALS:
            return None  # cations that come near to each other have no bond
        if not len(bonded.i) or (self._molecule_of[bonded.i] >= 0).all():
            return _Shell(
                center, neighbour, _FORMED * length, _BROKEN * length, bonds.counts(numbers, center, neighbour)
            )
        mine = np.sort(pairs.distance_a[_are(pairs, numbers, center, neighbour)])
        mine = np.append(mine[mine < _REACH * mine[0]], _REACH * mine[0])
        gaps = np.diff(mine)
        end = int(np.argmax(gaps))
        if gaps[end] < _SMALLEST_GAP * mine[0]:
            return None
        near, far = float(mine[end] + _NEAR_GAP * gaps[end]), float(mine[end + 1])
        return _Shell(center, neighbour, near, far, pairs.within(near).counts(numbers, center, neighbour))

    def _changed_molecules(self, pairs: _Pairs) -> Change | None:
        """Return in how many molecules a bond has broken, or one was formed to any other atom."""
        if self._molecule_of.max(initial=-1) < 0:
            return None
        sums = _sums(pairs, self._numbers)
        held, formed = _as_set(pairs.within(_BROKEN * sums)), _as_set(pairs.within(_FORMED * sums))
        changed = {atom for bond in (self._bonds - held) | (formed - self._bonds) for atom in bond}
        molecules = {int(self._molecule_of[atom]) for atom in changed} - {-1}
        n_all = int(self._molecule_of.max()) + 1
        if not molecules:
            return None
        said = f"{len(molecules)} of {n_all} molecules have lost or gained a bond since the start"
        return Change(len(molecules), n_all, said if n_all > 1 else "the molecule has lost or gained a bond")

    def _changed_shell(self, shell: _Shell, pairs: _Pairs) -> Change | None:
        min_count, max_count = int(shell.counts.min()), int(shell.counts.max())
        far = pairs.within(shell.far_a).counts(self._numbers, shell.center, shell.neighbour)
        near = pairs.within(shell.near_a).counts(self._numbers, shell.center, shell.neighbour)
        now = [*far[far < min_count].tolist(), *near[near > max_count].tolist()]
        if not now:
            return None
        center, neighbour = chemical_symbols[shell.center], chemical_symbols[shell.neighbour]
        had = f"all had {min_count}" if min_count == max_count else f"they had {min_count} to {max_count}"
        return Change(
            len(now),
            len(shell.counts),
            f"{len(now)} of {len(shell.counts)} {center} have {_numbers_in_words(now)} {neighbour} neighbours; "
            f"at the start {had}",
        )


def changes_since(start: Atoms, frame: Atoms) -> list[str]:
    """Return one sentence for each way in which the chemistry of ``frame`` differs from that of ``start``."""
    return [change.sentence for change in Chemistry(start).changes(frame)]


def _molecules(bonds: _Pairs, numbers: np.ndarray) -> np.ndarray:
    """Return the (n,) index of the molecule of each atom; -1 of single atoms, of networks and of metals."""
    n = len(numbers)
    graph = coo_matrix((np.ones(len(bonds.i)), (bonds.i, bonds.j)), shape=(n, n))
    n_groups, group_of = connected_components(graph, directed=False)
    is_molecule = np.bincount(group_of, minlength=n_groups) > 1
    is_molecule[group_of[_wrapped(bonds, n)]] = False
    metallic = ~np.isin(numbers, list(_NONMETALS))
    # a bond between two metal atoms makes a cluster, whose atoms may change places
    is_molecule[group_of[bonds.i[metallic[bonds.i] & metallic[bonds.j]]]] = False
    index = np.where(is_molecule, np.cumsum(is_molecule) - 1, -1)
    return np.asarray(index[group_of])


def _wrapped(bonds: _Pairs, n: int) -> np.ndarray:
    """Return atoms of groups that reach themselves through the boundary of the cell, one at least of each."""
    images = np.full((n, 3), np.iinfo(np.int64).max)
    partners: dict[int, list[tuple[int, np.ndarray]]] = {
        int(atom): [(int(bonds.j[k]), bonds.shift[k]) for k in group]
        for atom, group in groupby(np.argsort(bonds.i, kind="stable"), key=lambda k: bonds.i[k])
    }
    found, seen = [], np.zeros(n, dtype=bool)
    for first in partners:
        if seen[first]:
            continue
        seen[first], images[first], stack = True, 0, [first]
        while stack:
            atom = stack.pop()
            for other, shift in partners[atom]:
                image = images[atom] + shift
                if not seen[other]:
                    seen[other], images[other] = True, image
                    stack.append(other)
                elif (images[other] != image).any():
                    found.append(other)
    return np.array(found, dtype=int)


def _as_set(bonds: _Pairs) -> set[tuple[int, int]]:
    return {(i, j) for i, j in zip(bonds.i.tolist(), bonds.j.tolist(), strict=True) if i <= j}


def _are(pairs: _Pairs, numbers: np.ndarray, center: int, neighbour: int) -> np.ndarray:
    return np.asarray((numbers[pairs.i] == center) & (numbers[pairs.j] == neighbour))


def _sums(pairs: _Pairs, numbers: np.ndarray) -> np.ndarray:
    """Return the sum of the covalent radii of each pair, Å."""
    return np.asarray(covalent_radii[numbers[pairs.i]] + covalent_radii[numbers[pairs.j]])


def _bond_lengths(numbers: np.ndarray) -> np.ndarray:
    radii = covalent_radii[np.unique(numbers)]
    return np.asarray(radii[:, None] + radii[None, :])


def _numbers_in_words(counts: list[int]) -> str:
    """Return the numbers that occur, the most frequent first, as ``3`` or ``3 or 1``."""
    return " or ".join(str(count) for count, _ in Counter(counts).most_common(3))
