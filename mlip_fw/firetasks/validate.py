"""How good the potential is, before the campaign ends."""

from __future__ import annotations

from typing import Any

from fireworks import FWAction, explicit_serialize

from mlip_fw.firetasks.base import STOPPED, CampaignTask, read_worker
from mlip_fw.models.handoff import ValidateHandoff
from mlip_fw.validation.conduct import conduct


@explicit_serialize
class ValidatePotential(CampaignTask):
    """Compare the newest potential with the oracle, as far as there are labels."""

    handed_kind = ValidateHandoff

    def turn(self, handoff: ValidateHandoff, fw_spec: dict[str, Any]) -> str:
        """Return the one name that all validations of a campaign share."""
        return "validation"

    def work(self, handoff: ValidateHandoff, fw_spec: dict[str, Any]) -> FWAction:
        """Return the Label Fireworks of what is missing, and this one again after them, as a detour."""
        if STOPPED in fw_spec:
            return FWAction(update_spec={STOPPED: fw_spec[STOPPED]})
        missing = conduct(handoff, read_worker(fw_spec.get("_fw_env")))
        action: FWAction = self.then()(handoff, missing)
        return action
