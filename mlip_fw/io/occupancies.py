"""Refusal of structure files with partial occupancies: they describe averages, not structures for MD."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io.cif import parse_cif

from mlip_fw.errors import CampaignError

_LIKE_OCCUPANCIES = re.compile(r"occ|occupanc(y|ies)|.*_occupanc(y|ies)", re.IGNORECASE)
_FULL = 1e-3
_NEAR = 1e-3
_MAKE_ORDERED = (
    "the file is an average of structures. Make an ordered or a random cell of it, in which each site has one atom or "
    "none (pymatgen's OrderDisorderedStructureTransformation, ATAT's mcsqs, or structure.bulk with substitute)"
)


def require_full_sites(atoms: Atoms, path: Path, kind: str, where: str) -> None:
    """Refuse a structure with a site that is occupied in part, or by several elements.

    Parameters
    ----------
    atoms, path, kind
        The structure, its file and ASE's name of that file's format.
    where
        Which file of the campaign it is, for messages.

    Raises
    ------
    CampaignError
        If the file states an occupancy other than 1, or two atoms on one site.
    """
    if kind == "cif":
        _require_full_rows([block for block in parse_cif(str(path)) if block.has_structure()][-1], path, where)
    stated = atoms.info.get("occupancy")
    for shares in stated.values() if isinstance(stated, dict) else ():
        if isinstance(shares, dict) and (len(shares) > 1 or any(_is_partial(share) for share in shares.values())):
            said = " and ".join(f"{symbol} {share}" for symbol, share in shares.items())
            raise CampaignError(f"{where} has a site of partial occupancy ({said}): {_MAKE_ORDERED}")
    for name, values in atoms.arrays.items():
        if _LIKE_OCCUPANCIES.fullmatch(name) and (partial := [k for k, v in enumerate(values) if _is_partial(v)]):
            raise CampaignError(
                f"{where}: {len(partial)} of {len(atoms)} atoms have {name} other than 1, the first is atom "
                f"{partial[0]} from 0 ({values[partial[0]]}): {_MAKE_ORDERED}"
            )


def _require_full_rows(block: Any, path: Path, where: str) -> None:
    symbols = block.get_symbols()
    labels = block.get("_atom_site_label") or symbols
    occupancies = block.get("_atom_site_occupancy") or [1.0] * len(symbols)
    places = np.asarray(block.get_unsymmetrized_structure().get_scaled_positions(wrap=False))

    def on_site_of(row: int) -> list[int]:
        apart = np.abs((places - places[row] + 0.5) % 1.0 - 0.5).max(axis=1)
        return [int(k) for k in np.flatnonzero(apart < _NEAR)]

    if partial := [row for row, share in enumerate(occupancies) if _is_partial(share)]:
        said = " and ".join(f"{symbols[k]} {occupancies[k]}" for k in on_site_of(partial[0]))
        raise CampaignError(
            f"{where}: {len(partial)} of {len(symbols)} sites of {path} are occupied in part, the first is "
            f"{labels[partial[0]]} ({said}): {_MAKE_ORDERED}"
        )
    for row in range(len(symbols)):
        if len(shared := on_site_of(row)) > 1:
            said = " and ".join(str(labels[k]) for k in shared)
            raise CampaignError(f"{where}: {said} of {path} are on the same site: {_MAKE_ORDERED}")


def _is_partial(share: object) -> bool:
    """Return whether an occupancy differs from 1; missing values (``.`` or ``?``) count as 1."""
    try:
        return abs(float(str(share)) - 1.0) > _FULL
    except ValueError:
        return False
