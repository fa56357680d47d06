"""A few steps downhill for the atoms of a cut-out that don't matter for its centre."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from mlip_fw.engines.ace import AcePotential
from mlip_fw.engines.geometry import distances_from, too_close
from mlip_fw.io.structures import canonical

_STEPS = 20
_STEP_A = 0.05
_FARTHEST_A = 0.5
_MOBILITY_A2_EV = 0.02


def relaxed_shell(
    atoms: Atoms, center: int, cutoff_a: float, potential: AcePotential, calm_ev_a: float = 0.0
) -> tuple[Atoms, bool]:
    """Return a copy in which the atoms beyond the cutoff have moved along their forces, and whether any has.

    Only forces beyond ``calm_ev_a`` move an atom, by at most 0.05 Å a step and 0.5 Å in all, and never
    into the sphere around the centre. If atoms come too close, the structure is returned as it was.
    """
    reach = np.clip(distances_from(atoms, center) - cutoff_a, 0.0, _FARTHEST_A)[:, None]
    moved, neighbours = atoms.copy(), potential.neighbours(atoms, skin_a=2 * _FARTHEST_A)
    for _ in range(_STEPS):
        answer = potential.evaluate_moving(neighbours, moved.positions, atoms.cell.array, gamma=False)
        forces = np.where(reach > 0, answer.forces_ev_a, 0.0)
        sizes = np.linalg.norm(forces, axis=1, keepdims=True)
        if sizes.max() <= calm_ev_a:
            break
        steps = np.minimum(_MOBILITY_A2_EV * np.maximum(sizes - calm_ev_a, 0.0), _STEP_A)
        change = moved.positions - atoms.positions + steps * forces / np.maximum(sizes, 1e-12)
        lengths = np.linalg.norm(change, axis=1, keepdims=True)
        moved.positions = atoms.positions + change * np.minimum(1.0, reach / np.maximum(lengths, 1e-12))
    changed = bool(np.any(moved.positions != atoms.positions)) and not too_close(moved)
    return (canonical(moved), True) if changed else (atoms, False)
