"""Removal of duplicate structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from mlip_fw.errors import CampaignError
from mlip_fw.io.labelled.reading import LabelledFrame
from mlip_fw.io.structures import canonical, stress_of, structure_hash

_DIGITS = 4
_SAME_EV_ATOM, _SAME_EV_A, _SAME_EV_A3 = 1e-3, 1e-2, 1e-3


def without_copies(frames: Sequence[LabelledFrame], what: str) -> list[LabelledFrame]:
    """Return the structures without duplicates; equality is to the precision of a file, for any order of atoms.

    Raises
    ------
    CampaignError
        If labels of the same structure differ.
    """
    first: dict[str, LabelledFrame] = {}
    contradictions = []
    for frame in frames:
        one = first.setdefault(structure_hash(frame.atoms[_order(frame.atoms)], {}), frame)
        if one is not frame and (difference := _difference(one, frame)):
            contradictions.append(f"structures {one.number} and {frame.number} ({difference})")
    if contradictions:
        more = f" and {len(contradictions) - 3} more pairs" if len(contradictions) > 3 else ""
        raise CampaignError(
            f"{what}: {len(frames) - len(first)} of {len(frames)} structures are copies, and their labels contradict "
            f"each other: {', '.join(contradictions[:3])}{more}; keep the right ones"
        )
    return list(first.values())


def _order(atoms: Atoms) -> np.ndarray:
    """Return the (n_atoms,) indices that sort atoms by element and position."""
    kept = canonical(atoms)
    return np.lexsort((*np.round(kept.positions, _DIGITS).T, kept.numbers))


def _difference(one: LabelledFrame, other: LabelledFrame) -> str:
    """Describe how two labels of the same structure differ; empty if they agree."""
    energy = abs(one.label.energy_ev - other.label.energy_ev)
    forces = [frame.label.forces_ev_a[_order(frame.atoms)] for frame in (one, other)]
    force = float(np.abs(forces[0] - forces[1]).max())
    stresses = stress_of(one.atoms), stress_of(other.atoms)
    stress = 0.0 if stresses[0] is None or stresses[1] is None else float(np.abs(stresses[0] - stresses[1]).max())
    found = (
        (energy > _SAME_EV_ATOM * len(one.atoms), f"energies differ by {energy:.4g} eV"),
        (force > _SAME_EV_A, f"forces by {force:.4g} eV/Å"),
        (stress > _SAME_EV_A3, f"stresses by {stress:.4g} eV/Å³"),
    )
    return ", ".join(words for differs, words in found if differs)
