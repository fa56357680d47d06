"""How many functions: the basis that a campaign starts with, and a larger one when its labels have outgrown that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet

from mlip_fw.engines.ace import functions_of
from mlip_fw.engines.train.basis import copy_of, linear_basis
from mlip_fw.io.pace import read_basis
from mlip_fw.io.structures import mask_of
from mlip_fw.models.campaign import AUTO_FUNCTIONS, Campaign

_OUTGROWN = 2.0
"""Environments for each function above which a basis is too small."""
_WORTH_IT = 1.25
"""How many times as large a new basis has to be: all labels are learnt once more for it."""
_Name = tuple[object, ...]


def first_basis(campaign: Campaign, labelled: list[Atoms]) -> ACEBBasisSet:
    """Return the basis that a campaign starts with: that of a given potential, or a new one.

    Parameters
    ----------
    campaign
        Says what the basis is like.
    labelled
        The first structures to learn, which decide how many functions ``auto`` is at first.
    """
    settings = campaign.potential
    if settings.initial is not None:
        return read_basis(Path(settings.initial))
    wanted = settings.functions_per_element
    n_functions = as_many_as(environments_of(labelled), campaign) if wanted == "auto" else wanted
    return linear_basis(campaign.elements, settings.cutoff_a, n_functions)


def environments_of(frames: list[Atoms], known: Mapping[str, int] | None = None) -> dict[str, int]:
    """Return the number of trained atoms of each element in ``frames``, added to those that are ``known``."""
    counts = dict(known or {})
    for atoms in frames:
        for symbol in np.array(atoms.get_chemical_symbols())[mask_of(atoms)]:
            counts[str(symbol)] = counts.get(str(symbol), 0) + 1
    return counts


def as_many_as(environments: Mapping[str, int], campaign: Campaign) -> int:
    """Return the mean number of environments of the elements that there are, but 50 for each element and at most 200.

    Functions of an atom with neighbours of many elements are shared out to all their combinations: of few, hardly any
    is left for each. MD then finds nothing new, and gets labels no more.
    """
    found = [n for n in environments.values() if n]
    return int(np.clip(sum(found) / max(1, len(found)), campaign.fewest_functions, AUTO_FUNCTIONS[1]))


def larger_basis(basis: ACEBBasisSet, environments: Mapping[str, int], campaign: Campaign) -> ACEBBasisSet | None:
    """Return a basis with more functions and the energies of ``basis``, or None if that is large enough.

    It is too small when there are twice as many environments of an element as it has functions, on average. The larger
    one has as many functions as environments, up to 200. A form that the campaign gives is never changed.
    """
    settings = campaign.potential
    if settings.functions_per_element != "auto" or settings.initial is not None:
        return None
    present, found = max(functions_of(basis).values()), [n for n in environments.values() if n]
    wanted = as_many_as(environments, campaign)
    if not found or np.mean(found) < _OUTGROWN * present or wanted < _WORTH_IT * present:
        return None
    larger = linear_basis(campaign.elements, settings.cutoff_a, wanted)
    return copy_of(larger, carried_over(np.array(basis.basis_coeffs), basis, larger))


def carried_over(coefficients: np.ndarray, source: ACEBBasisSet, target: ACEBBasisSet) -> np.ndarray:
    """Return ``coefficients`` of one basis in the order of another; functions that the one lacks have zero."""
    known = dict(zip(_names(source), coefficients, strict=True))
    return np.array([known.get(name, 0.0) for name in _names(target)])


def _names(basis: ACEBBasisSet) -> list[_Name]:
    """Return what each function is, in the order of the coefficients."""
    return [
        (function.mu0, tuple(function.mus), tuple(function.ns), tuple(function.ls), tuple(function.LS))
        for first, rest in zip(basis.basis_rank1, basis.basis, strict=True)
        for function in [*first, *rest]
    ]
