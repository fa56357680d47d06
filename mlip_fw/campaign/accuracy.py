"""Whether the error that an audit found meets the target of a campaign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlip_fw.models.accuracy import AuditErrors


@dataclass(frozen=True)
class Ratio:
    """An error divided by its target: as estimated, and by the upper end of its interval."""

    estimate: float
    upper: float


def ratios(errors: AuditErrors, target: Mapping[str, float]) -> dict[str, Ratio]:
    """Return each criterion's ratio of error to target; infinite where the error is not known."""
    unknown = float("inf")
    interval, force, share = errors.force_rmse_interval_ev_a, errors.force_rmse_ev_a, errors.force_share
    upper = unknown if interval is None else interval[1]
    found = {
        "force_rmse_ev_a": (force, upper),
        "force_relative": (
            unknown if share is None else share,
            unknown if share is None else share * (upper / force if force else 1.0),
        ),
        "energy_rmse_ev_atom": _known(errors.energy_rmse_ev_atom, errors.energy_rmse_interval_ev_atom),
        "stress_rmse_gpa": _known(errors.stress_rmse_gpa, errors.stress_rmse_interval_gpa),
    }
    return {name: Ratio(found[name][0] / limit, found[name][1] / limit) for name, limit in target.items()}


def worst(errors: AuditErrors, target: Mapping[str, float]) -> Ratio:
    """Return the largest ratios of any criterion; zeros without criteria."""
    found = ratios(errors, target).values()
    return Ratio(max((r.estimate for r in found), default=0.0), max((r.upper for r in found), default=0.0))


def is_met(errors: AuditErrors, target: Mapping[str, float], min_frames: int) -> bool:
    """Return whether every criterion is met by the upper end of its interval, with enough frames.

    By the estimate alone, every second campaign whose true error equals the target would count as good.
    """
    return errors.n_frames >= min_frames and worst(errors, target).upper <= 1.0


def is_undecided(errors: AuditErrors, target: Mapping[str, float]) -> bool:
    """Return whether the estimates meet the target and the upper ends do not: more frames can tell."""
    found = worst(errors, target)
    return found.estimate <= 1.0 < found.upper


def _known(value: float | None, interval: list[float] | None) -> tuple[float, float]:
    unknown = float("inf")
    return (unknown if value is None else value), (unknown if interval is None else interval[1])
