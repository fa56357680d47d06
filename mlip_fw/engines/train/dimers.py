"""Short-range repulsion: linear inequality constraints on the slopes of dimer curves.

No label tells how two atoms interact at half a bond length, so the fit is undetermined there, and a potential that is
attractive at such distances makes MD collapse. Slopes of dimer curves are linear in the coefficients, as forces are:
the fit takes them as constraints (:meth:`mlip_fw.engines.train.linear_fit.LinearFit.solve`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from mlip_fw.engines.ace.basis import CORE_WIDTH_A, core_radius_a
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.io.files import read_arrays, write_arrays

CLOSEST_A = 0.5
"""Dimer curves have to be repulsive down to this distance."""
_CONTACT_FRACTION = 0.75
_SHORTEST_CONTACT_A = 0.65
_SPACING_A = 0.05
_SPACING_AT_CORE_A = 0.02
"""Spacing where the core repulsion is switched on, and slopes change fast."""
_MIN_RISE_EV_A = 1.0
_FILE = "dimers.npz"


@dataclass(frozen=True)
class RepulsionConstraints:
    """Constraints that dimers repel each other: ``rows @ coefficients >= min_slopes``."""

    rows: np.ndarray
    """(m, n_functions)"""
    min_slopes: np.ndarray
    """(m,) eV/Å"""


def contact_a(first: str, second: str) -> float:
    """Return the distance below which a dimer has to be repulsive, Å: three quarters of a single bond."""
    radii = [covalent_radii[atomic_numbers[name]] for name in (first, second)]
    return max(_CONTACT_FRACTION * float(sum(radii)), _SHORTEST_CONTACT_A)


def pairs_of(elements: list[str]) -> list[tuple[str, str]]:
    """Return all pairs of elements, like and unlike."""
    return list(combinations_with_replacement(elements, 2))


def repulsion_curve(potential: AcePotential, pair: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Return distances from contact down to 0.5 Å, and the repulsive force of a dimer at each, eV/Å."""
    top = contact_a(*pair)
    distances = np.linspace(top, CLOSEST_A, 2 + int((top - CLOSEST_A) / _SPACING_AT_CORE_A))
    dimers = _far_apart([pair] * len(distances), distances, potential.cutoff_a)
    return distances, _outward(potential.evaluate(dimers, gamma=False).forces_ev_a)


def cached_repulsion_constraints(folder: Path, shape: AcePotential) -> RepulsionConstraints:
    """Return the constraints for ``shape`` from the cache file in ``folder``; compute and write them if missing."""
    kept = read_arrays(folder / _FILE)
    if kept is not None and {"rows", "least"} <= set(kept):
        return RepulsionConstraints(kept["rows"], kept["least"])
    found = repulsion_constraints(shape)
    write_arrays(folder / _FILE, {"rows": found.rows, "least": found.min_slopes})
    return found


def repulsion_constraints(shape: AcePotential) -> RepulsionConstraints:
    """Compute the constraints for potentials with the basis of ``shape``, whose coefficients are zero."""
    pairs, distances = [], []
    for pair in pairs_of(shape.elements):
        for distance in _where_fitted(pair):
            pairs.append(pair)
            distances.append(distance)
    dimers = _far_apart(pairs, np.array(distances), shape.cutoff_a)
    rows = _outward(shape.design(dimers).forces)
    felt = np.abs(rows).max(axis=1) > 0
    core = _outward(shape.evaluate(dimers, gamma=False).forces_ev_a)
    return RepulsionConstraints(rows[felt], _MIN_RISE_EV_A - core[felt])


def _where_fitted(pair: tuple[str, str]) -> np.ndarray:
    """Return distances from contact down to where only the core repulsion acts."""
    top, core = contact_a(*pair), core_radius_a(*pair)
    bottom = max(core - CORE_WIDTH_A, CLOSEST_A)
    within = np.arange(bottom, min(core, top), _SPACING_AT_CORE_A)
    return np.append(within, np.arange(max(core, bottom), top + _SPACING_A, _SPACING_A).clip(max=top))


def _far_apart(pairs: list[tuple[str, str]], distances: np.ndarray, cutoff_a: float) -> Atoms:
    """Return one cell of dimers beyond each other's cutoff, each along z, the lower atom first."""
    room = 2 * cutoff_a + float(distances.max())
    positions = np.zeros((2 * len(pairs), 3))
    positions[:, 0] = room * np.repeat(np.arange(len(pairs)), 2)
    positions[1::2, 2] = distances
    symbols = [symbol for pair in pairs for symbol in pair]
    return Atoms(symbols, positions, cell=[room * len(pairs), room, room], pbc=True)


def _outward(forces: np.ndarray) -> np.ndarray:
    """Return the z components on the upper atoms, (n_dimers, …) of (n_atoms, 3, …): positive is repulsion."""
    return np.asarray(forces[1::2, 2])
