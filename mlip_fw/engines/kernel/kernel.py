"""A linear ACE potential, evaluated by compiled code on any number of threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from pyace import ACEBBasisSet

from mlip_fw.engines.kernel.choice import TooCloseError
from mlip_fw.engines.kernel.energies import evaluate
from mlip_fw.engines.kernel.form import form_of
from mlip_fw.engines.kernel.grades import for_grades
from mlip_fw.engines.kernel.layout import Element
from mlip_fw.engines.kernel.memory import Memory, by_address, memory_for
from mlip_fw.engines.kernel.rows import design_rows
from mlip_fw.engines.pairs import Pairs

_FEWEST_OF_A_THREAD = 32
"""Atoms below which a thread is not worth its start."""


@dataclass(frozen=True)
class KernelEnergies:
    """What the kernel says of a structure."""

    energies_ev: np.ndarray
    """(n,) of each atom."""
    forces_ev_a: np.ndarray
    """(n, 3)"""
    virial_ev: np.ndarray
    """(6,) xx, yy, zz, xy, xz, yz: the sum of r·f over pairs."""
    gamma: np.ndarray | None
    """(n,) extrapolation grades, or None where they were not asked for."""
    projections: list[np.ndarray] | None
    """Functions of the atoms of each element, or None where they were not asked for."""


@dataclass(frozen=True)
class KernelRows:
    """What each basis function gives: the functions of all elements, one element after the other."""

    projections: list[np.ndarray]
    """Functions of the atoms of each element."""
    forces: np.ndarray
    """(n, 3, n_functions), 1/Å"""
    virials: np.ndarray
    """(6, n_functions) xx, yy, zz, xy, xz, yz."""


class Kernel:
    """The compiled form of a potential.

    Parameters
    ----------
    basis
        A potential for which :func:`mlip_fw.engines.kernel.identity.why_not` gives no reason.
    inverses
        Inverse of the active set of each element; without them all grades are zero.
    threads
        How many threads share the atoms. A fixed number gives the same bits each time.
    """

    def __init__(self, basis: ACEBBasisSet, inverses: Sequence[np.ndarray] | None = None, threads: int = 1) -> None:
        self._form, self._threads = form_of(basis), threads
        space = self._form.space
        self._space = by_address(space)
        self._elements = [by_address(element) for element in self._form.elements]
        self._n_first = space.n_elements * space.n_single
        self._inverses = [
            for_grades(inverse, element.rank1, self._n_first)
            for inverse, element in zip(inverses or [], self._form.elements, strict=inverses is not None)
        ]
        self._memory: dict[tuple[int, int, bool], tuple[Memory, np.ndarray]] = {}
        self._turn = threading.Lock()
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    def evaluate(self, pairs: Pairs, *, gamma: bool = False, projections: bool = False) -> KernelEnergies:
        """Return energies, forces and virial of a structure, with its grades and basis functions or without.

        Raises
        ------
        TooCloseError
            If atoms are nearer to each other than the kernel knows its functions.
        """
        # scratch memory is shared by all calls, and compiled code does not hold Python's lock
        with self._turn:
            return self._evaluate(pairs, gamma=gamma, projections=projections)

    def design(self, pairs: Pairs) -> KernelRows:
        """Return the rows of a structure.

        Raises
        ------
        TooCloseError
            If atoms are nearer to each other than the kernel knows its functions.
        """
        with self._turn:
            return self._design(pairs)

    def _evaluate(self, pairs: Pairs, *, gamma: bool, projections: bool) -> KernelEnergies:
        n, given, longest = len(pairs.start) - 1, by_address(pairs), _longest(pairs)
        energies, grades, found = np.zeros(n), np.zeros(n), []
        forces, virials = np.zeros((self._threads, n, 3)), np.zeros((self._threads, 6))
        gamma = gamma and bool(self._inverses)
        for element, order in self._by_element(pairs):
            mu = element.number
            functions = np.zeros((n if projections else 0, self._n_first + element.n_functions))
            inverse = self._inverses[mu] if gamma else energies
            shares = self._shares(len(order))
            memory = [self._memory_of(k, mu, longest, with_rows=False) for k in range(len(shares))]

            def work(thread: int) -> float:
                # all is done before the next element: noqa: B023
                closest: float = evaluate(
                    order.ctypes.data,  # noqa: B023
                    *shares[thread],  # noqa: B023
                    given,
                    self._space,
                    self._elements[mu],  # noqa: B023
                    energies.ctypes.data,
                    forces[thread].ctypes.data,
                    virials[thread].ctypes.data,
                    functions.ctypes.data,  # noqa: B023
                    inverse.ctypes.data,  # noqa: B023
                    grades.ctypes.data,
                    projections,
                    gamma,
                    memory[thread],  # noqa: B023
                )
                return closest

            self._run(work, len(shares))
            if projections:
                found.append(np.hstack([functions[order][:, element.rank1], functions[order, self._n_first :]]))
        return KernelEnergies(energies, forces.sum(axis=0), virials.sum(axis=0), grades, found if projections else None)

    def _design(self, pairs: Pairs) -> KernelRows:
        n, given, longest = len(pairs.start) - 1, by_address(pairs), _longest(pairs)
        found, forces, virials = [], [], []
        for element, order in self._by_element(pairs):
            width, mu = element.n_rank1 + element.n_functions, element.number
            out = np.zeros((n, width)), np.zeros((width, 3, n)), np.zeros((width, 6))
            memory = self._memory_of(0, mu, longest, with_rows=True)
            addresses = (array.ctypes.data for array in out)
            self._require_far(
                design_rows(
                    order.ctypes.data, len(order), n, given, self._space, self._elements[mu], *addresses, memory
                )
            )
            found.append(out[0][order])
            forces.append(out[1])
            virials.append(out[2])
        return KernelRows(found, np.concatenate(forces).transpose(2, 1, 0), np.concatenate(virials).T)

    def _memory_of(self, thread: int, mu: int, longest: int, *, with_rows: bool) -> Memory:
        """Return scratch memory, which is kept for the next time and grows with the number of pairs."""
        key = thread, mu, with_rows
        kept = self._memory.get(key)
        if kept is None or kept[0].capacity <= longest:
            kept = self._memory[key] = memory_for(
                longest, self._form.space, self._form.elements[mu], with_rows=with_rows
            )
        return kept[0]

    def _by_element(self, pairs: Pairs) -> Iterator[tuple[Element, np.ndarray]]:
        species = pairs.species[: len(pairs.start) - 1]
        for element in self._form.elements:
            yield element, np.flatnonzero(species == element.number)

    def _shares(self, n: int) -> list[tuple[int, int]]:
        """Return first and last of the atoms that each thread works on."""
        ends = np.linspace(0, n, max(1, min(self._threads, n // _FEWEST_OF_A_THREAD)) + 1).astype(int).tolist()
        return list(pairwise(ends))

    def _run(self, work: Callable[[int], float], n_threads: int) -> None:
        closest = [work(0)] if n_threads == 1 else list(self._workers().map(work, range(n_threads)))
        self._require_far(min(closest))

    def _require_far(self, closest_a: float) -> None:
        if not closest_a >= self._form.closest_a:
            raise TooCloseError(f"atoms are {closest_a:.3g} Å apart")

    def _workers(self) -> ThreadPoolExecutor:
        """Return threads of this process: those of one that was forked stay behind."""
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPoolExecutor(self._threads)
        return self._pool[1]


def _longest(pairs: Pairs) -> int:
    """Return the largest number of pairs of an atom."""
    return int(np.diff(pairs.start).max(initial=0))
