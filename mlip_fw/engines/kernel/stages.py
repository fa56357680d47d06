"""The steps of an evaluation, compiled.

From positions to sums over neighbours, and from derivatives by those sums to forces. Neighbours lie side by side in
rows whose length is a multiple of :data:`WIDTH`; what is left of a row counts nothing. The neighbours of an atom that
are of one element have a *place*: rows of their own. Tables and memory are addresses, see
:mod:`mlip_fw.engines.kernel.vector`; what they hold is said in :mod:`mlip_fw.engines.kernel.form` and
:mod:`mlip_fw.engines.kernel.memory`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlip_fw.engines.kernel.cache import compiled
from mlip_fw.engines.kernel.form import Element, Space
from mlip_fw.engines.kernel.memory import STEP, Memory
from mlip_fw.engines.kernel.radial import COARSE
from mlip_fw.engines.kernel.vector import (
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
from mlip_fw.engines.pairs import Pairs

_PER_COARSE = 1.0 / COARSE


@compiled
def collect(i: int, first_place: int, mu: int, pairs: Pairs, space: Space, s: Memory) -> float:
    """Copy the neighbours of atom ``i`` within the cutoff, those of each element together.

    Returns the shortest distance squared.
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
        # written in any case, and kept if the count goes on
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
    """Compute radial and angular functions of the neighbours at a place; ``pair`` is that of the elements."""
    fill_directions(place, s)
    fill_radial(place, pair, space.table, space.width, space, s.values, s.slopes, place, s)
    fill_angular(place, space, s)


@compiled
def fill_single(place: int, pair: int, space: Space, s: Memory) -> None:
    """Compute the functions of single neighbours at a place."""
    fill_radial(place, pair, space.single, space.single_width, space, s.single_values, s.single_slopes, 0, s)


@compiled
def fill_directions(place: int, s: Memory) -> None:
    """Replace difference vectors and squared distances by unit vectors, distances and their inverses."""
    d, n, capacity = s.directions, read_int(s.counts, place), s.capacity
    at, end = 5 * place * capacity, (n + STEP - 1) // STEP * STEP
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
    """Evaluate all functions of a table for the neighbours at a place: rows that end in zeros."""
    n, capacity, first = read_int(s.counts, place), s.capacity, read_int(space.first_piece, pair)
    low, high = read_int(space.zones, 2 * pair), read_int(space.zones, 2 * pair + 1)
    n_low = low + (high - low) // COARSE
    per_fine, per_coarse = read(space.per_a, pair), read(space.per_a, pair) * _PER_COARSE
    end, half = (n + STEP - 1) // STEP * STEP, WIDTH * capacity
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
def fill_angular(place: int, space: Space, s: Memory) -> None:
    """Fill what harmonics are products of, by the recurrences of associated Legendre functions."""
    capacity, lmax, d, q, circle = s.capacity, space.lmax, s.directions, s.legendre, s.circle
    at_d, at_q, at_c = 5 * place * capacity, place * space.n_q * capacity, place * 2 * (lmax + 1) * capacity
    for k in range(0, (read_int(s.counts, place) + STEP - 1) // STEP * STEP, WIDTH):
        x, y, z = load(d, at_d + k), load(d, at_d + capacity + k), load(d, at_d + 2 * capacity + k)
        real, imaginary = spread(1.0), spread(0.0)
        for m in range(lmax + 1):
            store(circle, at_c + 2 * m * capacity + k, real)
            store(circle, at_c + (2 * m + 1) * capacity + k, imaginary)
            real, imaginary = real * x - imaginary * y, real * y + imaginary * x
            before = spread(read(space.norms, m * (lmax + 2) * 3))
            store(q, at_q + (m * (m + 1) // 2 + m) * capacity + k, before)
            if m < lmax:
                last = spread(read(space.norms, ((m + 1) * (lmax + 1) + m) * 3 + 1)) * z * before
                store(q, at_q + ((m + 1) * (m + 2) // 2 + m) * capacity + k, last)
                for ell in range(m + 2, lmax + 1):
                    norm = (ell * (lmax + 1) + m) * 3
                    new = spread(read(space.norms, norm + 1)) * z * last - spread(read(space.norms, norm + 2)) * before
                    store(q, at_q + (ell * (ell + 1) // 2 + m) * capacity + k, new)
                    before, last = last, new


@compiled
def fill_harmonics(place: int, first: int, end: int, stride: int, space: Space, s: Memory) -> None:
    """Fill rows of all harmonics, ``stride`` apart, for the neighbours from ``first`` to ``end`` at a place."""
    capacity, lmax, q, circle, y = s.capacity, space.lmax, s.legendre, s.circle, s.harmonics
    at_q, at_c = place * space.n_q * capacity, place * 2 * (lmax + 1) * capacity
    for p in range(first, end, WIDTH):
        for ell in range(lmax + 1):
            row, k = at_q + ell * (ell + 1) // 2 * capacity + p, ell * ell * stride + p - first
            store(y, k, load(q, row))
            for m in range(1, ell + 1):
                part = load(q, row + m * capacity)
                store(y, k + (2 * m - 1) * stride, part * load(circle, at_c + 2 * m * capacity + p))
                store(y, k + 2 * m * stride, part * load(circle, at_c + (2 * m + 1) * capacity + p))


@compiled
def sum_over_neighbours(place: int, space: Space, element: Element, s: Memory) -> None:
    """Fill the sums of R(n, l) Y(k) over the neighbours at a place; three n and two k at a time."""
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
def fill_leaves(b: int, e: int, element: Element, s: Memory) -> None:
    """Take the sums over neighbours of element ``e`` as leaves of atom ``b``."""
    for t in range(read_int(element.leaf_range, e), read_int(element.leaf_range, e + 1)):
        k = read_int(element.leaf_place, t)
        write(s.real, t * WIDTH + b, read(s.sums, k))
        write(s.imaginary, t * WIDTH + b, read(element.leaf_phase, t) * read(s.sums, k + 1))


@compiled
def clear_leaves(element: Element, s: Memory) -> None:
    """Forget the leaves of the atoms before."""
    for t in range(0, element.n_leaves * WIDTH, WIDTH):
        store(s.real, t, spread(0.0))
        store(s.imaginary, t, spread(0.0))


@compiled
def multiply(element: Element, s: Memory) -> None:
    """Fill the nodes behind the leaves."""
    re, im = s.real, s.imaginary
    for t in range(0, 3 * element.n_mirrored, 3):
        node, leaf = read_int(element.mirrored, t) * WIDTH, read_int(element.mirrored, t + 1) * WIDTH
        sign = float(read_int(element.mirrored, t + 2))
        store(re, node, spread(sign) * load(re, leaf))
        store(im, node, spread(-sign) * load(im, leaf))
    node = (element.n_leaves + element.n_mirrored) * WIDTH
    for t in range(0, 2 * element.n_products, 2):
        a, b = read_int(element.products, t) * WIDTH, read_int(element.products, t + 1) * WIDTH
        ar, ai, br, bi = load(re, a), load(im, a), load(re, b), load(im, b)
        store(re, node, ar * br - ai * bi)
        store(im, node, ar * bi + ai * br)
        node += WIDTH


@compiled
def add_up_functions(first: int, element: Element, s: Memory) -> None:
    """Fill the basis functions of two and more neighbours; the ``first`` ones are those of single neighbours."""
    for f in range(first * WIDTH, (first + element.n_functions) * WIDTH, WIDTH):
        store(s.functions, f, spread(0.0))
    for t in range(element.n_terms):
        a, b = read_int(element.terms, 3 * t) * WIDTH, read_int(element.terms, 3 * t + 1) * WIDTH
        f = (first + read_int(element.terms, 3 * t + 2)) * WIDTH
        real = load(s.real, a) * load(s.real, b) - load(s.imaginary, a) * load(s.imaginary, b)
        store(s.functions, f, muladd(spread(read(element.weights, t)), real, load(s.functions, f)))


@compiled
def add_term(a: int, b: int, weight: float, s: Memory) -> Any:
    """Add the derivatives of ``weight`` · Re(node a · node b) to those by both nodes, and return its value."""
    w = spread(weight)
    ar, ai = w * load(s.real, a), w * load(s.imaginary, a)
    br, bi = load(s.real, b), load(s.imaginary, b)
    store(s.by_real, a, muladd(w, br, load(s.by_real, a)))
    store(s.by_imaginary, a, load(s.by_imaginary, a) - w * bi)
    store(s.by_real, b, load(s.by_real, b) + ar)
    store(s.by_imaginary, b, load(s.by_imaginary, b) - ai)
    return ar * br - ai * bi


@compiled
def through_product(a: int, b: int, node: int, s: Memory) -> None:
    """Hand the derivatives by a product on to its two factors."""
    ar, ai, br, bi = load(s.real, a), load(s.imaginary, a), load(s.real, b), load(s.imaginary, b)
    wr, wi = load(s.by_real, node), load(s.by_imaginary, node)
    store(s.by_real, a, muladd(wr, br, muladd(wi, bi, load(s.by_real, a))))
    store(s.by_imaginary, a, muladd(wi, br, load(s.by_imaginary, a) - wr * bi))
    store(s.by_real, b, muladd(wr, ar, muladd(wi, ai, load(s.by_real, b))))
    store(s.by_imaginary, b, muladd(wi, ar, load(s.by_imaginary, b) - wr * ai))


@compiled
def through_mirror(t: int, element: Element, s: Memory) -> None:
    """Hand the derivatives by a mirrored node on to its leaf."""
    node, leaf = read_int(element.mirrored, 3 * t) * WIDTH, read_int(element.mirrored, 3 * t + 1) * WIDTH
    sign = spread(float(read_int(element.mirrored, 3 * t + 2)))
    store(s.by_real, leaf, muladd(sign, load(s.by_real, node), load(s.by_real, leaf)))
    store(s.by_imaginary, leaf, load(s.by_imaginary, leaf) - sign * load(s.by_imaginary, node))


@compiled
def differentiate(element: Element, s: Memory) -> None:
    """Add the energies of several neighbours to ``energy``, and fill the derivatives by the leaves."""
    first = element.n_leaves + element.n_mirrored
    for t in range(0, (first + element.n_products) * WIDTH, WIDTH):
        store(s.by_real, t, spread(0.0))
        store(s.by_imaginary, t, spread(0.0))
    energies = load(s.energy, 0)
    for t in range(element.n_merged):
        a, b = read_int(element.merged, 2 * t) * WIDTH, read_int(element.merged, 2 * t + 1) * WIDTH
        energies = energies + add_term(a, b, read(element.merged_weights, t), s)
    store(s.energy, 0, energies)
    for t in range(element.n_products - 1, -1, -1):
        a, b = read_int(element.products, 2 * t) * WIDTH, read_int(element.products, 2 * t + 1) * WIDTH
        through_product(a, b, (first + t) * WIDTH, s)
    for t in range(element.n_mirrored):
        through_mirror(t, element, s)


@compiled
def take_derivatives(b: int, e: int, space: Space, element: Element, s: Memory) -> None:
    """Take the derivatives of atom ``b`` by its leaves of element ``e`` in place of the sums."""
    for k in range(space.n_n * space.n_k):
        write(s.sums, k, 0.0)
    for t in range(read_int(element.leaf_range, e), read_int(element.leaf_range, e + 1)):
        k = read_int(element.leaf_place, t)
        write(s.sums, k, read(s.by_real, t * WIDTH + b))
        if read(element.leaf_phase, t) != 0.0:
            write(s.sums, k + 1, read(s.by_imaginary, t * WIDTH + b))


@compiled
def fill_gradient(place: int, space: Space, element: Element, s: Memory) -> None:
    """Fill the derivatives of an atom's energy by the positions of its neighbours at a place."""
    capacity, d, g, slopes = s.capacity, s.directions, s.gradient, s.slopes
    at, at_d, w, y, n_k = place * space.width * capacity, 5 * place * capacity, s.sums, s.harmonics, space.n_k
    for k in range(0, n_k * STEP, WIDTH):
        store(s.weighted, k, spread(0.0))
    for p in range(0, read_int(s.counts, place), STEP):
        fill_harmonics(place, p, p + STEP, STEP, space, s)
        pair = at + space.pair * capacity + p
        out0, out1 = load(slopes, pair), load(slopes, pair + WIDTH)
        for t in range(0, 4 * element.n_groups, 4):
            k_low, k_high = read_int(element.groups, t), read_int(element.groups, t + 1)
            used, channels = read_int(element.groups, t + 2), read_int(element.groups, t + 3) * space.n_n
            # along radii: R'(n) Σ_k w(n, k) Y(k)
            for m0 in range(0, used, 3):
                m1, m2 = min(m0 + 1, used - 1), min(m0 + 2, used - 1)
                a00, a01, a10 = spread(0.0), spread(0.0), spread(0.0)
                a11, a20, a21 = spread(0.0), spread(0.0), spread(0.0)
                for k in range(k_low, k_high):
                    y0, y1 = load(y, k * STEP), load(y, k * STEP + WIDTH)
                    v = spread(read(w, m0 * n_k + k))
                    a00, a01 = muladd(v, y0, a00), muladd(v, y1, a01)
                    v = spread(read(w, m1 * n_k + k))
                    a10, a11 = muladd(v, y0, a10), muladd(v, y1, a11)
                    v = spread(read(w, m2 * n_k + k))
                    a20, a21 = muladd(v, y0, a20), muladd(v, y1, a21)
                row = at + read_int(space.channels, channels + m0) * capacity + p
                out0, out1 = muladd(load(slopes, row), a00, out0), muladd(load(slopes, row + WIDTH), a01, out1)
                if m0 + 1 < used:
                    row = at + read_int(space.channels, channels + m1) * capacity + p
                    out0, out1 = muladd(load(slopes, row), a10, out0), muladd(load(slopes, row + WIDTH), a11, out1)
                if m0 + 2 < used:
                    row = at + read_int(space.channels, channels + m2) * capacity + p
                    out0, out1 = muladd(load(slopes, row), a20, out0), muladd(load(slopes, row + WIDTH), a21, out1)
            # across: Σ_n w(n, k) R(n) for each harmonic
            for k0 in range(k_low, k_high, 2):
                k1 = min(k0 + 1, k_high - 1)
                a00, a01, a10, a11 = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
                for m in range(used):
                    row = at + read_int(space.channels, channels + m) * capacity + p
                    r0, r1 = load(s.values, row), load(s.values, row + WIDTH)
                    v = spread(read(w, m * n_k + k0))
                    a00, a01 = muladd(v, r0, a00), muladd(v, r1, a01)
                    v = spread(read(w, m * n_k + k1))
                    a10, a11 = muladd(v, r0, a10), muladd(v, r1, a11)
                store(s.weighted, k0 * STEP, a00)
                store(s.weighted, k0 * STEP + WIDTH, a01)
                store(s.weighted, k1 * STEP, a10)
                store(s.weighted, k1 * STEP + WIDTH, a11)
        for h in range(0, STEP, WIDTH):
            gx, gy, gz = angular_gradient(place, p + h, h, space, s)
            k = at_d + p + h
            ux, uy, uz = load(d, k), load(d, k + capacity), load(d, k + 2 * capacity)
            inverse = load(d, k + 4 * capacity)
            # the polynomial in the unit vector also changes along it, where the harmonic does not
            along = inverse * (ux * gx + uy * gy + uz * gz)
            along = out0 - along if h == 0 else out1 - along
            store(g, p + h, muladd(along, ux, inverse * gx))
            store(g, p + h + capacity, muladd(along, uy, inverse * gy))
            store(g, p + h + 2 * capacity, muladd(along, uz, inverse * gz))


@compiled
def angular_gradient(place: int, p: int, h: int, space: Space, s: Memory) -> Any:
    """Return the derivatives by x, y and z of Σ_k weighted(k) Y(k) as a polynomial in the unit vector."""
    lmax, capacity, q, circle, v = space.lmax, s.capacity, s.legendre, s.circle, s.weighted
    at_q, at_c = place * space.n_q * capacity + p, place * 2 * (lmax + 1) * capacity + p
    gx, gy, gz = spread(0.0), spread(0.0), spread(0.0)
    for ell in range(1, lmax + 1):
        slope = spread(read(space.ratios, ell * (lmax + 1))) * load(q, at_q + (ell * (ell + 1) // 2 + 1) * capacity)
        gz = muladd(slope, load(v, ell * ell * STEP + h), gz)
    for m in range(1, lmax + 1):
        zr, zi, pr, pi = spread(0.0), spread(0.0), spread(0.0), spread(0.0)
        for ell in range(m, lmax + 1):
            row, k = at_q + (ell * (ell + 1) // 2 + m) * capacity, (ell * ell + 2 * m - 1) * STEP + h
            vr, vi, part = load(v, k), load(v, k + STEP), load(q, row)
            pr, pi = muladd(part, vr, pr), muladd(part, vi, pi)
            if m < ell:
                slope = spread(read(space.ratios, ell * (lmax + 1) + m)) * load(q, row + capacity)
                zr, zi = muladd(slope, vr, zr), muladd(slope, vi, zi)
        row, factor = at_c + (2 * m - 2) * capacity, spread(float(m))
        lower, lower_i = load(circle, row), load(circle, row + capacity)
        gx = muladd(factor, pr * lower + pi * lower_i, gx)
        gy = muladd(factor, pi * lower - pr * lower_i, gy)
        gz = muladd(zr, load(circle, row + 2 * capacity), muladd(zi, load(circle, row + 3 * capacity), gz))
    return gx, gy, gz


@compiled
def hand_out(i: int, place: int, pairs: Pairs, forces: int, stride: int, step: int, virial: int, s: Memory) -> None:
    """Add what the gradient gives to the forces of an atom and its neighbours, and to the virial.

    The force on atom j along c is number ``stride`` · j + ``step`` · c behind ``forces``.
    """
    n, capacity, d, g = read_int(s.counts, place), s.capacity, s.directions, s.gradient
    at, zero = 5 * place * capacity, spread(0.0)
    fx, fy, fz, xx, yy, zz, xy, xz, yz = zero, zero, zero, zero, zero, zero, zero, zero, zero
    for p in range(0, n, WIDTH):
        gx, gy, gz = load(g, p), load(g, capacity + p), load(g, 2 * capacity + p)
        r, k = load(d, at + 3 * capacity + p), at + p
        rx, ry, rz = r * load(d, k), r * load(d, k + capacity), r * load(d, k + 2 * capacity)
        fx, fy, fz = fx + gx, fy + gy, fz + gz
        xx, yy, zz = muladd(rx, gx, xx), muladd(ry, gy, yy), muladd(rz, gz, zz)
        xy, xz, yz = muladd(rx, gy, xy), muladd(rx, gz, xz), muladd(ry, gz, yz)
    add(forces, stride * i, total(fx))
    add(forces, stride * i + step, total(fy))
    add(forces, stride * i + 2 * step, total(fz))
    add(virial, 0, -total(xx))
    add(virial, 1, -total(yy))
    add(virial, 2, -total(zz))
    add(virial, 3, -total(xy))
    add(virial, 4, -total(xz))
    add(virial, 5, -total(yz))
    for p in range(n):
        j = stride * read_int(pairs.owner, read_int(s.neighbour, place * capacity + p))
        add(forces, j, -read(g, p))
        add(forces, j + step, -read(g, capacity + p))
        add(forces, j + 2 * step, -read(g, 2 * capacity + p))


@compiled
def add(address: int, index: int, number: float) -> None:
    """Add to one number."""
    write(address, index, read(address, index) + number)


@compiled
def sum_of_row(place: int, rows: int, at: int, s: Memory) -> Any:
    """Return the sum of one row over the neighbours at a place."""
    found = spread(0.0)
    for p in range(at, at + read_int(s.counts, place), WIDTH):
        found = found + load(rows, p)
    return total(found)
