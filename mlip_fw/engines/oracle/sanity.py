"""Plausibility checks of structures before and of labels after a reference calculation.

Density-functional codes converge on overlapping atoms and on absurd densities without complaint.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from ase import Atoms, units
from ase.data import covalent_radii
from vesin import NeighborList

from mlip_fw.engines.structures.geometry import heights_a, too_close
from mlip_fw.errors import LabelError
from mlip_fw.models.oracle import LabelLimits

_THINNEST_A = 1.0
_MAX_PACKED = 4.0
_MIN_PACKED = 1e-4
"""Below this, matter is molecules in vacuum, or nothing."""
_NEAR, _NEAR_A = 2.0, 4.0
"""Atoms are near each other within this multiple of the sum of their covalent radii, or within this distance, Å."""
_MAX_ALONE = 0.5
_SAME_COMPOSITION = 1e-9
_MIN_PEERS = 2


def refuse_unphysical(atoms: Atoms) -> None:
    """Check a structure before core-hours are spent on it.

    Raises
    ------
    LabelError
        If a number is not finite, the cell is flat, atoms overlap, or the density is not that of matter. Molecules and
        single atoms in vacuum are matter at any density; atoms that have flown apart are not.
    """
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise LabelError("a position or cell vector is not a finite number")
    cell = atoms.cell.array
    thinnest = float(heights_a(cell).min()) if np.linalg.matrix_rank(cell) == len(cell) else 0.0
    if thinnest < _THINNEST_A:
        raise LabelError(f"the cell is {thinnest:.2g} Å thick; no atom fits into less than {_THINNEST_A:g} Å")
    if close := too_close(atoms):
        raise LabelError(close)
    packed = float((4 / 3 * math.pi * covalent_radii[atoms.numbers] ** 3).sum() / atoms.get_volume())
    if packed > _MAX_PACKED:
        raise LabelError(
            f"the density is not that of matter: covalent spheres fill {packed:.2g} times the cell, more than "
            f"{_MAX_PACKED:g}"
        )
    if packed < _MIN_PACKED and (alone := _alone(atoms)) > _MAX_ALONE * len(atoms) and len(atoms) > 1:
        raise LabelError(
            f"{alone} of {len(atoms)} atoms have no neighbour within {_NEAR:g} times the sum of covalent radii or "
            f"{_NEAR_A:g} Å, in a cell that covalent spheres fill to {packed:.2g}: they have flown apart"
        )


def _alone(atoms: Atoms) -> int:
    """Return how many atoms have no other near them."""
    reach = max(_NEAR_A, 2 * _NEAR * float(covalent_radii[atoms.numbers].max()))
    i, j, d = NeighborList(cutoff=reach, full_list=True).compute(
        points=atoms.positions, box=atoms.cell.array, periodic=True, quantities="ijd"
    )
    near = d <= np.maximum(_NEAR_A, _NEAR * (covalent_radii[atoms.numbers[i]] + covalent_radii[atoms.numbers[j]]))
    return len(atoms) - len(np.unique(i[near]))


def refuse_implausible(labelled: Atoms, limits: LabelLimits, peers: Iterable[Atoms] = ()) -> None:
    """Check a label against the oracle's limits and against the labels that are there already.

    Raises
    ------
    LabelError
        If a value is not finite, a force or the stress is above its ceiling, or the energy per atom is
        far from that of every label of the same composition.
    """
    energy, forces = labelled.get_potential_energy(), labelled.get_forces()
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise LabelError("the energy or a force is not a finite number")
    largest = float(np.linalg.norm(forces, axis=1).max(initial=0.0))
    if largest > limits.max_force_ev_a:
        raise LabelError(
            f"the largest force is {largest:.4g} eV/Å, more than oracle.max_force_ev_a = {limits.max_force_ev_a:g}"
        )
    stress = labelled.calc.results.get("stress")
    if stress is not None:
        largest = float(np.abs(stress).max() / units.GPa)
        if not largest <= limits.max_stress_gpa:
            raise LabelError(
                f"the largest stress component is {largest:.4g} GPa, more than oracle.max_stress_gpa = "
                f"{limits.max_stress_gpa:g}"
            )
    _refuse_outlier(labelled, limits.max_energy_outlier_ev_atom, peers)


def _refuse_outlier(labelled: Atoms, allowed_ev_atom: float, peers: Iterable[Atoms]) -> None:
    alike = [peer for peer in peers if _same_composition(labelled, peer)]
    if len(alike) < _MIN_PEERS:
        return
    own = labelled.get_potential_energy() / len(labelled)
    nearest = min((abs(own - peer.get_potential_energy() / len(peer)) for peer in alike), default=0.0)
    if nearest > allowed_ev_atom:
        raise LabelError(
            f"the energy of {own:.4g} eV per atom is {nearest:.3g} eV from the nearest of {len(alike)} labels of this "
            f"composition, more than oracle.max_energy_outlier_ev_atom = {allowed_ev_atom:g}"
        )


def _same_composition(one: Atoms, other: Atoms) -> bool:
    fractions = (np.bincount(atoms.numbers, minlength=120) / len(atoms) for atoms in (one, other))
    return bool(np.abs(np.subtract(*fractions)).max() <= _SAME_COMPOSITION)
