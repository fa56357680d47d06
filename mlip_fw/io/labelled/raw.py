"""A structure with all data of its file, under the file's own names, not yet interpreted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian, FixScaled

_ALONG = 1e-6
NELM = 60
"""VASP's default of NELM, the largest number of electronic steps."""
ML_STEP = "a step of a machine-learned force field, not of DFT"


@dataclass
class Raw:
    """One structure of a file.

    Attributes
    ----------
    atoms
        Elements, positions, cell and periodicity; lengths in the file's unit.
    facts
        What the file says of the whole structure, by its own names.
    columns
        What it says of each atom, by its own names; the first axis is (n_atoms,).
    fixed
        (n_atoms, 3) of bool: components of atoms that a constraint holds.
    fault
        Why it must not be trained on; None if nothing speaks against it.
    """

    atoms: Atoms
    facts: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    fixed: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), dtype=bool))
    fault: str | None = None

    def __post_init__(self) -> None:
        if len(self.fixed) != len(self.atoms):
            self.fixed = np.zeros((len(self.atoms), 3), dtype=bool)


def bare(atoms: Atoms) -> Atoms:
    """Return a copy with elements, positions, cell and periodicity only."""
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def fixed_by(atoms: Atoms) -> np.ndarray:
    """Return (n_atoms, 3) of bool: the Cartesian components fixed by ASE constraints.

    If a fixed lattice direction is not along a Cartesian axis, all components of the atom count as fixed.
    """
    fixed = np.zeros((len(atoms), 3), dtype=bool)
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            fixed[constraint.get_indices()] = True
        elif isinstance(constraint, FixCartesian):
            fixed[constraint.index] |= np.asarray(constraint.mask, dtype=bool)
        elif isinstance(constraint, FixScaled):
            fixed[constraint.index] |= cartesian(np.asarray(constraint.mask, dtype=bool), atoms.cell.array)
    return fixed


def cartesian(held: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Return (3,) of bool: the Cartesian components that are fixed if the lattice directions ``held`` (3,) are."""
    if held.all() or not held.any():
        return held
    components = np.abs(cell) > _ALONG * np.linalg.norm(cell, axis=1, keepdims=True)
    is_plain = (components.sum(axis=0) == 1).all() and (components.sum(axis=1) == 1).all()
    return np.asarray(components[held].any(axis=0)) if is_plain else np.ones(3, dtype=bool)
