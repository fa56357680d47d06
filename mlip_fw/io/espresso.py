"""Files of Quantum ESPRESSO's pw.x: writing the input, reading energy, forces and stress."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.data import atomic_masses, atomic_numbers

from mlip_fw.io.files import write_text

Value = bool | int | float | str
Namelists = dict[str, dict[str, Value]]
"""Keys and values of the namelists ``control``, ``system`` and ``electrons``."""

_NUMBER = r"[-+]?\d+\.\d*(?:[EeDd][-+]?\d+)?|NaN|[-+]?Infinity|\*+"
_ENERGY = re.compile(rf"^!!?\s+total energy\s+=\s*({_NUMBER}) Ry", re.MULTILINE)
_FORCE = re.compile(rf"^\s+atom\s+(\d+) type\s+\d+\s+force =\s*({_NUMBER})\s*({_NUMBER})\s*({_NUMBER})", re.MULTILINE)
_FORCES = "Forces acting on atoms"
_CONTRIBUTIONS = re.compile(r"^\s*(?:The non-local contrib|Total force)", re.MULTILINE)
_STRESS = re.compile(r"^\s+total\s+stress .*\(kbar\).*\n((?:.*\n){3})", re.MULTILINE)
_CONVERGED = re.compile(r"convergence has been achieved in\s+(\d+) iterations")
_ACCURACY = re.compile(rf"estimated scf accuracy\s+<\s*({_NUMBER}) Ry")
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def write_pw_input(
    path: Path,
    atoms: Atoms,
    namelists: Namelists,
    pseudopotentials: Mapping[str, str],
    grid: tuple[int, int, int] | None,
) -> None:
    """Write the input of one calculation; the order of atoms is kept.

    Parameters
    ----------
    namelists
        All keys but ``ibrav``, ``nat`` and ``ntyp``.
    pseudopotentials
        File of each element; its order is that of the species.
    grid
        Divisions of the k-point grid; None is the Γ point alone, with real wave functions.
    """
    fixed: dict[str, Value] = {"ibrav": 0, "nat": len(atoms), "ntyp": len(pseudopotentials)}
    whole = {**namelists, "system": {**fixed, **namelists["system"]}}
    lines = [line for name in ("control", "system", "electrons") for line in _namelist(name, whole[name])]
    lines.append("ATOMIC_SPECIES")
    lines += [f"  {e} {atomic_masses[atomic_numbers[e]]:.6f} {file}" for e, file in pseudopotentials.items()]
    lines += (
        ["K_POINTS gamma"] if grid in (None, (1, 1, 1)) else ["K_POINTS automatic", "  {} {} {} 0 0 0".format(*grid)]
    )
    lines += ["CELL_PARAMETERS angstrom", *(_row("", vector) for vector in atoms.cell.array)]
    lines.append("ATOMIC_POSITIONS angstrom")
    lines += [_row(s, p) for s, p in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)]
    write_text(path, "\n".join(lines) + "\n")


def _namelist(name: str, values: Mapping[str, Value]) -> list[str]:
    return [f"&{name.upper()}", *(f"  {key} = {fortran(value)}" for key, value in values.items()), "/"]


def fortran(value: Value) -> str:
    """Return a value as a Fortran namelist has it."""
    if isinstance(value, bool):
        return ".true." if value else ".false."
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"{value:d}" if isinstance(value, int) else f"{value:.12g}"


def _row(name: str, vector: np.ndarray) -> str:
    return f"  {name:<3s}" + "".join(f" {x:19.12f}" for x in vector)


@dataclass(frozen=True)
class PwOutput:
    """What pw.x said in its last SCF."""

    version: str
    n_atoms: int | None
    scf_steps: int | None
    """Steps to convergence; None if it was not reached."""
    accuracies_ry: list[float]
    """Estimated accuracy after each step of the last SCF."""
    energy_ev: float | None
    """With smearing this is the free energy E − TS, whose derivatives the forces and the stress are; with exact
    exchange it is that of the last outer step (``!!``)."""
    forces_ev_a: np.ndarray | None
    stress_ev_a3: np.ndarray | None
    """(6,) in ASE's order xx, yy, zz, yz, xz, xy and sign."""
    magnetization_mub: float | None
    negative_charge: float | None
    """Largest integral of negative density that was warned of, electrons."""
    n_bands: int | None


def read_pw_output(text: str) -> PwOutput:
    """Read the standard output of pw.x 6 or 7; what it does not say is None, what can't be a number is NaN."""
    version = re.search(r"Program PWSCF v\.(\S+)", text)
    scf = _last_scf(text)
    after = scf[match.end() :] if (match := _last(_ENERGY, scf)) else ""
    steps, stress = _last(_CONVERGED, scf), _last(_STRESS, after)
    negative = [float(x) for row in re.findall(r"negative rho \(up, down\):\s*(\S+)\s+(\S+)", text) for x in row]
    return PwOutput(
        version=version.group(1) if version else "",
        n_atoms=_integer(r"number of atoms/cell\s+=\s+(\d+)", text),
        scf_steps=int(steps.group(1)) if steps else None,
        accuracies_ry=[_real(x) for x in _ACCURACY.findall(scf)],
        energy_ev=_real(match.group(1)) * units.Ry if match else None,
        forces_ev_a=_forces(after),
        stress_ev_a3=_stress(stress.group(1)) if stress else None,
        magnetization_mub=_magnetization(scf),
        negative_charge=max(negative) if negative else None,
        n_bands=_integer(r"number of Kohn-Sham states\s*=\s+(\d+)", text),
    )


def _last_scf(text: str) -> str:
    return text[text.rfind("Self-consistent Calculation") :] if "Self-consistent Calculation" in text else ""


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = list(pattern.finditer(text))
    return found[-1] if found else None


def _real(text: str) -> float:
    """Return a number as Fortran prints it; stars, which it prints for what does not fit, are NaN."""
    try:
        return float(text.replace("D", "E").replace("d", "e"))
    except ValueError:
        return math.nan


def _integer(pattern: str, text: str) -> int | None:
    found = re.search(pattern, text)
    return int(found.group(1)) if found else None


def _forces(text: str) -> np.ndarray | None:
    """Return the total forces (n, 3), and None if they are not there or rows are missing."""
    start = text.rfind(_FORCES)
    if start < 0:
        return None
    end = _CONTRIBUTIONS.search(text, start)
    rows = _FORCE.findall(text[start : end.start() if end else None])
    if [int(row[0]) for row in rows] != list(range(1, len(rows) + 1)):
        return None
    values = np.array([[_real(x) for x in row[1:]] for row in rows]).reshape(-1, 3)
    return np.asarray(values * units.Ry / units.Bohr)


def _stress(rows: str) -> np.ndarray | None:
    values = [re.findall(_NUMBER, line)[:3] for line in rows.splitlines()]
    if [len(row) for row in values] != [3, 3, 3]:
        return None
    # pw.x prints the pressure tensor; ASE's stress is its negative
    tensor = -np.array([[_real(x) for x in row] for row in values]) * units.Ry / units.Bohr**3
    return np.array([tensor[i, j] for i, j in _VOIGT])


def _magnetization(scf: str) -> float | None:
    found = re.findall(rf"^\s+total magnetization\s+=\s*({_NUMBER}) Bohr mag", scf, re.MULTILINE)
    return _real(found[-1]) if found else None
