"""Detection of forces that a constraint set to zero: these are unknown, while energy and stress are valid."""

from __future__ import annotations

import numpy as np

_NOTHING = 1e-12


def unknown_forces(forces_ev_a: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Return (n_atoms, 3) of bool: the unknown force components.

    A fixed component is unknown if it is exactly zero, because codes print either the true force or zero. An atom
    without a constraint counts as fixed if its whole force is exactly zero while other atoms have forces, because
    conversion of files often loses constraints, but not forces.

    Parameters
    ----------
    forces_ev_a
        (n_atoms, 3)
    fixed
        (n_atoms, 3) of bool: what constraints hold.
    """
    zero = np.abs(forces_ev_a) < _NOTHING
    still = zero.all(axis=1)
    return np.asarray((zero & fixed) | (still & ~still.all())[:, None])
