"""The audit: how large the error of the potential is, when all MD has ended."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from mlip_fw.firetasks.base import CampaignTask
from mlip_fw.models.handoff import AuditHandoff
from mlip_fw.models.worker import Worker
from mlip_fw.steps.audit import audit_potential
from mlip_fw.steps.step import Step


@explicit_serialize
class AuditPotential(CampaignTask):
    """Compare the newest potential with frames of the MD that it was not trained on."""

    handed_kind = AuditHandoff

    def lock_name(self, handoff: AuditHandoff) -> str:
        """Return the one name that all audits of a campaign share."""
        return "audit"

    def work(self, step: Step[AuditHandoff], worker: Worker) -> FWAction:
        """Return labels of frames and this Firework again; or labels, training, MD and the next audit; or nothing."""
        return self.then()(step, audit_potential(step, worker))
