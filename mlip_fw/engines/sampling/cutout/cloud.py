"""The atoms around one atom of a periodic cell, and the directions in which that cell may be cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mlip_fw.engines.structures.geometry import heights_a

_VACUUM_A = 10.0
"""A wider gap between two surfaces is narrowed to this, Å."""


@dataclass(frozen=True)
class Frame:
    """An MD cell made ready to be cut: which directions stay, and where every atom is in them."""

    scaled: np.ndarray
    """(n, 3) positions in units of ``cell``, around zero along the directions that stay, 0 to 1 along the others."""
    cell: np.ndarray
    """(3, 3) of the MD, Å."""
    numbers: np.ndarray
    kept: np.ndarray
    """(n_kept, 3) vectors of the MD cell that the small cell keeps, with narrowed vacuum, Å."""
    kept_axes: tuple[int, ...]
    vacuum_axes: tuple[int, ...]

    @property
    def n_cut(self) -> int:
        """How many box vectors are to be found."""
        return 3 - len(self.kept)

    def across(self, vectors: np.ndarray) -> np.ndarray:
        """Return the part of ``vectors`` (n, 3) at right angles to all directions that stay."""
        if not len(self.kept):
            return vectors
        along = np.linalg.qr(self.kept.T)[0]
        return np.asarray(vectors - vectors @ along @ along.T)


@dataclass(frozen=True)
class Cloud:
    """Atoms and periodic images around the centre, nearest first; the centre is the first."""

    vectors: np.ndarray
    """(m, 3) from the centre, Å."""
    distances: np.ndarray
    """(m,) from the centre, at right angles to the directions that stay, Å."""
    origin: np.ndarray
    """(m,) indices in the MD cell."""
    numbers: np.ndarray

    def within(self, distance_a: float) -> Cloud:
        """Return the part up to ``distance_a``."""
        m = int(np.searchsorted(self.distances, distance_a, side="right"))
        return Cloud(self.vectors[:m], self.distances[:m], self.origin[:m], self.numbers[:m])


def frame_to_cut(atoms: Atoms, cutoff_a: float, *, keep_vacuum: bool) -> Frame:
    """Return the MD cell with the directions that stay as they are.

    A direction stays if the cell is shorter in it than twice the cutoff, or if it holds a gap without
    atoms that is wider than the cutoff: there the whole slab is kept, with a gap of at most 10 Å (or
    the cutoff, if that is larger).
    """
    cell, scaled, heights = atoms.cell.array.copy(), atoms.get_scaled_positions(), heights_a(atoms.cell.array)
    gaps, middles = np.array([_widest_gap(scaled[:, axis]) for axis in range(3)]).T
    gaps *= heights
    vacuum = [axis for axis in range(3) if keep_vacuum and gaps[axis] >= cutoff_a]
    scaled[:, vacuum] = (scaled[:, vacuum] - middles[vacuum]) % 1.0
    positions, upright = scaled @ cell, cell.copy()
    for axis in vacuum:
        upright[axis] = heights[axis] * _normal(cell, axis)
    kept = [axis for axis in range(3) if axis in vacuum or heights[axis] < 2 * cutoff_a]
    narrowed = np.where(np.isin(range(3), vacuum), np.minimum(gaps, max(_VACUUM_A, cutoff_a)) - gaps, 0.0)
    return Frame(
        scaled=positions @ np.linalg.inv(upright),
        cell=upright,
        numbers=atoms.numbers,
        kept=upright[kept] * (1 + narrowed / heights)[kept, None],
        kept_axes=tuple(kept),
        vacuum_axes=tuple(vacuum),
    )


def uncut(atoms: Atoms) -> Frame:
    """Return the MD cell with all its periodic images, none of its directions set apart."""
    scaled = atoms.get_scaled_positions(wrap=False)
    return Frame(scaled, atoms.cell.array, atoms.numbers, np.zeros((0, 3)), (), ())


def cloud_around(frame: Frame, center: int, radius_a: float) -> Cloud:
    """Return all atoms within ``radius_a`` of the centre, once along directions that stay."""
    relative = frame.scaled - frame.scaled[center]
    for axis in set(range(3)) - set(frame.vacuum_axes):
        relative[:, axis] -= np.round(relative[:, axis])
    heights = heights_a(frame.cell)
    reach = [0 if k in frame.kept_axes else int(np.ceil(radius_a / heights[k] - 0.5)) for k in range(3)]
    near = np.ones(len(relative), dtype=bool)
    for k in set(range(3)) - set(frame.kept_axes):
        near &= np.abs(relative[:, k]) <= radius_a / heights[k] + reach[k]
    parts, origins = [], []
    for shift in np.ndindex(*(2 * r + 1 for r in reach)):
        vectors = (relative[near] + shift - np.array(reach)) @ frame.cell
        inside = np.linalg.norm(frame.across(vectors), axis=1) <= radius_a
        parts.append(vectors[inside])
        origins.append(np.flatnonzero(near)[inside])
    vectors, origin = np.concatenate(parts), np.concatenate(origins)
    distances = np.linalg.norm(frame.across(vectors), axis=1)
    order = np.lexsort((np.linalg.norm(vectors, axis=1), distances.round(9)))
    return Cloud(vectors[order], distances[order], origin[order], frame.numbers[origin[order]])


def _widest_gap(scaled: np.ndarray) -> tuple[float, float]:
    """Return the widest gap between consecutive values of a periodic coordinate, and its middle."""
    values = np.sort(scaled % 1.0)
    gaps = np.diff(values, append=values[0] + 1.0)
    k = int(np.argmax(gaps))
    return float(gaps[k]), float((values[k] + 0.5 * gaps[k]) % 1.0)


def _normal(cell: np.ndarray, axis: int) -> np.ndarray:
    """Return the unit vector at right angles to the two other cell vectors, on the side of this one."""
    normal = np.cross(cell[(axis + 1) % 3], cell[(axis + 2) % 3])
    normal /= np.linalg.norm(normal)
    return np.asarray(normal * np.sign(normal @ cell[axis]))
