"""Constraints of structure files: fixed atoms and fixed Cartesian components."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism
from ase.constraints import FixAtoms, FixCartesian, FixedLine, FixedPlane, FixScaled

from mlip_fw.errors import CampaignError

FIXED = "fixed"
"""Name of the (n, 3) array of a start structure: True where a component is fixed, along x, y, z of LAMMPS."""
_ALIGNED = 1e-6
_CLASSES = ("FixAtoms", "FixCartesian", "FixScaled", "FixedPlane", "FixedLine")


def fixed_components(atoms: Atoms, where: str) -> np.ndarray | None:
    """Return (n, 3) of bool: the fixed Cartesian components in LAMMPS' frame; None if there are none.

    LAMMPS rotates a cell so that its first vector is along x and its second in the x-y plane; components are those
    after this rotation.

    Raises
    ------
    CampaignError
        If a constraint is of another kind, or a direction in which an atom may move is no axis of LAMMPS.
    """
    fixed = np.zeros((len(atoms), 3), dtype=bool)
    if not atoms.constraints:
        return None
    turn = Prism(atoms.cell.array).vector_to_lammps(np.eye(3)) if atoms.cell.rank == 3 else np.eye(3)
    known: dict[bytes, np.ndarray] = {}
    for constraint in atoms.constraints:
        free = np.ascontiguousarray(_free(constraint, atoms.cell.array, where))
        if (stays := known.get(free.tobytes())) is None:
            stays = known[free.tobytes()] = _stays(free, turn, where, constraint)
        fixed[constraint.index] |= stays
    return fixed if fixed.any() else None


def _free(constraint: object, cell: np.ndarray, where: str) -> np.ndarray:
    """Return the (3, 3) projector on the directions in which an atom may move, in the file's frame."""
    if isinstance(constraint, FixAtoms):
        return np.zeros((3, 3))
    if isinstance(constraint, FixCartesian):
        return np.diag((~constraint.mask).astype(float))
    if isinstance(constraint, FixScaled):
        vectors = cell[~constraint.mask]
        return np.asarray(np.linalg.pinv(vectors) @ vectors) if len(vectors) else np.zeros((3, 3))
    if isinstance(constraint, FixedPlane):
        return np.eye(3) - np.outer(constraint.dir, constraint.dir)
    if isinstance(constraint, FixedLine):
        return np.outer(constraint.dir, constraint.dir)
    raise CampaignError(
        f"{where} has a constraint {type(constraint).__name__}, which MD here does not keep; it keeps "
        f"{', '.join(_CLASSES)}. Remove it from the file, or fix whole atoms"
    )


def _stays(free: np.ndarray, turn: np.ndarray, where: str, constraint: FixAtoms) -> np.ndarray:
    turned = turn.T @ free @ turn
    share = np.diag(turned)
    if np.abs(turned - np.diag(np.round(share))).max() > _ALIGNED:
        raise CampaignError(
            f"{where} fixes atom {int(np.atleast_1d(constraint.index)[0])} (from 0) in directions that are not x, y or "
            "z of LAMMPS, where the first cell vector is along x and the second in the x-y plane; fix whole atoms, or "
            "directions along these axes"
        )
    return np.asarray(share < 0.5)


def selective_flags(path: Path, n_atoms: int, where: str) -> np.ndarray:
    """Return (n, 3) of bool: the directions, along cell vectors, fixed by the selective dynamics of a POSCAR.

    VASP accepts any spelling of a Fortran logical (``.FALSE.``, ``f``; VASP wiki, POSCAR), ASE only the letter F.

    Raises
    ------
    CampaignError
        If a flag is not a Fortran logical.
    """
    lines = path.read_text(errors="replace").splitlines()
    first, is_selective = poscar_rows(lines)
    if not is_selective:
        return np.zeros((n_atoms, 3), dtype=bool)
    flags = [line.split()[3:6] for line in lines[first : first + n_atoms]]
    letters = [[word.lstrip(".").lower()[:1] for word in row] for row in flags]
    if strange := [k for k, row in enumerate(letters) if len(row) != 3 or set(row) - {"t", "f"}]:
        raise CampaignError(
            f"{where}: {path} has selective dynamics, but atom {strange[0]} (from 0) has flags "
            f"{' '.join(flags[strange[0]]) or 'missing'!r}; give each atom three of T and F"
        )
    return np.array([[letter == "f" for letter in row] for row in letters])


def poscar_rows(lines: list[str]) -> tuple[int, bool]:
    """Return the line index of a POSCAR's first atom, and whether it has selective dynamics (VASP 4 and 5 format)."""
    counts = 5 if lines[5].split()[0].isdigit() else 6
    is_selective = lines[counts + 1].strip().lower().startswith("s")
    return counts + 2 + is_selective, is_selective
