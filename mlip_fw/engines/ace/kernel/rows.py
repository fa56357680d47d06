"""Rows of a linear fit: contributions of each basis function to energies, forces and virial (compiled)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlip_fw.engines.ace.kernel.cache import compiled, entry
from mlip_fw.engines.ace.kernel.gradients import add, hand_out
from mlip_fw.engines.ace.kernel.layout import Element, Space
from mlip_fw.engines.ace.kernel.memory import Memory
from mlip_fw.engines.ace.kernel.products import (
    add_term,
    add_up_functions,
    clear_leaves,
    fill_leaves,
    multiply,
    through_mirror,
    through_product,
)
from mlip_fw.engines.ace.kernel.stages import (
    collect,
    fill_harmonics,
    fill_place,
    fill_single,
    first_legendre,
    next_legendre,
    next_slope,
    sum_of_row,
    sum_over_neighbours,
)
from mlip_fw.engines.ace.kernel.vector import (
    WIDTH,
    load,
    muladd,
    read,
    read_int,
    spread,
    store,
    unpack,
    write,
)
from mlip_fw.engines.ace.pairs import Pairs

_BYTES = 8


@entry
def design_rows(
    order: int,
    n_order: int,
    n_atoms: int,
    pairs_at: int,
    space_at: int,
    element_at: int,
    memory_at: int,
    functions: int,
    forces: int,
    virials: int,
) -> float:
    """Compute the rows of some atoms of one element; return the shortest distance between atoms, Å.

    Parameters
    ----------
    order, n_order
        Address of a list of atoms, and its length.
    n_atoms
        Number of all atoms.
    pairs_at, space_at, element_at, memory_at
        Addresses of what :func:`mlip_fw.engines.ace.kernel.memory.by_address` returns; of ``memory``, scratch buffers
        made with ``with_rows``.
    functions
        (n_atoms, n_rank1 + n_functions) is filled for these atoms.
    forces
        (n_rank1 + n_functions, 3, n_atoms): the contributions of these atoms are added, 1/Å.
    virials
        (n_rank1 + n_functions, 6) xx, yy, zz, xy, xz, yz: likewise.
    """
    pairs, space = unpack(Pairs, pairs_at), unpack(Space, space_at)
    element, s = unpack(Element, element_at), unpack(Memory, memory_at)
    n_elements, n_rank1, width = space.n_elements, element.n_rank1, element.n_rank1 + element.n_functions
    closest2 = np.inf
    for begin in range(0, n_order, WIDTH):
        n_block = min(WIDTH, n_order - begin)
        clear_leaves(element, s)
        for b in range(n_block):
            i = read_int(order, begin + b)
            closest2 = min(closest2, collect(i, b * n_elements, element.number, pairs, space, s))
            for e in range(n_elements):
                place, pair = b * n_elements + e, element.number * n_elements + e
                n = read_int(s.counts, place)
                if n == 0:
                    continue
                fill_place(place, pair, space, s)
                sum_over_neighbours(place, space, element, s)
                fill_leaves(b, e, element, s)
                fill_single(place, pair, space, s)
                single_neighbours(i, e, place, n_atoms, pairs, space, element, functions, forces, virials, s)
        multiply(element, s)
        add_up_functions(0, element, s)
        for b in range(n_block):
            row = read_int(order, begin + b) * width + n_rank1
            for f in range(element.n_functions):
                write(functions, row + f, read(s.functions, f * WIDTH + b))
        for f in range(element.n_functions):
            differentiate_function(f, element, s)
        for b in range(n_block):
            i = read_int(order, begin + b)
            for e in range(n_elements):
                place = b * n_elements + e
                n = read_int(s.counts, place)
                if n == 0:
                    continue
                fill_harmonics(place, space, s)
                slopes_of_harmonics(place, space, s)
                gradients_of_leaves(place, e, space, element, s)
                for f in range(element.n_functions):
                    if gradient_of_function(f, b, e, place, element, s):
                        hand_out_function(n_rank1 + f, i, place, n_atoms, pairs, forces, virials, s)
    return float(np.sqrt(closest2))


@compiled
def single_neighbours(
    i: int,
    e: int,
    place: int,
    n_atoms: int,
    pairs: Pairs,
    space: Space,
    element: Element,
    functions: int,
    forces: int,
    virials: int,
    s: Memory,
) -> None:
    """Compute the rows of rank-one functions with neighbours of element ``e``."""
    for f in range(element.n_rank1):
        kind = read_int(element.rank1, f)
        if kind // space.n_single == e:
            row = kind % space.n_single * s.capacity
            add(functions, i * (element.n_rank1 + element.n_functions) + f, sum_of_row(place, s.single_values, row, s))
            along_directions(place, row, s)
            hand_out_function(f, i, place, n_atoms, pairs, forces, virials, s)


@compiled
def hand_out_function(
    f: int, i: int, place: int, n_atoms: int, pairs: Pairs, forces: int, virials: int, s: Memory
) -> None:
    """Add the contributions of the gradient of function ``f``."""
    hand_out(i, place, pairs, forces + 3 * n_atoms * f * _BYTES, 1, n_atoms, virials + 6 * f * _BYTES, s)


@compiled
def along_directions(place: int, row: int, s: Memory) -> None:
    """Compute the gradient of a rank-one function."""
    for p in range(0, read_int(s.counts, place), WIDTH):
        slope = load(s.single_slopes, row + p)
        for c in range(3):
            store(s.gradient, c * s.capacity + p, slope * load(s.directions, (5 * place + c) * s.capacity + p))


@compiled
def differentiate_function(f: int, element: Element, s: Memory) -> None:
    """Compute the derivatives of one function with respect to the leaves that it depends on."""
    uses, n_leaves = element.uses, element.n_leaves
    first = n_leaves + element.n_mirrored
    products, end_of_products = read_int(uses, 4 * f + 1), read_int(uses, 4 * f + 5)
    mirrored, end_of_mirrored = read_int(uses, 4 * f + 2), read_int(uses, 4 * f + 6)
    leaves, end_of_leaves = read_int(uses, 4 * f + 3), read_int(uses, 4 * f + 7)
    for t in range(products, end_of_products):
        clear(first + read_int(element.used_products, t), s)
    for t in range(mirrored, end_of_mirrored):
        clear(n_leaves + read_int(element.used_mirrored, t), s)
    for t in range(leaves, end_of_leaves):
        clear(read_int(element.used_leaves, t), s)
    for t in range(read_int(uses, 4 * f), read_int(uses, 4 * f + 4)):
        a, b = read_int(element.terms, 3 * t) * WIDTH, read_int(element.terms, 3 * t + 1) * WIDTH
        add_term(a, b, read(element.weights, t), s)
    for t in range(products, end_of_products):
        k = read_int(element.used_products, t)
        a, b = read_int(element.products, 2 * k) * WIDTH, read_int(element.products, 2 * k + 1) * WIDTH
        through_product(a, b, (first + k) * WIDTH, s)
    for t in range(mirrored, end_of_mirrored):
        through_mirror(read_int(element.used_mirrored, t), element, s)
    for t in range(leaves, end_of_leaves):
        leaf = read_int(element.used_leaves, t) * WIDTH
        store(s.use_real, t * WIDTH, load(s.by_real, leaf))
        store(s.use_imaginary, t * WIDTH, load(s.by_imaginary, leaf))


@compiled
def clear(node: int, s: Memory) -> None:
    """Set the derivatives with respect to a node to zero."""
    store(s.by_real, node * WIDTH, spread(0.0))
    store(s.by_imaginary, node * WIDTH, spread(0.0))


@compiled
def slopes_of_harmonics(place: int, space: Space, s: Memory) -> None:
    """Compute the derivatives of all harmonics with respect to position, (k, 3) rows."""
    lmax, capacity, d = space.lmax, s.capacity, s.directions
    for p in range(0, read_int(s.counts, place), WIDTH):
        at = 5 * place * capacity + p
        x, y, z = load(d, at), load(d, at + capacity), load(d, at + 2 * capacity)
        # m times (x + iy)^(m - 1), and (x + iy)^m
        lower, lower_i, real, imaginary = spread(0.0), spread(0.0), spread(1.0), spread(0.0)
        for m in range(lmax + 1):
            last, before, slope, slope_before = first_legendre(m, space), spread(0.0), spread(0.0), spread(0.0)
            for ell in range(m, lmax + 1):
                k = 3 * (ell * ell + max(2 * m - 1, 0)) * capacity + p
                store_across(k, at, last * lower, spread(0.0) - last * lower_i, slope * real, s)
                if m > 0:
                    store_across(k + 3 * capacity, at, last * lower_i, last * lower, slope * imaginary, s)
                slope, slope_before = next_slope(ell, m, z, last, slope, slope_before, space), slope
                last, before = next_legendre(ell, m, z, last, before, space), last
            factor = spread(m + 1.0)
            lower, lower_i = factor * real, factor * imaginary
            real, imaginary = real * x - imaginary * y, real * y + imaginary * x


@compiled
def store_across(k: int, at: int, gx: Any, gy: Any, gz: Any, s: Memory) -> None:
    """Project a gradient perpendicular to the unit vector and store it per Å: 3 rows from index ``k`` on."""
    capacity, d = s.capacity, s.directions
    ux, uy, uz, inverse = load(d, at), load(d, at + capacity), load(d, at + 2 * capacity), load(d, at + 4 * capacity)
    along = ux * gx + uy * gy + uz * gz
    store(s.slopes_of_harmonics, k, inverse * (gx - along * ux))
    store(s.slopes_of_harmonics, k + capacity, inverse * (gy - along * uy))
    store(s.slopes_of_harmonics, k + 2 * capacity, inverse * (gz - along * uz))


@compiled
def gradients_of_leaves(place: int, e: int, space: Space, element: Element, s: Memory) -> None:
    """Compute the derivatives of all leaves of element ``e`` with respect to neighbour positions, (leaf, 3) rows."""
    for t in range(read_int(element.leaf_range, e), read_int(element.leaf_range, e + 1)):
        m, k = read_int(element.leaf_place, t) // space.n_k, read_int(element.leaf_place, t) % space.n_k
        channel = read_int(space.channels, int(np.sqrt(k)) * space.n_n + m)
        row = (place * space.width + channel) * s.capacity
        gradient_of_leaf(place, row, k, s.leaf_real, 3 * t * s.capacity, s)
        if read(element.leaf_phase, t) != 0.0:
            gradient_of_leaf(place, row, k + 1, s.leaf_imaginary, 3 * t * s.capacity, s)


@compiled
def gradient_of_leaf(place: int, row: int, k: int, target: int, at: int, s: Memory) -> None:
    """Compute the derivatives of R Y(k) with respect to position, 3 rows."""
    capacity = s.capacity
    for p in range(0, read_int(s.counts, place), WIDTH):
        value = load(s.values, row + p)
        along = load(s.slopes, row + p) * load(s.harmonics, k * capacity + p)
        for c in range(3):
            across = value * load(s.slopes_of_harmonics, (3 * k + c) * capacity + p)
            direction = load(s.directions, (5 * place + c) * capacity + p)
            store(target, at + c * capacity + p, muladd(along, direction, across))


@compiled
def gradient_of_function(f: int, b: int, e: int, place: int, element: Element, s: Memory) -> bool:
    """Compute the gradient of a function of atom ``b`` for neighbours of element ``e``; return False if it has none."""
    is_begun, capacity, n = False, s.capacity, read_int(s.counts, place)
    low, high = read_int(element.leaf_range, e), read_int(element.leaf_range, e + 1)
    for t in range(read_int(element.uses, 4 * f + 3), read_int(element.uses, 4 * f + 7)):
        leaf = read_int(element.used_leaves, t)
        if leaf < low or leaf >= high:
            continue
        has_phase = read(element.leaf_phase, leaf) != 0.0
        wr, wi = spread(read(s.use_real, t * WIDTH + b)), spread(read(s.use_imaginary, t * WIDTH + b))
        for c in range(3):
            source, target = (3 * leaf + c) * capacity, c * capacity
            for p in range(0, n, WIDTH):
                found = wr * load(s.leaf_real, source + p)
                if has_phase:
                    found = muladd(wi, load(s.leaf_imaginary, source + p), found)
                if is_begun:
                    found = found + load(s.gradient, target + p)
                store(s.gradient, target + p, found)
        is_begun = True
    return is_begun
