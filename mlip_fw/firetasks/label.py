"""One reference calculation."""

from __future__ import annotations

from typing import Any

from fireworks import FWAction, explicit_serialize

from mlip_fw.engines.oracle.labelling import label_structure
from mlip_fw.firetasks.base import CampaignTask, read_worker
from mlip_fw.models.handoff import LabelHandoff


@explicit_serialize
class LabelStructure(CampaignTask):
    """Label one structure, or put it in quarantine with the reason."""

    handed_kind = LabelHandoff

    def work(self, handoff: LabelHandoff, fw_spec: dict[str, Any]) -> FWAction:
        """Return what became of the label; a failed label is a result, not a failure of the Firework."""
        state = label_structure(handoff, read_worker(fw_spec.get("_fw_env")))
        return self.then()(handoff, state)
