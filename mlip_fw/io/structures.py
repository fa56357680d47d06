"""Structures and labels as extended XYZ, and reading of structure files of users."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mlip_fw.errors import CampaignError, DirectoryError
from mlip_fw.io.files import atomic_file, require_file

MASK = "mask"
"""Name of the per-atom array of a label: True where the force is trained on and may enter the active set."""
FORCE_UNKNOWN = "force_unknown"
"""Name of the (n_atoms, 3) array of a label: True where a force component is unknown because the atom was fixed.

Unlike outside of ``MASK``, energy, stress and the environment of such an atom are valid.
"""
READABLE = (
    "extxyz",
    "xyz",
    "traj",
    "cif",
    "vasp",
    "vasp-out",
    "vasp-xdatcar",
    "vasp-xml",
    "espresso-in",
    "espresso-out",
    "lammps-data",
    "lammps-dump-text",
    "aims",
    "xsf",
)
"""ASE's formats accepted from users: none of them can run code, start a program, open a database or unpack files."""
_PACKED = (".gz", ".bz2", ".xz")
_LAMMPS_DATA = re.compile(rb"^\s*\S+\s+\S+\s+(xlo\s+xhi|\S+\s+avec)\b", re.MULTILINE)
_HEAD_BYTES = 10_000
_MAX_BYTES = 2_000_000_000
_FACT = re.compile(r'([^\s="]+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))')
DECIMALS = 8
"""Decimals of positions and cells, Å: the precision of extended XYZ."""


def canonical(atoms: Atoms) -> Atoms:
    """Return a copy with positions wrapped into the cell, and rounded to the precision of a file."""
    copy = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    copy.set_cell(np.round(copy.cell.array, DECIMALS) + 0.0)
    copy.wrap()
    copy.positions = np.round(copy.positions, DECIMALS) + 0.0
    return copy


def mask_of(atoms: Atoms) -> np.ndarray:
    """Return the (n_atoms,) mask of a labelled structure; all True if it has none."""
    mask = atoms.arrays.get(MASK)
    return np.ones(len(atoms), dtype=bool) if mask is None else np.asarray(mask, dtype=bool)


def known_forces(atoms: Atoms) -> np.ndarray:
    """Return (n_atoms, 3) of bool: the valid force components of a label, for training and comparison."""
    known = np.repeat(mask_of(atoms)[:, None], 3, axis=1)
    unknown = atoms.arrays.get(FORCE_UNKNOWN)
    return known if unknown is None else known & ~np.asarray(unknown, dtype=bool).reshape(len(atoms), -1)


def atoms_with_forces(atoms: Atoms) -> np.ndarray:
    """Return (n_atoms,) of bool: the atoms of a label whose whole force is known."""
    return np.asarray(known_forces(atoms).all(axis=1))


def stress_of(atoms: Atoms) -> np.ndarray | None:
    """Return the (6,) stress of a label in ASE's sign and Voigt order, eV/Å³; None if it has none to train on.

    The stress of a masked cut-out is not valid, because it includes the boundary.
    """
    stress = atoms.calc.results.get("stress")
    if stress is None or not (mask_of(atoms).all() and atoms.pbc.all()):
        return None
    found = np.asarray(stress, dtype=float)
    return found if found.shape == (6,) and np.isfinite(found).all() else None


def structure_hash(atoms: Atoms, level_of_theory: dict[str, Any]) -> str:
    """Return the hash that names a label: 16 hexadecimal digits from structure and level of theory."""
    kept = canonical(atoms)
    digest = hashlib.sha256()
    digest.update(kept.numbers.astype("<i4").tobytes())
    digest.update(kept.positions.astype("<f8").tobytes())
    digest.update(kept.cell.array.astype("<f8").tobytes())
    digest.update(bytes(kept.pbc.tolist()))
    digest.update(json.dumps(level_of_theory, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def write_frames(path: Path, frames: list[Atoms]) -> None:
    """Write ``frames`` to an extended XYZ file atomically."""
    from ase.io import write

    with atomic_file(path) as temporary:
        write(temporary, frames, format="extxyz")


def read_frame(path: Path, index: int = 0) -> Atoms:
    """Read one frame of an extended XYZ file; skipping the others takes a fifteenth of the time of reading all.

    Raises
    ------
    DirectoryError
        If the file is missing or damaged.
    """
    if not path.is_file():
        raise DirectoryError(f"there is no file {path}; restore it")
    from ase.io import read

    try:
        atoms: Atoms = read(path, index=index, format="extxyz")
    except (OSError, ValueError, IndexError, KeyError, StopIteration, RuntimeError) as error:
        why = str(error) or "it ends before it"
        raise DirectoryError(f"can't read structure {index} of {path}: {why}; restore the file") from error
    return atoms


def read_head(path: Path) -> tuple[int, dict[str, str]]:
    """Read the number of atoms and the comment line (key: text) of the first frame of an extended XYZ file.

    Raises
    ------
    DirectoryError
        If the file is missing or damaged.
    """
    if not path.is_file():
        raise DirectoryError(f"there is no file {path}; restore it")
    try:
        with path.open() as handle:
            return int(next(handle)), facts_of(next(handle))
    except (OSError, ValueError, StopIteration) as error:
        raise DirectoryError(f"can't read {path}: {error or 'it ends before its atoms'}; restore the file") from error


def facts_of(line: str) -> dict[str, str]:
    """Return the keys and values, as text, of the second line of an extended XYZ file that ASE wrote."""
    return {key: re.sub(r"\\(.)", r"\1", quoted) or bare for key, quoted, bare in _FACT.findall(line)}


def read_any(path: Path, what: str) -> list[Atoms]:
    """Read all frames of a user's file in one of the formats ``READABLE``.

    Raises
    ------
    CampaignError
        If the file is missing, too large, of another format or can't be read; ``what`` says which file it is.
    """
    require_file(path, what, _MAX_BYTES)
    try:
        frames = _read(path, format_of(path, what), what)
    except CampaignError:
        raise
    except Exception as error:
        raise CampaignError(f"{what}: ASE can't read {path} ({type(error).__name__}: {error})") from error
    frames = frames if isinstance(frames, list) else [frames]
    if not frames or not len(frames[-1]):
        raise CampaignError(f"{what}: {path} holds no atoms")
    return frames


def _read(path: Path, kind: str, what: str) -> list[Atoms] | Atoms:
    from mlip_fw.io.lammps_files import read_data_file, read_dump_file

    if kind == "lammps-data":
        return read_data_file(path, what)
    if kind == "lammps-dump-text":
        return read_dump_file(path, what)
    from ase.io import read

    frames: list[Atoms] | Atoms = read(path, index=":", format=kind, do_not_split_by_at_sign=True)
    return frames


def format_of(path: Path, what: str) -> str:
    """Return ASE's name of the format of a user's file, one of ``READABLE``.

    Raises
    ------
    CampaignError
        If it is none of ``READABLE``.
    """
    from ase.io.formats import filetype

    packed = path.suffix in _PACKED
    if not packed and _is_lammps_data(path):
        return "lammps-data"
    found = path.suffix if packed else str(filetype(str(path)))
    if packed or found not in READABLE:
        raise CampaignError(
            f"{what}: {path} is of format {found}, which is not read from users: it may run code, start programs or "
            f"unpack to any size; give one of {', '.join(READABLE)}"
        )
    return found


def _is_lammps_data(path: Path) -> bool:
    """Return whether the content is a LAMMPS data file: these have no common suffix, and ASE judges by the suffix."""
    with path.open("rb") as handle:
        return _LAMMPS_DATA.search(handle.read(_HEAD_BYTES)) is not None


def with_labels(atoms: Atoms, energy_ev: float, forces_ev_a: np.ndarray, stress_ev_a3: np.ndarray | None) -> Atoms:
    """Return a copy with reference energy, forces (n, 3) and stress (6,) (Voigt order) as calculator results."""
    from ase.calculators.singlepoint import SinglePointCalculator

    copy = atoms.copy()
    results: dict[str, Any] = {"energy": float(energy_ev), "forces": np.asarray(forces_ev_a, dtype=float)}
    if stress_ev_a3 is not None:
        results["stress"] = np.asarray(stress_ev_a3, dtype=float)
    copy.calc = SinglePointCalculator(copy, **results)
    return copy
