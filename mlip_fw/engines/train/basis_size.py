"""Size of the basis: that of the first generation, and a larger one once there are many environments per function."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet

from mlip_fw.engines.ace.basis import copy_of, linear_basis
from mlip_fw.engines.ace.potential import functions_of
from mlip_fw.io.pace import read_basis
from mlip_fw.io.structures import mask_of
from mlip_fw.models.campaign import AUTO_FUNCTIONS, Campaign

_OUTGROWN = 2.0
"""The basis is enlarged above this many environments per function."""
_WORTH_IT = 1.25
"""Minimum ratio of new to old size: enlarging costs a fit to all labels from scratch."""
_Name = tuple[object, ...]


def first_basis(campaign: Campaign, labelled: list[Atoms]) -> ACEBBasisSet:
    """Return the basis of the first generation: that of a given potential, or a new one.

    Parameters
    ----------
    campaign
        Gives elements, cutoff and the number of functions.
    labelled
        The first labels; with ``functions_per_element: auto`` their environments determine the number of functions.
    """
    settings = campaign.potential
    if settings.initial is not None:
        return read_basis(Path(settings.initial))
    wanted = settings.functions_per_element
    n_functions = wanted_functions(count_environments(labelled), campaign) if wanted == "auto" else wanted
    return linear_basis(campaign.elements, settings.cutoff_a, n_functions)


def count_environments(frames: list[Atoms], known: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return the number of environments (atoms inside the mask) of each element in ``frames``, plus ``known``."""
    counts = dict(known or {})
    for atoms in frames:
        for symbol in np.array(atoms.get_chemical_symbols())[mask_of(atoms)]:
            counts[str(symbol)] = counts.get(str(symbol), 0) + 1
    return counts


def wanted_functions(environments: Mapping[str, int], campaign: Campaign) -> int:
    """Return the number of functions for ``auto``: the mean number of environments per element, within limits.

    The lower limit is 50 for each element, the upper 200. The functions of an atom are divided among all combinations
    of neighbouring elements, so that few functions leave hardly any for each combination: gamma then finds nothing new
    in MD, and no labels are made although the potential is poor.
    """
    found = [n for n in environments.values() if n]
    return int(np.clip(sum(found) / max(1, len(found)), campaign.min_functions, AUTO_FUNCTIONS[1]))


def larger_basis(basis: ACEBBasisSet, environments: Mapping[str, int], campaign: Campaign) -> ACEBBasisSet | None:
    """Return a larger basis with the same energies as ``basis``, or None if ``basis`` is large enough.

    It is too small when elements have, on average, twice as many environments as functions. The larger one has as many
    functions as environments, up to 200. A basis whose size or potential the campaign gives is never enlarged.
    """
    settings = campaign.potential
    if settings.functions_per_element != "auto" or settings.initial is not None:
        return None
    present, found = max(functions_of(basis).values()), [n for n in environments.values() if n]
    wanted = wanted_functions(environments, campaign)
    if not found or np.mean(found) < _OUTGROWN * present or wanted < _WORTH_IT * present:
        return None
    larger = linear_basis(campaign.elements, settings.cutoff_a, wanted)
    return copy_of(larger, transfer_coefficients(np.array(basis.basis_coeffs), basis, larger))


def transfer_coefficients(coefficients: np.ndarray, source: ACEBBasisSet, target: ACEBBasisSet) -> np.ndarray:
    """Return ``coefficients`` of ``source`` in the order of ``target``; functions that ``source`` lacks get zero."""
    known = dict(zip(_names(source), coefficients, strict=True))
    return np.array([known.get(name, 0.0) for name in _names(target)])


def _names(basis: ACEBBasisSet) -> list[_Name]:
    """Return the indices (elements, n, l, L) that identify each function, in the order of the coefficients."""
    return [
        (function.mu0, tuple(function.mus), tuple(function.ns), tuple(function.ls), tuple(function.LS))
        for first, rest in zip(basis.basis_rank1, basis.basis, strict=True)
        for function in [*first, *rest]
    ]
