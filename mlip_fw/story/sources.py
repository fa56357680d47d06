"""What a look at a campaign finds: its journal, its MD runs, selections, trainings and labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mlip_fw.dataset import Dataset
from mlip_fw.engines.md.script import GAMMA_LOG
from mlip_fw.engines.train.pacemaker.metrics import METRICS, Metrics
from mlip_fw.generations import Generations
from mlip_fw.io.campaign_file import read_campaign
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.label import QuarantineRecord
from mlip_fw.models.md import MDResult
from mlip_fw.models.selection import Selection
from mlip_fw.models.summary import Outcome
from mlip_fw.models.training import TrainingRecord
from mlip_fw.models.validation import ValidationReport
from mlip_fw.story.frames import COUNTED
from mlip_fw.story.label_files import LabelFile, read_label_file
from mlip_fw.story.reading import Look, reader_of
from mlip_fw.story.series import read_gamma, read_journal, read_steps
from mlip_fw.summary import outcome_of

Turn = tuple[int, int]
"""Walker and cycle."""


@dataclass(frozen=True)
class Run:
    """One MD run: what it was to do, how far it came, and what came of it if it is over."""

    walker: int
    cycle: int
    folder: Path
    stage: int
    generation: int | None
    first_step: int
    result: MDResult | None
    gamma: np.ndarray
    """(n, 2) step and largest extrapolation grade."""

    @property
    def step(self) -> int:
        """The step that it has reached."""
        if self.result is not None:
            return self.result.step
        return int(self.gamma[-1, 0]) if len(self.gamma) else self.first_step

    @property
    def turn(self) -> Turn:
        """Walker and cycle."""
        return self.walker, self.cycle


class Sources:
    """The files of a campaign, each read when it is asked for first, and once."""

    def __init__(self, directory: CampaignDirectory) -> None:
        self.directory = directory
        self.look = Look(directory.root, reader_of(directory.root))

    @cached_property
    def campaign(self) -> Campaign:
        """The campaign.

        Raises
        ------
        MlipError
            If there is none, or its file is damaged: nothing can be told of it then.
        """
        return self.look.file(self.directory.campaign_file, read_campaign) or self.directory.read_campaign()

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The journal, with what came from other machines, oldest first."""
        parts = sorted(self.directory.from_elsewhere.glob("*.jsonl"))
        found: dict[str, dict[str, Any]] = {}
        repeated = []
        for path in (self.directory.journal, *parts):
            for line, event in self._lines(path):
                if parts:
                    found[line] = event
                else:
                    repeated.append(event)
        return sorted(found.values(), key=lambda event: float(event["time"])) if parts else repeated

    @cached_property
    def is_run_here(self) -> bool:
        """Whether an ``mlip-fw run`` works on it now."""
        return self.directory.is_locked()

    @cached_property
    def outcome(self) -> tuple[Outcome, str | None]:
        """What the campaign has come to, and why it stopped if it did."""
        return outcome_of(self.events, is_run_here=self.is_run_here)

    @property
    def is_over(self) -> bool:
        """Whether it is finished."""
        return self.outcome[0] in ("CONVERGED", "STOPPED")

    @cached_property
    def runs(self) -> list[Run]:
        """All MD runs that have begun, by walker and cycle."""
        found = (self._run(folder) for folder in self.directory.cycles())
        return [run for run in found if run is not None]

    @cached_property
    def selections(self) -> dict[Turn, Selection]:
        """What was selected after each halt."""
        found = ((run.turn, self.look.model(f"{run.folder}/selection.json", Selection)) for run in self.runs)
        return {turn: selection for turn, selection in found if selection is not None}

    @cached_property
    def first_selection(self) -> Selection | None:
        """What was labelled first."""
        return self.look.model(self.directory.bootstrap / "selection.json", Selection)

    @cached_property
    def records(self) -> dict[int, TrainingRecord | None]:
        """How each generation was made; None where that is damaged."""
        generations = Generations(self.directory.root)
        return {
            number: self.look.model(f"{generations.folder(number)}/training.json", TrainingRecord)
            for number in generations.numbers()
        }

    @cached_property
    def labels(self) -> dict[str, LabelFile]:
        """The labels that are trained on, by their hash."""
        return self._labels(self.directory.root)

    @cached_property
    def apart_labels(self) -> dict[str, LabelFile]:
        """The labels of the validation, by their hash."""
        return self._labels(self.directory.validation)

    @cached_property
    def quarantine(self) -> list[QuarantineRecord]:
        """Why structures could not be labelled."""
        return self._quarantine(self.directory.root)

    @cached_property
    def apart_quarantine(self) -> list[QuarantineRecord]:
        """The same of the validation."""
        return self._quarantine(self.directory.validation)

    @cached_property
    def validation(self) -> ValidationReport | None:
        """What the newest validation found."""
        return self.look.model(self.directory.validation_report, ValidationReport)

    @cached_property
    def frames(self) -> dict[str, int]:
        """How many structures each file of a halt holds."""
        looks = [(f"{run.folder}/{name}", count) for run in self.runs for name, count in COUNTED.items()]
        found = ((path, self.look.file(path, count)) for path, count in looks)
        return {path: number for path, number in found if number is not None}

    @cached_property
    def polishing(self) -> list[Metrics]:
        """The steps of pacemaker, if it is at work."""
        return self.look.file(self.directory.polishing / METRICS, read_steps) or []

    @cached_property
    def imported(self) -> set[str]:
        """Hashes of the labels that came with the campaign."""
        return {path.name for path in (self.directory.bootstrap / "imported").glob("[!.]*")}

    @cached_property
    def starts(self) -> dict[Turn, dict[str, Any]]:
        """The last event ``md_started`` of each run."""
        return dict(self._by_turn("md_started"))

    def times(self, *kinds: str, by: str) -> dict[Any, float]:
        """Return when events of these kinds happened last, by one of their facts."""
        return {event[by]: event["time"] for event in self.events if event["event"] in kinds and by in event}

    def turn_times(self, *kinds: str) -> dict[Turn, float]:
        """Return when events of these kinds happened last, by walker and cycle."""
        return {turn: event["time"] for kind in kinds for turn, event in self._by_turn(kind)}

    def _by_turn(self, kind: str) -> Iterator[tuple[Turn, dict[str, Any]]]:
        for event in self.events:
            if event["event"] == kind and "walker" in event and "cycle" in event:
                yield (event["walker"], event["cycle"]), event

    def _lines(self, path: Path) -> list[tuple[str, dict[str, Any]]]:
        read = self.look.file(path, read_journal)
        if read is None:
            return []
        if read.trouble is not None:
            self.look.complain(path, read.trouble)
        return read.events

    def _run(self, folder: Path) -> Run | None:
        walker, cycle = int(folder.parent.name), int(folder.name.removeprefix("cycle_"))
        result = self.look.model(f"{folder}/result.json", MDResult)
        begun = self.starts.get((walker, cycle), {})
        series = self._gamma(folder)
        if result is None and series is None and not begun:
            return None
        return Run(
            walker=walker,
            cycle=cycle,
            folder=folder,
            stage=result.stage if result is not None else _count(begun.get("stage")) or 0,
            generation=result.generation if result is not None else _count(begun.get("generation")),
            first_step=result.first_step if result is not None else _count(begun.get("step")) or 0,
            result=result,
            gamma=np.zeros((0, 2)) if series is None else series,
        )

    def _gamma(self, folder: Path) -> np.ndarray | None:
        path = f"{folder}/{GAMMA_LOG}"
        read = self.look.file(path, read_gamma)
        if read is not None and read.trouble is not None:
            self.look.complain(path, read.trouble)
        return None if read is None else read.rows

    def _labels(self, root: Path) -> dict[str, LabelFile]:
        names = Dataset(root).hashes()
        found = ((name, self.look.file(f"{root}/labels/{name}.extxyz", read_label_file)) for name in names)
        return {name: label for name, label in found if label is not None}

    def _quarantine(self, root: Path) -> list[QuarantineRecord]:
        found = (self.look.model(path, QuarantineRecord) for path in sorted((root / "quarantine").glob("[!.]*.json")))
        return [record for record in found if record is not None]


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
