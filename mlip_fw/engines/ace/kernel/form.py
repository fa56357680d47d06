"""Conversion of a potential to the arrays of the compiled code; the part that coefficients don't change is cached."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pyace import ACEBBasisSet

from mlip_fw.engines.ace.kernel.embedding import Embedding, embedding_of
from mlip_fw.engines.ace.kernel.identity import Key, key_of
from mlip_fw.engines.ace.kernel.layout import LANES, Element, Space, aligned
from mlip_fw.engines.ace.kernel.program import Program, program_of, uses_of
from mlip_fw.engines.ace.kernel.radial import Radial, sampled

_MAX_SHAPES = 4
_CLOSE_NEIGHBOURS = 32
"""Core repulsion of one neighbour is kept below its ceiling (rho_core_cut) divided by this number."""


@dataclass(frozen=True)
class Form:
    """A potential as arrays of the compiled code."""

    space: Space
    elements: list[Element]
    closest_a: float
    """Smallest distance of neighbours: below it core repulsion may reach its ceiling, or there are no samples."""


def form_of(basis: ACEBBasisSet) -> Form:
    """Return a potential as arrays of the compiled code.

    Parameters
    ----------
    basis
        A potential for which :func:`mlip_fw.engines.ace.kernel.identity.why_not` returns None.
    """
    shape = _shape_of(basis)
    n_elements, n_single = len(basis.elements_name), basis.nradbase
    n_sums = 1 + max(element.n_densities for element in shape.elements)
    tables, elements = [], []
    for mu, (element, coefficients) in enumerate(zip(shape.elements, _coefficients_of(basis, shape), strict=True)):
        n_rank1 = len(element.rank1)
        single = np.zeros((n_elements * n_single, n_sums))
        np.add.at(single[:, : coefficients.shape[1]], element.rank1, coefficients[:n_rank1])
        for e in range(n_elements):
            pair = shape.radial.pairs[mu * n_elements + e]
            summed = pair.single[:, :, :-1] @ single[e * n_single : (e + 1) * n_single]
            summed[:, :, 0] += pair.single[:, :, -1]
            tables.append(np.concatenate([pair.several, summed], axis=2))
        weights = [
            np.bincount(shape.merged_into[mu], element.weights * own[element.terms[:, 2]], element.n_merged)
            for own in coefficients[n_rank1:].T
        ]
        elements.append(element._replace(merged_weights=weights[0], density_weights=np.array(weights[1:])))
    table, width = _padded(tables)
    space = shape.space._replace(table=table, width=width, pair=tables[0].shape[2] - n_sums)
    return Form(space, elements, shape.closest_a)


def _coefficients_of(basis: ACEBBasisSet, shape: _Shape) -> Iterator[np.ndarray]:
    """Yield (n_functions, 1 + n_others) of each element: of the linear energy, and of each other density."""
    coefficients, at = np.array(basis.basis_coeffs, dtype=float), 0
    for element, embedding in zip(shape.elements, shape.embeddings, strict=True):
        n_functions = element.n_rank1 + element.n_functions
        own = coefficients[at : at + n_functions * embedding.n_densities].reshape(n_functions, embedding.n_densities)
        at += own.size
        yield np.column_stack([own @ embedding.linear, own[:, embedding.others]])


@dataclass(frozen=True)
class _Shape:
    """The part of a form that does not depend on coefficients."""

    radial: Radial
    space: Space
    elements: list[Element]
    merged_into: list[np.ndarray]
    """For each element, (n_terms,) the merged term of the energy that each term of a function belongs to."""
    embeddings: list[Embedding]
    """Of each element."""
    closest_a: float


_shapes: dict[Key, _Shape] = {}


def _shape_of(basis: ACEBBasisSet) -> _Shape:
    """Return the shape of a potential; the last few are cached."""
    key = key_of(basis)
    if key not in _shapes:
        while len(_shapes) >= _MAX_SHAPES:
            del _shapes[next(iter(_shapes))]
        _shapes[key] = _made(basis)
    return _shapes[key]


def _made(basis: ACEBBasisSet) -> _Shape:
    n_elements, lmax = len(basis.elements_name), basis.lmax
    programs = [program_of(list(functions)) for functions in basis.basis]
    radial = sampled(basis, np.max([_used(program, lmax) for program in programs], axis=0))
    norms = _harmonic_constants(lmax)
    single, single_width = _padded([pair.single for pair in radial.pairs])
    lengths = np.array([len(pair.single) for pair in radial.pairs])
    square = (n_elements, n_elements)
    space = Space(
        n_elements=n_elements,
        lmax=lmax,
        n_k=(lmax + 1) ** 2,
        n_n=radial.channels.shape[1],
        cutoffs2=np.array([pair.grid.cutoff_a**2 for pair in radial.pairs]).reshape(square),
        per_a=np.array([1 / pair.grid.fine_a for pair in radial.pairs]).reshape(square),
        table=np.zeros(0),
        width=0,
        pair=0,
        single=single,
        single_width=single_width,
        n_single=basis.nradbase,
        first_piece=(np.cumsum(lengths) - lengths).reshape(square),
        zones=np.array([(pair.low, pair.high) for pair in radial.pairs], dtype=np.int64).reshape(*square, 2),
        channels=radial.channels,
        norms=norms,
    )
    embeddings = [embedding_of(basis, mu) for mu in range(n_elements)]
    made = [
        _element(basis, mu, program, radial.channels, embedding)
        for mu, (program, embedding) in enumerate(zip(programs, embeddings, strict=True))
    ]
    limits = [
        (x.rho_core_cutoff - x.drho_core_cutoff) / _CLOSE_NEIGHBOURS
        for x in basis.map_embedding_specifications.values()
    ]
    closest = max(pair.closest_a(min(limits)) for pair in radial.pairs)
    elements, merged_into = [element for element, _ in made], [merged for _, merged in made]
    return _Shape(radial, space, elements, merged_into, embeddings, closest)


def _used(program: Program, lmax: int) -> np.ndarray:
    """Return the number of radial indices n used with each l, (lmax + 1,)."""
    used = np.zeros(lmax + 1, dtype=np.int64)
    np.maximum.at(used, program.leaves[:, 2], program.leaves[:, 1] + 1)
    return used


def _element(
    basis: ACEBBasisSet, mu: int, program: Program, channels: np.ndarray, embedding: Embedding
) -> tuple[Element, np.ndarray]:
    """Return the functions of an element, without coefficients, and the merged term of each of their terms."""
    n_k, uses, leaves, used = (basis.lmax + 1) ** 2, uses_of(program), program.leaves, _used(program, basis.lmax)
    pairs = np.sort(program.terms[:, :2], axis=1)
    distinct, merged_into = np.unique(pairs, axis=0, return_inverse=True)
    groups, rank1 = _groups(used, channels), [f.mus[0] * basis.nradbase + f.ns[0] - 1 for f in basis.basis_rank1[mu]]
    element = Element(
        number=mu,
        n_groups=len(groups),
        n_leaves=len(leaves),
        n_mirrored=len(program.mirrored),
        n_products=len(program.products),
        n_terms=len(program.terms),
        n_merged=len(distinct),
        n_functions=program.n_functions,
        n_rank1=len(rank1),
        n_densities=len(embedding.others),
        groups=groups,
        leaf_place=leaves[:, 1] * n_k + leaves[:, 2] ** 2 + np.maximum(2 * leaves[:, 3] - 1, 0),
        leaf_phase=(leaves[:, 3] > 0).astype(float),
        leaf_range=np.searchsorted(leaves[:, 0], np.arange(len(basis.elements_name) + 1)),
        mirrored=program.mirrored,
        products=program.products,
        terms=program.terms,
        weights=program.weights,
        merged=np.ascontiguousarray(distinct),
        merged_weights=np.zeros(len(distinct)),
        density_weights=np.zeros((len(embedding.others), len(distinct))),
        embedding=embedding.parameters,
        rank1=np.array(rank1, dtype=np.int64),
        uses=uses.ranges,
        used_products=uses.products,
        used_mirrored=uses.mirrored,
        used_leaves=uses.leaves,
    )
    return element, merged_into.ravel()


def _groups(used: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Return (first k, end of k, number of n, l) for each run of successive l that use the same radial functions."""
    groups: list[list[int]] = []
    for ell, n in enumerate(used.tolist()):
        before = groups[-1] if groups else None
        if before and before[1:3] == [ell**2, n] and np.array_equal(channels[ell, :n], channels[before[3], :n]):
            before[1] = (ell + 1) ** 2
        elif n:
            groups.append([ell**2, (ell + 1) ** 2, n, ell])
    return np.array(groups, dtype=np.int64).reshape(-1, 4)


def _harmonic_constants(lmax: int) -> np.ndarray:
    """Return factors of the recurrences of associated Legendre functions divided by (x² + y²)^(m/2).

    The harmonics are pyace's: with the Condon-Shortley phase, and normalised to Y_00 = 1.
    """
    # the last row of zeros is read by the step beyond lmax
    norms = np.zeros((lmax + 2, lmax + 1, 3))
    for m in range(lmax + 1):
        norms[m, m, 0] = _norm(m, m) * math.prod(range(1, 2 * m, 2))
        for ell in range(m + 1, lmax + 1):
            norms[ell, m, 1] = (2 * ell - 1) / (ell - m) * _norm(ell, m) / _norm(ell - 1, m)
            if ell > m + 1:
                norms[ell, m, 2] = (ell + m - 1) / (ell - m) * _norm(ell, m) / _norm(ell - 2, m)
    return norms


def _norm(ell: int, m: int) -> float:
    return float((-1) ** m * math.sqrt((2 * ell + 1) * math.factorial(ell - m) / math.factorial(ell + m)))


def _padded(tables: list[np.ndarray]) -> tuple[np.ndarray, int]:
    """Return tables (piece, 6, n), concatenated and flat, with n padded to a multiple of :data:`LANES`; and that n."""
    n = tables[0].shape[2]
    width = -(-n // LANES) * LANES
    together = np.pad(np.concatenate(tables), ((0, 0), (0, 0), (0, width - n))).ravel()
    flat = aligned(len(together))
    flat[:] = together
    return flat, width
