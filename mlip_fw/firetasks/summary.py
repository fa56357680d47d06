"""The last Firework of a campaign."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from mlip_fw.campaign.cycle_files import RESULT, SELECTION
from mlip_fw.firetasks.base import CampaignTask
from mlip_fw.launchpad.filepad.staging import (
    GENERATION_PREFIX,
    LABEL_FILES,
    POTENTIAL_TO_RUN,
    QUARANTINE_RECORDS,
    FileSet,
    StagingSpec,
)
from mlip_fw.models.handoff import Handoff
from mlip_fw.models.worker import Worker
from mlip_fw.steps.step import Step
from mlip_fw.steps.summarize import summarize_campaign


@explicit_serialize
class Summarize(CampaignTask):
    """Write the summary: outcome, costs and errors of the campaign."""

    needs_worker = False

    def staging(self, step: Step[Handoff]) -> StagingSpec:
        """Return what is staged: all records and labels are fetched, the summary published."""
        records = (FileSet("walkers/", only=(RESULT, SELECTION)), FileSet(f"bootstrap/{SELECTION}", only=("*.json",)))
        trainings = FileSet(GENERATION_PREFIX, only=("training.json",))
        made = step.relative(step.directory.summary_file)
        return StagingSpec(
            (POTENTIAL_TO_RUN, trainings, *records, LABEL_FILES, QUARANTINE_RECORDS, FileSet("events/")), (made,)
        )

    def work(self, step: Step[Handoff], worker: Worker) -> FWAction:
        """Return the numbers; the whole summary is in ``summary.json``."""
        summary = summarize_campaign(step, worker)
        return FWAction(stored_data={"outcome": summary.outcome, "reason": summary.reason})
