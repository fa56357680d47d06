"""Box vectors that fit a structure: translations that map the surroundings of an atom onto themselves.

The map of all difference vectors between atoms of the same element (in crystallography: the Patterson
map) peaks at the translations of a crystal, however hot, strained or turned it is. In a liquid it is
flat, and any vector of the right length is as good as another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mlip_fw.engines.sampling.cutout.cloud import Cloud, Frame, cloud_around

_VOXEL_A = 0.4
_REACH = 1.4
"""Longest box vector in units of the shortest that is allowed."""
_N_REFERENCE = 200
"""Atoms from which difference vectors are taken."""
_N_POOL = 110
"""Translations from which box vectors are combined, the shortest first."""
_GOOD_ENOUGH = 0.6
"""Peaks lower than this fraction of the highest are no translations of the crystal."""
_OUT_OF_PLANE_A = 0.6
_CHUNK = 2000
_DENSEST = {1: 1 - 1e-6, 2: 0.866, 3: 0.7071}
"""Least volume of a lattice in one, two or three dimensions whose shortest vector has length 1."""


@dataclass(frozen=True)
class Translations:
    """Vectors that may become edges of the small cell."""

    vectors: np.ndarray
    """(m, 3), Å, the shortest first."""
    fit: np.ndarray
    """(m,) fraction of atoms that have a partner of their element at the end of the vector."""


@dataclass(frozen=True)
class LatticeBox:
    """A small cell to be filled."""

    cell: np.ndarray
    """(3, 3), Å."""
    cut: np.ndarray
    """(n_cut, 3) those vectors of it that are not the MD cell's own."""
    mismatch: float
    """Share of atoms that have no partner across the new boundary: 0 in a crystal whose period it is."""


def translations(frame: Frame, center: int, shortest_a: float) -> Translations:
    """Return the peaks of the map of difference vectors around one atom, from ``shortest_a`` on."""
    longest_a = _REACH * shortest_a
    cloud = cloud_around(frame, center, longest_a + 0.7 * shortest_a)
    first = cloud.within(0.7 * shortest_a)
    first = Cloud(*(part[:_N_REFERENCE] for part in (first.vectors, first.distances, first.origin, first.numbers)))
    differences = _differences(first, cloud, frame, shortest_a - _VOXEL_A, longest_a + _VOXEL_A)
    vectors, counts = _peaks(differences, longest_a)
    lengths = np.linalg.norm(frame.across(vectors), axis=1)
    inside = (lengths >= shortest_a) & (lengths <= longest_a)
    order = np.argsort(lengths[inside], kind="stable")
    return Translations(vectors[inside][order], (counts[inside] / len(first.vectors)).clip(max=1.0)[order])


def boxes(frame: Frame, found: Translations, shortest_a: float, *, fitting: bool) -> Iterator[LatticeBox]:
    """Yield different boxes, the most compact first.

    Images of the centre are at least ``shortest_a`` apart: every vector of the lattice, at right angles
    to the directions that stay, is at least that long. ``fitting`` takes translations of the crystal only.
    """
    lowest = _GOOD_ENOUGH * found.fit.max(initial=0.0) if fitting else 0.0
    pool = np.flatnonzero(found.fit >= lowest)[:_N_POOL]
    d = frame.n_cut
    sets = np.array(list(combinations(pool, d)), dtype=int).reshape(-1, d)
    kept = np.broadcast_to(frame.kept, (len(sets), *frame.kept.shape))
    determinants = np.linalg.det(np.concatenate([found.vectors[sets], kept], axis=1))
    volumes = np.abs(determinants).round(3)
    order = np.argsort(volumes, kind="stable")
    order = order[volumes[order] >= _DENSEST[d] * shortest_a**d * _volume(frame.kept)]
    made: list[np.ndarray] = []
    for start in range(0, len(order), _CHUNK):
        part = order[start : start + _CHUNK]
        across = frame.across(found.vectors[sets[part]].reshape(-1, 3)).reshape(-1, d, 3)
        for k in part[_shortest(across) >= shortest_a - 1e-9]:
            vectors = found.vectors[sets[k]]
            vectors[0] *= np.sign(determinants[k])
            if not any(_same_lattice(vectors, other, frame) for other in made):
                made.append(vectors)
                yield LatticeBox(np.concatenate([vectors, frame.kept]), vectors, float(1 - found.fit[sets[k]].mean()))


def _volume(vectors: np.ndarray) -> float:
    """Return the length, area or volume spanned by up to three vectors; of none it is 1."""
    return float(np.sqrt(np.linalg.det(vectors @ vectors.T)))


def _same_lattice(vectors: np.ndarray, others: np.ndarray, frame: Frame) -> bool:
    scaled = np.concatenate([vectors, frame.kept]) @ np.linalg.inv(np.concatenate([others, frame.kept]))
    return bool(np.abs(scaled - np.round(scaled)).max() < 0.05)


def _shortest(lattices: np.ndarray) -> np.ndarray:
    """Return the length of the shortest of the small combinations of each set of vectors (m, d, 3)."""
    d = lattices.shape[1]
    steps = np.array(list(np.ndindex(*(5,) * d))) - 2
    combined = steps[len(steps) // 2 + 1 :] @ lattices
    return np.asarray(np.linalg.norm(combined, axis=2).min(axis=1))


def _differences(first: Cloud, cloud: Cloud, frame: Frame, low_a: float, high_a: float) -> np.ndarray:
    """Return difference vectors (m, 3) between atoms of the same element, those of one half-space."""
    parts = []
    for vector, number in zip(first.vectors, first.numbers, strict=True):
        d = _along_short(cloud.vectors[cloud.numbers == number] - vector, frame)
        lengths = np.linalg.norm(frame.across(d), axis=1)
        parts.append(d[(lengths >= low_a) & (lengths <= high_a)])
    found = np.concatenate(parts)
    if frame.vacuum_axes:
        normals = frame.cell[list(frame.vacuum_axes)]
        normals = normals / np.linalg.norm(normals, axis=1)[:, None]
        found = found[(np.abs(found @ normals.T) <= _OUT_OF_PLANE_A).all(axis=1)]
        found = found - found @ np.linalg.pinv(normals) @ normals
    return np.asarray(found)


def _along_short(vectors: np.ndarray, frame: Frame) -> np.ndarray:
    short = [axis for axis in frame.kept_axes if axis not in frame.vacuum_axes]
    if not short:
        return vectors
    scaled = vectors @ np.linalg.inv(frame.cell)
    return np.asarray(vectors - np.round(scaled[:, short]) @ frame.cell[short])


def _peaks(differences: np.ndarray, longest_a: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the peaks of the map, one of each pair of opposite vectors, and the vectors counted in each."""
    n = int(np.ceil((longest_a + 2 * _VOXEL_A) / _VOXEL_A))
    width = 2 * n + 1
    voxel = np.round(differences / _VOXEL_A).astype(int) + n
    inside = ((voxel >= 1) & (voxel < width - 1)).all(axis=1)
    flat = np.ravel_multi_index(tuple(voxel[inside].T), (width,) * 3)

    def summed(weights: np.ndarray | None) -> np.ndarray:
        return _boxed(np.bincount(flat, weights, minlength=width**3).reshape((width,) * 3))

    counts = summed(None)
    peaks = np.flatnonzero(_is_peak(counts).reshape(-1))
    peaks = peaks[peaks > width**3 // 2]
    sums = np.array([summed(differences[inside, axis]).reshape(-1)[peaks] for axis in range(3)]).T
    heights = counts.reshape(-1)[peaks].astype(float)
    return sums / heights[:, None], heights


def _is_peak(counts: np.ndarray) -> np.ndarray:
    """Return which voxels are higher than their 26 neighbours; of equal neighbours the last."""
    highest = counts > 0
    for shift in np.ndindex(3, 3, 3):
        if shift > (1, 1, 1):
            steps = np.array(shift) - 1
            highest &= counts >= np.roll(counts, tuple(steps), axis=(0, 1, 2))
            highest &= counts > np.roll(counts, tuple(-steps), axis=(0, 1, 2))
    return np.asarray(highest)


def _boxed(counts: np.ndarray) -> np.ndarray:
    """Return sums over 3 x 3 x 3 voxels."""
    for axis in range(3):
        counts = counts + np.roll(counts, 1, axis) + np.roll(counts, -1, axis)
    return counts
