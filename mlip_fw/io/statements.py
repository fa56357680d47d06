"""Masses, velocities and constraints stated in structure files: adopted, or refused with a sentence."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.constraints import FixAtoms, FixScaled
from ase.io.espresso import get_atomic_species, label_to_symbol, read_fortran_namelist

from mlip_fw.errors import CampaignError
from mlip_fw.io.constraints import poscar_rows, selective_flags
from mlip_fw.io.occupancies import require_full_sites

_A_FS = units.Ang / units.fs
"""Å/fs in ASE's unit of velocity."""
_VELOCITIES = {"velo": "the extended XYZ specification, Å/fs", "vel": "GPUMD, Å/fs"}
"""Columns of velocities whose unit is specified, and by what."""
_LIKE_VELOCITIES = re.compile(r"v|v[xyz]|vels?|velo|.*veloc.*|.*_velo?s?|speeds?|momentum|moment[au]_.*|p[xyz]", re.I)
_LIKE_CONSTRAINTS = re.compile(
    r"(is_?)?(fix(ed)?|frozen|freeze|cnstr|constr(aints?|ained)?|selective|mobile|movable|moves?|if_pos)"
    r"(_?(mask|atoms?|flags?|dynamics))?",
    re.IGNORECASE,
)
_FIXED_LATTICE = re.compile(r"^\s*lattice_vector\b[^\n]*\n(\s*(#[^\n]*)?\n)*\s*constrain_relaxation\b", re.MULTILINE)
_LENGTH_UNITS = re.compile(r"(length|position|coordinate|cell|lattice|distance)s?_?units?|units?", re.I)
_OTHER_LENGTH = re.compile(
    r"bohr|atomic|\ba\.?u\b|nano|\bnm\b|\bpm\b|hartree|\bsi\b|\bcgs\b|\blj\b|reduced|micro|electron", re.I
)
_HOTTEST_K = 100_000.0
_SAME_MASS = 1e-3
_MASS_FACTOR = 50.0
"""A mass that differs by more than this factor is assumed to be in another unit."""
_QE_MASS = 0.02


def take_over(atoms: Atoms, path: Path, kind: str, where: str) -> None:
    """Set masses, velocities and constraints of ``atoms`` that its file states but ASE does not read.

    Parameters
    ----------
    atoms
        A structure as ASE read it from ``path``; changed in place.
    kind
        ASE's name of the file's format.
    where
        Which file of the campaign it is, for messages.

    Raises
    ------
    CampaignError
        If the file states a partial occupancy, a unit, velocities, masses or constraints that are not understood.
    """
    require_full_sites(atoms, path, kind, where)
    if kind == "vasp":
        _read_poscar(atoms, path, where)
    if kind == "espresso-in":
        _check_espresso(path, where)
    if kind == "aims" and _FIXED_LATTICE.search(path.read_text(errors="replace")):
        raise CampaignError(
            f"{where}: {path} constrains a lattice_vector, which MD here does not keep; remove that line"
        )
    _require_known_facts(atoms.info, where)
    _take_masses(atoms, where)
    _take_velocities(atoms, where)
    for name in atoms.arrays:
        if _LIKE_CONSTRAINTS.fullmatch(name):
            raise CampaignError(
                f"{where} has a column {name}, which seems to fix atoms but is not understood; call it move_mask "
                "(T moves, F stays), or remove it"
            )


def _read_poscar(atoms: Atoms, path: Path, where: str) -> None:
    fixed = selective_flags(path, len(atoms), where)
    atoms.set_constraint()
    whole = fixed.all(axis=1)
    constraints: list[Any] = [FixAtoms(indices=np.flatnonzero(whole))] if whole.any() else []
    for mask in np.unique(fixed[fixed.any(axis=1) & ~whole], axis=0):
        constraints.append(FixScaled(np.flatnonzero((fixed == mask).all(axis=1)), mask))
    atoms.set_constraint(constraints)
    lines = path.read_text(errors="replace").splitlines()
    after = poscar_rows(lines)[0] + len(atoms)
    header = lines[after].strip() if after < len(lines) else ""
    if header and header[0].lower() not in "ckl":
        raise CampaignError(
            f"{where}: the velocities of {path} are in the mode {header!r}; give them in Å/fs under the line "
            "Cartesian, or leave them out"
        )


def _check_espresso(path: Path, where: str) -> None:
    with path.open(errors="replace") as handle:
        namelists, cards = read_fortran_namelist(handle)
    if any(line.strip().upper().startswith("ATOMIC_VELOCITIES") for line in cards):
        raise CampaignError(
            f"{where}: the card ATOMIC_VELOCITIES of {path} is not read; remove it, or give the structure with "
            "velocities as extended XYZ"
        )
    for label, mass, _ in get_atomic_species(cards, n_species=namelists["system"]["ntyp"]) or []:
        usual = float(Atoms(label_to_symbol(label)).get_masses()[0])
        if abs(mass / usual - 1) > _QE_MASS:
            raise CampaignError(
                f"{where}: ATOMIC_SPECIES of {path} gives {label} a mass of {mass:g} u (usual: {usual:.4g}), and "
                "masses are not taken from pw.x inputs; write the usual mass, or give the structure as extended XYZ "
                "with a column masses"
            )


def _require_known_facts(info: dict[str, Any], where: str) -> None:
    for key, value in info.items():
        if _LENGTH_UNITS.fullmatch(key) and _OTHER_LENGTH.search(str(value)):
            raise CampaignError(f"{where} states {key} = {value}, which is not read; give it in Å")
        if key.lower() == "lattice":
            raise CampaignError(f"{where} calls its cell {key}; extended XYZ reads Lattice and Properties alone")


def _take_masses(atoms: Atoms, where: str) -> None:
    """Set masses from the column ``mass`` or ASE's ``masses``, in u; all atoms of an element must have the same."""
    if (column := atoms.arrays.pop("mass", None)) is not None:
        atoms.set_masses(np.asarray(column, dtype=float))
    if not atoms.has("masses"):
        return
    masses, usual = atoms.get_masses(), Atoms(atoms.numbers).get_masses()
    for symbol in sorted(set(atoms.get_chemical_symbols())):
        mine = np.array([s == symbol for s in atoms.get_chemical_symbols()])
        found, standard = masses[mine], usual[mine][0]
        if not (np.isfinite(found).all() and (found > 0).all()):
            raise CampaignError(f"{where} gives {symbol} a mass that is not a positive number; the unit is u")
        if max(found.max() / standard, standard / found.min()) > _MASS_FACTOR:
            raise CampaignError(
                f"{where} gives {symbol} a mass of {found.max():g} u, the usual one is {standard:.4g}; the unit is u"
            )
        if found.max() - found.min() > _SAME_MASS * found.min():
            counts = Counter(np.round(found, 4).tolist())
            said = ", ".join(f"{mass:g} u for {n} atoms" for mass, n in sorted(counts.items())[:5])
            raise CampaignError(
                f"{where} gives {symbol} several masses ({said}), but in MD here an element has one; give all its "
                "atoms the same mass"
            )
        masses[mine] = found[0]
    atoms.set_masses(masses)


def _take_velocities(atoms: Atoms, where: str) -> None:
    columns = [name for name in atoms.arrays if name != "momenta" and _LIKE_VELOCITIES.fullmatch(name)]
    known = [name for name in columns if name in _VELOCITIES and atoms.arrays[name].shape == (len(atoms), 3)]
    if strange := [name for name in columns if name not in known]:
        raise CampaignError(
            f"{where} has a column {strange[0]}, which seems to hold velocities, but no specification gives its unit; "
            "call it velo if it is in Å/fs, or remove it"
        )
    given = {name: np.asarray(atoms.arrays.pop(name), dtype=float) * _A_FS for name in known}
    if atoms.has("momenta"):
        given["momenta"] = atoms.get_velocities()
    values = list(given.values())
    if any(not np.allclose(values[0], other, rtol=1e-3, atol=1e-6) for other in values[1:]):
        raise CampaignError(f"{where}: its columns {' and '.join(given)} state different velocities; remove one")
    if not values:
        return
    if not np.isfinite(values[0]).all():
        raise CampaignError(f"{where}: a velocity is not a finite number")
    # ASE takes them away along what is fixed
    atoms.set_velocities(values[0])
    if (temperature := atoms.get_temperature()) > _HOTTEST_K:
        raise CampaignError(
            f"{where} has velocities of {temperature:.3g} K ({', '.join(given)}); check their unit (velo and vel: Å/fs)"
        )
