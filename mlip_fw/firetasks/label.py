"""Reference calculations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fireworks import FWAction, explicit_serialize

from mlip_fw.engines.oracle.labelling import MOST_PEERS, label_structure
from mlip_fw.firetasks.base import CampaignTask, read_worker
from mlip_fw.models.handoff import LabelHandoff
from mlip_fw.models.label import LabelState
from mlip_fw.travel.errand import LEVEL, Errand, Want


@explicit_serialize
class LabelStructure(CampaignTask):
    """Label one structure after the other, or put it in quarantine with the reason."""

    handed_kind = LabelHandoff

    def errand(self, handoff: LabelHandoff, fw_spec: dict[str, Any]) -> Errand:
        """Return what travels: the structures here, with some labels to compare with, and the new ones from here."""
        names = [handoff.hash, *(structure.hash for structure in handoff.more)]
        source = Path(handoff.structures)
        marker = source.with_suffix(".json") if handoff.retry else source.with_name("selection.json")
        wants = [Want(handoff.place(marker), only=(source.name,)), Want(LEVEL), Want("labels/", limit=MOST_PEERS)]
        wants += [want for name in names for want in (Want(f"labels/{name}"), _failure(name))]
        return Errand(tuple(wants), (LEVEL, *(made for name in names for made in _made(name))))

    def work(self, handoff: LabelHandoff, fw_spec: dict[str, Any]) -> FWAction:
        """Return what became of the last label; a failed label is a result, not a failure of the Firework."""
        for one in handoff.one_by_one():
            # asked each time, as the batch job's time runs out
            state = label_structure(one, read_worker(fw_spec.get("_fw_env")))
            if state is LabelState.UNFINISHED:
                break
            self.share(LEVEL, *_made(one.hash))
        action: FWAction = self.then()(one, state)
        if state is LabelState.UNFINISHED:
            self.stay_here(action)
        return action


def _failure(name: str) -> Want:
    return Want(f"quarantine/{name}", only=("*.json",))


def _made(name: str) -> tuple[str, str]:
    return f"labels/{name}.extxyz", f"quarantine/{name}.json"
