"""One reference calculation."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ase import Atoms
from fireworks import FWAction, explicit_serialize

from mlip_fw.dataset import Dataset
from mlip_fw.engines.oracle.ase_oracle import label_with_ase
from mlip_fw.errors import LabelError
from mlip_fw.firetasks.base import CampaignTask, logger
from mlip_fw.io.structures import read_frames
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import LabelHandoff
from mlip_fw.models.label import LabelState, QuarantineRecord


@explicit_serialize
class LabelStructure(CampaignTask):
    """Label one structure, or put it in quarantine with the reason."""

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Return where the label is; a failed label is a result, not a failure of the Firework."""
        handoff = self.handed(LabelHandoff)
        dataset = Dataset(Path(handoff.directory))
        if dataset.has(handoff.hash):
            state = LabelState.EXISTED
        elif dataset.is_quarantined(handoff.hash):
            state = LabelState.QUARANTINED
        else:
            state = _label(handoff, dataset)
        return FWAction(stored_data={"label": handoff.hash, "state": state.value})


def _label(handoff: LabelHandoff, dataset: Dataset) -> LabelState:
    directory, oracle = CampaignDirectory(handoff.directory), handoff.campaign.oracle
    atoms: Atoms = read_frames(Path(handoff.structures))[handoff.index]
    started = time.perf_counter()
    try:
        labelled, facts = label_with_ase(atoms, oracle)
    except LabelError as error:
        seconds = time.perf_counter() - started
        record = QuarantineRecord(
            hash=handoff.hash, reason=str(error), level_of_theory=oracle.level_of_theory(), seconds=seconds
        )
        dataset.add_to_quarantine(atoms, record)
        directory.log_event("quarantined", label=handoff.hash, reason=str(error), seconds=round(seconds, 3))
        logger.warning("label %s failed: %s", handoff.hash, error)
        return LabelState.QUARANTINED
    seconds = time.perf_counter() - started
    dataset.add(handoff.hash, labelled, {**facts, "label_seconds": round(seconds, 4)})
    directory.log_event("labelled", label=handoff.hash, atoms=len(atoms), seconds=round(seconds, 3))
    logger.info("label %s: %d atoms, %.2f s", handoff.hash, len(atoms), seconds)
    return LabelState.DONE
