"""The current state of each walker, and what it waits for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mlip_fw.campaign.cycle_files import CycleFiles
from mlip_fw.campaign.events import Event
from mlip_fw.campaign.file_cache import time_of
from mlip_fw.engines.md.script import GAMMA_LOG
from mlip_fw.errors import DirectoryError
from mlip_fw.io.locks import try_lock
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.selection import Selection
from mlip_fw.runtime.worker_record import RECORDS_FOLDER
from mlip_fw.views.analysis.analysis_records import AnalysisRecords, MDRun

A_WORKER = "a worker"


class Phase(StrEnum):
    """The states of a walker in the loop."""

    WAITING = "waiting"
    EXPLORE = "explore"
    SELECT = "select"
    LABEL = "label"
    TRAIN = "train"
    CONVERGED = "converged"
    STOPPED = "stopped"


@dataclass(frozen=True)
class WalkerState:
    """The current state of a walker."""

    walker: int
    phase: Phase
    stage: int
    cycle: int
    step: int
    last_step: int
    """The step at which its MD ends."""
    generation: int | None
    """The generation of the potential that its newest MD run uses or used."""
    gamma: float | None
    """The newest largest extrapolation grade of its MD."""
    since: float
    """When its state changed last, s since 1970; 0 if it never did."""
    is_rehearsal: bool
    """Whether it runs in the small cell before the walkers begin. The name is a key of ``status --json``."""
    waiting_for: str
    """As ``3 of 4 labels``, ``a worker``, ``pacemaker step 40``; empty while it is at work itself."""


@dataclass(frozen=True)
class _Current:
    """Phase of a walker, what it waits for, and since when, s since 1970."""

    phase: Phase
    waiting_for: str
    since: float


def walker_states(records: AnalysisRecords) -> list[WalkerState]:
    """Return the state of each walker; those of the small cell that have begun come last."""
    newest = {run.walker: run for run in records.runs}
    walkers = sorted({*range(records.campaign.md.walkers), *newest})
    return [_state(walker, newest.get(walker), records) for walker in walkers]


def chemistry_notes(records: AnalysisRecords) -> list[str]:
    """Return one sentence for each walker whose newest run ended with another chemistry, and for the newest trial."""
    newest = {walker: result for (walker, _), result in sorted(records.results.items())}
    said = [
        f"walker {walker} at step {result.step} of stage {result.stage}: {'; '.join(result.chemistry)}"
        for walker, result in newest.items()
        if result.chemistry
    ]
    trained = [record for _, record in sorted(records.trainings.items()) if record is not None]
    trial = trained[-1].stability if trained else None
    if trial is not None and trial.chemistry:
        said.append(f"generation {trained[-1].generation} in the trial before MD: {'; '.join(trial.chemistry)}")
    return said


def _state(walker: int, run: MDRun | None, records: AnalysisRecords) -> WalkerState:
    md = records.campaign.md
    current = _before_md(records) if run is None else _current(run, records)
    if records.is_over and current.phase is not Phase.CONVERGED:
        current = _Current(Phase.STOPPED, "", current.since)
    return WalkerState(
        walker=walker,
        phase=current.phase,
        stage=0 if run is None else run.stage,
        cycle=0 if run is None else run.cycle,
        step=0 if run is None else run.step,
        last_step=md.last_step(len(md.stages) - 1),
        generation=None if run is None else run.generation,
        gamma=None if run is None else _gamma(run),
        since=current.since,
        is_rehearsal=walker >= md.walkers,
        waiting_for=current.waiting_for,
    )


def _before_md(records: AnalysisRecords) -> _Current:
    """Return the state of a walker whose MD has not begun."""
    selection, since = records.first_selection, _first_event(records)
    if records.trainings:
        return _Current(Phase.WAITING, "the rehearsal" if _is_small_cell_running(records) else A_WORKER, since)
    if selection is None:
        return _Current(Phase.WAITING, "the first structures", since)
    settled, of = _settled(selection, records)
    if settled < of:
        return _Current(Phase.LABEL, f"{settled} of {of} first labels", since)
    return _Current(Phase.TRAIN, "the first potential", since)


def _current(run: MDRun, records: AnalysisRecords) -> _Current:
    folder, result = run.folder, run.result
    if result is None:
        started = time_of(folder / GAMMA_LOG) or time_of(folder) or 0.0
        return _Current(Phase.EXPLORE, _worker_unless(f"md-{_key_text(run)}", records), started)
    ended = time_of(CycleFiles(folder).result) or 0.0
    last_stage = len(records.campaign.md.stages) - 1
    if result.outcome is MDOutcome.FINISHED:
        # a stage that was repeated because of its error is not followed by later ones
        has_ended = result.stage >= last_stage or _has_been_through(run.walker, last_stage, records)
        return _Current(*((Phase.CONVERGED, "") if has_ended else (Phase.WAITING, A_WORKER)), ended)
    if result.outcome is MDOutcome.WALLTIME:
        return _Current(Phase.WAITING, A_WORKER, ended)
    return _between_runs(run, result, ended, records)


def _has_been_through(walker: int, last_stage: int, records: AnalysisRecords) -> bool:
    mine = (result for (number, _), result in records.results.items() if number == walker)
    return any(result.stage == last_stage and result.outcome is MDOutcome.FINISHED for result in mine)


def _between_runs(run: MDRun, result: MDResult, ended: float, records: AnalysisRecords) -> _Current:
    selection = records.selections.get(run.key)
    if selection is None:
        waiting_for = _worker_unless(f"candidates-{_key_text(run)}", records)
        if waiting_for and run.key in records.times_by_cycle(Event.STOPPED):
            return _Current(Phase.STOPPED, "", ended)
        return _Current(Phase.SELECT, waiting_for, ended)
    chosen_at = time_of(CycleFiles(run.folder).selection) or ended
    settled, of = _settled(selection, records)
    if settled < of:
        return _Current(Phase.LABEL, f"{settled} of {of} labels", chosen_at)
    if _is_learnt(selection, records):
        return _after_training(result, records)
    since = time_of(CycleFiles(run.folder).label_balance) or ended
    return _Current(Phase.TRAIN, _worker_unless(f"train-{_key_text(run)}", records), since)


def _after_training(result: MDResult, records: AnalysisRecords) -> _Current:
    newest = max(records.trainings, default=result.generation)
    since = records.times(Event.TRAINED, Event.POLISHED, by="generation").get(newest, 0.0)
    if records.pacemaker_steps:
        return _Current(Phase.TRAIN, f"pacemaker step {records.pacemaker_steps[-1].iteration}", since)
    return _Current(Phase.WAITING, A_WORKER, since)


def _settled(selection: Selection, records: AnalysisRecords) -> tuple[int, int]:
    """Return how many of the selected structures have a label or have failed, and how many there are."""
    failed = {record.hash for record in records.quarantine}
    names = [choice.hash for choice in selection.chosen]
    return sum(name in records.labels or name in failed for name in names), len(names)


def _is_learnt(selection: Selection, records: AnalysisRecords) -> bool:
    """Return whether the newest generation was trained on all labels of the selection."""
    trainings = [training for training in records.trainings.values() if training is not None]
    if not trainings:
        return False
    known, names = set(trainings[-1].labels), {choice.hash for choice in selection.chosen}
    return names & set(records.labels) <= known


def _is_small_cell_running(records: AnalysisRecords) -> bool:
    return any(run.walker >= records.campaign.md.walkers for run in records.runs)


def _worker_unless(work: str, records: AnalysisRecords) -> str:
    """Return that a worker is waited for, unless one holds the lock on this step.

    With ``files: filepad`` each worker locks its own copy of the directory, so nothing is known here.
    """
    is_known = records.campaign.files == "shared"
    return A_WORKER if is_known and not _is_held(records.directory.root / RECORDS_FOLDER / f"{work}.lock") else ""


def _is_held(path: Path) -> bool:
    try:
        with path.open() as handle:
            return not try_lock(handle, only_looking=True)
    except (OSError, DirectoryError):
        return False


def _key_text(run: MDRun) -> str:
    return f"{run.walker:02d}-{run.cycle:04d}"


def _gamma(run: MDRun) -> float | None:
    if run.result is not None and run.result.gamma_max is not None:
        return run.result.gamma_max
    return float(run.gamma[-1, 1]) if len(run.gamma) else None


def _first_event(records: AnalysisRecords) -> float:
    return float(records.events[0]["time"]) if records.events else 0.0
