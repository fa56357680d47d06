"""Energies, forces, virial, basis functions and extrapolation grades of some atoms (compiled)."""

from __future__ import annotations

import numpy as np

from mlip_fw.engines.ace.kernel.cache import compiled, entry
from mlip_fw.engines.ace.kernel.embedding import add_pairs, clear_densities, embed, weigh_pairs
from mlip_fw.engines.ace.kernel.grades import grade
from mlip_fw.engines.ace.kernel.gradients import add, fill_gradient, hand_out
from mlip_fw.engines.ace.kernel.layout import Element, Space
from mlip_fw.engines.ace.kernel.memory import Memory
from mlip_fw.engines.ace.kernel.products import (
    add_energies,
    add_up_functions,
    clear_derivatives,
    clear_leaves,
    fill_leaves,
    hand_down,
    multiply,
    take_derivatives,
)
from mlip_fw.engines.ace.kernel.stages import (
    collect,
    fill_place,
    fill_single,
    sum_of_row,
    sum_over_neighbours,
)
from mlip_fw.engines.ace.kernel.vector import WIDTH, read, read_int, spread, store, unpack, write
from mlip_fw.engines.ace.pairs import Pairs

_BYTES = 8


@entry
def evaluate(
    order: int,
    first: int,
    last: int,
    pairs_at: int,
    space_at: int,
    element_at: int,
    memory_at: int,
    energies: int,
    forces: int,
    virial: int,
    functions: int,
    inverse: int,
    grades: int,
    with_functions: bool,
    with_grades: bool,
) -> float:
    """Evaluate some atoms of one element; return the shortest distance between atoms, Å.

    Parameters
    ----------
    order, first, last
        Address of a list of atoms, of which numbers ``first`` to ``last`` - 1 are evaluated.
    pairs_at, space_at, element_at, memory_at
        Addresses of what :func:`mlip_fw.engines.ace.kernel.memory.by_address` returns; of ``memory``, scratch buffers.
    energies
        (n,) is filled for these atoms, eV.
    forces
        (n, 3): the contributions of these atoms' energies are added, eV/Å.
    virial
        (6,) xx, yy, zz, xy, xz, yz: likewise, eV.
    functions
        (n, n_elements · n_single + n_functions) is filled for these atoms if ``with_functions``.
    inverse, grades
        What :func:`mlip_fw.engines.ace.kernel.grades.for_grades` returns; (n,) is filled for these atoms if
        ``with_grades``.
    """
    pairs, space = unpack(Pairs, pairs_at), unpack(Space, space_at)
    element, s = unpack(Element, element_at), unpack(Memory, memory_at)
    closest2 = np.inf
    for begin in range(first, last, WIDTH):
        n_block = min(WIDTH, last - begin)
        at = order + begin * _BYTES
        closest2 = min(closest2, sum_block(at, n_block, pairs, space, element, with_functions or with_grades, s))
        multiply(element, s)
        if with_functions or with_grades:
            add_up_functions(space.n_elements * space.n_single, element, s)
        if with_functions:
            give_functions(at, n_block, functions, space, element, s)
        if with_grades:
            grade(space.n_elements * space.n_single + element.n_functions, inverse, element, s)
            for b in range(n_block):
                write(grades, read_int(at, b), read(s.grades, b))
        clear_derivatives(element, s)
        if element.n_densities == 0:
            add_energies(element, s)
        else:
            embed(element, s)
        hand_down(element, s)
        for b in range(n_block):
            i = read_int(at, b)
            write(energies, i, read(s.energy, b))
            for e in range(space.n_elements):
                place = b * space.n_elements + e
                if read_int(s.counts, place) > 0:
                    if element.n_densities != 0:
                        weigh_pairs(b, place, space, element, s)
                    take_derivatives(b, e, space, element, s)
                    fill_gradient(place, space, element, s)
                    hand_out(i, place, pairs, forces, 3, 1, virial, s)
    return float(np.sqrt(closest2))


@compiled
def sum_block(
    order: int, n_block: int, pairs: Pairs, space: Space, element: Element, with_functions: bool, s: Memory
) -> float:
    """Compute the leaves of at most eight atoms, and the pair parts of their energies and densities.

    Rank-one functions are computed if asked for. Returns the square of the shortest distance.
    """
    n_elements, closest2 = space.n_elements, np.inf
    store(s.energy, 0, spread(0.0))
    clear_leaves(element, s)
    clear_densities(element, s)
    if with_functions:
        for f in range(0, n_elements * space.n_single * WIDTH, WIDTH):
            store(s.functions, f, spread(0.0))
    for b in range(n_block):
        closest2 = min(closest2, collect(read_int(order, b), b * n_elements, element.number, pairs, space, s))
        for e in range(n_elements):
            place, pair = b * n_elements + e, element.number * n_elements + e
            n = read_int(s.counts, place)
            if n == 0:
                continue
            fill_place(place, pair, space, s)
            add(s.energy, b, sum_of_row(place, s.values, (place * space.width + space.pair) * s.capacity, s))
            add_pairs(b, place, space, element, s)
            sum_over_neighbours(place, space, element, s)
            fill_leaves(b, e, element, s)
            if with_functions:
                fill_single(place, pair, space, s)
                for c in range(space.n_single):
                    found = sum_of_row(place, s.single_values, c * s.capacity, s)
                    write(s.functions, (e * space.n_single + c) * WIDTH + b, found)
    return closest2


@compiled
def give_functions(order: int, n_block: int, functions: int, space: Space, element: Element, s: Memory) -> None:
    """Copy the basis functions of a block to the array of all atoms."""
    width = space.n_elements * space.n_single + element.n_functions
    for b in range(n_block):
        row = read_int(order, b) * width
        for f in range(width):
            write(functions, row + f, read(s.functions, f * WIDTH + b))
