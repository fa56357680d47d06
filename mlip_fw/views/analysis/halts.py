"""Halts: where MD stopped, what was selected for labelling, and when MD went on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ase import Atoms

from mlip_fw.campaign.events import Event
from mlip_fw.campaign.file_cache import CampaignFiles, time_of
from mlip_fw.engines.md.script import LOG
from mlip_fw.io.lammps import temperatures_in_log
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.selection import Selection
from mlip_fw.views.analysis.analysis_records import AnalysisRecords, MDRun
from mlip_fw.views.analysis.halt_structures import (
    CANDIDATES,
    CRASHED,
    HALTED,
    SELECTED,
    all_frames,
    first_frame,
)

LabelStatus = Literal["done", "quarantined", "waiting"]
_HALTS = (MDOutcome.HALTED, MDOutcome.CRASHED)
"""A crash counts as a halt if it left a frame with gamma, which is then labelled."""


@dataclass(frozen=True)
class Halt:
    """One halt of MD, or one crash that left a frame to label."""

    walker: int
    cycle: int
    stage: int
    generation: int
    step: int
    gamma_max: float
    atom: int | None
    """Index, from 0, of the atom with the largest extrapolation grade."""
    temperature_k: float | None
    """Measured by LAMMPS at this step; None if that is not known."""
    target_temperature_k: float | None
    """Temperature of the thermostat at this step; None without one."""
    time: float | None
    """When MD halted, s since 1970."""
    folder: Path
    selection: Selection | None
    """None before the selection, and of a walker that stopped here."""
    labels: list[tuple[str, LabelStatus]]
    """Hash and state of each selected structure."""
    steps_since: int
    """MD steps since the last halt of the walker, or its start."""
    seconds_to_resume: float | None
    """From the halt to the next start of MD of this walker, s; None before."""
    files: CampaignFiles = field(repr=False, compare=False)
    """Reads the structures."""
    is_crash: bool = False

    def frame(self) -> Atoms | None:
        """Return the halted frame, with the array ``gamma`` (n,) where LAMMPS had it; None if its file is damaged."""
        return first_frame(self.folder / (CRASHED if self.is_crash else HALTED), self.files)

    def candidates(self) -> list[Atoms]:
        """Return the candidates for labelling, the halted frame or its cut-out first."""
        return all_frames(self.folder / CANDIDATES, self.files)

    def selected(self) -> list[Atoms]:
        """Return the selected structures, in the order of ``selection.chosen``."""
        return all_frames(self.folder / SELECTED, self.files)


def halts_of(records: AnalysisRecords) -> list[Halt]:
    """Return all halts, the oldest first."""
    event_times = records.times_by_cycle(Event.HALTED, Event.CRASHED)
    md_starts = _starts_by_walker(records)
    status_of = _label_statuses(records)
    found, walker, since = [], -1, 0
    for run in records.runs:
        since = since if run.walker == walker else 0
        walker, since = run.walker, since + max(0, run.step - run.first_step)
        if run.result is None or run.result.outcome not in _HALTS or run.result.gamma_max is None:
            continue
        time = event_times.get(run.key) or time_of(f"{run.folder}/result.json")
        found.append(_halt(run, run.result, records, time, since, _pause(time, md_starts.get(walker, [])), status_of))
        since = 0
    return sorted(found, key=lambda halt: (halt.time or 0.0, halt.walker, halt.cycle))


def _halt(
    run: MDRun,
    result: MDResult,
    records: AnalysisRecords,
    time: float | None,
    steps_since: int,
    pause: float | None,
    status_of: Callable[[str], LabelStatus],
) -> Halt:
    selection = records.selections.get(run.key)
    return Halt(
        walker=run.walker,
        cycle=run.cycle,
        stage=result.stage,
        generation=result.generation,
        step=result.step,
        gamma_max=result.gamma_max or 0.0,
        atom=result.atom,
        temperature_k=_measured(run, result, records.files),
        target_temperature_k=result.temperature_k,
        time=time,
        folder=run.folder,
        selection=selection,
        labels=[(choice.hash, status_of(choice.hash)) for choice in selection.chosen] if selection else [],
        steps_since=steps_since,
        seconds_to_resume=pause,
        files=records.files,
        is_crash=result.outcome is MDOutcome.CRASHED,
    )


def _measured(run: MDRun, result: MDResult, files: CampaignFiles) -> float | None:
    """Return the temperature at the halt; campaigns of earlier versions have it only in LAMMPS' log."""
    if result.measured_temperature_k is not None:
        return result.measured_temperature_k
    return (files.parsed(f"{run.folder}/{LOG}", temperatures_in_log) or {}).get(result.step)


def _label_statuses(records: AnalysisRecords) -> Callable[[str], LabelStatus]:
    failed = {record.hash for record in records.quarantine}

    def status_of(name: str) -> LabelStatus:
        return "done" if name in records.labels else "quarantined" if name in failed else "waiting"

    return status_of


def _starts_by_walker(records: AnalysisRecords) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for event in records.events:
        if event["event"] == Event.MD_STARTED:
            found.setdefault(event.get("walker", -1), []).append(event["time"])
    return found


def _pause(time: float | None, starts: list[float]) -> float | None:
    if time is None:
        return None
    after = bisect_right(starts, time)
    return starts[after] - time if after < len(starts) else None
