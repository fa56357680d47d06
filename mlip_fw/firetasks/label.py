"""Reference calculations."""

from __future__ import annotations

from typing import Any

from fireworks import FWAction, explicit_serialize

from mlip_fw.engines.oracle.labelling import label_structure
from mlip_fw.firetasks.base import CampaignTask, read_worker
from mlip_fw.models.handoff import LabelHandoff
from mlip_fw.models.label import LabelState


@explicit_serialize
class LabelStructure(CampaignTask):
    """Label one structure after the other, or put it in quarantine with the reason."""

    handed_kind = LabelHandoff

    def work(self, handoff: LabelHandoff, fw_spec: dict[str, Any]) -> FWAction:
        """Return what became of the last label; a failed label is a result, not a failure of the Firework."""
        for one in handoff.one_by_one():
            # asked each time, as the batch job's time runs out
            state = label_structure(one, read_worker(fw_spec.get("_fw_env")))
            if state is LabelState.UNFINISHED:
                break
        action: FWAction = self.then()(one, state)
        return action
