"""The first Firework of a campaign: what it needs before MD can start."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from mlip_fw.firetasks.base import CampaignTask
from mlip_fw.launchpad.filepad.staging import (
    IMPORTED_DATASET,
    INPUT_FILES,
    LABEL_FILES,
    LEVEL_OF_THEORY,
    POTENTIAL_TO_RUN,
    FileSet,
    StagingSpec,
)
from mlip_fw.models.handoff import Handoff
from mlip_fw.models.worker import Worker
from mlip_fw.steps.bootstrap import bootstrap_campaign
from mlip_fw.steps.step import Step


@explicit_serialize
class Bootstrap(CampaignTask):
    """Import a given potential and dataset; if MD can't start from them, have first structures labelled."""

    def lock_name(self, handoff: Handoff) -> str:
        """Return the one name that all Bootstraps of a campaign share."""
        return "bootstrap"

    def staging(self, step: Step[Handoff]) -> StagingSpec:
        """Return what is staged: the campaign's inputs are fetched, and the first structures published."""
        selection = step.relative(step.files.selection)
        file_sets, made = (
            [POTENTIAL_TO_RUN, INPUT_FILES, FileSet(LEVEL_OF_THEORY), FileSet(selection)],
            [LEVEL_OF_THEORY, selection],
        )
        if step.campaign.bootstrap.dataset is not None:
            file_sets += [LABEL_FILES, IMPORTED_DATASET]
            made += ["bootstrap/imported/[!.]*", "labels/[!.]*.extxyz"]
        return StagingSpec(tuple(file_sets), tuple(made))

    def work(self, step: Step[Handoff], worker: Worker) -> FWAction:
        """Return the Label and Train Fireworks of generation 0 as a detour; nothing if MD can start at once."""
        selection = bootstrap_campaign(step, worker)
        return FWAction() if selection is None else self.then()(step, selection)
