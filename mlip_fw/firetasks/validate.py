"""Validation of the potential against the oracle, before the campaign ends."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from mlip_fw.firetasks.base import CampaignTask
from mlip_fw.models.handoff import ValidateHandoff
from mlip_fw.models.worker import Worker
from mlip_fw.steps.step import Step
from mlip_fw.steps.validate import validate_potential


@explicit_serialize
class ValidatePotential(CampaignTask):
    """Compare the newest potential with the oracle, as far as there are labels."""

    handed_kind = ValidateHandoff
    goes_on = True

    def lock_name(self, handoff: ValidateHandoff) -> str:
        """Return the one name that all validations of a campaign share."""
        return "validation"

    def work(self, step: Step[ValidateHandoff], worker: Worker) -> FWAction:
        """Return the Label Fireworks of what is missing, and this one again after them, as a detour."""
        return self.then()(step, validate_potential(step, worker))
