"""Potential files: B-basis ``.yaml``, C-tilde ``.yace`` and the active set ``.asi``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pyace import ACEBBasisSet

from mlip_fw.errors import CampaignError
from mlip_fw.io.files import read_arrays, whole_file, write_arrays


def read_basis(path: Path) -> ACEBBasisSet:
    """Read a potential in B-basis form (``.yaml``)."""
    if not path.is_file():
        raise CampaignError(f"there is no potential {path}; restore the file")
    try:
        return ACEBBasisSet(str(path))
    except Exception as error:
        raise CampaignError(f"pyace can't read the potential {path}: {error}") from error


def write_basis(path: Path, basis: ACEBBasisSet) -> None:
    """Write a potential in B-basis form; LAMMPS' ``pace/extrapolation`` reads it."""
    with whole_file(path) as temporary:
        basis.save(str(temporary))


def write_ctilde(path: Path, basis: ACEBBasisSet) -> None:
    """Write a potential in C-tilde form (``.yace``) for LAMMPS' plain and fast ``pair_style pace``."""
    with whole_file(path) as temporary:
        basis.to_ACECTildeBasisSet().save_yaml(str(temporary))


def read_active_set(path: Path, elements: list[str]) -> dict[str, np.ndarray]:
    """Read the inverses of the active sets, one (n_functions, n_functions) array for each element."""
    found = read_arrays(path)
    if found is None:
        raise CampaignError(f"can't read the active set {path}: it is missing or damaged")
    if missing := [e for e in elements if e not in found]:
        raise CampaignError(f"the active set {path} has no {', '.join(missing)}; it has {', '.join(sorted(found))}")
    return found


def write_active_set(path: Path, inverses: dict[str, np.ndarray]) -> None:
    """Write the inverses of the active sets as LAMMPS and pyace read them."""
    write_arrays(path, {name: inverses[name] for name in sorted(inverses)})
