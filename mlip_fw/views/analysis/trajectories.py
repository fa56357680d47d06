"""Gamma along the MD of each walker."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mlip_fw.models.md import MDOutcome
from mlip_fw.views.analysis.analysis_records import AnalysisRecords, MDRun


@dataclass(frozen=True)
class Segment:
    """Gamma along one MD run of a walker."""

    cycle: int
    stage: int
    generation: int
    """-1 where nothing says which it was."""
    steps: np.ndarray
    """(n,) of int."""
    gamma: np.ndarray
    """(n,) largest extrapolation grade of any atom."""


@dataclass(frozen=True)
class Trajectory:
    """Gamma along all MD runs of one walker."""

    walker: int
    is_rehearsal: bool
    """Whether it runs in the small cell before the walkers begin."""
    segments: list[Segment]
    halts: np.ndarray
    """(m, 2) step and gamma of each halt."""


def trajectories_of(records: AnalysisRecords) -> list[Trajectory]:
    """Return the trajectory of every walker that has begun."""
    walkers = sorted({run.walker for run in records.runs})
    return [_trajectory(walker, records) for walker in walkers]


def thinned(trajectory: Trajectory, max_points: int = 2000) -> Trajectory:
    """Return the trajectory with about ``max_points`` points at most, for drawing.

    Each segment is divided into stretches, of which the lowest and the highest point are kept.

    Parameters
    ----------
    trajectory
        Of one walker.
    max_points
        Shared by all segments in proportion to their lengths; each keeps 4 points at least.
    """
    total = sum(len(segment.steps) for segment in trajectory.segments)
    if total <= max_points:
        return trajectory
    return replace(trajectory, segments=[_thinned(s, max_points * len(s.steps) // total) for s in trajectory.segments])


def _trajectory(walker: int, records: AnalysisRecords) -> Trajectory:
    runs = [run for run in records.runs if run.walker == walker]
    return Trajectory(
        walker=walker,
        is_rehearsal=walker >= records.campaign.md.walkers,
        segments=[_segment(run) for run in runs if len(run.gamma)],
        halts=np.array(list(_halts(runs)), dtype=float).reshape(-1, 2),
    )


def _segment(run: MDRun) -> Segment:
    generation = -1 if run.generation is None else run.generation
    return Segment(run.cycle, run.stage, generation, run.gamma[:, 0].astype(int), run.gamma[:, 1])


def _halts(runs: list[MDRun]) -> Iterator[tuple[int, float]]:
    for run in runs:
        if run.result is not None and run.result.outcome is MDOutcome.HALTED and run.result.gamma_max is not None:
            yield run.result.step, run.result.gamma_max


def _thinned(segment: Segment, max_points: int) -> Segment:
    stretches = max(1, (max_points - 2) // 2)
    if len(segment.steps) <= 2 * stretches + 2:
        return segment
    edges = np.linspace(0, len(segment.steps), stretches + 1).astype(int)
    kept = {0, len(segment.steps) - 1}
    for first, last in itertools.pairwise(edges.tolist()):
        part = segment.gamma[first:last]
        kept |= {first + int(part.argmin()), first + int(part.argmax())}
    chosen = np.array(sorted(kept))
    return replace(segment, steps=segment.steps[chosen], gamma=segment.gamma[chosen])
