"""One look at a campaign: everything that a page, a figure or the terminal may ask of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from mlip_fw.engines.md.script import GAMMA_LOG
from mlip_fw.engines.train.pacemaker.metrics import METRICS
from mlip_fw.generations import Generations
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.label import Label
from mlip_fw.models.summary import CampaignSummary
from mlip_fw.models.validation import ValidationReport
from mlip_fw.story.generations import Generation, generations_of
from mlip_fw.story.halts import Halt, halts_of
from mlip_fw.story.labels import LabelRow, QuarantineRow, label_rows, quarantine_rows
from mlip_fw.story.ledger import Ledger, ledger_of
from mlip_fw.story.reading import stamp_of
from mlip_fw.story.sources import Sources
from mlip_fw.story.trajectories import Trajectory, trajectories_of
from mlip_fw.story.walkers import WalkerState, walker_states
from mlip_fw.summary import Parts, summary_of


class Story:
    """One look at a campaign, from its directory alone; nothing is written there.

    Each part is made when it is asked for, and is then what it was: make a new ``Story`` to look again. What was read
    from files that have not changed meanwhile is shared by all looks of a process, so a second look is quick.

    A file that is missing, half-written or damaged counts as absent, and what is damaged is listed in ``damaged``.
    Only of a campaign whose own file is damaged nothing can be told.

    Parameters
    ----------
    directory
        The campaign directory.

    Raises
    ------
    MlipError
        From each part, if there is no campaign, or its ``campaign.yaml`` can't be read.
    """

    def __init__(self, directory: CampaignDirectory) -> None:
        self.directory = directory
        self._sources = Sources(directory)

    @property
    def campaign(self) -> Campaign:
        """The campaign as it was started."""
        return self._sources.campaign

    @property
    def events(self) -> list[dict[str, Any]]:
        """The journal, oldest first."""
        return self._sources.events

    @cached_property
    def summary(self) -> CampaignSummary:
        """The campaign in numbers, as ``mlip_fw.summary.summarize`` gives them."""
        sources, folder = self._sources, self.directory.root / "labels"
        labels = [
            Label(hash=name, path=f"{folder}/{name}.extxyz", n_atoms=label.n_atoms, seconds=label.seconds)
            for name, label in sources.labels.items()
        ]
        first = [sources.first_selection] if sources.first_selection is not None else []
        parts = Parts(
            campaign=sources.campaign,
            events=sources.events,
            is_run_here=sources.is_run_here,
            results=[run.result for run in sources.runs if run.result is not None],
            selections=[*first, *sources.selections.values()],
            labels=labels,
            quarantined=sources.quarantine,
            records=sources.records,
            validation=sources.validation,
        )
        return summary_of(parts, Generations(self.directory.root))

    @cached_property
    def walkers(self) -> list[WalkerState]:
        """Where each walker is now."""
        return walker_states(self._sources)

    @cached_property
    def trajectories(self) -> list[Trajectory]:
        """Gamma against step for each walker that has begun."""
        return trajectories_of(self._sources)

    @cached_property
    def halts(self) -> list[Halt]:
        """All halts, the oldest first."""
        return halts_of(self._sources)

    @cached_property
    def generations(self) -> list[Generation]:
        """All generations of the potential, in order."""
        return generations_of(self._sources)

    @cached_property
    def labels(self) -> list[LabelRow]:
        """All labels, those of the validation too, the oldest first."""
        return label_rows(self._sources)

    @cached_property
    def quarantine(self) -> list[QuarantineRow]:
        """What could not be labelled."""
        return quarantine_rows(self._sources)

    @cached_property
    def validation(self) -> ValidationReport | None:
        """What the newest validation found; None if there was none."""
        return self._sources.validation

    @cached_property
    def ledger(self) -> Ledger:
        """Where the time went."""
        return ledger_of(self._sources)

    @property
    def damaged(self) -> list[str]:
        """Files that can't be read, with what is wrong: ``walkers/00/cycle_0003/result.json: not JSON``."""
        sources = self._sources
        for _ in (sources.selections, sources.first_selection, sources.records, sources.labels, sources.apart_labels):
            pass
        for _ in (sources.quarantine, sources.apart_quarantine, sources.frames, sources.polishing, sources.validation):
            pass
        # another thread may meet another one meanwhile
        return [f"{name}: {what}" for name, what in sorted(dict(sources.look.complaints).items())]

    def version(self) -> str:
        """Return a short word that changes when anything does that a page shows; it reads no file."""
        stamps = [(str(path), stamp_of(path)) for path in self._telling()]
        return hashlib.sha256(repr((stamps, self.directory.is_locked())).encode()).hexdigest()[:16]

    def _telling(self) -> Iterator[Path]:
        """Give the files and folders that change with the campaign: a folder does when a file appears in it."""
        root, directory = self.directory.root, self.directory
        yield from (directory.campaign_file, directory.journal, root / "summary.json", directory.bootstrap)
        yield from sorted(directory.from_elsewhere.glob("*.jsonl"))
        for kept in (root, directory.validation):
            yield from (kept / "labels", kept / "quarantine")
        yield from (root / "potentials", directory.validation, directory.polishing / METRICS)
        yield from self._newest_cycles()

    def _newest_cycles(self) -> Iterator[Path]:
        for walker in sorted((self.directory.root / "walkers").glob("[0-9][0-9]")):
            cycles = self.directory.cycles(int(walker.name))
            if cycles:
                yield from (walker, cycles[-1], cycles[-1] / GAMMA_LOG)
