"""Forces that a constraint made zero: unknown, while energy, stress and surroundings of the atom are right."""

from __future__ import annotations

import numpy as np

_NOTHING = 1e-12


def unknown_forces(forces_ev_a: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Return (n_atoms, 3) of bool: the components of forces that are not known.

    A component that the file fixes is unknown where it is exactly zero: codes print either the true force or zero. An
    atom that nothing fixes is taken for fixed where its whole force is exactly zero, in a structure in which others
    have forces: files lose constraints more easily than forces.

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
