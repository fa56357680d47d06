"""Files of VASP by pymatgen: writing inputs, reading energy, forces, stress and convergence."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar
from pymatgen.io.vasp.outputs import Vasprun

from mlip_fw.io.files import write_text

Grid = tuple[int, int, int]
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_KILOBAR = 0.1 * units.GPa
_LOOP_ENDED = re.compile(r"-+ aborting loop (.*?)\s*-+\s*$", re.MULTILINE)
_CLOSING = "General timing and accounting informations for this job"
_REACHED = "because EDIFF is reached"
_SAME_PLACE_A = 1e-3


@dataclass(frozen=True)
class VaspRun:
    """Results of a static calculation in ``vasprun.xml``; atoms in the order of POSCAR."""

    version: str
    structure: Structure
    energy_ev: float
    """Free energy (with the entropy of the smearing), of which the forces are the derivative, eV."""
    forces_ev_a: np.ndarray
    """(n_atoms, 3), eV/Å."""
    stress_ev_a3: np.ndarray
    """(6,) xx yy zz yz xz xy, positive under tension, eV/Å³."""
    scf_steps: int
    max_scf_steps: int


@dataclass(frozen=True)
class OutcarEnd:
    """How a run ended, according to OUTCAR."""

    scf_ended: str | None
    """Why the last SCF loop ended, in VASP's words; None if it did not end."""
    finished: bool
    """Whether VASP printed its closing lines."""

    @property
    def converged(self) -> bool:
        """Whether the last SCF loop ended because EDIFF was reached."""
        return self.scf_ended == _REACHED


@contextmanager
def without_warnings() -> Iterator[None]:
    """Suppress pymatgen's warnings about settings that are checked here or intended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def species_order(atoms: Atoms) -> np.ndarray:
    """Return the (n_atoms,) indices of a stable sort of the atoms by species."""
    return np.argsort(atoms.numbers, kind="stable")


def for_vasp(atoms: Atoms) -> Structure:
    """Return the structure in VASP's conventions: atoms sorted by species, right-handed cell vectors.

    Cartesian positions stay as they are, so forces and stress mean the same in both.
    """
    cell = atoms.cell.array
    if np.linalg.det(cell) < 0:
        cell = cell[[0, 2, 1]]
    order = species_order(atoms)
    symbols = np.array(atoms.get_chemical_symbols())[order].tolist()
    return Structure(Lattice(cell), symbols, atoms.positions[order], coords_are_cartesian=True)


def same_structure(one: Structure, other: Structure) -> bool:
    """Return whether two structures hold the same atoms, in the same order, in the same cell."""
    if [site.specie for site in one] != [site.specie for site in other]:
        return False
    if not np.allclose(one.lattice.matrix, other.lattice.matrix, atol=_SAME_PLACE_A):
        return False
    shifts = one.frac_coords - other.frac_coords
    return bool(np.abs((shifts - np.round(shifts)) @ other.lattice.matrix).max() < _SAME_PLACE_A)


def write_vasp_inputs(folder: Path, structure: Structure, incar: dict[str, Any], grid: Grid, potcar: str) -> None:
    """Write INCAR, KPOINTS (a Γ-centred grid), POSCAR and POTCAR."""
    with without_warnings():
        texts = {
            "INCAR": str(Incar(incar)),
            "KPOINTS": str(Kpoints.gamma_automatic(grid)),
            "POSCAR": Poscar(structure).get_str(),
            "POTCAR": potcar,
        }
    for name, text in texts.items():
        write_text(folder / name, text)


def read_vasprun(path: Path) -> VaspRun:
    """Read ``vasprun.xml`` of a static calculation.

    Raises
    ------
    ValueError
        If the file is missing, torn, or lacks energy, forces or stress; says which.
    """
    try:
        with without_warnings():
            run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
        last = run.ionic_steps[-1]
    except FileNotFoundError as error:
        raise ValueError(f"there is no {path.name}") from error
    except Exception as error:
        raise ValueError(f"{path.name} is torn ({type(error).__name__})") from error
    if missing := [key for key in ("e_fr_energy", "forces", "stress") if key not in last]:
        raise ValueError(f"{path.name} has no {', '.join(missing)}")
    return VaspRun(
        version=str(run.vasp_version),
        structure=run.initial_structure,
        energy_ev=float(last["e_fr_energy"]),
        forces_ev_a=np.asarray(last["forces"], dtype=float),
        stress_ev_a3=stress_from_kilobar(np.asarray(last["stress"], dtype=float)),
        scf_steps=len(last["electronic_steps"]),
        max_scf_steps=int(run.parameters.get("NELM", 60)),
    )


def stress_from_kilobar(stress_kb: np.ndarray) -> np.ndarray:
    """Return VASP's (3, 3) stress, kbar, positive under compression, as ASE's (6,), eV/Å³, positive under tension."""
    return np.array([-stress_kb[i, j] * _KILOBAR for i, j in _VOIGT])


def read_outcar_end(path: Path) -> OutcarEnd:
    """Return how a run ended; that of a missing OUTCAR didn't."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return OutcarEnd(None, False)
    ended = _LOOP_ENDED.findall(text)
    return OutcarEnd(ended[-1] if ended else None, _CLOSING in text)
