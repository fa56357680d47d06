"""Gamma against step, walker by walker."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mlip_fw.models.md import MDOutcome
from mlip_fw.story.sources import Run, Sources


@dataclass(frozen=True)
class Segment:
    """Gamma along one MD run."""

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
    """Gamma along one walker."""

    walker: int
    is_rehearsal: bool
    segments: list[Segment]
    halts: np.ndarray
    """(m, 2) step and gamma."""


def trajectories_of(sources: Sources) -> list[Trajectory]:
    """Return gamma against step for every walker that has begun."""
    walkers = sorted({run.walker for run in sources.runs})
    return [_trajectory(walker, sources) for walker in walkers]


def thinned(trajectory: Trajectory, most: int = 2000) -> Trajectory:
    """Return the trajectory with about ``most`` points at most; the lowest and the highest of each stretch stay.

    Parameters
    ----------
    trajectory
        Of one walker.
    most
        Points that all segments share according to their lengths; each keeps 4 at least.
    """
    total = sum(len(segment.steps) for segment in trajectory.segments)
    if total <= most:
        return trajectory
    return replace(trajectory, segments=[_thinned(s, most * len(s.steps) // total) for s in trajectory.segments])


def _trajectory(walker: int, sources: Sources) -> Trajectory:
    runs = [run for run in sources.runs if run.walker == walker]
    return Trajectory(
        walker=walker,
        is_rehearsal=walker >= sources.campaign.md.walkers,
        segments=[_segment(run) for run in runs if len(run.gamma)],
        halts=np.array(list(_halts(runs)), dtype=float).reshape(-1, 2),
    )


def _segment(run: Run) -> Segment:
    generation = -1 if run.generation is None else run.generation
    return Segment(run.cycle, run.stage, generation, run.gamma[:, 0].astype(int), run.gamma[:, 1])


def _halts(runs: list[Run]) -> Iterator[tuple[int, float]]:
    for run in runs:
        if run.result is not None and run.result.outcome is MDOutcome.HALTED and run.result.gamma_max is not None:
            yield run.result.step, run.result.gamma_max


def _thinned(segment: Segment, most: int) -> Segment:
    stretches = max(1, (most - 2) // 2)
    if len(segment.steps) <= 2 * stretches + 2:
        return segment
    edges = np.linspace(0, len(segment.steps), stretches + 1).astype(int)
    kept = {0, len(segment.steps) - 1}
    for first, last in itertools.pairwise(edges.tolist()):
        part = segment.gamma[first:last]
        kept |= {first + int(part.argmin()), first + int(part.argmax())}
    chosen = np.array(sorted(kept))
    return replace(segment, steps=segment.steps[chosen], gamma=segment.gamma[chosen])
