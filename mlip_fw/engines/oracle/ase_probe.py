"""Check by finite differences that a calculator's forces are the derivative of its energy."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from mlip_fw.engines.oracle.ase_answer import energies_ev
from mlip_fw.errors import LabelError

_STEP_A = 0.02
_SMALLEST_EV_A = 0.1
"""Below this largest force, noise could be taken for a contradiction."""
_WRONG = 0.3
"""Relative error of the derivative: less than any wrong unit, order or sign makes, more than any noise."""
_ZEROED_EV_A = 0.03
"""For each component, as many random signs add up: forces that were made zero as well as what is not linear."""


def require_derivative(atoms: Atoms, forces_ev_a: np.ndarray, *, whole: bool) -> None:
    """Refuse forces that say otherwise than the energy of displaced atoms.

    Force components that are exactly zero are always asked about: a constraint inside of a calculator makes such
    ones, and so does symmetry, of which the energy agrees.

    Parameters
    ----------
    atoms
        The structure with its calculator, which is asked twice more for each of both questions.
    forces_ev_a
        (n, 3) its forces, eV/Å.
    whole
        Also ask along the forces themselves: a sign, a unit or an order of the atoms that is wrong shows.

    Raises
    ------
    LabelError
        If they do; says what was expected.
    """
    zero = forces_ev_a == 0.0
    if zero.any() and len(atoms) > 1:
        direction = np.random.default_rng(1).choice([-1.0, 1.0], size=forces_ev_a.shape) * zero
        slope = _slope_ev_a(atoms, direction)
        if abs(slope) > _ZEROED_EV_A * np.sqrt(zero.sum()):
            n_atoms = int(zero.any(axis=1).sum())
            raise LabelError(
                f"forces on {n_atoms} of {len(atoms)} atoms have components of exactly zero, but moving these changes "
                f"the energy by {abs(slope):.2g} eV/Å: the calculator holds atoms fixed"
            )
    largest = float(np.linalg.norm(forces_ev_a, axis=1).max(initial=0.0))
    if not whole or largest < _SMALLEST_EV_A:
        return
    direction = forces_ev_a / largest
    slope, expected = _slope_ev_a(atoms, direction), -float(np.sum(forces_ev_a * direction))
    if abs(slope - expected) > _WRONG * abs(expected):
        raise LabelError(
            f"the forces are not the derivative of the energy: moving the atoms along them changes it by {slope:.4g} "
            f"eV/Å instead of {expected:.4g} (another unit, sign or order of the atoms?)"
        )


def _slope_ev_a(atoms: Atoms, direction: np.ndarray) -> float:
    """Return the derivative of the energy along ``direction`` (n, 3)."""
    energies = []
    for sign in (1.0, -1.0):
        moved = Atoms(atoms.numbers, atoms.positions + sign * _STEP_A * direction, cell=atoms.cell, pbc=atoms.pbc)
        moved.calc = atoms.calc
        plain, free = energies_ev(moved)
        energies.append(plain if free is None else free)
    return (energies[0] - energies[1]) / (2 * _STEP_A)
