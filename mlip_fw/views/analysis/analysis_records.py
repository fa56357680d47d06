"""The records of a campaign with what only views show: gamma along each MD run, structures of halts, pacemaker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mlip_fw.campaign.events import Event
from mlip_fw.campaign.records import CampaignRecords, WalkerCycle
from mlip_fw.engines.md.script import GAMMA_LOG
from mlip_fw.engines.train.pacemaker.metrics import METRICS, Metrics
from mlip_fw.models.md import MDResult
from mlip_fw.views.analysis.growing_files import read_gamma, read_pacemaker_steps
from mlip_fw.views.analysis.halt_structures import FRAME_COUNTERS


@dataclass(frozen=True)
class MDRun:
    """One MD run that has begun: what it was to do, how far it has come, and its result once it is over."""

    walker: int
    cycle: int
    folder: Path
    stage: int
    generation: int | None
    """None where nothing says which it was."""
    first_step: int
    result: MDResult | None
    gamma: np.ndarray
    """(n, 2) step and largest extrapolation grade of any atom."""

    @property
    def step(self) -> int:
        """The step that it has reached."""
        if self.result is not None:
            return self.result.step
        return int(self.gamma[-1, 0]) if len(self.gamma) else self.first_step

    @property
    def key(self) -> WalkerCycle:
        """Walker and cycle."""
        return self.walker, self.cycle


class AnalysisRecords(CampaignRecords):
    """The records of a campaign, and what only views show."""

    @property
    def is_over(self) -> bool:
        """Whether the campaign has ended."""
        return self.outcome[0] in ("CONVERGED", "STOPPED")

    @cached_property
    def runs(self) -> list[MDRun]:
        """All MD runs that have begun, by walker and cycle."""
        found = (self._run(key, folder) for key, folder in self.cycle_folders.items())
        return [run for run in found if run is not None]

    @cached_property
    def frame_counts(self) -> dict[str, int]:
        """The number of structures in each file of a halt, by its path."""
        counters = [(f"{run.folder}/{name}", count) for run in self.runs for name, count in FRAME_COUNTERS.items()]
        found = ((path, self.files.parsed(path, count)) for path, count in counters)
        return {path: number for path, number in found if number is not None}

    @cached_property
    def pacemaker_steps(self) -> list[Metrics]:
        """The steps of pacemaker so far; empty while it does not train."""
        return self.files.parsed(self.directory.refining / METRICS, read_pacemaker_steps) or []

    @cached_property
    def imported(self) -> set[str]:
        """Hashes of the labels that came with the campaign."""
        return {path.name for path in (self.directory.bootstrap / "imported").glob("[!.]*")}

    @cached_property
    def md_starts(self) -> dict[WalkerCycle, dict[str, Any]]:
        """The last event ``md_started`` of each run."""
        return dict(self._by_cycle(Event.MD_STARTED))

    def times(self, *kinds: str, by: str) -> dict[Any, float]:
        """Return when events of these kinds happened last, by one of their facts."""
        return {event[by]: event["time"] for event in self.events if event["event"] in kinds and by in event}

    def times_by_cycle(self, *kinds: str) -> dict[WalkerCycle, float]:
        """Return when events of these kinds happened last, by walker and cycle."""
        return {key: event["time"] for kind in kinds for key, event in self._by_cycle(kind)}

    def _by_cycle(self, kind: str) -> Iterator[tuple[WalkerCycle, dict[str, Any]]]:
        for event in self.events:
            if event["event"] == kind and "walker" in event and "cycle" in event:
                yield (event["walker"], event["cycle"]), event

    def _run(self, key: WalkerCycle, folder: Path) -> MDRun | None:
        result, start, gamma = self.results.get(key), self.md_starts.get(key, {}), self._gamma(folder)
        if result is None and gamma is None and not start:
            return None
        return MDRun(
            walker=key[0],
            cycle=key[1],
            folder=folder,
            stage=result.stage if result is not None else _count(start.get("stage")) or 0,
            generation=result.generation if result is not None else _count(start.get("generation")),
            first_step=result.first_step if result is not None else _count(start.get("step")) or 0,
            result=result,
            gamma=np.zeros((0, 2)) if gamma is None else gamma,
        )

    def _gamma(self, folder: Path) -> np.ndarray | None:
        path = f"{folder}/{GAMMA_LOG}"
        found = self.files.parsed(path, read_gamma)
        if found is not None and found.problem is not None:
            self.files.report_damage(path, found.problem)
        return None if found is None else found.rows


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
