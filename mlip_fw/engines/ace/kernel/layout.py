"""What compiled code gets of a potential: numbers and arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LANES = 8
"""Numbers that compiled code works on together. Tables are padded to multiples of it."""


class Space(NamedTuple):
    """Radial and angular functions, for all elements."""

    n_elements: int
    lmax: int
    n_k: int
    """Real and imaginary parts of harmonics, (lmax + 1)²."""
    n_n: int
    cutoffs2: np.ndarray
    """(n_elements, n_elements) squares, Å²."""
    per_a: np.ndarray
    """(n_elements, n_elements) fine pieces in 1 Å."""
    table: np.ndarray
    """(piece, 6, width) distinct functions of several neighbours; from ``pair`` on the sums of those of single ones.

    The first of these sums is the linear energy with core repulsion, and one for each density of the central element
    that is not linear follows.
    """
    width: int
    pair: int
    single: np.ndarray
    """(piece, 6, single_width) functions of single neighbours."""
    single_width: int
    n_single: int
    first_piece: np.ndarray
    """(n_elements, n_elements)"""
    zones: np.ndarray
    """(n_elements, n_elements, 2) see :class:`mlip_fw.engines.ace.kernel.radial.PairTable`."""
    channels: np.ndarray
    """(lmax + 1, n_n)"""
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
    """(n_groups, 4) first and last k, number of n, l: harmonics k = (l, m) that meet the same radial functions."""
    leaf_place: np.ndarray
    """(n_leaves,) n · n_k + k of a leaf's real part; the imaginary one follows."""
    leaf_phase: np.ndarray
    """(n_leaves,) 1 where there is an imaginary part, else 0."""
    leaf_range: np.ndarray
    """(n_elements + 1,) where the leaves of neighbours of an element begin."""
    mirrored: np.ndarray
    products: np.ndarray
    """(n_products, 2)"""
    terms: np.ndarray
    """(n_terms, 3) of each function."""
    weights: np.ndarray
    merged: np.ndarray
    """(n_merged, 2) nodes of the terms of the energy."""
    merged_weights: np.ndarray
    """(n_merged,) of the linear energy."""
    density_weights: np.ndarray
    """(n_densities, n_merged)"""
    embedding: np.ndarray
    """(n_densities, 5) see :class:`mlip_fw.engines.ace.kernel.embedding.Embedding`."""
    rank1: np.ndarray
    """(n_rank1,) neighbour's element · n_single + n."""
    uses: np.ndarray
    """(n_functions + 1, 4) see :class:`mlip_fw.engines.ace.kernel.program.Uses`."""
    used_products: np.ndarray
    used_mirrored: np.ndarray
    used_leaves: np.ndarray


def aligned(size: int) -> np.ndarray:
    """Return zeros that begin with a cache line: a vector across two of them takes twice as long."""
    spare = np.zeros(size + LANES)
    first = -spare.ctypes.data // spare.itemsize % LANES
    return spare[first : first + size]
