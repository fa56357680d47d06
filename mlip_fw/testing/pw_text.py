"""The words of pw.x, for its stand-in: the input read by ASE, an answer in the form of a recorded output."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import covalent_radii
from ase.io.espresso import read_espresso_in, read_fortran_namelist

_NEEDED: dict[str, dict[str, Any]] = {
    "control": {"calculation": "scf", "tprnfor": True, "tstress": True, "prefix": "label"},
    "system": {"ibrav": 0},
    "electrons": {},
}
_PRESENT = {
    "control": ("outdir", "pseudo_dir", "restart_mode", "disk_io"),
    "system": ("nat", "ntyp", "ecutwfc", "ecutrho", "occupations"),
    "electrons": ("conv_thr", "electron_maxstep", "mixing_beta"),
}


@dataclass(frozen=True)
class Input:
    """What the stand-in understands of ``pw.in``."""

    atoms: Atoms
    control: dict[str, Any]
    system: dict[str, Any]
    electrons: dict[str, Any]
    pseudopotentials: dict[str, Path]
    identity: str
    """The same for all attempts at one structure."""


def read_input(path: Path) -> Input:
    """Read an input, and refuse one that lacks what a real run needs."""
    with path.open() as handle:
        namelists, cards = read_fortran_namelist(handle)
    wrong = [
        f"{name}.{key} is {namelists[name].get(key)!r}, expected {value!r}"
        for name, values in _NEEDED.items()
        for key, value in values.items()
        if namelists[name].get(key) != value
    ]
    wrong += [f"{name} lacks {key}" for name, keys in _PRESENT.items() for key in keys if key not in namelists[name]]
    with path.open() as handle:
        atoms = read_espresso_in(handle)
    system, control = namelists["system"], namelists["control"]
    start = next(k for k, line in enumerate(cards) if line.startswith("ATOMIC_SPECIES")) + 1
    species = [line.split() for line in cards[start : start + system["ntyp"]]]
    files = {element: Path(control["pseudo_dir"]) / name for element, _, name in species}
    wrong += [f"there is no {file}" for file in files.values() if not file.is_file()]
    if set(files) != set(atoms.get_chemical_symbols()) or _rows(cards) != system["nat"]:
        wrong.append(f"species {sorted(files)} and nat {system['nat']} are not those of {atoms.get_chemical_formula()}")
    if not any(line.startswith("K_POINTS") for line in cards) or not Path(control["outdir"]).is_dir():
        wrong.append("no K_POINTS, or no directory outdir")
    if wrong:
        raise SystemExit(f"the stand-in refuses {path}: {'; '.join(wrong)}")
    return Input(atoms, control, system, namelists["electrons"], files, identity_of(atoms))


def identity_of(atoms: Atoms) -> str:
    """Return the name that the stand-in has for a structure as read from ``pw.in``."""
    digest = hashlib.sha256(atoms.numbers.tobytes() + atoms.positions.tobytes() + atoms.cell.array.tobytes())
    return digest.hexdigest()[:16]


def _rows(cards: list[str]) -> int:
    return len(cards) - 1 - next(k for k, line in enumerate(cards) if line.startswith("ATOMIC_POSITIONS"))


def answer(given: Input, recorded: str) -> str:
    """Return a recorded output with the energy, forces and stress of a toy potential for the structure."""
    atoms = given.atoms.copy()
    atoms.calc = _toy(atoms)
    energy = atoms.get_potential_energy() / units.Ry
    text = re.sub(r"(number of atoms/cell +=) +\d+", rf"\1 {len(atoms):12d}", recorded)
    text = re.sub(
        r"     PseudoPot\. # 1(?:.*\n)+?\n", "".join(_pseudo(*item) for item in given.pseudopotentials.items()), text
    )
    text = re.sub(
        r"^!    total energy .*$", f"!    total energy              ={energy:17.8f} Ry", text, flags=re.MULTILINE
    )
    text = re.sub(r"(?:     atom +\d+ type .*\n)+", _forces(atoms, list(given.pseudopotentials)), text)
    return re.sub(r"(total   stress .*\n)(?:.*\n){3}", lambda found: found.group(1) + _stress(atoms), text)


def _toy(atoms: Atoms) -> Any:
    # slow imports, which a failure does not need
    from ase.calculators.emt import EMT, parameters
    from ase.calculators.lj import LennardJones

    if set(atoms.get_chemical_symbols()) <= set(parameters):
        return EMT()
    sigma = 2 ** (5 / 6) * float(np.mean(covalent_radii[atoms.numbers]))
    return LennardJones(sigma=sigma, epsilon=0.3, rc=3 * sigma, smooth=True)


def _pseudo(element: str, path: Path) -> str:
    checksum = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return f"     PseudoPot. # 1 for {element} read from file:\n     {path}\n     MD5 check sum: {checksum}\n\n"


def _forces(atoms: Atoms, species: list[str]) -> str:
    rows = atoms.get_forces() * units.Bohr / units.Ry
    symbols = atoms.get_chemical_symbols()
    return "".join(
        f"     atom {k + 1:4d} type {species.index(symbols[k]) + 1:2d}   force = "
        + "".join(f"{x:14.8f}" for x in row)
        + "\n"
        for k, row in enumerate(rows)
    )


def _stress(atoms: Atoms) -> str:
    tensor = -atoms.get_stress(voigt=False) * units.Bohr**3 / units.Ry
    kbar = units.Ry / units.Bohr**3 / (1e8 * units.Pascal)
    return "".join(
        "".join(f"{x:14.8f}" for x in row) + "".join(f"{x * kbar:13.2f}" for x in row) + "\n" for row in tensor
    )
