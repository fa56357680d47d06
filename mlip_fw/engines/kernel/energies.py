"""Energies, forces, virial and basis functions of some atoms, compiled."""

from __future__ import annotations

import numpy as np

from mlip_fw.engines.kernel.form import Element, Space
from mlip_fw.engines.kernel.memory import Memory
from mlip_fw.engines.kernel.stages import (
    add,
    add_up_functions,
    clear_leaves,
    collect,
    compiled,
    differentiate,
    fill_gradient,
    fill_harmonics,
    fill_leaves,
    fill_place,
    fill_single,
    hand_out,
    multiply,
    sum_of_row,
    sum_over_neighbours,
    take_derivatives,
)
from mlip_fw.engines.kernel.vector import WIDTH, read, read_int, spread, store, write
from mlip_fw.engines.pairs import Pairs


@compiled
def evaluate(
    order: int,
    first: int,
    last: int,
    pairs: Pairs,
    space: Space,
    element: Element,
    energies: int,
    forces: int,
    virial: int,
    functions: int,
    with_functions: bool,
    s: Memory,
) -> float:
    """Evaluate some atoms of one element and return the shortest distance, Å.

    Parameters
    ----------
    order, first, last
        Atoms: numbers ``first`` to ``last`` - 1 behind an address.
    pairs, space, element
        What to evaluate.
    energies
        (n,) is filled for these atoms, eV.
    forces
        (n, 3): what these atoms' energies give is added, eV/Å.
    virial
        (6,) xx, yy, zz, xy, xz, yz: the same, eV.
    functions
        (n, n_elements · n_single + n_functions) is filled for these atoms if ``with_functions``.
    s
        Memory for these atoms.
    """
    n_elements, n_single = space.n_elements, space.n_single
    width = n_elements * n_single + element.n_functions
    closest2 = np.inf
    for begin in range(first, last, WIDTH):
        n_block = min(WIDTH, last - begin)
        store(s.energy, 0, spread(0.0))
        clear_leaves(element, s)
        for b in range(n_block):
            i = read_int(order, begin + b)
            closest2 = min(closest2, collect(i, b * n_elements, element.number, pairs, space, s))
            for e in range(n_elements):
                place, pair = b * n_elements + e, element.number * n_elements + e
                n = read_int(s.count, place)
                if n == 0:
                    continue
                fill_place(place, pair, space, s)
                add(s.energy, b, sum_of_row(place, s.values, (place * space.width + space.pair) * s.capacity, s))
                fill_harmonics(place, 0, n, s.capacity, space, s)
                sum_over_neighbours(place, space, element, s)
                fill_leaves(b, e, element, s)
                if with_functions:
                    fill_single(place, pair, space, s)
                    for c in range(n_single):
                        found = sum_of_row(place, s.single_values, c * s.capacity, s)
                        write(functions, i * width + e * n_single + c, found)
        multiply(element, s)
        if with_functions:
            add_up_functions(element, s)
            for b in range(n_block):
                row = read_int(order, begin + b) * width + n_elements * n_single
                for f in range(element.n_functions):
                    write(functions, row + f, read(s.functions, f * WIDTH + b))
        differentiate(element, s)
        for b in range(n_block):
            i = read_int(order, begin + b)
            write(energies, i, read(s.energy, b))
            for e in range(n_elements):
                place = b * n_elements + e
                if read_int(s.count, place) == 0:
                    continue
                take_derivatives(b, e, space, element, s)
                fill_gradient(place, space, element, s)
                hand_out(i, place, pairs, forces, 3, 1, virial, s)
    return np.sqrt(closest2)
