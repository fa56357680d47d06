"""Generations of the potential, and how far the MD came with each."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from mlip_fw.generations import Generations
from mlip_fw.models.md import MDOutcome
from mlip_fw.models.training import TrainingRecord
from mlip_fw.story.reading import time_of
from mlip_fw.story.sources import Run, Sources

_ENDED_BY_GAMMA = (MDOutcome.HALTED, MDOutcome.CRASHED)


@dataclass(frozen=True)
class Generation:
    """One version of the potential."""

    number: int
    record: TrainingRecord
    refused: list[str]
    """Why MD does not use it; empty if it may."""
    time: float | None
    """When it was published, s since 1970."""
    md_steps: int
    """Steps that all walkers and rehearsals ran with it."""
    halts: int
    """Runs with it that gamma, or a crash that was learnt from, ended."""
    seconds_md: float

    @property
    def steps_to_halt(self) -> float | None:
        """MD steps for each halt, which grow as a campaign converges; None if it did not halt."""
        return self.md_steps / self.halts if self.halts else None


def generations_of(sources: Sources) -> list[Generation]:
    """Return all generations whose record is whole, in order."""
    told = sources.times("trained", "polished", by="generation")
    used: defaultdict[int | None, list[Run]] = defaultdict(list)
    for run in sources.runs:
        used[run.generation].append(run)
    return [
        _generation(record, used[number], told.get(number) or _published(number, sources))
        for number, record in sources.records.items()
        if record is not None
    ]


def _published(number: int, sources: Sources) -> float | None:
    return time_of(Generations(sources.directory.root).folder(number) / "training.json")


def _generation(record: TrainingRecord, runs: list[Run], time: float | None) -> Generation:
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
