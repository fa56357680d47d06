"""An ACE potential, evaluated by compiled code on any number of threads."""

from __future__ import annotations

import math
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
_BYTES = 8
_RESERVE = 8
_MIN_OF_A_THREAD = 32
"""Smallest number of atoms of a thread; fewer are not worth its start."""


@dataclass(frozen=True)
class KernelEnergies:
    """Energies, forces and more of a structure."""

    energies_ev: np.ndarray
    """(n,) of each atom."""
    forces_ev_a: np.ndarray
    """(n, 3)"""
    virial_ev: np.ndarray
    """(6,) xx, yy, zz, xy, xz, yz: the sum of r·f over pairs."""
    gamma: np.ndarray
    """(n,) extrapolation grades; zeros if they were not asked for."""
    projections: list[np.ndarray] | None
    """For each element, (n_atoms, n_functions) basis functions of its atoms; None if they were not asked for."""


@dataclass(frozen=True)
class KernelRows:
    """Contribution of each basis function, element after element."""

    projections: list[np.ndarray]
    """For each element, (n_atoms, n_functions) basis functions of its atoms."""
    forces: np.ndarray
    """(n, 3, n_functions), 1/Å"""
    virials: np.ndarray
    """(6, n_functions) xx, yy, zz, xy, xz, yz."""


@dataclass
class _Plan:
    """Pairs, and how their atoms are shared among threads."""

    pairs: Pairs
    packed: np.ndarray
    address: int
    """Address of ``packed``."""
    longest: int
    """Largest number of pairs of an atom."""
    parts: list[tuple[Element, np.ndarray, int, list[tuple[tuple[int, int], int]]]]
    """Element, its atoms, their address; and for each thread (first, end) in them and the address of its memory."""


class Kernel:
    """A potential, evaluated by compiled code.

    Parameters
    ----------
    basis
        A potential for which :func:`mlip_fw.engines.ace.kernel.identity.why_not` returns None.
    inverses
        Inverse of the active set of each element; without them all grades are zero.
    threads
        Number of threads that share the atoms. Results with the same number are the same to the last bit.
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
        self._space_at, *self._elements_at = map(_address, self._packed)
        self._inverses_at = [_address(inverse) for inverse in self._inverses]
        self._memory: dict[tuple[int, int, bool], tuple[int, np.ndarray, np.ndarray]] = {}
        self._plan: _Plan | None = None
        self._turn = threading.Lock()
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    def evaluate(self, pairs: Pairs, *, gamma: bool = False, projections: bool = False) -> KernelEnergies:
        """Return energies, forces and virial of a structure, and if asked grades and basis functions.

        Raises
        ------
        TooCloseError
            If atoms are closer to each other than the tables of the kernel reach.
        """
        # calls share the scratch buffers, and compiled code releases the GIL
        with self._turn:
            return self._evaluate(pairs, gamma=gamma, projections=projections)

    def design(self, pairs: Pairs) -> KernelRows:
        """Return the design-matrix rows of a structure.

        Raises
        ------
        TooCloseError
            If atoms are closer to each other than the tables of the kernel reach.
        """
        with self._turn:
            return self._design(pairs)

    def _evaluate(self, pairs: Pairs, *, gamma: bool, projections: bool) -> KernelEnergies:
        plan, n, n_sums = self._plan_for(pairs), len(pairs.start) - 1, 3 * (len(pairs.start) - 1) + 6
        # energies, grades, and forces and virial of each thread in one array: each address costs time
        out, gamma = np.zeros(2 * n + self._threads * n_sums), gamma and bool(self._inverses)
        at = _address(out)
        sums = [at + (2 * n + k * n_sums) * _BYTES for k in range(self._threads)]
        calls: list[list[tuple[int, ...]]] = [[] for _ in sums]
        functions = []
        for element, _, order_at, shares in plan.parts:
            mu = element.number
            functions.append(np.zeros((n if projections else 0, self._n_first + element.n_functions)))
            functions_at = _address(functions[-1]) if projections else 0
            rest = functions_at, self._inverses_at[mu] if gamma else 0, at + n * _BYTES, projections, gamma
            what = plan.address, self._space_at, self._elements_at[mu]
            for k, (share, memory) in enumerate(shares):
                forces = sums[k]
                calls[k].append((order_at, *share, *what, memory, at, forces, forces + 3 * n * _BYTES, *rest))
        self._run(calls)
        total = out[2 * n :] if self._threads == 1 else out[2 * n :].reshape(self._threads, n_sums).sum(axis=0)
        return KernelEnergies(
            energies_ev=out[:n],
            forces_ev_a=total[: 3 * n].reshape(n, 3),
            virial_ev=total[3 * n :],
            gamma=out[n : 2 * n],
            projections=[
                np.hstack([rows[order][:, element.rank1], rows[order, self._n_first :]])
                for rows, (element, order, *_) in zip(functions, plan.parts, strict=True)
            ]
            if projections
            else None,
        )

    def _design(self, pairs: Pairs) -> KernelRows:
        plan, n = self._plan_for(pairs), len(pairs.start) - 1
        found, forces, virials = [], [], []
        for element, order, order_at, _ in plan.parts:
            width, mu = element.n_rank1 + element.n_functions, element.number
            out = np.zeros((n, width)), np.zeros((width, 3, n)), np.zeros((width, 6))
            memory = self._memory_of(0, mu, plan.longest, with_rows=True)
            what = plan.address, self._space_at, self._elements_at[mu], memory
            self._require_far(design_rows(order_at, len(order), n, *what, *map(_address, out)))
            found.append(out[0][order])
            forces.append(out[1])
            virials.append(out[2])
        return KernelRows(found, np.concatenate(forces).transpose(2, 1, 0), np.concatenate(virials).T)

    def _plan_for(self, pairs: Pairs) -> _Plan:
        """Return the plan for these pairs: the last one, if only positions have changed since."""
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
            parts.append((element, order, _address(order), shares if len(order) else []))
        packed = by_address(pairs)
        return _Plan(pairs, packed, _address(packed), longest, parts)

    def _memory_of(self, thread: int, mu: int, longest: int, *, with_rows: bool) -> int:
        """Return the address of scratch buffers, which are reused and grow with the largest number of pairs."""
        key = thread, mu, with_rows
        kept = self._memory.get(key)
        if kept is None or kept[0] < longest:
            # with a reserve, so that they are not reallocated for each additional neighbour
            enough = longest + longest // _RESERVE
            memory, held = memory_for(enough, self._form.space, self._form.elements[mu], with_rows=with_rows)
            kept = self._memory[key] = enough, by_address(memory), held
        return _address(kept[1])

    def _run(self, calls: Sequence[Sequence[tuple[int, ...]]]) -> None:
        """Run the calls of all threads; those of the first in the calling thread."""
        others = [self._workers().submit(_closest_a, more) for more in calls[1:] if more]
        self._require_far(min([_closest_a(calls[0]), *(other.result() for other in others)]))

    def _require_far(self, closest_a: float) -> None:
        if not closest_a >= self._form.closest_a:
            raise TooCloseError(f"atoms are {closest_a:.3g} Å apart")

    def _workers(self) -> ThreadPoolExecutor:
        """Return the thread pool of this process; a forked child needs a new one."""
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPoolExecutor(max(1, self._threads - 1))
        return self._pool[1]


def _closest_a(calls: Sequence[tuple[int, ...]]) -> float:
    """Evaluate, and return the shortest distance between atoms."""
    return min((evaluate(*call) for call in calls), default=math.inf)


def _address(array: np.ndarray) -> int:
    """Return the address of an array's data; ``ctypes.data`` takes three times as long."""
    found: int = array.__array_interface__["data"][0]
    return found
