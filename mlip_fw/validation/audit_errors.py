"""Errors over audited frames, with confidence intervals, and whether they meet a target.

Frames are few, since each costs a label, and they stand for parts of the MD of different length. So errors are weighted
means, and their intervals come from Student's t-distribution rather than from resampling, which with three frames gives
intervals that are far too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import chi2, t

from mlip_fw.campaign.accuracy import is_met, worst
from mlip_fw.models.accuracy import AuditedFrame, AuditErrors, AuditRange, AuditRecord, Coverage

CONFIDENCE = 0.95
_MAX_RANGES = 4
_TINY = 1e-12
"""Mean squares below this fraction of the largest count as this: the logarithm of 0 is no number."""
Interval = list[float]


def errors_of(frames: Sequence[AuditedFrame]) -> AuditErrors:
    """Return the errors over ``frames``, weighted by the part of the MD that each stands for.

    The interval of the force error is that of the ratio of squared error to squared force, since error and forces grow
    together from cold to hot frames: the scatter that is left is what makes the mean uncertain.
    """
    weights = _shares([frame.weight for frame in frames])
    squares = np.array([frame.force_rmse_ev_a**2 for frame in frames])
    forces = np.array([frame.force_rms_ev_a**2 for frame in frames])
    error, force = float(np.sqrt(weights @ squares)), float(np.sqrt(weights @ forces))
    energies = [frame.energy_error_ev_atom for frame in frames if frame.energy_error_ev_atom is not None]
    stresses = [frame.stress_rmse_gpa for frame in frames if frame.stress_rmse_gpa is not None]
    energy = _spread(np.array(energies)) if len(energies) > 1 else None
    stress = float(np.sqrt(np.mean(np.square(stresses)))) if stresses else None
    return AuditErrors(
        n_frames=len(frames),
        force_rmse_ev_a=error,
        force_rmse_interval_ev_a=interval_of_rms(error, squares / np.maximum(forces, _TINY)),
        force_share=error / force if force else None,
        energy_rmse_ev_atom=energy,
        energy_rmse_interval_ev_atom=None if energy is None else interval_of_spread(energy, len(energies)),
        stress_rmse_gpa=stress,
        stress_rmse_interval_gpa=None if stress is None else interval_of_rms(stress, np.square(stresses)),
    )


def interval_of_rms(rms: float, mean_squares: np.ndarray) -> Interval | None:
    """Return the 95 % confidence interval of a root mean square over frames; None of a single frame.

    Mean squares of single frames scatter by factors, so their logarithms are taken as normally distributed: a
    t-interval of their mean, as a factor of ``rms``. With three frames that differ by a factor of two it is wide, as it
    should be.

    Parameters
    ----------
    rms
        The value that the interval is of.
    mean_squares
        (n_frames,) mean square of each frame.
    """
    if len(mean_squares) < 2:
        return None
    logs = np.log(np.maximum(mean_squares, _TINY * max(mean_squares.max(), _TINY)))
    half = t.ppf(0.5 + CONFIDENCE / 2, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    factor = float(np.exp(min(half / 2, 50.0)))
    return [rms / factor, rms * factor]


def interval_of_spread(spread: float, n: int) -> Interval:
    """Return the 95 % confidence interval of a standard deviation of ``n`` normally distributed values (chi-square)."""
    low, high = chi2.ppf([0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2], n - 1)
    return [float(spread * np.sqrt((n - 1) / high)), float(spread * np.sqrt((n - 1) / low))]


def audit_record(
    frames: Sequence[AuditedFrame],
    by_element: Mapping[str, tuple[float, float]],
    target: Mapping[str, float],
    min_frames: int,
    *,
    generation: int,
    round_number: int,
    labels: int,
) -> AuditRecord:
    """Return what the audit of a generation found.

    Parameters
    ----------
    frames
        One at least.
    by_element
        Root mean square of error and of force on each element, eV/Å.
    target, min_frames
        Criteria of the campaign.
    generation, round_number, labels
        Which it is, how often stages were repeated before, and how many labels it was trained on.
    """
    stages = sorted({frame.stage for frame in frames})
    errors = errors_of(frames)
    return AuditRecord(
        generation=generation,
        round=round_number,
        labels=labels,
        errors=errors,
        by_element={name: error for name, (error, _) in by_element.items()},
        force_rms_by_element={name: force for name, (_, force) in by_element.items()},
        by_temperature=by_temperature(frames),
        by_stage={stage: errors_of([frame for frame in frames if frame.stage == stage]) for stage in stages},
        frames=list(frames),
        coverage=coverage_of(frames),
        target=dict(target),
        met=is_met(errors, target, min_frames),
    )


def coverage_of(frames: Sequence[AuditedFrame]) -> Coverage | None:
    """Return the coverage over ``frames``, weighted like their errors; None if one of them has none."""
    found = [frame.coverage for frame in frames if frame.coverage is not None]
    if not found or len(found) < len(frames):
        return None
    weights = _shares([frame.weight for frame in frames])
    shares = weights @ np.array([[one.within_68, one.within_95] for one in found])
    return Coverage(within_68=min(float(shares[0]), 1.0), within_95=min(float(shares[1]), 1.0))


def by_temperature(frames: Sequence[AuditedFrame]) -> list[AuditRange]:
    """Return the errors in up to four ranges of target temperature with about as many frames each."""
    warm = sorted((f for f in frames if f.temperature_k is not None), key=lambda frame: frame.temperature_k or 0.0)
    found = []
    for part in np.array_split(np.arange(len(warm)), min(_MAX_RANGES, len(warm)) or 1):
        inside = [warm[k] for k in part]
        if inside:
            ends = [float(frame.temperature_k or 0.0) for frame in (inside[0], inside[-1])]
            found.append(AuditRange(from_k=ends[0], to_k=ends[1], **errors_of(inside).model_dump()))
    return found


def failing_stage(record: AuditRecord) -> int:
    """Return the stage whose errors are the largest against the target."""
    return max(record.by_stage, key=lambda stage: _finite(worst(record.by_stage[stage], record.target).estimate))


def _finite(ratio: float) -> float:
    """Return the ratio; of an error that a single frame can't tell, none."""
    return ratio if np.isfinite(ratio) else 0.0


def _spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1))


def _shares(weights: Sequence[float]) -> np.ndarray:
    found = np.asarray(weights, dtype=float)
    return found / found.sum() if found.sum() else np.full(len(found), 1.0 / max(1, len(found)))
