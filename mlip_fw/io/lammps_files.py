"""LAMMPS data files and text dumps given by users, with the units, atom types and type labels that they state."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers, chemical_symbols
from ase.io import read

from mlip_fw.errors import CampaignError

UNITS = ("metal", "real")
"""Supported unit styles of LAMMPS: lengths in Å, masses in g/mol, velocities in Å/ps or Å/fs."""
_STATED = re.compile(r"\bunits\s*[=:]?\s*(metal|real|si|cgs|electron|micro|nano|lj)\b", re.IGNORECASE)
_SECTION = re.compile(r"\s*[A-Z][A-Za-z]*(\s+[A-Z][A-Za-z0-9]*)*\s*(#.*)?$")
_LABELS, _MASSES, _ATOMS = "Atom Type Labels", "Masses", "Atoms"
_TYPE_SECOND = ("atomic", "charge")
_DUMP_HEAD = 1000
_HEAVY_HYDROGEN_U = (2.014, 3.016)
_NEAR_U = 0.6
"""Largest deviation of a mass from that of its element, u."""
_SAME_U = 0.02


def read_data_file(path: Path, what: str) -> Atoms:
    """Read a LAMMPS data file (LAMMPS manual, ``read_data``): velocities in the unit that its head states.

    Elements come from the type labels, else from a comment behind a mass (``1 63.546 # Cu``), else from the masses.
    A file that states no units is read as metal.

    Raises
    ------
    CampaignError
        If the units are other than metal and real, or a type has no mass and no element.
    """
    lines = path.read_text(errors="replace").splitlines()
    sections = _sections(lines)
    units = _stated_units(lines[: min(sections.values(), default=1)], path, what)
    labels = {label: number for number, label, *_ in _rows(lines, sections, _LABELS)}
    if labels:
        _number_types(lines, sections, labels)
    if _MASSES not in sections:
        raise CampaignError(f"{what}: {path} has no section Masses, which says what elements its atom types are")
    numbers = _elements(lines, sections, labels, path, what)
    atoms: Atoms = read(io.StringIO("\n".join(lines) + "\n"), format="lammps-data", units=units, Z_of_type=numbers)
    # the order of types is the file's own, not that of the campaign's elements
    del atoms.arrays["type"]
    return atoms


def read_dump_file(path: Path, what: str) -> list[Atoms]:
    """Read all frames of a LAMMPS text dump (LAMMPS manual, ``dump`` and ``dump_modify``) in the units that it states.

    Raises
    ------
    CampaignError
        If the units are other than metal and real, or no column says what elements the atoms are.
    """
    units, columns = "metal", [""]
    with path.open(errors="replace") as handle:
        head = list(islice(handle, _DUMP_HEAD))
    for line, following in zip(head, [*head[1:], ""], strict=True):
        if line.startswith("ITEM: UNITS"):
            units = _stated_units([f"units {following.strip()}"], path, what)
        elif line.startswith("ITEM: ATOMS"):
            columns = line.split()[2:]
            break
    if not {"element", "mass"} & set(columns):
        raise CampaignError(
            f"{what}: {path} has no column element, which says what its atoms are (its columns: {' '.join(columns)}); "
            "write it with dump custom … id element x y z vx vy vz and dump_modify … element"
        )
    frames = read(path, index=":", format="lammps-dump-text", units=units, do_not_split_by_at_sign=True)
    if {"element", "mass"} <= set(columns):
        _take_masses(frames, path)
    for atoms in frames:
        atoms.arrays.pop("type", None)
    return list(frames)


def _take_masses(frames: list[Atoms], path: Path) -> None:
    """Set the masses of the last frame from its column; ASE uses that column only to guess elements."""
    with path.open(errors="replace") as handle:
        header: list[str] = []
        rows: list[list[str]] = []
        for line in handle:
            if line.startswith("ITEM:"):
                header, rows = line.split()[2:], []
            else:
                rows.append(line.split())
    table = sorted(rows, key=lambda row: int(row[header.index("id")])) if "id" in header else rows
    masses = np.array([float(row[header.index("mass")]) for row in table if row])
    velocities = frames[-1].get_velocities()
    frames[-1].set_masses(masses)
    frames[-1].set_velocities(velocities)


def _stated_units(lines: Iterable[str], path: Path, what: str) -> str:
    found = next((match.group(1).lower() for line in lines if (match := _STATED.search(line))), "metal")
    if found not in UNITS:
        raise CampaignError(
            f"{what}: {path} states units {found}, which are not read; write it in metal or real units (Å, g/mol)"
        )
    return found


def _sections(lines: list[str]) -> dict[str, int]:
    """Return the line of each section's title; the first line is a comment."""
    found = {}
    for index, line in enumerate(lines):
        title = line.partition("#")[0].strip()
        if index and title[:1].isupper() and _SECTION.match(line):
            found[" ".join(title.split())] = index
    return found


def _span(lines: list[str], sections: dict[str, int], name: str) -> range:
    if name not in sections:
        return range(0)
    start = sections[name]
    end = min((line for line in sections.values() if line > start), default=len(lines))
    return range(start + 1, end)


def _rows(lines: list[str], sections: dict[str, int], name: str) -> list[list[str]]:
    rows = (lines[k].partition("#")[0].split() for k in _span(lines, sections, name))
    return [row for row in rows if row]


def _number_types(lines: list[str], sections: dict[str, int], labels: dict[str, str]) -> None:
    """Replace type labels by type numbers in ``lines``, because ASE reads only numbers."""
    style = lines[sections[_ATOMS]].partition("#")[2].strip() if _ATOMS in sections else ""
    for name, column in ((_MASSES, 0), (_ATOMS, 1 if style in _TYPE_SECOND else _type_column(lines, sections, style))):
        for k in _span(lines, sections, name):
            body, mark, comment = lines[k].partition("#")
            words = body.split()
            if len(words) > column and words[column] in labels:
                label, words[column] = words[column], labels[words[column]]
                behind = f" {mark}{comment}" if mark else f" # {label}" if name == _MASSES else ""
                lines[k] = " ".join(words) + behind


def _type_column(lines: list[str], sections: dict[str, int], style: str) -> int:
    """Return the column of the atom type; without an atom style in the title it follows from the number of columns."""
    rows = _rows(lines, sections, _ATOMS)
    return 1 if not style and rows and len(rows[0]) in (5, 8) else 2


def _elements(
    lines: list[str], sections: dict[str, int], labels: dict[str, str], path: Path, what: str
) -> dict[int, int]:
    """Return the atomic number of each type."""
    named = {number: label for label, number in labels.items()}
    numbers = {}
    for k in _span(lines, sections, _MASSES):
        body, _, comment = lines[k].partition("#")
        words = body.split()
        if len(words) < 2:
            continue
        says = [name for name in (named.get(words[0], ""), comment.strip()) if name in chemical_symbols[1:]]
        numbers[int(words[0])] = atomic_numbers[says[0]] if says else _nearest(words, path, what)
    return numbers


def _nearest(words: list[str], path: Path, what: str) -> int:
    mass = float(words[1])
    if any(abs(mass - heavy) < _SAME_U for heavy in _HEAVY_HYDROGEN_U):
        return 1
    number = int(np.argmin(np.abs(atomic_masses[1:] - mass))) + 1
    if abs(atomic_masses[number] - mass) > _NEAR_U:
        raise CampaignError(
            f"{what}: {path} gives type {words[0]} a mass of {mass:g}, which is no element's in g/mol; put the element "
            f"behind it: {words[0]} {words[1]} # Cu"
        )
    return number
