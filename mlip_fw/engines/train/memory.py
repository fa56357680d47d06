"""Estimate of the memory that a potential and its training take."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet

from mlip_fw.engines.ace.neighbours import Neighbours
from mlip_fw.engines.ace.potential import functions_of
from mlip_fw.engines.train.linear_fit import N_FOLDS
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import PotentialSize

_BYTES, _BYTES_IN_A_LIST = 8, 32
_MEGA = 1e6


def max_atoms_in_memory(frames: Iterable[Atoms], campaign: Campaign, cutoff_a: float) -> int:
    """Return the largest number of atoms of a structure in training; with stresses, periodic images count too."""
    if not campaign.potential.stress_weight:
        return max(map(len, frames))
    return max(_with_images(atoms, cutoff_a) for atoms in frames)


def _with_images(atoms: Atoms, cutoff_a: float) -> int:
    neighbours = Neighbours(np.zeros(len(atoms), dtype=int), cutoff_a)
    neighbours.update(atoms.positions, atoms.cell.array)
    return len(neighbours.origins)


def size_of(basis: ACEBBasisSet, n_atoms: int) -> PotentialSize:
    """Return the size of a potential, and of what training on labels of ``n_atoms`` atoms keeps in memory.

    Notes
    -----
    In memory are: for each active set a matrix and its inverse; for each fold three triangular factors; for one label
    at a time the derivatives of all forces by all coefficients, which pyace returns as Python lists.
    """
    widths = functions_of(basis)
    n = sum(widths.values())
    return PotentialSize(
        functions_per_element=widths,
        coefficients=n,
        active_set_mb=2 * _BYTES * sum(width**2 for width in widths.values()) / _MEGA,
        fit_mb=N_FOLDS * _BYTES * (2 * (n + 1) ** 2 + (n + 2) ** 2) / _MEGA,
        label_mb=3 * (_BYTES + _BYTES_IN_A_LIST) * n_atoms * n / _MEGA,
    )


def size_in_words(size: PotentialSize) -> str:
    """Return the size in words."""
    functions = ", ".join(f"{n} {name}" for name, n in size.functions_per_element.items())
    return (
        f"{size.coefficients} basis functions ({functions}); in memory: active sets {size.active_set_mb:.1f} MB, "
        f"fit {size.fit_mb:.1f} MB, each label {size.label_mb:.1f} MB while it is learnt"
    )
