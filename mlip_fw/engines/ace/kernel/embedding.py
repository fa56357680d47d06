"""Finnis-Sinclair embedding: energies that are not linear in the basis functions.

The energy of an atom is the sum of w F(ρ) over its densities ρ, which are linear in the basis functions, each with
coefficients of its own. Where F(ρ) = ρ, a density is part of the linear energy, for which the rest of the kernel is
made. This module adds the other densities, in compiled code and for eight atoms side by side: their values, F and F',
and from F' the weights with which everything is differentiated (Drautz, Phys. Rev. B 99, 014104 (2019), section III).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlip_fw.engines.ace.kernel.cache import compiled
from mlip_fw.engines.ace.kernel.layout import Element, Space
from mlip_fw.engines.ace.kernel.memory import Memory
from mlip_fw.engines.ace.kernel.products import add_weighted_term, real_part
from mlip_fw.engines.ace.kernel.stages import sum_of_row
from mlip_fw.engines.ace.kernel.vector import WIDTH, load, muladd, read, read_int, spread, store, write

if TYPE_CHECKING:
    from pyace import ACEBBasisSet

SCALED = "FinnisSinclairShiftedScaled"
PLAIN = "FinnisSinclair"
_SAME = 1e-10
"""Exponents nearer to 1 than this are 1 for pyace; densities smaller than this are in the linear part of PLAIN."""
_STEEP, _FLAT = 1e6, 30.0
"""PLAIN is linear near zero: by exp(-(_STEEP ρ)³), which is left out where the exponent is beyond ``_FLAT``."""
_PARAMETERS = 5


@dataclass(frozen=True)
class Embedding:
    """The densities of one element."""

    n_densities: int
    """Number of all densities: each function has a coefficient for each."""
    linear: np.ndarray
    """(n_densities,) factor w of the densities whose F(ρ) is ρ, and 0 for others."""
    others: list[int]
    """Indices of the other densities."""
    parameters: np.ndarray
    """(n_others, 5) whether it is PLAIN, w, exponent, and two constants, as :func:`embedded` takes them."""


def embedding_of(basis: ACEBBasisSet, mu: int) -> Embedding:
    """Return the densities of an element."""
    found = basis.map_embedding_specifications[mu]
    n_densities = int(found.ndensity)
    pairs = np.array(found.FS_parameters, dtype=float)[: 2 * n_densities].reshape(n_densities, 2)
    is_linear = np.abs(pairs[:, 1] - 1) < _SAME
    others = np.flatnonzero(~is_linear).tolist()
    parameters = [(found.npoti == PLAIN, *pairs[p], *_constants(found.npoti, pairs[p, 1])) for p in others]
    return Embedding(
        n_densities=n_densities,
        linear=np.where(is_linear, pairs[:, 0], 0.0),
        others=others,
        parameters=np.array(parameters, dtype=float).reshape(-1, _PARAMETERS),
    )


def _constants(kind: str, exponent: float) -> tuple[float, float]:
    """Return the slope at zero of PLAIN, or the offsets of ρ and F at zero of SCALED."""
    if kind == PLAIN:
        return float(_STEEP ** (1 - exponent)), 0.0
    inverse = 1 / exponent
    return float(inverse ** (inverse / (1 - inverse))), float(inverse ** (1 / (1 - inverse)))


@compiled
def clear_densities(element: Element, s: Memory) -> None:
    """Set the densities of the atoms of a block to zero."""
    for p in range(0, element.n_densities * WIDTH, WIDTH):
        store(s.densities, p, spread(0.0))


@compiled
def add_pairs(b: int, place: int, space: Space, element: Element, s: Memory) -> None:
    """Add the rank-one part of the densities of atom ``b`` from the neighbours at a place."""
    for p in range(element.n_densities):
        row = (place * space.width + space.pair + 1 + p) * s.capacity
        at = p * WIDTH + b
        write(s.densities, at, read(s.densities, at) + sum_of_row(place, s.values, row, s))


@compiled
def embed(element: Element, s: Memory) -> None:
    """Add the energy of rank two and more to ``energy``, and its derivatives with respect to the nodes of its terms.

    ``densities`` must hold the rank-one parts; w F' of each density is left in ``by_density``.
    """
    energies = load(s.energy, 0)
    for p in range(element.n_densities):
        density, weights = load(s.densities, p * WIDTH), p * element.n_merged
        for t in range(element.n_merged):
            a, b = read_int(element.merged, 2 * t) * WIDTH, read_int(element.merged, 2 * t + 1) * WIDTH
            density = muladd(spread(read(element.density_weights, weights + t)), real_part(a, b, s), density)
        store(s.densities, p * WIDTH, density)
        fill_embedded(p, element, s)
        energies = energies + load(s.densities, p * WIDTH)
    for t in range(element.n_merged):
        a, b = read_int(element.merged, 2 * t) * WIDTH, read_int(element.merged, 2 * t + 1) * WIDTH
        weight = spread(read(element.merged_weights, t))
        energies = muladd(weight, real_part(a, b, s), energies)
        for p in range(element.n_densities):
            factor = spread(read(element.density_weights, p * element.n_merged + t))
            weight = muladd(load(s.by_density, p * WIDTH), factor, weight)
        add_weighted_term(a, b, weight, s)
    store(s.energy, 0, energies)


@compiled
def fill_embedded(p: int, element: Element, s: Memory) -> None:
    """Replace density ``p`` of each atom by its energy w F, and compute w F'."""
    k = p * _PARAMETERS
    is_plain, factor = read(element.embedding, k) != 0.0, read(element.embedding, k + 1)
    exponent = read(element.embedding, k + 2)
    first, second = read(element.embedding, k + 3), read(element.embedding, k + 4)
    for b in range(p * WIDTH, (p + 1) * WIDTH):
        density = read(s.densities, b)
        if is_plain:
            energy, slope = plain(abs(density), exponent, first)
        else:
            energy, slope = scaled(abs(density), exponent, first, second)
        write(s.densities, b, factor * math.copysign(energy, density))
        write(s.by_density, b, factor * slope)


@compiled
def scaled(size: float, exponent: float, x: float, y: float) -> Any:
    """Return F and F' of SCALED at |ρ|: (x exp(-|ρ|) + |ρ|)^m - y exp(-|ρ|), which has the slope 1 at zero."""
    shrinking = math.exp(-size)
    base = x * shrinking + size
    slope = y * shrinking + exponent * (1.0 - x * shrinking) * base ** (exponent - 1.0)
    return base**exponent - y * shrinking, slope


@compiled
def plain(size: float, exponent: float, at_zero: float) -> Any:
    """Return F and F' of PLAIN at |ρ|: |ρ|^m, which becomes linear near zero."""
    if size <= _SAME:
        return at_zero * size, at_zero
    cube = (_STEEP * size) ** 3
    near = 0.0 if cube > _FLAT else math.exp(-cube)
    far, steeper = 1.0 - near, -3.0 * _STEEP**3 * size * size * near
    power = size**exponent
    slope = exponent * size ** (exponent - 1.0) * far - power * steeper + at_zero * (steeper * size + near)
    return far * power + at_zero * near * size, slope


@compiled
def weigh_pairs(b: int, place: int, space: Space, element: Element, s: Memory) -> None:
    """Add w F' times the derivatives of each density to those of the pair function at a place of atom ``b``."""
    for k in range(0, read_int(s.counts, place), WIDTH):
        at = (place * space.width + space.pair) * s.capacity + k
        slope = load(s.slopes, at)
        for p in range(element.n_densities):
            factor = spread(read(s.by_density, p * WIDTH + b))
            slope = muladd(factor, load(s.slopes, at + (1 + p) * s.capacity), slope)
        store(s.slopes, at, slope)
