"""From positions to atomic base sums over neighbours (compiled).

Arrays are structures of arrays over neighbours: rows padded to a multiple of :data:`WIDTH` with neighbours that
contribute zero. A *place* is an atom of the block together with an element of its neighbours, which have rows of
their own. Tables and scratch buffers are passed by address, see :mod:`mlip_fw.engines.ace.kernel.vector`; their
contents are described in :mod:`mlip_fw.engines.ace.kernel.layout` and :mod:`mlip_fw.engines.ace.kernel.memory`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlip_fw.engines.ace.kernel.cache import compiled
from mlip_fw.engines.ace.kernel.layout import Element, Space
from mlip_fw.engines.ace.kernel.memory import Memory
from mlip_fw.engines.ace.kernel.radial import COARSE
from mlip_fw.engines.ace.kernel.vector import (
    WIDTH,
    load,
    muladd,
    read,
    read_int,
    root,
    spread,
    store,
    total,
    transpose,
    write,
    write_int,
)
from mlip_fw.engines.ace.pairs import Pairs

_PER_COARSE = 1.0 / COARSE


@compiled
def collect(i: int, first_place: int, mu: int, pairs: Pairs, space: Space, s: Memory) -> float:
    """Copy the neighbours of atom ``i`` within the cutoff, grouped by element.

    Returns the square of the shortest distance.
    """
    x, capacity, n_elements = pairs.positions, s.capacity, space.n_elements
    xi, yi, zi = read(x, 3 * i), read(x, 3 * i + 1), read(x, 3 * i + 2)
    closest2 = np.inf
    for e in range(n_elements):
        write_int(s.counts, first_place + e, 0)
    for p in range(read_int(pairs.start, i), read_int(pairs.start, i + 1)):
        j = read_int(pairs.others, p)
        e = read_int(pairs.species, j)
        dx, dy, dz = read(x, 3 * j) - xi, read(x, 3 * j + 1) - yi, read(x, 3 * j + 2) - zi
        r2 = dx * dx + dy * dy + dz * dz
        # without a branch: always written, and overwritten by the next one if it is outside of the cutoff
        place = first_place + e
        k = read_int(s.counts, place)
        row = 5 * place * capacity + k
        write_int(s.neighbour, place * capacity + k, j)
        write(s.directions, row, dx)
        write(s.directions, row + capacity, dy)
        write(s.directions, row + 2 * capacity, dz)
        write(s.directions, row + 3 * capacity, r2)
        write_int(s.counts, place, k + (r2 < read(space.cutoffs2, mu * n_elements + e)))
        closest2 = min(closest2, r2)
    return closest2


@compiled
def fill_place(place: int, pair: int, space: Space, s: Memory) -> None:
    """Compute radial functions and harmonics at a place; ``pair`` is the index of its pair of elements."""
    fill_directions(place, s)
    fill_radial(place, pair, space.table, space.width, space, s.values, s.slopes, place, s)
    fill_harmonics(place, space, s)


@compiled
def fill_single(place: int, pair: int, space: Space, s: Memory) -> None:
    """Compute the radial functions of rank one at a place."""
    fill_radial(place, pair, space.single, space.single_width, space, s.single_values, s.single_slopes, 0, s)


@compiled
def fill_directions(place: int, s: Memory) -> None:
    """Replace difference vectors and squared distances by unit vectors, distances and their inverses."""
    d, n, capacity = s.directions, read_int(s.counts, place), s.capacity
    at, end = 5 * place * capacity, (n + WIDTH - 1) // WIDTH * WIDTH
    for k in range(at + n, at + end):
        write(d, k, 0.0)
        write(d, k + capacity, 0.0)
        write(d, k + 2 * capacity, 1.0)
        write(d, k + 3 * capacity, 1.0)
    one = spread(1.0)
    for k in range(at, at + end, WIDTH):
        r = root(load(d, k + 3 * capacity))
        inverse = one / r
        for c in range(3):
            store(d, k + c * capacity, load(d, k + c * capacity) * inverse)
        store(d, k + 3 * capacity, r)
        store(d, k + 4 * capacity, inverse)


@compiled
def fill_radial(
    place: int, pair: int, table: int, width: int, space: Space, values: int, slopes: int, target: int, s: Memory
) -> None:
    """Evaluate all functions of a table, and their derivatives, for the neighbours at a place; padding is zero."""
    n, capacity, first = read_int(s.counts, place), s.capacity, read_int(space.first_piece, pair)
    low, high = read_int(space.zones, 2 * pair), read_int(space.zones, 2 * pair + 1)
    n_low = low + (high - low) // COARSE
    per_fine, per_coarse = read(space.per_a, pair), read(space.per_a, pair) * _PER_COARSE
    end, half = (n + WIDTH - 1) // WIDTH * WIDTH, WIDTH * capacity
    distances, at = (5 * place + 3) * capacity, target * width * capacity
    for g in range(0, width, WIDTH):
        for k in range(n):
            u = read(s.directions, distances + k) * per_fine
            knot = int(u)
            if knot < low:
                piece, share, per_piece = knot, u - knot, per_fine
            elif knot < high:
                u = (u - low) * _PER_COARSE
                knot = int(u)
                piece, share, per_piece = low + knot, u - knot, per_coarse
            else:
                piece, share, per_piece = n_low + knot - high, u - knot, per_fine
            row = (first + piece) * 6 * width + g
            t = spread(share)
            slope = load(table, row + 5 * width)
            value = muladd(slope, t, load(table, row + 4 * width))
            slope = muladd(slope, t, value)
            value = muladd(value, t, load(table, row + 3 * width))
            slope = muladd(slope, t, value)
            value = muladd(value, t, load(table, row + 2 * width))
            slope = muladd(slope, t, value)
            value = muladd(value, t, load(table, row + width))
            slope = muladd(slope, t, value)
            value = muladd(value, t, load(table, row))
            store(s.by_neighbour, k * WIDTH, value)
            store(s.by_neighbour, half + k * WIDTH, slope * spread(per_piece))
        for k in range(n, end):
            store(s.by_neighbour, k * WIDTH, spread(0.0))
            store(s.by_neighbour, half + k * WIDTH, spread(0.0))
        for k in range(0, end, WIDTH):
            transpose(s.by_neighbour, k * WIDTH, WIDTH, values, at + g * capacity + k, capacity)
            transpose(s.by_neighbour, half + k * WIDTH, WIDTH, slopes, at + g * capacity + k, capacity)


@compiled
def fill_harmonics(place: int, space: Space, s: Memory) -> None:
    """Compute all harmonics of the neighbours at a place.

    Associated Legendre functions divided by (x² + y²)^(m/2), by recurrence in l, times (x + iy)^m.
    """
    capacity, lmax, d, y = s.capacity, space.lmax, s.directions, s.harmonics
    for p in range(0, read_int(s.counts, place), WIDTH):
        at = 5 * place * capacity + p
        ux, uy, uz = load(d, at), load(d, at + capacity), load(d, at + 2 * capacity)
        real, imaginary = spread(1.0), spread(0.0)
        for m in range(lmax + 1):
            last, before = first_legendre(m, space), spread(0.0)
            for ell in range(m, lmax + 1):
                k = (ell * ell + max(2 * m - 1, 0)) * capacity + p
                store(y, k, last * real)
                if m > 0:
                    store(y, k + capacity, last * imaginary)
                last, before = next_legendre(ell, m, uz, last, before, space), last
            real, imaginary = real * ux - imaginary * uy, real * uy + imaginary * ux


@compiled
def first_legendre(m: int, space: Space) -> Any:
    """Return the scaled associated Legendre function of l = m."""
    return spread(read(space.norms, m * (space.lmax + 2) * 3))


@compiled
def next_legendre(ell: int, m: int, z: Any, last: Any, before: Any, space: Space) -> Any:
    """Return the scaled associated Legendre function of l + 1 from those of l and l - 1."""
    norm = ((ell + 1) * (space.lmax + 1) + m) * 3
    return spread(read(space.norms, norm + 1)) * z * last - spread(read(space.norms, norm + 2)) * before


@compiled
def next_slope(ell: int, m: int, z: Any, last: Any, slope: Any, slope_before: Any, space: Space) -> Any:
    """Return the derivative of :func:`next_legendre` with respect to z."""
    norm = ((ell + 1) * (space.lmax + 1) + m) * 3
    factor, other = spread(read(space.norms, norm + 1)), spread(read(space.norms, norm + 2))
    return factor * muladd(z, slope, last) - other * slope_before


@compiled
def sum_over_neighbours(place: int, space: Space, element: Element, s: Memory) -> None:
    """Compute the sums of R(n, l) Y(k) over the neighbours at a place; three n and two k at a time."""
    n, capacity, values, y, sums = read_int(s.counts, place), s.capacity, s.values, s.harmonics, s.sums
    at, n_k = place * space.width * capacity, space.n_k
    for t in range(0, 4 * element.n_groups, 4):
        k_low, k_high = read_int(element.groups, t), read_int(element.groups, t + 1)
        used, channels = read_int(element.groups, t + 2), read_int(element.groups, t + 3) * space.n_n
        for k0 in range(k_low, k_high, 2):
            k1 = min(k0 + 1, k_high - 1)
            for m0 in range(0, used, 3):
                m1, m2 = min(m0 + 1, used - 1), min(m0 + 2, used - 1)
                r0 = at + read_int(space.channels, channels + m0) * capacity
                r1 = at + read_int(space.channels, channels + m1) * capacity
                r2 = at + read_int(space.channels, channels + m2) * capacity
                s00, s10, s20 = spread(0.0), spread(0.0), spread(0.0)
                s01, s11, s21 = spread(0.0), spread(0.0), spread(0.0)
                for p in range(0, n, WIDTH):
                    y0, y1 = load(y, k0 * capacity + p), load(y, k1 * capacity + p)
                    r = load(values, r0 + p)
                    s00, s01 = muladd(r, y0, s00), muladd(r, y1, s01)
                    r = load(values, r1 + p)
                    s10, s11 = muladd(r, y0, s10), muladd(r, y1, s11)
                    r = load(values, r2 + p)
                    s20, s21 = muladd(r, y0, s20), muladd(r, y1, s21)
                write(sums, m0 * n_k + k0, total(s00))
                write(sums, m1 * n_k + k0, total(s10))
                write(sums, m2 * n_k + k0, total(s20))
                write(sums, m0 * n_k + k1, total(s01))
                write(sums, m1 * n_k + k1, total(s11))
                write(sums, m2 * n_k + k1, total(s21))


@compiled
def sum_of_row(place: int, rows: int, at: int, s: Memory) -> Any:
    """Return the sum of one row over the neighbours at a place."""
    found = spread(0.0)
    for p in range(at, at + read_int(s.counts, place), WIDTH):
        found = found + load(rows, p)
    return total(found)
