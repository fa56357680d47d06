"""Magnetic moments and charges stated in structure files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.espresso import get_atomic_positions, get_atomic_species, read_fortran_namelist
from ase.io.formats import filetype

from mlip_fw.errors import CampaignError

_NAMES = re.compile(
    r"((initial|starting|final|atomic|ref|dft|collinear)?(mag(netic)?(mom(ent)?)?s?|moments?|spins?|magneti[sz]ation))"
)
_CHARGES = re.compile(r"(initial|total|net)?charges?")


@dataclass(frozen=True)
class StatedMoments:
    """Spin and charge information of one file."""

    columns: list[np.ndarray]
    """Moments of all atoms, (n,) or (n, 3), of each column that has any."""
    unit: str = " μB"
    """Unit of the moments, to be written behind a number; empty if they are fractions."""
    charges: list[str] = field(default_factory=list)
    """Names of keys and columns with non-zero charges."""
    unread: str = ""
    """Sentence about moments that can't be interpreted; empty if there are none."""


def keep_moments(atoms: Atoms) -> None:
    """Copy moments from the results of the calculator to arrays, before the calculator is removed."""
    results = atoms.calc.results if atoms.calc is not None else {}
    for name in ("magmoms", "magmom"):  # a column magmom is a result of the whole to ASE
        found = results.get(name)
        if found is not None and len(np.atleast_1d(found)) == len(atoms) and name not in atoms.arrays:
            atoms.set_array(name, np.atleast_1d(np.asarray(found, dtype=float)))


def stated_moments(atoms: Atoms, path: Path, where: str) -> StatedMoments:
    """Return the magnetic moments and charges that the file of a structure states.

    Parameters
    ----------
    atoms
        The structure as it was read, with :func:`keep_moments`.
    path
        Its file. Inputs of pw.x are read once more: ASE gives all atoms of an element the moment of its last species.

    Raises
    ------
    CampaignError
        If a moment is not a finite number.
    """
    if filetype(str(path)) == "espresso-in":
        return _of_pw_input(path)
    everything = {**atoms.info, **atoms.arrays}
    moments = {name: np.asarray(value) for name, value in everything.items() if _NAMES.fullmatch(_plain(name))}
    shapes = ((len(atoms),), (len(atoms), 3))
    columns = {
        n: v.astype(float) for n, v in moments.items() if v.dtype.kind in "fiu" and v.shape in shapes and v.any()
    }
    for name, values in columns.items():
        if not np.isfinite(values).all():
            raise CampaignError(f"{where}: a moment in its column {name} is not a finite number")
    charges = [name for name, value in everything.items() if _CHARGES.fullmatch(_plain(name)) and _is_charged(value)]
    is_magnetic_cif = filetype(str(path)) == "cif" and "_atom_site_moment" in path.read_text("utf-8", "replace")
    unread = "the moments of a magnetic CIF are not read" if is_magnetic_cif else ""
    return StatedMoments(list(columns.values()), charges=charges, unread=unread)


def _of_pw_input(path: Path) -> StatedMoments:
    with path.open(errors="replace") as handle:
        namelists, cards = read_fortran_namelist(handle)
    system = namelists["system"]
    species = get_atomic_species(cards, n_species=system["ntyp"]) or []
    by_label = {row[0]: float(system.get(f"starting_magnetization({k})", 0.0)) for k, row in enumerate(species, 1)}
    rows = get_atomic_positions(cards, n_atoms=system["nat"], cell=np.eye(3), alat=1.0)
    moments = np.array([by_label.get(row[0], 0.0) for row in rows])
    charges = [f"{key} = {system[key]:g}" for key in ("tot_charge",) if system.get(key)]
    return StatedMoments([moments] if moments.any() else [], unit="", charges=charges)


def _is_charged(value: object) -> bool:
    found = np.asarray(value)
    return found.dtype.kind in "fiu" and bool(found.any())


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
