"""Layout of a potential for compiled code: named tuples of integers and arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LANES = 8
"""Width of SIMD vectors in double-precision numbers. Tables are padded to multiples of it."""


class Space(NamedTuple):
    """Radial and angular functions of all elements."""

    n_elements: int
    lmax: int
    n_k: int
    """Number of real and imaginary parts of harmonics with m ≥ 0, (lmax + 1)²."""
    n_n: int
    cutoffs2: np.ndarray
    """(n_elements, n_elements) squared cutoffs, Å²."""
    per_a: np.ndarray
    """(n_elements, n_elements) number of fine pieces in 1 Å."""
    table: np.ndarray
    """(piece, 6, width) polynomial coefficients of distinct R(n, l); from ``pair`` on those of pair functions.

    The first pair function is the rank-one part of the linear energy with core repulsion. One follows for the rank-one
    part of each density of the central element that is not linear.
    """
    width: int
    pair: int
    single: np.ndarray
    """(piece, 6, single_width) radial functions of rank-one basis functions."""
    single_width: int
    n_single: int
    first_piece: np.ndarray
    """(n_elements, n_elements) where the pieces of a pair of elements begin in the tables."""
    zones: np.ndarray
    """(n_elements, n_elements, 2) see :class:`mlip_fw.engines.ace.kernel.radial.PairTable`."""
    channels: np.ndarray
    """(lmax + 1, n_n) column of ``table`` that holds R(n, l)."""
    norms: np.ndarray
    """(lmax + 2, lmax + 1, 3) factors of the recurrences of harmonics."""


class Element(NamedTuple):
    """The functions of one central element."""

    number: int
    n_groups: int
    n_leaves: int
    n_mirrored: int
    n_products: int
    n_terms: int
    n_merged: int
    n_functions: int
    n_rank1: int
    n_densities: int
    """Densities whose energies are not linear in them, see :mod:`mlip_fw.engines.ace.kernel.embedding`."""
    groups: np.ndarray
    """(n_groups, 4) first k, end of k, number of n, l: harmonics k = (l, m) that use the same radial functions."""
    leaf_place: np.ndarray
    """(n_leaves,) index n · n_k + k of the real part of a leaf; the imaginary part follows."""
    leaf_phase: np.ndarray
    """(n_leaves,) 1 if a leaf has an imaginary part (m > 0), else 0."""
    leaf_range: np.ndarray
    """(n_elements + 1,) where the leaves of each neighbour element begin."""
    mirrored: np.ndarray
    products: np.ndarray
    """(n_products, 2)"""
    terms: np.ndarray
    """(n_terms, 3) with the other arrays of :class:`mlip_fw.engines.ace.kernel.program.Program`."""
    weights: np.ndarray
    merged: np.ndarray
    """(n_merged, 2) the two nodes of each term of the energy: terms of functions with the same nodes are one."""
    merged_weights: np.ndarray
    """(n_merged,) weights of the terms in the linear energy."""
    density_weights: np.ndarray
    """(n_densities, n_merged) weights of the terms in each density."""
    embedding: np.ndarray
    """(n_densities, 5) see :class:`mlip_fw.engines.ace.kernel.embedding.Embedding`."""
    rank1: np.ndarray
    """(n_rank1,) neighbour element · n_single + n of each rank-one function."""
    uses: np.ndarray
    """(n_functions + 1, 4) see :class:`mlip_fw.engines.ace.kernel.program.Uses`."""
    used_products: np.ndarray
    used_mirrored: np.ndarray
    used_leaves: np.ndarray


def aligned(size: int) -> np.ndarray:
    """Return zeros that are aligned to a cache line: loading a vector across two lines takes twice as long."""
    spare = np.zeros(size + LANES)
    first = -spare.ctypes.data // spare.itemsize % LANES
    return spare[first : first + size]
