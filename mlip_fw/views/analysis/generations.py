"""The generations of the potential, and how far MD came with each."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from mlip_fw.campaign.events import Event
from mlip_fw.campaign.file_cache import time_of
from mlip_fw.campaign.generations import Generations
from mlip_fw.models.md import MDOutcome
from mlip_fw.models.training import TrainingRecord
from mlip_fw.views.analysis.analysis_records import AnalysisRecords, MDRun

_ENDED_BY_GAMMA = (MDOutcome.HALTED, MDOutcome.CRASHED)


@dataclass(frozen=True)
class Generation:
    """One generation of the potential and the MD that used it."""

    number: int
    record: TrainingRecord
    refused: list[str]
    """Why MD does not use it; empty if it may."""
    time: float | None
    """When it was published, s since 1970."""
    md_steps: int
    """MD steps of all walkers with it, rehearsals in small cells included."""
    halts: int
    """MD runs with it that ended by gamma, or by a crash whose last frame was labelled."""
    seconds_md: float
    """Duration of its MD, s."""

    @property
    def steps_to_halt(self) -> float | None:
        """MD steps per halt, which grow as a campaign converges; None if it did not halt."""
        return self.md_steps / self.halts if self.halts else None


def generations_of(records: AnalysisRecords) -> list[Generation]:
    """Return all generations whose training record can be read, in order."""
    event_times = records.times(Event.TRAINED, Event.POLISHED, by="generation")
    runs: defaultdict[int | None, list[MDRun]] = defaultdict(list)
    for run in records.runs:
        runs[run.generation].append(run)
    return [
        _generation(record, runs[number], event_times.get(number) or _published(number, records))
        for number, record in records.trainings.items()
        if record is not None
    ]


def _published(number: int, records: AnalysisRecords) -> float | None:
    return time_of(Generations(records.directory.root).folder(number) / "training.json")


def _generation(record: TrainingRecord, runs: list[MDRun], time: float | None) -> Generation:
    results = [run.result for run in runs if run.result is not None]
    return Generation(
        number=record.generation,
        record=record,
        refused=record.stability.reasons if record.stability is not None else [],
        time=time,
        md_steps=sum(max(0, run.step - run.first_step) for run in runs),
        halts=sum(result.outcome in _ENDED_BY_GAMMA for result in results),
        seconds_md=sum(result.seconds for result in results),
    )
