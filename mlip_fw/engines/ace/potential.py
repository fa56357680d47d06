"""ACE potential: energies, forces, extrapolation grades and design-matrix rows, by compiled code or by pyace."""

from __future__ import annotations

import contextlib
import functools
import gc
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet
from pyace.calculator import ACECalculator
from pyace.catomicenvironment import ACEAtomicEnvironment
from pyace.evaluator import ACEBEvaluator, ACERecursiveEvaluator

from mlip_fw.engines.ace.kernel.choice import Evaluator, Found, kernel_of, wanted
from mlip_fw.engines.ace.neighbours import Neighbours
from mlip_fw.engines.ace.pairs import TooCloseError
from mlip_fw.io.pace import read_active_set, read_basis

if TYPE_CHECKING:
    from mlip_fw.engines.ace.kernel.kernel import Kernel

_VOIGT = [0, 1, 2, 5, 4, 3]
_VOIGT_OF_NINE = [0, 4, 8, 5, 2, 1]


@dataclass(frozen=True)
class Evaluation:
    """Energy, forces, virial and extrapolation grades of one structure by a potential."""

    energy_ev: float
    forces_ev_a: np.ndarray
    """(n, 3)"""
    virial_ev: np.ndarray
    """(6,) xx, yy, zz, xy, xz, yz: the sum of r·f over pairs, as LAMMPS counts it."""
    gamma: np.ndarray | None
    """(n,) extrapolation grades; None if they were not computed."""

    def stress_ev_a3(self, volume_a3: float) -> np.ndarray:
        """Return the (6,) stress in ASE's sign convention (positive under tension) and Voigt order, eV/Å³."""
        return -self.virial_ev[_VOIGT] / volume_a3


class AcePotential:
    """A potential with its active set, for one order of elements.

    Compiled code evaluates it if that knows its form, and pyace if not; see :mod:`mlip_fw.engines.ace.kernel.choice`.

    Parameters
    ----------
    basis
        The potential.
    inverses
        Inverse of the active set of each element; None: no extrapolation grades can be computed.
    evaluator
        What evaluates it; None: what :func:`~mlip_fw.engines.ace.kernel.choice.use` set for this process.

    Notes
    -----
    The extrapolation grade is max |b A⁻¹|, with b the basis functions of one atom and A the active
    set of its element (Lysogorskiy et al., Phys. Rev. Materials 7, 043801 (2023)).
    """

    def __init__(
        self, basis: ACEBBasisSet, inverses: dict[str, np.ndarray] | None = None, evaluator: Evaluator | None = None
    ) -> None:
        self.basis, self.inverses = basis, inverses
        self.elements = [str(name) for name in basis.elements_name]
        self.cutoff_a = float(basis.cutoffmax)
        self._index = {name: k for k, name in enumerate(self.elements)}
        self._evaluator = evaluator or wanted()
        self._found: Found | None = None

    @classmethod
    def from_files(cls, yaml_path: Path, evaluator: Evaluator | None = None) -> AcePotential:
        """Read a potential and its active set (``.asi``, same folder); cached until the file changes."""
        changed_ns = yaml_path.stat().st_mtime_ns if yaml_path.is_file() else 0
        return _loaded(yaml_path, changed_ns, evaluator or wanted())

    def species(self, atoms: Atoms) -> np.ndarray:
        """Return the (n,) element indices of ``atoms``."""
        return np.array([self._index[symbol] for symbol in atoms.get_chemical_symbols()], dtype=int)

    def neighbours(self, atoms: Atoms, skin_a: float = 0.0) -> Neighbours:
        """Return an empty neighbour list for the species of ``atoms``."""
        return Neighbours(self.species(atoms), self.cutoff_a, skin_a)

    def evaluated_by(self, atoms: Atoms) -> Found:
        """Return what evaluates the potential, and why, as compared on ``atoms`` if nothing was evaluated yet."""
        return self._found or self._find(self.species(atoms), atoms.positions)

    def evaluate(self, atoms: Atoms, *, gamma: bool = True) -> Evaluation:
        """Evaluate one fully periodic structure.

        Raises
        ------
        FloatingPointError
            If a position or a cell vector is not a finite number.
        """
        neighbours = self.neighbours(atoms)
        return self.evaluate_moving(neighbours, atoms.positions, atoms.cell.array, gamma=gamma)

    def evaluate_moving(
        self, neighbours: Neighbours, positions: np.ndarray, cell: np.ndarray, *, gamma: bool
    ) -> Evaluation:
        """Evaluate a step of a trajectory, with gamma or without, which is faster.

        Raises
        ------
        FloatingPointError
            If a position or a cell vector is not a finite number.
        """
        if (kernel := self._kernel_for(neighbours.species, positions, cell)) is not None:
            with contextlib.suppress(TooCloseError):
                found = kernel.evaluate(neighbours.pairs_at(positions, cell), gamma=gamma)
                return Evaluation(
                    energy_ev=float(found.energies_ev.sum()),
                    forces_ev_a=found.forces_ev_a,
                    virial_ev=found.virial_ev,
                    gamma=found.gamma if gamma else None,
                )
        return self._pyace.evaluate(neighbours.update(positions, cell), gamma=gamma)

    def evaluate_with_projections(self, atoms: Atoms) -> tuple[Evaluation, dict[str, np.ndarray]]:
        """Evaluate one structure and return its basis functions too, (n_atoms, n_functions) by element."""
        neighbours, positions, cell = self.neighbours(atoms), atoms.positions, atoms.cell.array
        if (kernel := self._kernel_for(neighbours.species, positions, cell)) is not None:
            with contextlib.suppress(TooCloseError):
                found = kernel.evaluate(neighbours.pairs_at(positions, cell), gamma=True, projections=True)
                assert found.projections is not None
                answer = Evaluation(float(found.energies_ev.sum()), found.forces_ev_a, found.virial_ev, found.gamma)
                return answer, dict(zip(self.elements, found.projections, strict=True))
        answer = self._pyace.evaluate(neighbours.update(positions, cell), gamma=True)
        return answer, self._by_element(self._pyace.projections(), atoms)

    def design(self, atoms: Atoms, *, stress: bool = False) -> Design:
        """Return the design-matrix rows of one structure for a linear fit, with rows for its stress if asked.

        pyace returns forces per basis function, but no virial. The virial is obtained by treating periodic images
        as separate atoms and summing position times force over all atoms.
        """
        neighbours, positions, cell = self.neighbours(atoms), atoms.positions, atoms.cell.array
        if (kernel := self._kernel_for(neighbours.species, positions, cell)) is not None:
            with contextlib.suppress(TooCloseError):
                rows = kernel.design(neighbours.pairs_at(positions, cell))
                return Design(
                    energy=np.concatenate([functions.sum(axis=0) for functions in rows.projections]),
                    forces=rows.forces,
                    projections=dict(zip(self.elements, rows.projections, strict=True)),
                    stress=-rows.virials[_VOIGT] / atoms.get_volume() if stress else None,
                )
        environment = neighbours.update(positions, cell)
        if stress:
            environment = neighbours.with_own_images()
        forces = self._pyace.forces_of_functions(environment)
        projections = self._by_element(self._pyace.projections(), atoms)
        energy = np.concatenate([projections[name].sum(axis=0) for name in self.elements])
        if not stress:
            return Design(energy, forces, projections)
        virial = np.tensordot(np.array(environment.x), forces, axes=(0, 0)).reshape(9, -1)
        home = forces[: len(atoms)].copy()
        np.add.at(home, neighbours.origins[len(atoms) :], forces[len(atoms) :])
        return Design(energy, home, projections, -virial[_VOIGT_OF_NINE] / atoms.get_volume())

    def n_functions(self) -> dict[str, int]:
        """Return the number of basis functions of each element."""
        return functions_of(self.basis)

    def _kernel_for(self, species: np.ndarray, positions: np.ndarray, cell: np.ndarray) -> Kernel | None:
        """Return what evaluates such a structure; None is pyace."""
        # a sum is finite if all its parts are, and found in half the time
        if not math.isfinite(positions.sum() + cell.sum()):
            raise FloatingPointError("positions or cell are not finite")
        return (self._found or self._find(species, positions)).kernel

    def _find(self, species: np.ndarray, positions: np.ndarray) -> Found:
        inverses = None if self.inverses is None else [self.inverses[name] for name in self.elements]
        self._found = kernel_of(self.basis, inverses, self._evaluator, positions, species)
        return self._found

    @functools.cached_property
    def _pyace(self) -> _Pyace:
        return _Pyace(self.basis, None if self.inverses is None else [self.inverses[name] for name in self.elements])

    def _by_element(self, rows: list[list[float]], atoms: Atoms) -> dict[str, np.ndarray]:
        species, widths = self.species(atoms), self.n_functions()
        return {
            name: np.array([rows[k] for k in np.flatnonzero(species == s)], dtype=float).reshape(-1, widths[name])
            for s, name in enumerate(self.elements)
        }


class _Pyace:
    """The two evaluators of pyace: with basis functions and gamma, and the faster one without."""

    def __init__(self, basis: ACEBBasisSet, inverses: list[np.ndarray] | None) -> None:
        self._evaluator = ACEBEvaluator(basis)
        self._graded = ACECalculator(self._evaluator)
        if inverses is not None:
            self._evaluator.set_active_set([inverse.tolist() for inverse in inverses])
        self._ctilde = basis.to_ACECTildeBasisSet()  # pyace's evaluators point to their basis: keep both alive
        self._fast_evaluator = ACERecursiveEvaluator(self._ctilde)
        self._is_fast_right = _have_equal_densities(basis)
        self._fast_evaluator.set_recursive(True)
        self._fast = ACECalculator(self._fast_evaluator)

    def evaluate(self, environment: ACEAtomicEnvironment, *, gamma: bool) -> Evaluation:
        """Evaluate with gamma, or by the faster evaluator."""
        calculator = self._fast if self._is_fast_right and not gamma else self._graded
        calculator.compute(environment, compute_projections=gamma)
        return Evaluation(
            energy_ev=float(calculator.energy),
            forces_ev_a=np.asarray(calculator.forces, dtype=float),
            virial_ev=-np.asarray(calculator.virial, dtype=float),
            gamma=np.asarray(calculator.gamma_grade, dtype=float) if gamma else None,
        )

    def forces_of_functions(self, environment: ACEAtomicEnvironment) -> np.ndarray:
        """Return the (n, 3, n_functions) forces that each basis function gives."""
        self._graded.compute(environment, compute_projections=True, compute_b_grad=True)
        with _uncollected():
            return np.asarray(self._graded.forces_bfuncs, dtype=float).transpose(0, 2, 1)

    def projections(self) -> list[list[float]]:
        """Return the basis functions of each atom, as evaluated last with them."""
        rows: list[list[float]] = self._graded.projections
        return rows


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the garbage collector: pyace returns 100,000 lists, which it would scan repeatedly without effect."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _have_equal_densities(basis: ACEBBasisSet) -> bool:
    """Return whether all elements have as many densities; pyace's recursive evaluator is wrong where they have not."""
    return len({x.ndensity for x in basis.map_embedding_specifications.values()}) == 1


def functions_of(basis: ACEBBasisSet) -> dict[str, int]:
    """Return the number of basis functions of each element."""
    parts = zip(basis.elements_name, basis.basis_rank1, basis.basis, strict=True)
    return {str(name): len(first) + len(rest) for name, first, rest in parts}


def rows_within(mask: np.ndarray, projections: dict[str, np.ndarray], atoms: Atoms) -> dict[str, np.ndarray]:
    """Return, for each element, the rows of ``projections`` that belong to atoms in ``mask`` (n_atoms,) of bool."""
    symbols = np.array(atoms.get_chemical_symbols())
    return {name: rows[mask[symbols == name]] for name, rows in projections.items()}


@functools.lru_cache(maxsize=8)
def _loaded(yaml_path: Path, _: int, evaluator: Evaluator) -> AcePotential:
    basis = read_basis(yaml_path)
    return AcePotential(basis, read_active_set(yaml_path.with_suffix(".asi"), list(basis.elements_name)), evaluator)


@dataclass(frozen=True)
class Design:
    """Design-matrix rows of one structure; they depend on the basis functions, not on the coefficients."""

    energy: np.ndarray
    """(n_functions,) derivative of the total energy by each coefficient; elements one after the other."""
    forces: np.ndarray
    """(n_atoms, 3, n_functions)"""
    projections: dict[str, np.ndarray]
    """(n_atoms of the element, n_functions of the element), atoms in the order of the structure."""
    stress: np.ndarray | None = None
    """(6, n_functions) in ASE's sign and Voigt order, 1/Å³; None where it was not asked for."""
