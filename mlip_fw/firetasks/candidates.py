"""From a halted frame to the structures that are worth a label."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from mlip_fw.campaign.cycle_files import RESULT, SELECTION
from mlip_fw.firetasks.base import CampaignTask
from mlip_fw.launchpad.filepad.staging import (
    IMPORTED_DATASET,
    LEVEL_OF_THEORY,
    POTENTIAL_TO_RUN,
    QUARANTINE_RECORDS,
    FileSet,
    StagingSpec,
)
from mlip_fw.models.handoff import CandidatesHandoff
from mlip_fw.models.worker import Worker
from mlip_fw.steps.select import select_candidates
from mlip_fw.steps.step import Step


@explicit_serialize
class SelectCandidates(CampaignTask):
    """Make candidates around the worst atom and choose among them."""

    handed_kind = CandidatesHandoff

    def lock_name(self, handoff: CandidatesHandoff) -> str:
        """Return the name of this selection."""
        return f"candidates-{handoff.walker:02d}-{handoff.cycle:04d}"

    def staging(self, step: Step[CandidatesHandoff]) -> StagingSpec:
        """Return what is staged: the halted frame and the potential are fetched, the selection published."""
        cycle = step.relative(step.files.folder)
        frames = FileSet(f"{cycle}/", only=(RESULT, SELECTION, "*.extxyz"))
        return StagingSpec(
            (POTENTIAL_TO_RUN, FileSet(LEVEL_OF_THEORY), frames, QUARANTINE_RECORDS, IMPORTED_DATASET),
            (LEVEL_OF_THEORY, f"{cycle}/{SELECTION}"),
            True,
        )

    def work(self, step: Step[CandidatesHandoff], worker: Worker) -> FWAction:
        """Return the Label Fireworks of the chosen structures as detours."""
        return self.then()(step, select_candidates(step, worker))
