"""Energy, forces and stress of an ASE calculator, with checks of shape, type and structure."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.stress import full_3x3_to_voigt_6_stress

from mlip_fw.errors import LabelError

_SAME_A = 1e-6
_SAME_RESULT_A = 1e-3
_ASYMMETRIC = 1e-3
"""Of the largest component: what a stress tensor may lack of its symmetry."""
_NOT_THERE = (PropertyNotImplementedError, NotImplementedError)


@dataclass(frozen=True)
class CalculatorAnswer:
    """What a calculator says of one structure."""

    energy_ev: float
    """The one whose derivative the forces are: the free energy, if the calculator has one."""
    other_energy_ev: float | None
    """Its ``energy`` beside a free energy."""
    forces_ev_a: np.ndarray
    """(n, 3), of all atoms, eV/Å."""
    stress_ev_a3: np.ndarray | None
    """(6,) xx yy zz yz xz xy, positive under tension, eV/Å³."""
    converged: bool


def ask_calculator(atoms: Atoms) -> CalculatorAnswer:
    """Ask the calculator of ``atoms`` for energy, forces and, if it has one, the stress; no constraint is applied.

    Raises
    ------
    LabelError
        If a value has no number, or another shape than it should, if the calculator changed the structure, or if its
        results are of another one.
    """
    given = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    plain, free = energies_ev(atoms)
    _leave_as_given(given, atoms)
    forces = _array("forces", atoms.get_forces(apply_constraint=False))
    _leave_as_given(given, atoms)
    stress = _stress(atoms)
    _leave_as_given(given, atoms)
    its_atoms = getattr(atoms.calc, "atoms", None)
    if isinstance(its_atoms, Atoms) and (change := difference(given, its_atoms, _SAME_RESULT_A)):
        raise LabelError(f"the calculator's results are of another structure ({change})")
    return CalculatorAnswer(
        energy_ev=plain if free is None else free,
        other_energy_ev=None if free is None else plain,
        forces_ev_a=forces,
        stress_ev_a3=stress,
        converged=_converged(atoms.calc),
    )


def _leave_as_given(given: Atoms, atoms: Atoms) -> None:
    """Refuse a calculator that moves atoms, and take off the constraints that one has put on."""
    atoms.set_constraint()
    if change := difference(given, atoms, _SAME_A):
        raise LabelError(f"the calculator changed the structure that it was given ({change}); its answer is of another")


def energies_ev(atoms: Atoms) -> tuple[float, float | None]:
    """Return the calculator's ``energy`` and, if it has one, the free energy, which belongs to the forces, eV."""
    plain = _number("an energy", atoms.get_potential_energy(apply_constraint=False))
    atoms.set_constraint()
    found = (getattr(atoms.calc, "results", None) or {}).get("free_energy")
    if found is None:
        with suppress(*_NOT_THERE, TypeError, KeyError):
            found = atoms.calc.get_potential_energy(atoms, force_consistent=True)
    return plain, None if found is None else _number("a free energy", found)


def difference(one: Atoms, other: Atoms, tolerance_a: float) -> str:
    """Return in which words two structures differ, atoms in order and up to lattice vectors; empty if they don't."""
    if len(one) != len(other):
        return f"{len(other)} atoms instead of {len(one)}"
    if not np.array_equal(one.numbers, other.numbers):
        return "elements, or the order of the atoms"
    if not (np.allclose(one.cell.array, other.cell.array, rtol=0, atol=tolerance_a) and all(one.pbc == other.pbc)):
        return "cell or periodicity"
    steps = other.positions - one.positions
    if one.cell.rank == 3:
        shifts = np.linalg.solve(one.cell.array.T, steps.T).T
        steps = (shifts - np.round(shifts) * one.pbc) @ one.cell.array
    return "" if np.abs(steps).max(initial=0.0) <= tolerance_a else "positions, or the order of the atoms"


def _number(what: str, value: Any) -> float:
    found = _array(what, value)
    if found.size != 1:
        raise LabelError(f"the calculator gives {what} of shape {found.shape}, expected one number")
    return float(found.reshape(()))


def _array(what: str, value: Any) -> np.ndarray:
    """Return a copy as real numbers: calculators change their arrays."""
    if np.ma.is_masked(value):
        raise LabelError(f"the calculator gives {what} with masked values, expected numbers")
    found = np.asarray(value)
    if found.dtype.kind not in "fiu" and found.dtype != object:
        raise LabelError(f"the calculator gives {what} of type {found.dtype}, expected real numbers")
    try:
        return np.array(found, dtype=float)
    except (TypeError, ValueError) as error:
        raise LabelError(f"the calculator gives {what} that are no numbers ({error})") from error


def _stress(atoms: Atoms) -> np.ndarray | None:
    try:
        # not through Atoms: that applies constraints, and knows two shapes only by an assertion
        found = atoms.calc.get_stress(atoms)
    except _NOT_THERE:
        return None
    if found is None:
        return None
    stress = _array("stress", found)
    if stress.shape == (6,):
        return stress
    if stress.shape not in ((3, 3), (9,)):
        raise LabelError(f"the calculator gives a stress of shape {stress.shape}, expected (6,) or (3, 3)")
    tensor = stress.reshape(3, 3)
    if np.abs(tensor - tensor.T).max() > _ASYMMETRIC * np.abs(tensor).max():
        raise LabelError("the calculator gives a stress tensor that is not symmetric")
    return np.asarray(full_3x3_to_voigt_6_stress(tensor))


def _converged(calculator: Any) -> bool:
    """Return whether the calculator calls itself converged; one that says nothing of it is taken at its word."""
    own = getattr(calculator, "converged", None)
    said = [own() if callable(own) else own, (getattr(calculator, "results", None) or {}).get("converged")]
    return all(bool(np.all(value)) for value in said if value is not None)
