"""Radial functions of a potential as piecewise polynomials, sampled from pyace.

pyace knows every radial basis and tabulates it in cubic pieces of 0.001 Å (``deltaSplineBins``). Values and slopes on
that grid are all that is needed of any radial form. Where the functions are smooth, pieces of 0.01 Å and degree five
say the same to 1e-10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pyace import ACEBBasisSet

FINE_A = 0.001
"""Length of the pieces where functions are switched on and off within 0.01 to 0.2 Å."""
COARSE = 10
"""Fine pieces in a coarse one."""
CLOSEST_A = 0.05
"""Nearer than this nothing is sampled: pyace refuses distances near zero."""
_TOLERANCE = 1e-10
_TERMS = 6


@dataclass(frozen=True)
class Samples:
    """Values and slopes at multiples of :data:`FINE_A`."""

    values: np.ndarray
    """(n_knots, n_functions)"""
    slopes: np.ndarray
    """(n_knots, n_functions), 1/Å"""

    def only(self, columns: list[int]) -> Samples:
        """Return some of the functions."""
        return Samples(self.values[:, columns], self.slopes[:, columns])


@dataclass(frozen=True)
class PairTable:
    """The radial functions of one pair of elements: polynomials in the share of a piece below the distance."""

    several: np.ndarray
    """(n_pieces, 6, n_channels): distinct functions R(n, l) of products of two and more neighbours."""
    single: np.ndarray
    """(n_pieces, 6, nradbase + 1): functions of single neighbours, and core repulsion as the last."""
    low: int
    """Fine pieces before the first coarse one."""
    high: int
    """End of the coarse pieces, in fine ones; fine ones follow up to the cutoff."""
    cutoff_a: float
    core_ev: np.ndarray
    """(n_knots,) core repulsion at multiples of :data:`FINE_A`."""

    def closest_a(self, most_ev: float) -> float:
        """Return the distance down to which core repulsion is at most ``most_ev``."""
        above = np.flatnonzero(self.core_ev > most_ev)
        return max(CLOSEST_A, FINE_A * (float(above[-1]) + 1) if len(above) else 0.0)


@dataclass(frozen=True)
class Radial:
    """The radial functions of all pairs of elements."""

    channels: np.ndarray
    """(lmax + 1, nradmax) which distinct function R(n, l) is."""
    pairs: list[PairTable]
    """Of central element i and neighbour j at i · n_elements + j."""


def sampled(basis: ACEBBasisSet) -> Radial:
    """Sample the radial functions of a potential.

    Parameters
    ----------
    basis
        The potential; its ``radial_functions`` serve as a scratch pad.
    """
    elements = range(len(basis.elements_name))
    found = [(i, j, *_samples(basis, i, j)) for i in elements for j in elements]
    columns = np.vstack([several.values for _, _, several, _ in found])
    _, first, which = np.unique(columns, axis=1, return_index=True, return_inverse=True)
    # in the order of first appearance: channels of one l then lie side by side
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    channels = rank[which.ravel()].reshape(basis.lmax + 1, basis.nradmax)
    distinct = [int(k) for k in first[order]]
    pairs = [_table(several.only(distinct), single, _cutoff_a(basis, i, j)) for i, j, several, single in found]
    return Radial(channels, pairs)


def _cutoff_a(basis: ACEBBasisSet, i: int, j: int) -> float:
    return float(basis.map_bond_specifications[(i, j)].rcut)


def _samples(basis: ACEBBasisSet, i: int, j: int) -> tuple[Samples, Samples]:
    """Return R(n, l) in the order of l, then n, and those of single neighbours with core repulsion behind them."""
    radial, cutoff_a = basis.radial_functions, _cutoff_a(basis, i, j)
    distances = np.clip(FINE_A * np.arange(round(cutoff_a / FINE_A) + 2), CLOSEST_A, cutoff_a)
    radial.evaluate_range(distances, basis.nradbase, basis.nradmax, i, j)
    several = [
        np.array(x, dtype=float).transpose(0, 2, 1).reshape(len(distances), -1) for x in (radial.fr_vec, radial.dfr_vec)
    ]
    single = [np.array(x, dtype=float) for x in (radial.gr_vec, radial.dgr_vec)]
    cores = np.array([_core(radial, float(r), i, j) for r in distances])
    return Samples(*several), Samples(*(np.hstack([x, cores[:, [k]]]) for k, x in enumerate(single)))


def _core(radial: Any, distance_a: float, i: int, j: int) -> tuple[float, float]:
    """Return core repulsion, eV, and its slope; there is none for many distances at once."""
    radial.evaluate(distance_a, 1, 1, i, j)
    return radial.cr, radial.dcr


def _table(several: Samples, single: Samples, cutoff_a: float) -> PairTable:
    together = Samples(np.hstack([several.values, single.values]), np.hstack([several.slopes, single.slopes]))
    fine, coarse = _cubics(together), _quintics(together)
    low, high = _smooth_zone(together, coarse)
    pieces = np.concatenate([fine[:low], coarse[low // COARSE : high // COARSE], fine[high:]])
    n = several.values.shape[1]
    return PairTable(pieces[:, :, :n], pieces[:, :, n:], low, high, cutoff_a, single.values[:, -1])


def _smooth_zone(samples: Samples, coarse: np.ndarray) -> tuple[int, int]:
    """Return the longest run of coarse pieces that reproduce all samples, in fine pieces; (0, 0) if there is none."""
    powers = np.linspace(0, 1, COARSE + 1)[:, None] ** np.arange(_TERMS)
    knots = COARSE * np.arange(len(coarse))[:, None] + np.arange(COARSE + 1)
    scale = np.maximum(1.0, np.abs(samples.values).max(axis=0))
    errors = np.abs(np.einsum("st,ptf->psf", powers, coarse) - samples.values[knots]) / scale
    exponents = np.arange(1, _TERMS)
    rates = exponents * np.linspace(0, 1, COARSE + 1)[:, None] ** (exponents - 1) / (FINE_A * COARSE)
    steepest = np.maximum(1.0, np.abs(samples.slopes).max(axis=0))
    slips = np.abs(np.einsum("st,ptf->psf", rates, coarse[:, 1:]) - samples.slopes[knots]) / steepest
    small = (errors.max(axis=(1, 2)) < _TOLERANCE) & (slips.max(axis=(1, 2)) < 10 * _TOLERANCE)
    good = np.concatenate([[False], small, [False]])
    starts, ends = np.flatnonzero(~good[:-1] & good[1:]), np.flatnonzero(good[:-1] & ~good[1:])
    if not len(starts):
        return 0, 0
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]) * COARSE, int(ends[longest]) * COARSE


def _cubics(samples: Samples) -> np.ndarray:
    """Return (n_pieces, 6, n): fine pieces that have values and slopes of both their ends."""
    v0, v1 = samples.values[:-1], samples.values[1:]
    s0, s1 = FINE_A * samples.slopes[:-1], FINE_A * samples.slopes[1:]
    zero = np.zeros_like(v0)
    return np.stack([v0, s0, 3 * (v1 - v0) - 2 * s0 - s1, 2 * (v0 - v1) + s0 + s1, zero, zero], axis=1)


def _quintics(samples: Samples) -> np.ndarray:
    """Return (n_pieces, 6, n): coarse pieces that have values and slopes of their ends and middle."""
    ends = np.arange(0, len(samples.values), COARSE)
    left, right = ends[:-1], ends[1:]
    knots = [left, right, left + COARSE // 2]
    conditions = [x for k in knots for x in (samples.values[k], FINE_A * COARSE * samples.slopes[k])]
    exponents = np.arange(_TERMS)
    rows = [row for t in (0.0, 1.0, 0.5) for row in (t**exponents, exponents * t ** np.maximum(exponents - 1, 0))]
    return np.einsum("tc,cpf->ptf", np.linalg.inv(np.array(rows)), np.array(conditions))
