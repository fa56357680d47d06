"""The one reader of what a campaign directory records: events, MD results, selections, trainings and labels.

The summary and all views (status, report, web, notebook) are made from it, so their numbers agree.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from mlip_fw.campaign.accuracy import is_met
from mlip_fw.campaign.cycle_files import SELECTION
from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.file_cache import CampaignFiles, FileCache
from mlip_fw.campaign.generations import Generations, newest_fit
from mlip_fw.campaign.journal import merged_events, outcome_of, read_journal
from mlip_fw.campaign.label_files import LabelFile, read_label_file
from mlip_fw.io.campaign_file import read_stored_campaign
from mlip_fw.models.accuracy import AuditRecord
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.label import QuarantineRecord
from mlip_fw.models.md import MDResult
from mlip_fw.models.selection import Selection
from mlip_fw.models.summary import Outcome, StopReason
from mlip_fw.models.training import TrainingRecord
from mlip_fw.models.validation import ValidationReport

WalkerCycle = tuple[int, int]
"""Walker and cycle of one MD run."""


class CampaignRecords:
    """What the files of a campaign record; each file is read on first access, and its content is kept.

    A file that is missing or damaged counts as absent; damaged ones are listed in ``files.damaged``. Nothing is
    written.

    Parameters
    ----------
    directory
        The campaign directory.
    cache
        Files that were read before and have not changed are taken from it; by default nothing was.
    """

    def __init__(self, directory: CampaignDirectory, cache: FileCache | None = None) -> None:
        self.directory = directory
        self.files = CampaignFiles(directory.root, cache)

    @cached_property
    def campaign(self) -> Campaign:
        """The campaign as it was started.

        Raises
        ------
        MlipError
            If there is no ``campaign.yaml`` or it is damaged: nothing else can be understood then.
        """
        return self.files.parsed(self.directory.campaign_file, read_stored_campaign) or self.directory.read_campaign()

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """The journal, oldest first, with the events of other machines."""
        found = []
        for path in self.directory.journals:
            journal = self.files.parsed(path, read_journal)
            if journal is None:
                continue
            if journal.problem is not None:
                self.files.report_damage(path, journal.problem)
            found.append(journal)
        return merged_events(found)

    @cached_property
    def is_run_here(self) -> bool:
        """Whether an ``mlip-fw run`` works in the directory now."""
        return self.directory.is_locked()

    @cached_property
    def outcome(self) -> tuple[Outcome, str | None]:
        """The outcome of the campaign, and why it stopped if it did, as it was when it ended.

        :func:`mlip_fw.steps.summarize.summarize_campaign` records the end, with the outcome of :meth:`judged`.
        """
        return outcome_of(self.events, is_run_here=self.is_run_here)

    def judged(self, stop: str | None) -> tuple[Outcome, str | None]:
        """Return the outcome of a campaign that ends now, and why it stops: CONVERGED needs no stop, and a small error.

        An error that is not known is no reason to stop: that of a campaign without target, or of a workflow of an
        earlier version, which has no audit.
        """
        if stop is None and self.is_met(self.audit) is False:
            stop = StopReason.ACCURACY.value
        return ("CONVERGED", None) if stop is None else ("STOPPED", stop)

    @cached_property
    def cycle_folders(self) -> dict[WalkerCycle, Path]:
        """The folder of each MD run, by walker and cycle."""
        folders = self.directory.cycles()
        return {(int(path.parent.name), int(path.name.removeprefix("cycle_"))): path for path in folders}

    @cached_property
    def results(self) -> dict[WalkerCycle, MDResult]:
        """The result of each MD run that has ended."""
        found = ((key, self.files.model(f"{path}/result.json", MDResult)) for key, path in self.cycle_folders.items())
        return {key: result for key, result in found if result is not None}

    @cached_property
    def first_selection(self) -> Selection | None:
        """The structures of the bootstrap, which are labelled first."""
        return self.files.model(self.directory.bootstrap / SELECTION, Selection)

    @cached_property
    def selections(self) -> dict[WalkerCycle, Selection]:
        """What was selected after each halt."""
        folders = self.cycle_folders.items()
        found = ((key, self.files.model(f"{path}/{SELECTION}", Selection)) for key, path in folders)
        return {key: selection for key, selection in found if selection is not None}

    @cached_property
    def trainings(self) -> dict[int, TrainingRecord | None]:
        """How each generation was trained, by its number; None where the record is missing or damaged."""
        generations = Generations(self.directory.root)
        return {
            number: self.files.model(f"{generations.folder(number)}/training.json", TrainingRecord)
            for number in generations.numbers()
        }

    @cached_property
    def labels(self) -> dict[str, LabelFile]:
        """The labels that are trained on, by their hash."""
        return self._labels(self.directory.root)

    @cached_property
    def validation_labels(self) -> dict[str, LabelFile]:
        """The labels of the validation, which are never trained on, by their hash."""
        return self._labels(self.directory.validation)

    @cached_property
    def quarantine(self) -> list[QuarantineRecord]:
        """Why structures could not be labelled."""
        return self._quarantine(self.directory.root)

    @cached_property
    def validation_quarantine(self) -> list[QuarantineRecord]:
        """Why structures of the validation could not be labelled."""
        return self._quarantine(self.directory.validation)

    @cached_property
    def audit_labels(self) -> dict[str, LabelFile]:
        """The labels of audited frames, by their hash; some may have joined those that are trained on."""
        return self._labels(self.directory.audit)

    @cached_property
    def audit_quarantine(self) -> list[QuarantineRecord]:
        """Why audited frames could not be labelled."""
        return self._quarantine(self.directory.audit)

    @cached_property
    def audit(self) -> AuditRecord | None:
        """What the audit of the newest generation that is fit for MD found; None if it was not audited."""
        newest = newest_fit(self.trainings)
        return None if newest is None else self.audit_of(newest)

    def audit_of(self, generation: int) -> AuditRecord | None:
        """Return what the audit of a generation found; None if it was not audited."""
        return self.files.model(self.directory.audit_record(generation), AuditRecord)

    def is_met(self, audit: AuditRecord | None) -> bool | None:
        """Return whether an audit meets the campaign's target of now; None: there is no target, or it is not known."""
        settings = self.campaign.accuracy
        if audit is None or not settings.target:
            return None
        return is_met(audit.errors, settings.target, settings.min_audit_frames)

    @cached_property
    def validation(self) -> ValidationReport | None:
        """The report of the newest validation."""
        return self.files.model(self.directory.validation_report, ValidationReport)

    def _labels(self, root: Path) -> dict[str, LabelFile]:
        dataset = Dataset(root)
        found = (
            (name, self.files.parsed(f"{root}/labels/{name}.extxyz", read_label_file)) for name in dataset.hashes()
        )
        return {name: label for name, label in found if label is not None}

    def _quarantine(self, root: Path) -> list[QuarantineRecord]:
        paths = sorted((root / "quarantine").glob("[!.]*.json"))
        found = (self.files.model(path, QuarantineRecord) for path in paths)
        return [record for record in found if record is not None]
