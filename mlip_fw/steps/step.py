"""What every step of the loop works with: its campaign, opened once for each Firework."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Generic, TypeVar

from mlip_fw.campaign.cycle_files import CycleFiles
from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.events import Event
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.oracle.level import campaign_level
from mlip_fw.launchpad.filepad.local_copy import LocalCopy
from mlip_fw.launchpad.filepad.staging import StagingSpec
from mlip_fw.models.handoff import Handoff
from mlip_fw.models.worker import Worker

H_co = TypeVar("H_co", bound=Handoff, covariant=True)
Other = TypeVar("Other", bound=Handoff)


class Step(Generic[H_co]):
    """A campaign as one Firework sees it.

    Parameters
    ----------
    handoff
        What was handed to the Firework, with paths of this machine.
    stop
        Why the campaign stops, if it does: a :class:`~mlip_fw.models.summary.StopReason`.
    local_copy
        This machine's copy of the campaign directory; None unless the campaign has ``files: filepad``.
    fworker
        Name of this machine's FWorker, with ``files: filepad``: a Firework that continues unfinished work has to run
        where its files are.

    Attributes
    ----------
    campaign
        Settings and budget.
    directory
        The campaign directory.
    dataset
        The labels that the hand-off is about: those of the campaign, or those of its validation.
    staging
        Files to fetch and to publish with ``files: filepad``.
    """

    def __init__(
        self, handoff: H_co, *, stop: str | None = None, local_copy: LocalCopy | None = None, fworker: str | None = None
    ) -> None:
        self.handoff, self.stop, self.local_copy, self.fworker = handoff, stop, local_copy, fworker
        self.campaign = handoff.campaign
        self.directory = CampaignDirectory(handoff.directory)
        self.dataset = Dataset(handoff.dataset_root)
        self.staging = StagingSpec()

    @property
    def generations(self) -> Generations:
        """The versions of the potential; with ``files: filepad`` up to the newest that was fetched."""
        return Generations(self.directory.root) if self.local_copy is None else self.local_copy.generations()

    @property
    def files(self) -> CycleFiles:
        """The files of the cycle that the hand-off is about, or those of the bootstrap."""
        return self.directory.files(self.handoff.walker_and_cycle)

    def relative(self, path: Path | str) -> str:
        """Return a path of the campaign directory relative to it."""
        return Path(path).relative_to(self.handoff.directory).as_posix()

    def with_handoff(self, handoff: Other) -> Step[Other]:
        """Return the same campaign with another hand-off."""
        step = Step(handoff, stop=self.stop, local_copy=self.local_copy, fworker=self.fworker)
        step.staging = self.staging
        return step

    def record(self, event: Event, message: str | None = None, *, at: int = logging.INFO, **facts: Any) -> None:
        """Append an event to the journal, and write its line to the log; see :meth:`CampaignDirectory.record`."""
        self.directory.record(event, message, at=at, **facts)

    def level_of_theory(self, worker: Worker) -> dict[str, Any]:
        """Return the level of theory of all labels; the first to ask records the worker's."""
        return campaign_level(self.directory.level_file, self.campaign, worker)

    def fetch(self) -> None:
        """Fetch what other machines have published; nothing to do unless ``files: filepad``."""
        if self.local_copy is not None:
            self.local_copy.fetch(self.staging)

    def publish(self, *made: str) -> None:
        """Publish files before the step is over; nothing to do unless ``files: filepad``."""
        if self.local_copy is not None:
            self.local_copy.publish(made)
