"""A linear ACE potential, evaluated by compiled code on any number of threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from pyace import ACEBBasisSet

from mlip_fw.engines.ace.kernel.energies import evaluate
from mlip_fw.engines.ace.kernel.form import form_of
from mlip_fw.engines.ace.kernel.grades import for_grades
from mlip_fw.engines.ace.kernel.layout import Element
from mlip_fw.engines.ace.kernel.memory import by_address, memory_for
from mlip_fw.engines.ace.kernel.rows import design_rows
from mlip_fw.engines.ace.pairs import Pairs, TooCloseError

_POSITIONS = Pairs._fields.index("positions")
_RESERVE = 8
_MIN_OF_A_THREAD = 32
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


@dataclass
class _Plan:
    """Pairs and the shares of threads in them."""

    pairs: Pairs
    packed: np.ndarray
    address: int
    """Of ``packed``."""
    longest: int
    """Largest number of pairs of an atom."""
    parts: list[tuple[Element, np.ndarray, list[tuple[tuple[int, int], int]]]]
    """Each element, its atoms, and for each thread first and last of these and the address of its memory."""


class Kernel:
    """The compiled form of a potential.

    Parameters
    ----------
    basis
        A potential for which :func:`mlip_fw.engines.ace.kernel.identity.why_not` gives no reason.
    inverses
        Inverse of the active set of each element; without them all grades are zero.
    threads
        How many threads share the atoms. A fixed number gives the same bits each time.
    """

    def __init__(self, basis: ACEBBasisSet, inverses: Sequence[np.ndarray] | None = None, threads: int = 1) -> None:
        self._form, self._threads = form_of(basis), threads
        space = self._form.space
        self._n_first = space.n_elements * space.n_single
        self._inverses = [
            for_grades(inverse, element.rank1, self._n_first)
            for inverse, element in zip(inverses or [], self._form.elements, strict=inverses is not None)
        ]
        self._packed = [by_address(space), *map(by_address, self._form.elements)]
        self._memory: dict[tuple[int, int, bool], tuple[int, np.ndarray, np.ndarray]] = {}
        self._plan: _Plan | None = None
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
        plan, n = self._plan_for(pairs), len(pairs.start) - 1
        energies, grades, found = np.zeros(n), np.zeros(n), []
        forces, virials = np.zeros((self._threads, n, 3)), np.zeros((self._threads, 6))
        gamma = gamma and bool(self._inverses)
        sums = [(_address(forces[k]), _address(virials[k])) for k in range(self._threads)]
        for element, order, shares in plan.parts:
            mu = element.number
            functions = np.zeros((n if projections else 0, self._n_first + element.n_functions))
            inverse = self._inverses[mu] if gamma else energies
            what = plan.address, _address(self._packed[0]), _address(self._packed[1 + mu])
            rest = _address(functions), _address(inverse), _address(grades), projections, gamma
            calls = [
                (_address(order), *share, *what, memory, _address(energies), *sums[k], *rest)
                for k, (share, memory) in enumerate(shares)
            ]
            self._run(calls)
            if projections:
                found.append(np.hstack([functions[order][:, element.rank1], functions[order, self._n_first :]]))
        total = forces[0] if self._threads == 1 else forces.sum(axis=0)
        return KernelEnergies(energies, total, virials.sum(axis=0), grades, found if projections else None)

    def _design(self, pairs: Pairs) -> KernelRows:
        plan, n = self._plan_for(pairs), len(pairs.start) - 1
        found, forces, virials = [], [], []
        for element, order, _ in plan.parts:
            width, mu = element.n_rank1 + element.n_functions, element.number
            out = np.zeros((n, width)), np.zeros((width, 3, n)), np.zeros((width, 6))
            memory = self._memory_of(0, mu, plan.longest, with_rows=True)
            what = plan.address, _address(self._packed[0]), _address(self._packed[1 + mu]), memory
            self._require_far(design_rows(_address(order), len(order), n, *what, *map(_address, out)))
            found.append(out[0][order])
            forces.append(out[1])
            virials.append(out[2])
        return KernelRows(found, np.concatenate(forces).transpose(2, 1, 0), np.concatenate(virials).T)

    def _plan_for(self, pairs: Pairs) -> _Plan:
        """Return how to evaluate these pairs: the plan made last, if only positions have changed since."""
        plan = self._plan
        if plan is None or plan.pairs.start is not pairs.start or plan.pairs.species is not pairs.species:
            plan = self._plan = self._planned(pairs)
        assert pairs.positions.flags.c_contiguous and pairs.positions.dtype == np.float64
        plan.pairs = pairs
        plan.packed[_POSITIONS] = _address(pairs.positions)
        return plan

    def _planned(self, pairs: Pairs) -> _Plan:
        species, longest = pairs.species[: len(pairs.start) - 1], int(np.diff(pairs.start).max(initial=0))
        parts = []
        for element in self._form.elements:
            order = np.flatnonzero(species == element.number)
            n_shares = max(1, min(self._threads, len(order) // _MIN_OF_A_THREAD))
            ends = [len(order) * k // n_shares for k in range(n_shares + 1)]
            shares = [
                (share, self._memory_of(k, element.number, longest, with_rows=False))
                for k, share in enumerate(pairwise(ends))
            ]
            parts.append((element, order, shares if len(order) else []))
        packed = by_address(pairs)
        return _Plan(pairs, packed, _address(packed), longest, parts)

    def _memory_of(self, thread: int, mu: int, longest: int, *, with_rows: bool) -> int:
        """Return the address of scratch memory, which is kept for the next time and grows with the number of pairs."""
        key = thread, mu, with_rows
        kept = self._memory.get(key)
        if kept is None or kept[0] < longest:
            # some more than are needed now, so that it is not made anew for each neighbour more
            enough = longest + longest // _RESERVE
            memory, held = memory_for(enough, self._form.space, self._form.elements[mu], with_rows=with_rows)
            kept = self._memory[key] = enough, by_address(memory), held
        return _address(kept[1])

    def _run(self, calls: Sequence[tuple[int, ...]]) -> None:
        if len(calls) == 1:
            self._require_far(evaluate(*calls[0]))
        elif calls:
            self._require_far(min(self._workers().map(lambda call: evaluate(*call), calls)))

    def _require_far(self, closest_a: float) -> None:
        if not closest_a >= self._form.closest_a:
            raise TooCloseError(f"atoms are {closest_a:.3g} Å apart")

    def _workers(self) -> ThreadPoolExecutor:
        """Return threads of this process: those of one that was forked stay behind."""
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPoolExecutor(self._threads)
        return self._pool[1]


def _address(array: np.ndarray) -> int:
    """Return where the numbers of an array begin; ``ctypes.data`` takes three times as long."""
    found: int = array.__array_interface__["data"][0]
    return found
