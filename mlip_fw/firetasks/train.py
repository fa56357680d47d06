"""The next generation of the potential, by the linear fit."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from mlip_fw.firetasks.base import CampaignTask
from mlip_fw.launchpad.filepad.staging import (
    LABEL_FILES,
    NEWEST_GENERATION,
    QUARANTINE_RECORDS,
    FileSet,
    StagingSpec,
)
from mlip_fw.models.handoff import TrainHandoff
from mlip_fw.models.worker import Worker
from mlip_fw.steps.step import Step
from mlip_fw.steps.train import train_potential


@explicit_serialize
class TrainPotential(CampaignTask):
    """Train on all labels; do nothing if the newest generation has seen them."""

    handed_kind = TrainHandoff
    needs_worker = False

    def lock_name(self, handoff: TrainHandoff) -> str:
        """Return the name of this training; those of other walkers may go on beside it."""
        if handoff.walker_and_cycle is None:
            return "train-bootstrap"
        walker, cycle = handoff.walker_and_cycle
        return f"train-{walker:02d}-{cycle:04d}"

    def staging(self, step: Step[TrainHandoff]) -> StagingSpec:
        """Return what is staged: labels and newest generation are fetched; a new one is published as it appears."""
        balance = step.relative(step.files.label_balance)
        return StagingSpec((NEWEST_GENERATION, LABEL_FILES, QUARANTINE_RECORDS, FileSet(balance)), (balance,))

    def work(self, step: Step[TrainHandoff], worker: Worker) -> FWAction:
        """Return the number of the newest generation, or the reason to stop."""
        return self.then()(step, train_potential(step, worker))
