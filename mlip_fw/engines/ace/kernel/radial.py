"""Radial functions of a potential as piecewise polynomials, sampled from pyace.

pyace evaluates every kind of radial basis through cubic splines with pieces of about 0.001 Å (``deltaSplineBins``),
so values and derivatives at the ends of pieces describe it completely. Where the functions are smooth, polynomials of
degree five on pieces of ten times that length reproduce it to 1e-11.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pyace import ACEBBasisSet

COARSE = 10
"""Fine pieces (pyace's) in a coarse one. Fine ones remain where functions are switched on and off."""
CLOSEST_A = 0.05
"""Shortest sampled distance: pyace refuses distances near zero."""
_TOLERANCE = 1e-11
_TERMS = 6


@dataclass(frozen=True)
class Samples:
    """Values and derivatives at the ends of fine pieces."""

    values: np.ndarray
    """(n_knots, n_functions)"""
    slopes: np.ndarray
    """(n_knots, n_functions) derivatives, per length of a fine piece"""

    def only(self, columns: list[int]) -> Samples:
        """Return a selection of the functions."""
        return Samples(self.values[:, columns], self.slopes[:, columns])

    def beside(self, others: Samples) -> Samples:
        """Return these functions followed by others."""
        return Samples(np.hstack([self.values, others.values]), np.hstack([self.slopes, others.slopes]))


@dataclass(frozen=True)
class Grid:
    """Fine pieces of equal length from zero to the cutoff of a pair of elements, as in pyace."""

    cutoff_a: float
    n_pieces: int

    @property
    def fine_a(self) -> float:
        """Length of a fine piece."""
        return self.cutoff_a / self.n_pieces

    def distances(self) -> np.ndarray:
        """Return the ends of the pieces and of one more, clipped to where pyace has values: 0.05 Å to the cutoff."""
        return np.asarray(np.clip(self.fine_a * np.arange(self.n_pieces + 2), CLOSEST_A, self.cutoff_a))


@dataclass(frozen=True)
class PairTable:
    """The radial functions of one pair of elements: polynomials in the fraction of a piece, 0 to 1."""

    several: np.ndarray
    """(n_pieces, 6, n_channels): distinct functions R(n, l) of basis functions of rank two and more."""
    single: np.ndarray
    """(n_pieces, 6, nradbase + 1): functions of rank one, and core repulsion as the last."""
    low: int
    """Number of fine pieces before the first coarse one."""
    high: int
    """End of the coarse pieces, counted in fine ones; fine ones follow up to the cutoff."""
    grid: Grid
    core_ev: np.ndarray
    """(n_knots,) core repulsion at the ends of fine pieces."""

    def closest_a(self, limit_ev: float) -> float:
        """Return the distance above which core repulsion is at most ``limit_ev`` and functions are sampled."""
        above = np.flatnonzero(self.core_ev > limit_ev)
        return self.grid.fine_a + max(CLOSEST_A, self.grid.fine_a * float(above[-1]) if len(above) else 0.0)


@dataclass(frozen=True)
class Radial:
    """The radial functions of all pairs of elements."""

    channels: np.ndarray
    """(lmax + 1, nradmax) column of R(n, l) among the distinct functions; 0 for those that are not needed."""
    pairs: list[PairTable]
    """Table of central element i and neighbour element j at index i · n_elements + j."""


def sampled(basis: ACEBBasisSet, used: np.ndarray) -> Radial:
    """Sample the radial functions of a potential.

    Parameters
    ----------
    basis
        The potential; the state of its ``radial_functions`` changes.
    used
        (lmax + 1,) number of R(n, l) of each l that are needed.
    """
    elements = range(len(basis.elements_name))
    grids = [_grid(basis, i, j) for i in elements for j in elements]
    found = [
        _samples(basis, i, j, grid)
        for (i, j), grid in zip(((i, j) for i in elements for j in elements), grids, strict=True)
    ]
    # R(n, l) that are equal for all pairs of elements share a column; columns are in the order of first appearance, so
    # that those of one l are adjacent
    numbers: dict[bytes, int] = {}
    distinct, channels = [], []
    for column in range((basis.lmax + 1) * basis.nradmax):
        if column % basis.nradmax >= used[column // basis.nradmax]:
            channels.append(0)
            continue
        key = b"".join(several.values[:, column].tobytes() for several, _ in found)
        if key not in numbers:
            numbers[key] = len(numbers)
            distinct.append(column)
        channels.append(numbers[key])
    pairs = [_table(several.only(distinct), single, grid) for (several, single), grid in zip(found, grids, strict=True)]
    return Radial(np.array(channels, dtype=np.int64).reshape(basis.lmax + 1, basis.nradmax), pairs)


def _grid(basis: ACEBBasisSet, i: int, j: int) -> Grid:
    cutoff_a = float(basis.map_bond_specifications[(i, j)].rcut)
    return Grid(cutoff_a, int(cutoff_a / basis.radial_functions.deltaSplineBins))


def _samples(basis: ACEBBasisSet, i: int, j: int, grid: Grid) -> tuple[Samples, Samples]:
    """Return R(n, l) in the order of l, then n; and the functions of rank one followed by core repulsion."""
    radial, distances = basis.radial_functions, grid.distances()
    radial.evaluate_range(distances, basis.nradbase, basis.nradmax, i, j)
    several = [
        np.array(x, dtype=float).transpose(0, 2, 1).reshape(len(distances), -1) for x in (radial.fr_vec, radial.dfr_vec)
    ]
    single = [np.array(x, dtype=float) for x in (radial.gr_vec, radial.dgr_vec)]
    cores = _cores(basis, i, j, distances)
    return (
        Samples(several[0], grid.fine_a * several[1]),
        Samples(np.hstack([single[0], cores[:, :1]]), grid.fine_a * np.hstack([single[1], cores[:, 1:]])),
    )


def _cores(basis: ACEBBasisSet, i: int, j: int, distances: np.ndarray) -> np.ndarray:
    """Return core repulsion, eV, and its derivative, (n, 2); pyace evaluates one distance at a time."""
    radial, bond, found = basis.radial_functions, basis.map_bond_specifications[(i, j)], np.zeros((len(distances), 2))
    for k in np.flatnonzero(distances <= bond.rcut_in) if bond.prehc else ():
        radial.evaluate(float(distances[k]), 1, 1, i, j)
        found[k] = radial.cr, radial.dcr
    return found


def _table(several: Samples, single: Samples, grid: Grid) -> PairTable:
    together = several.beside(single)
    fine, coarse = _cubics(together), _quintics(together)
    low, high = _smooth_zone(together, coarse, grid.fine_a)
    pieces = np.concatenate([fine[:low], coarse[low // COARSE : high // COARSE], fine[high:]])
    n = several.values.shape[1]
    return PairTable(pieces[:, :, :n], pieces[:, :, n:], low, high, grid, single.values[:, -1])


def _smooth_zone(samples: Samples, coarse: np.ndarray, fine_a: float) -> tuple[int, int]:
    """Return start and end (in fine pieces) of the longest run of coarse pieces that fit all samples, or (0, 0)."""
    powers = np.linspace(0, 1, COARSE + 1)[:, None] ** np.arange(_TERMS)
    knots = COARSE * np.arange(len(coarse))[:, None] + np.arange(COARSE + 1)
    scale = np.maximum(1.0, np.abs(samples.values).max(axis=0))
    errors = np.abs(np.einsum("st,ptf->psf", powers, coarse) - samples.values[knots]) / scale
    exponents = np.arange(1, _TERMS)
    rates = exponents * np.linspace(0, 1, COARSE + 1)[:, None] ** (exponents - 1) / COARSE
    steepest = np.maximum(fine_a, np.abs(samples.slopes).max(axis=0))
    slips = np.abs(np.einsum("st,ptf->psf", rates, coarse[:, 1:]) - samples.slopes[knots]) / steepest
    small = (errors.max(axis=(1, 2)) < _TOLERANCE) & (slips.max(axis=(1, 2)) < 10 * _TOLERANCE)
    good = np.concatenate([[False], small, [False]])
    starts, ends = np.flatnonzero(~good[:-1] & good[1:]), np.flatnonzero(good[:-1] & ~good[1:])
    if not len(starts):
        return 0, 0
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]) * COARSE, int(ends[longest]) * COARSE


def _cubics(samples: Samples) -> np.ndarray:
    """Return (n_pieces, 6, n): cubic Hermite polynomials on fine pieces."""
    v0, v1 = samples.values[:-1], samples.values[1:]
    s0, s1 = samples.slopes[:-1], samples.slopes[1:]
    zero = np.zeros_like(v0)
    return np.stack([v0, s0, 3 * (v1 - v0) - 2 * s0 - s1, 2 * (v0 - v1) + s0 + s1, zero, zero], axis=1)


def _quintics(samples: Samples) -> np.ndarray:
    """Return (n_pieces, 6, n): quintic Hermite polynomials on coarse pieces, through both ends and the middle."""
    ends = np.arange(0, len(samples.values), COARSE)
    left, right = ends[:-1], ends[1:]
    knots = [left, right, left + COARSE // 2]
    conditions = [x for k in knots for x in (samples.values[k], COARSE * samples.slopes[k])]
    exponents = np.arange(_TERMS)
    rows = [row for t in (0.0, 1.0, 0.5) for row in (t**exponents, exponents * t ** np.maximum(exponents - 1, 0))]
    return np.asarray(np.einsum("tc,cpf->ptf", np.linalg.inv(np.array(rows)), np.array(conditions)))
