"""Everything that status, report, pages and notebooks show of a campaign, from its directory alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.file_cache import FileCache, stamp_of
from mlip_fw.campaign.summary import summary_of
from mlip_fw.engines.md.script import GAMMA_LOG
from mlip_fw.engines.train.pacemaker.metrics import METRICS
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.summary import CampaignSummary
from mlip_fw.models.validation import ValidationReport
from mlip_fw.views.analysis.analysis_records import AnalysisRecords
from mlip_fw.views.analysis.costs import Costs, costs_of
from mlip_fw.views.analysis.generations import Generation, generations_of
from mlip_fw.views.analysis.halts import Halt, halts_of
from mlip_fw.views.analysis.labels import LabelRow, QuarantineRow, label_rows, quarantine_rows
from mlip_fw.views.analysis.trajectories import Trajectory, trajectories_of
from mlip_fw.views.analysis.walkers import WalkerState, chemistry_notes, walker_states


class CampaignAnalysis:
    """A campaign as its files describe it at one moment; nothing is written.

    Each property is computed on first access and keeps its value: make a new analysis to see what has changed. With a
    shared ``cache``, a later analysis parses only the files that have changed.

    A file that is missing, half-written or damaged counts as absent, and damaged ones are listed in ``damaged``.

    Parameters
    ----------
    directory
        The campaign directory.
    cache
        Files that earlier analyses of the same campaign have read.

    Raises
    ------
    MlipError
        From each property, if there is no campaign or its ``campaign.yaml`` can't be read.
    """

    def __init__(self, directory: CampaignDirectory, cache: FileCache | None = None) -> None:
        self.directory = directory
        self._records = AnalysisRecords(directory, cache)

    @property
    def campaign(self) -> Campaign:
        """The campaign as it was started."""
        return self._records.campaign

    @property
    def events(self) -> list[dict[str, Any]]:
        """The journal, oldest first."""
        return self._records.events

    @cached_property
    def summary(self) -> CampaignSummary:
        """The campaign in numbers, as ``mlip-fw run`` prints them."""
        return summary_of(self._records)

    @cached_property
    def walkers(self) -> list[WalkerState]:
        """The current state of each walker."""
        return walker_states(self._records)

    @cached_property
    def trajectories(self) -> list[Trajectory]:
        """Gamma against step for each walker that has begun."""
        return trajectories_of(self._records)

    @cached_property
    def halts(self) -> list[Halt]:
        """All halts, the oldest first."""
        return halts_of(self._records)

    @cached_property
    def generations(self) -> list[Generation]:
        """All generations of the potential, in order."""
        return generations_of(self._records)

    @cached_property
    def chemistry(self) -> list[str]:
        """How molecules and coordination differ from the start, one sentence for each walker and for the trial."""
        return chemistry_notes(self._records)

    @cached_property
    def labels(self) -> list[LabelRow]:
        """All labels, those of the validation too, the oldest first."""
        return label_rows(self._records)

    @cached_property
    def quarantine(self) -> list[QuarantineRow]:
        """Structures that could not be labelled."""
        return quarantine_rows(self._records)

    @cached_property
    def validation(self) -> ValidationReport | None:
        """The report of the newest validation; None if there was none."""
        return self._records.validation

    @cached_property
    def costs(self) -> Costs:
        """Where the time went."""
        return costs_of(self._records)

    @property
    def damaged(self) -> list[str]:
        """Files that can't be read, with the reason: ``walkers/00/cycle_0003/result.json: not JSON``."""
        records = self._records
        # files are read on first access: touch all of them
        for _ in (records.results, records.selections, records.first_selection, records.trainings, records.runs):
            pass
        for _ in (records.labels, records.validation_labels, records.quarantine, records.validation_quarantine):
            pass
        for _ in (records.frame_counts, records.pacemaker_steps, records.validation):
            pass
        # a copy, because another thread of the server may find one more meanwhile
        return [f"{name}: {problem}" for name, problem in sorted(dict(records.files.damaged).items())]

    def version(self) -> str:
        """Return a short hash that changes with anything that a page shows; it reads no file."""
        stamps = [(str(path), stamp_of(path)) for path in self._changing_paths()]
        return hashlib.sha256(repr((stamps, self.directory.is_locked())).encode()).hexdigest()[:16]

    def _changing_paths(self) -> Iterator[Path]:
        """Yield files that change with the campaign, and folders, which change when a file appears in them."""
        root, directory = self.directory.root, self.directory
        yield from (directory.campaign_file, *directory.journals, root / "summary.json", directory.bootstrap)
        for parent in (root, directory.validation):
            yield from (parent / "labels", parent / "quarantine")
        yield from (root / "potentials", directory.validation, directory.refining / METRICS)
        yield from self._newest_cycles()

    def _newest_cycles(self) -> Iterator[Path]:
        for walker in sorted((self.directory.root / "walkers").glob("[0-9][0-9]")):
            cycles = self.directory.cycles(int(walker.name))
            if cycles:
                yield from (walker, cycles[-1], cycles[-1] / GAMMA_LOG)
