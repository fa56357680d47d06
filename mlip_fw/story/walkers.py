"""Where each walker is now, and what it waits for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mlip_fw.attendance import FOLDER
from mlip_fw.engines.md.script import GAMMA_LOG
from mlip_fw.errors import DirectoryError
from mlip_fw.io.locks import try_lock
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.selection import Selection
from mlip_fw.story.reading import time_of
from mlip_fw.story.sources import Run, Sources

A_WORKER = "a worker"


class Phase(StrEnum):
    """The states of a walker."""

    WAITING = "waiting"
    EXPLORE = "explore"
    SELECT = "select"
    LABEL = "label"
    TRAIN = "train"
    CONVERGED = "converged"
    STOPPED = "stopped"


@dataclass(frozen=True)
class WalkerState:
    """Where a walker is."""

    walker: int
    phase: Phase
    stage: int
    cycle: int
    step: int
    last_step: int
    """The step at which it will have converged."""
    generation: int | None
    """The potential that its newest MD run uses or used."""
    gamma: float | None
    """The largest extrapolation grade that was seen last."""
    since: float
    """When it changed last, s since 1970; 0 if it never did."""
    is_rehearsal: bool
    waiting_for: str
    """``3 of 4 labels``, ``a worker``, ``pacemaker step 40``; empty if it waits for nothing but the MD's steps."""


@dataclass(frozen=True)
class _Now:
    """What a walker does: phase, what it waits for, and when that began."""

    phase: Phase
    waiting_for: str
    since: float


def walker_states(sources: Sources) -> list[WalkerState]:
    """Return where each walker is; the rehearsals that have begun come last."""
    newest = {run.walker: run for run in sources.runs}
    walkers = sorted({*range(sources.campaign.md.walkers), *newest})
    return [_state(walker, newest.get(walker), sources) for walker in walkers]


def _state(walker: int, run: Run | None, sources: Sources) -> WalkerState:
    md = sources.campaign.md
    now = _before_md(sources) if run is None else _now(run, sources)
    if sources.is_over and now.phase is not Phase.CONVERGED:
        now = _Now(Phase.STOPPED, "", now.since)
    return WalkerState(
        walker=walker,
        phase=now.phase,
        stage=0 if run is None else run.stage,
        cycle=0 if run is None else run.cycle,
        step=0 if run is None else run.step,
        last_step=md.last_step(len(md.stages) - 1),
        generation=None if run is None else run.generation,
        gamma=None if run is None else _gamma(run),
        since=now.since,
        is_rehearsal=walker >= md.walkers,
        waiting_for=now.waiting_for,
    )


def _before_md(sources: Sources) -> _Now:
    """Return what a walker waits for that has not begun."""
    selection, since = sources.first_selection, _first_event(sources)
    if sources.records:
        return _Now(Phase.WAITING, "the rehearsal" if _is_rehearsing(sources) else A_WORKER, since)
    if selection is None:
        return _Now(Phase.WAITING, "the first structures", since)
    settled, of = _settled(selection, sources)
    if settled < of:
        return _Now(Phase.LABEL, f"{settled} of {of} first labels", since)
    return _Now(Phase.TRAIN, "the first potential", since)


def _now(run: Run, sources: Sources) -> _Now:
    folder, result = run.folder, run.result
    if result is None:
        started = time_of(folder / GAMMA_LOG) or time_of(folder) or 0.0
        return _Now(Phase.EXPLORE, _worker_unless(f"md-{_of(run)}", sources), started)
    ended = time_of(folder / "result.json") or 0.0
    last_stage = len(sources.campaign.md.stages) - 1
    if result.outcome is MDOutcome.FINISHED:
        return _Now(*((Phase.CONVERGED, "") if result.stage >= last_stage else (Phase.WAITING, A_WORKER)), ended)
    if result.outcome is MDOutcome.WALLTIME:
        return _Now(Phase.WAITING, A_WORKER, ended)
    return _mending(run, result, ended, sources)


def _mending(run: Run, result: MDResult, ended: float, sources: Sources) -> _Now:
    selection = sources.selections.get(run.turn)
    if selection is None:
        waiting_for = _worker_unless(f"candidates-{_of(run)}", sources)
        if waiting_for and run.turn in sources.turn_times("stopped"):
            return _Now(Phase.STOPPED, "", ended)
        return _Now(Phase.SELECT, waiting_for, ended)
    chosen_at = time_of(run.folder / "selection.json") or ended
    settled, of = _settled(selection, sources)
    if settled < of:
        return _Now(Phase.LABEL, f"{settled} of {of} labels", chosen_at)
    if _is_learnt(selection, sources):
        return _after_training(result, sources)
    return _Now(Phase.TRAIN, _worker_unless(f"train-{_of(run)}", sources), time_of(run.folder / "labels.json") or ended)


def _after_training(result: MDResult, sources: Sources) -> _Now:
    newest = max(sources.records, default=result.generation)
    since = sources.times("trained", "polished", by="generation").get(newest, 0.0)
    if sources.polishing:
        return _Now(Phase.TRAIN, f"pacemaker step {sources.polishing[-1].iteration}", since)
    return _Now(Phase.WAITING, A_WORKER, since)


def _settled(selection: Selection, sources: Sources) -> tuple[int, int]:
    """Return how many of the chosen structures have a label or have failed, and how many there are."""
    failed = {record.hash for record in sources.quarantine}
    names = [choice.hash for choice in selection.chosen]
    return sum(name in sources.labels or name in failed for name in names), len(names)


def _is_learnt(selection: Selection, sources: Sources) -> bool:
    records = [record for record in sources.records.values() if record is not None]
    if not records:
        return False
    known, names = set(records[-1].labels), {choice.hash for choice in selection.chosen}
    return names & set(sources.labels) <= known


def _is_rehearsing(sources: Sources) -> bool:
    return any(run.walker >= sources.campaign.md.walkers for run in sources.runs)


def _worker_unless(work: str, sources: Sources) -> str:
    """Return that a worker is waited for, unless one holds the lock on this piece of work.

    Where files travel, each worker holds that of its own copy: nobody can tell.
    """
    is_known = sources.campaign.files == "shared"
    return A_WORKER if is_known and not _is_held(sources.directory.root / FOLDER / f"{work}.lock") else ""


def _is_held(path: Path) -> bool:
    try:
        with path.open() as handle:
            return not try_lock(handle, only_looking=True)
    except (OSError, DirectoryError):
        return False


def _of(run: Run) -> str:
    return f"{run.walker:02d}-{run.cycle:04d}"


def _gamma(run: Run) -> float | None:
    if run.result is not None and run.result.gamma_max is not None:
        return run.result.gamma_max
    return float(run.gamma[-1, 1]) if len(run.gamma) else None


def _first_event(sources: Sources) -> float:
    return float(sources.events[0]["time"]) if sources.events else 0.0
