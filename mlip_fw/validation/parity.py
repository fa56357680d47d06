"""Errors of forces, energies and stresses over all frames, by element and temperature, and their relation to gamma."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from scipy.stats import spearmanr

from mlip_fw.io.structures import atoms_with_forces, mask_of
from mlip_fw.models.validation import Calibration, FrameErrors, GammaBin, TemperatureErrors

_EDGES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
_PROMISED = 95
_MAX_RANGES = 4
_MIN_ATOMS = 3


@dataclass(frozen=True)
class Pair:
    """One frame by the potential and by the oracle."""

    potential: Atoms
    """With the array ``gamma`` (n,)."""
    oracle: Atoms
    temperature_k: float | None = None
    """Measured in the MD; None if it was not."""

    @property
    def mask(self) -> np.ndarray:
        """(n,) of bool: the atoms that the cut, if there was one, left their surroundings."""
        return mask_of(self.oracle)

    @property
    def compared(self) -> np.ndarray:
        """(n,) of bool: the atoms whose forces are compared."""
        return atoms_with_forces(self.oracle)

    @property
    def force_errors_ev_a(self) -> np.ndarray:
        """(m, 3) of the atoms within the mask whose force is known."""
        difference = self.potential.get_forces() - self.oracle.get_forces()
        return np.asarray(difference[self.compared])

    @property
    def energy_error_ev_atom(self) -> float | None:
        """Of a whole frame; None of a cut-out."""
        if not self.mask.all():
            return None
        return float(self.potential.get_potential_energy() - self.oracle.get_potential_energy()) / len(self.oracle)

    @property
    def stress_errors_gpa(self) -> np.ndarray:
        """(6,) of a whole frame whose oracle has a stress; else (0,)."""
        stress = self.oracle.calc.results.get("stress")
        if stress is None or not self.mask.all():
            return np.zeros(0)
        return np.asarray((self.potential.get_stress() - stress) / units.GPa)


def frame_errors(pairs: Sequence[Pair]) -> FrameErrors:
    """Return the root mean square errors over all frames."""
    stresses = np.concatenate([pair.stress_errors_gpa for pair in pairs])
    energies = [pair.energy_error_ev_atom for pair in pairs]
    return FrameErrors(
        force_rmse_ev_a=rms(np.concatenate([pair.force_errors_ev_a for pair in pairs])),
        energy_rmse_ev_atom=rms(np.array([error for error in energies if error is not None])),
        stress_rmse_gpa=rms(stresses) if len(stresses) else None,
        force_rms_ev_a=rms(np.concatenate([pair.oracle.get_forces()[pair.mask] for pair in pairs])),
        n_frames=len(pairs),
        n_atoms=sum(int(pair.compared.sum()) for pair in pairs),
    )


def errors_by_element(pairs: Sequence[Pair]) -> dict[str, float]:
    """Return the root mean square force error of each element, eV/Å."""
    symbols = np.concatenate([np.array(pair.oracle.get_chemical_symbols())[pair.compared] for pair in pairs])
    errors = np.concatenate([pair.force_errors_ev_a for pair in pairs])
    return {str(name): rms(errors[symbols == name]) for name in sorted(set(symbols))}


def errors_by_temperature(pairs: Sequence[Pair]) -> list[TemperatureErrors]:
    """Return the errors in up to four ranges of measured temperature with as many frames each."""
    warm = sorted((p for p in pairs if p.temperature_k is not None), key=lambda pair: pair.temperature_k or 0.0)
    found = []
    for part in np.array_split(np.arange(len(warm)), min(_MAX_RANGES, len(warm)) or 1):
        if not len(part):
            continue
        frames = [warm[k] for k in part]
        ends = [float(frame.temperature_k or 0.0) for frame in (frames[0], frames[-1])]
        errors = frame_errors(frames).model_dump()
        found.append(TemperatureErrors(from_k=ends[0], to_k=ends[1], **errors))
    return found


def gamma_and_errors(pairs: Sequence[Pair]) -> np.ndarray:
    """Return (n, 2) extrapolation grade and length of the force error, eV/Å, of every atom."""
    if not pairs:
        return np.zeros((0, 2))
    gamma = np.concatenate([pair.potential.arrays["gamma"][pair.compared] for pair in pairs])
    return np.column_stack([gamma, np.linalg.norm(np.concatenate([p.force_errors_ev_a for p in pairs]), axis=1)])


def calibration(unseen: np.ndarray, learnt: np.ndarray) -> Calibration | None:
    """Return whether errors are where gamma is large.

    The training set makes a promise: 95 of 100 of its atoms have a force error below some value. Where gamma is
    small, as many of the atoms that were never seen should keep it; where it is large, fewer will.

    Parameters
    ----------
    unseen, learnt
        (n, 2) gamma and force error, eV/Å, of atoms that were not trained on, and of atoms that were.
    """
    if len(unseen) < _MIN_ATOMS or not len(learnt):
        return None
    promise = float(np.percentile(learnt[:, 1], _PROMISED))
    bins = []
    for low, high in zip(_EDGES, (*_EDGES[1:], None), strict=True):
        errors = unseen[(unseen[:, 0] >= low) & (unseen[:, 0] < (np.inf if high is None else high)), 1]
        if len(errors):
            bins.append(
                GammaBin(
                    from_gamma=low,
                    to_gamma=high,
                    n_atoms=len(errors),
                    force_rmse_ev_a=float(np.sqrt(np.mean(errors**2) / 3)),
                    force_p95_ev_a=float(np.percentile(errors, _PROMISED)),
                    covered=float(np.mean(errors <= promise)),
                )
            )
    varies = np.ptp(unseen, axis=0).all()
    correlation = float(spearmanr(unseen[:, 0], unseen[:, 1]).statistic) if varies else None
    return Calibration(promise_ev_a=promise, rank_correlation=correlation, bins=bins)


def rms(values: np.ndarray) -> float:
    """Return the root mean square of all values; 0 of none."""
    return float(np.sqrt(np.mean(values**2))) if values.size else 0.0
