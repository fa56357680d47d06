"""Potential files: B-basis ``.yaml``, C-tilde ``.yace`` and the active set ``.asi``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pyace import ACEBBasisSet

from mlip_fw.errors import CampaignError
from mlip_fw.io.files import atomic_file, read_arrays, write_arrays


def read_basis(path: Path) -> ACEBBasisSet:
    """Read a potential in B-basis form (``.yaml``)."""
    if not path.is_file():
        raise CampaignError(f"there is no potential {path}; restore the file")
    if path.suffix != ".yaml":
        raise CampaignError(
            f"{path} is no potential in B-basis form, which is a .yaml; give the .yaml that it came from"
        )
    try:
        basis = ACEBBasisSet(str(path))
    except Exception as error:
        said = str(error).partition("\n")[0]
        raise CampaignError(f"pyace can't read the potential {path}: {said}") from error
    if not np.isfinite(np.array(basis.basis_coeffs)).all():
        raise CampaignError(f"the potential {path} has coefficients that are no finite numbers; restore the file")
    return basis


def write_basis(path: Path, basis: ACEBBasisSet) -> None:
    """Write a potential in B-basis form; LAMMPS' ``pace/extrapolation`` reads it."""
    with atomic_file(path) as temporary:
        basis.save(str(temporary))


def write_ctilde(path: Path, basis: ACEBBasisSet) -> None:
    """Write a potential in C-tilde form (``.yace``) for LAMMPS' plain and fast ``pair_style pace``."""
    with atomic_file(path) as temporary:
        basis.to_ACECTildeBasisSet().save_yaml(str(temporary))


def read_active_set(path: Path, elements: list[str]) -> dict[str, np.ndarray]:
    """Read the inverses of the active sets, one (n_functions, n_functions) array for each element."""
    found = read_arrays(path)
    if found is None:
        raise CampaignError(f"can't read the active set {path}: it is missing or damaged")
    if missing := [e for e in elements if e not in found]:
        raise CampaignError(f"the active set {path} has no {', '.join(missing)}; it has {', '.join(sorted(found))}")
    if damaged := [e for e in elements if not _may_be_inverse(found[e])]:
        raise CampaignError(f"the active set {path} holds no inverse of a matrix for {', '.join(damaged)}; restore it")
    return found


def _may_be_inverse(matrix: np.ndarray) -> bool:
    """Return whether ``matrix`` can be an inverse; with a zero row or column, gamma would be too small to halt MD."""
    is_square = matrix.dtype.kind == "f" and matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    return is_square and bool(np.isfinite(matrix).all() and matrix.any(axis=0).all() and matrix.any(axis=1).all())


def write_active_set(path: Path, inverses: dict[str, np.ndarray]) -> None:
    """Write the inverses of the active sets in the format of LAMMPS and pyace."""
    write_arrays(path, {name: inverses[name] for name in sorted(inverses)})
