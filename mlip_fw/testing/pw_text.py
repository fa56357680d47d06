"""The words of pw.x, for its stand-in: the input taken apart, an answer in the form of a recorded output."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase import Atoms

# numpy and ASE are imported where an answer is computed: a failure is played without them, in a tenth of the time

Value = bool | int | float | str
_NEEDED: dict[str, dict[str, Value]] = {
    "control": {"calculation": "scf", "tprnfor": True, "tstress": True, "prefix": "label"},
    "system": {"ibrav": 0},
}
_PRESENT = {
    "control": ("outdir", "pseudo_dir", "restart_mode", "disk_io"),
    "system": ("nat", "ntyp", "ecutwfc", "ecutrho", "occupations"),
    "electrons": ("conv_thr", "electron_maxstep", "mixing_beta"),
}


@dataclass(frozen=True)
class Input:
    """What the stand-in understands of ``pw.in``."""

    control: dict[str, Any]
    system: dict[str, Any]
    electrons: dict[str, Any]
    pseudopotentials: dict[str, Path]
    cell: list[list[float]]
    symbols: list[str]
    positions: list[list[float]]
    identity: str
    """The same for all attempts at one structure."""


def read_input(path: Path) -> Input:
    """Read an input, and refuse one that lacks what a real run needs."""
    text = path.read_text()
    namelists = {name: _namelist(text, name) for name in _PRESENT}
    species, cell, atoms = (_card(text, name) for name in ("ATOMIC_SPECIES", "CELL_PARAMETERS", "ATOMIC_POSITIONS"))
    given = Input(
        **namelists,
        pseudopotentials={row[0]: Path(str(namelists["control"].get("pseudo_dir", "."))) / row[2] for row in species},
        cell=[[float(x) for x in row] for row in cell],
        symbols=[row[0] for row in atoms],
        positions=[[float(x) for x in row[1:]] for row in atoms],
        identity=identity_of(text),
    )
    wrong = list(_complaints(given, namelists)) + ([] if "\nK_POINTS " in text else ["no K_POINTS"])
    if wrong:
        raise SystemExit(f"the stand-in refuses {path}: {'; '.join(wrong)}")
    return given


def identity_of(text: str) -> str:
    """Return the name that the stand-in has for the structure in the text of ``pw.in``."""
    structure = [_card(text, name) for name in ("CELL_PARAMETERS", "ATOMIC_POSITIONS")]
    return hashlib.sha256(repr(structure).encode()).hexdigest()[:16]


def _complaints(given: Input, namelists: dict[str, dict[str, Value]]) -> list[str]:
    wrong = [
        f"{name}.{key} is {namelists[name].get(key)!r}, expected {value!r}"
        for name, values in _NEEDED.items()
        for key, value in values.items()
        if namelists[name].get(key) != value
    ]
    wrong += [f"{name} lacks {key}" for name, keys in _PRESENT.items() for key in keys if key not in namelists[name]]
    wrong += [f"there is no {file}" for file in given.pseudopotentials.values() if not file.is_file()]
    if len(given.symbols) != given.system.get("nat") or len(given.pseudopotentials) != given.system.get("ntyp"):
        wrong.append(f"nat or ntyp is not that of {len(given.symbols)} atoms of {sorted(given.pseudopotentials)}")
    if set(given.symbols) != set(given.pseudopotentials):
        wrong.append(
            f"species {sorted(given.pseudopotentials)} are not those of the atoms, {sorted(set(given.symbols))}"
        )
    if [len(row) for row in given.cell] != [3, 3, 3] or any(len(row) != 3 for row in given.positions):
        wrong.append("a vector has not three components")
    if not Path(str(given.control.get("outdir"))).is_dir():
        wrong.append("there is no directory outdir")
    return wrong


def _namelist(text: str, name: str) -> dict[str, Value]:
    section = re.search(rf"^&{name}\n(.*?)^/$", text, re.DOTALL | re.MULTILINE | re.IGNORECASE)
    lines = section.group(1).splitlines() if section else []
    return {key.strip(): _value(value.strip()) for key, _, value in (line.partition("=") for line in lines)}


def _value(text: str) -> Value:
    if text in {".true.", ".false."}:
        return text == ".true."
    if text.startswith("'"):
        return text.strip("'")
    return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)


def _card(text: str, name: str) -> list[list[str]]:
    """Return the indented rows that follow a card's name."""
    section = re.search(rf"^{name}.*\n((?: .*\n)*)", text, re.MULTILINE)
    return [row.split() for row in section.group(1).splitlines()] if section else []


def answer(given: Input, recorded: str) -> str:
    """Return a recorded output with the energy, forces and stress of a toy potential for the structure."""
    from ase import Atoms, units

    atoms = Atoms(given.symbols, given.positions, cell=given.cell, pbc=True)
    atoms.calc = _toy(atoms)
    energy = atoms.get_potential_energy() / units.Ry
    pseudos = "".join(_pseudo(*item) for item in given.pseudopotentials.items())
    text = re.sub(r"(number of atoms/cell +=) +\d+", rf"\1 {len(atoms):12d}", recorded)
    text = re.sub(r"     PseudoPot\. # 1(?:.*\n)+?\n", pseudos, text)
    text = re.sub(r"(?m)^!    total energy .*$", f"!    total energy              ={energy:17.8f} Ry", text)
    text = re.sub(r"(?:     atom +\d+ type .*\n)+", _forces(atoms, list(given.pseudopotentials)), text)
    return re.sub(r"(total   stress .*\n)(?:.*\n){3}", lambda found: found.group(1) + _stress(atoms), text)


def _toy(atoms: Atoms) -> Any:
    import numpy as np
    from ase.calculators.emt import EMT, parameters
    from ase.calculators.lj import LennardJones
    from ase.data import covalent_radii

    if set(atoms.get_chemical_symbols()) <= set(parameters):
        return EMT()
    sigma = 2 ** (5 / 6) * float(np.mean(covalent_radii[atoms.numbers]))
    return LennardJones(sigma=sigma, epsilon=0.3, rc=3 * sigma, smooth=True)


def _pseudo(element: str, path: Path) -> str:
    checksum = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return f"     PseudoPot. # 1 for {element} read from file:\n     {path}\n     MD5 check sum: {checksum}\n\n"


def _forces(atoms: Atoms, species: list[str]) -> str:
    from ase import units

    def row(number: int, symbol: str, force: Any) -> str:
        numbers = "".join(f"{x * units.Bohr / units.Ry:14.8f}" for x in force)
        return f"     atom {number:4d} type {species.index(symbol) + 1:2d}   force = {numbers}\n"

    symbols = atoms.get_chemical_symbols()
    return "".join(row(k, symbol, f) for k, (symbol, f) in enumerate(zip(symbols, atoms.get_forces(), strict=True), 1))


def _stress(atoms: Atoms) -> str:
    from ase import units

    tensor = -atoms.get_stress(voigt=False) * units.Bohr**3 / units.Ry
    kbar = units.Ry / units.Bohr**3 / (1e8 * units.Pascal)
    return "".join(
        "".join(f"{x:14.8f}" for x in row) + "".join(f"{x * kbar:13.2f}" for x in row) + "\n" for row in tensor
    )
