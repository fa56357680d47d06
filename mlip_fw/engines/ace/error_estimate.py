"""Expected force errors of a potential: the spread of an ensemble that knows its misfit, as calibrated intervals.

The spread alone says where errors are large, not how large. The factors that turn it into intervals come from labels
that a fit to others predicts; see :mod:`mlip_fw.engines.train.error_calibration`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from mlip_fw.engines.ace.basis import copy_of
from mlip_fw.engines.ace.neighbours import Neighbours
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.io.files import read_arrays, write_arrays

LEVELS = (0.68, 0.95)
"""Shares of true forces that the intervals are to hold."""
_SPREAD_POWER, _FORCE_POWER = 1.25, 0.5
_TINY = 1e-12


@dataclass(frozen=True)
class ErrorEstimate:
    """Expected force errors of one potential, element by element.

    Notes
    -----
    Factors times the scale of an atom (:func:`error_scales`) are half widths of intervals: of every 100 force
    components, the oracle's value is expected within ± half width of 68, and of 95, of the potential's.
    """

    members: np.ndarray
    """(n_members, n_functions) coefficients of the potentials of the ensemble."""
    force_rms_ev_a: float
    """Root mean square length of the forces of the labels."""
    factors: np.ndarray
    """(n_elements, 2) half widths of the intervals of 68 % and 95 %, over the scale of the atom."""

    @classmethod
    def beside(cls, potential: Path) -> ErrorEstimate | None:
        """Read the estimate beside a potential (``.yaml``); None if it has none, or that file is not whole."""
        kept = read_arrays(file_beside(potential))
        if kept is None or not {"members", "force_rms", "factors"} <= kept.keys():
            return None
        return cls(kept["members"], float(kept["force_rms"]), kept["factors"])

    def write_beside(self, potential: Path) -> None:
        """Write the estimate beside a potential (``.yaml``)."""
        arrays = {"members": self.members, "force_rms": np.array(self.force_rms_ev_a), "factors": self.factors}
        write_arrays(file_beside(potential), arrays)


class ErrorEstimator:
    """Evaluates the expected force errors of structures.

    Parameters
    ----------
    potential
        The potential whose errors are expected.
    estimate
        Of this potential.

    Notes
    -----
    One evaluation costs as much as one of the forces for each member of the ensemble.
    """

    def __init__(self, potential: AcePotential, estimate: ErrorEstimate) -> None:
        self._potential, self._estimate = potential, estimate
        self._members = [AcePotential(copy_of(potential.basis, member)) for member in estimate.members]

    @classmethod
    def of_file(cls, potential: Path) -> ErrorEstimator | None:
        """Return the estimator of a potential (``.yaml``); None if nothing is known of its errors."""
        estimate = ErrorEstimate.beside(potential)
        return None if estimate is None else cls(AcePotential.from_files(potential), estimate)

    def half_widths_ev_a(self, atoms: Atoms, forces_ev_a: np.ndarray) -> np.ndarray:
        """Return (n_atoms, 2) half widths of the intervals of 68 % and 95 % of each force component, eV/Å.

        Parameters
        ----------
        atoms
            A fully periodic structure.
        forces_ev_a
            (n_atoms, 3) its forces by the potential.
        """
        neighbours = self._potential.neighbours(atoms)
        return self.half_widths_moving(neighbours, atoms.positions, atoms.cell.array, forces_ev_a)

    def half_widths_moving(
        self, neighbours: Neighbours, positions: np.ndarray, cell: np.ndarray, forces_ev_a: np.ndarray
    ) -> np.ndarray:
        """Return the half widths, as :meth:`half_widths_ev_a`, of a step of a trajectory."""
        found = [
            member.evaluate_moving(neighbours, positions, cell, gamma=False).forces_ev_a - forces_ev_a
            for member in self._members
        ]
        scales = error_scales(np.stack(found, axis=2), forces_ev_a, self._estimate.force_rms_ev_a)
        return np.asarray(scales[:, None] * self._estimate.factors[neighbours.species])


def error_scales(deviations_ev_a: np.ndarray, forces_ev_a: np.ndarray, force_rms_ev_a: float) -> np.ndarray:
    """Return the (n_atoms,) scales that errors are expected to be proportional to, eV/Å.

    Parameters
    ----------
    deviations_ev_a
        (n_atoms, 3, n_members) forces of the members of an ensemble less those of the potential.
    forces_ev_a
        (n_atoms, 3) forces of the potential.
    force_rms_ev_a
        Root mean square length of forces.

    Notes
    -----
    With v the root mean square deviation of an atom, f the length of its force and F the usual one, the scale is
    F (v/F)^1.25 (1 + (f/F)²)^0.25. The powers were chosen on five materials (``benchmarks/uncertainty.py``): errors
    grow a little faster than the spread, and a few members give the spread with an error of a third, for part of which
    the force makes up.
    """
    usual = max(force_rms_ev_a, _TINY)
    spread = np.sqrt(np.mean(deviations_ev_a**2, axis=(1, 2))) / usual
    force = np.sqrt((forces_ev_a**2).sum(axis=1)) / usual
    return np.asarray(usual * spread**_SPREAD_POWER * (1 + force**2) ** (_FORCE_POWER / 2))


def file_beside(potential: Path) -> Path:
    """Return where the estimate of a potential (``.yaml``) is kept."""
    return potential.with_suffix(".errors.npz")
