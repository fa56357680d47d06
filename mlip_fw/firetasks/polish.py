"""Refine the potential by the campaign's trainer, such as pacemaker."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from mlip_fw.firetasks.base import CampaignTask
from mlip_fw.models.handoff import RefineHandoff
from mlip_fw.models.worker import Worker
from mlip_fw.steps.refine import refine_potential
from mlip_fw.steps.step import Step


@explicit_serialize
class PolishPotential(CampaignTask):
    """Have the trainer train on all labels; do nothing if it has seen them."""

    handed_kind = RefineHandoff

    def lock_name(self, handoff: RefineHandoff) -> str:
        """Return the one name that all refinements of a campaign share."""
        return "polish"

    def work(self, step: Step[RefineHandoff], worker: Worker) -> FWAction:
        """Return nothing to add, or the same Firework again if the walltime cut the fit."""
        return self.then()(step, cut=refine_potential(step, worker))
