"""ASE trajectories, with the raw forces of the calculator: constraints are not applied to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.io import read

from mlip_fw.errors import CampaignError
from mlip_fw.io.labelled.raw import Raw, bare, fixed_by

_OF_ATOMS = ("forces", "stresses", "charges", "magmoms", "energies")
_GEOMETRY = ("numbers", "positions", "momenta", "tags", "masses", "initial_magmoms", "initial_charges")


def read_ase(path: Path, file_format: str) -> list[Raw]:
    """Read all structures of a file with ASE, and what their calculators, ``info`` and ``arrays`` hold."""
    frames = read(path, index=":", format=file_format, do_not_split_by_at_sign=True)
    return [_raw(atoms, number) for number, atoms in enumerate(frames if isinstance(frames, list) else [frames])]


def _raw(atoms: Atoms, number: int) -> Raw:
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    known = {name: value for name, value in results.items() if name in all_properties and value is not None}
    columns = {name: np.asarray(known.pop(name)) for name in _OF_ATOMS if name in known}
    facts = dict(known)
    for name, value in atoms.info.items():
        if name in facts and not np.array_equal(np.ravel(facts[name]), np.ravel(value)):
            raise CampaignError(
                f"structure {number} has two values of {name}, in its calculator and in info; remove one"
            )
        facts[str(name)] = np.ravel(value) if isinstance(value, np.ndarray | list) else value
    for name, column in atoms.arrays.items():
        if name in _GEOMETRY:
            continue
        if name in columns and not np.array_equal(columns[name], column):
            raise CampaignError(
                f"structure {number} has two values of {name}, in its calculator and in arrays; remove one"
            )
        columns[name] = column
    return Raw(bare(atoms), facts, columns, fixed_by(atoms))
