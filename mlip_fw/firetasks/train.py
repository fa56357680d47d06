"""The next generation of the potential."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fireworks import FWAction, explicit_serialize

from mlip_fw.dataset import Dataset
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.firetasks.base import CampaignTask, logger
from mlip_fw.generations import Generations
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import TrainHandoff
from mlip_fw.models.training import TrainingRecord


@explicit_serialize
class TrainPotential(CampaignTask):
    """Train on all labels; do nothing if the newest generation has seen them."""

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Return the number of the newest generation, or the reason to stop."""
        handoff = self.handed(TrainHandoff)
        root = Path(handoff.directory)
        generations, dataset = Generations(root), Dataset(root)
        record = None
        if dataset.hashes():
            record = train_generation(generations, dataset, handoff.campaign)
        if record is not None:
            _tell(record, CampaignDirectory(root))
        return self.then()(handoff, generations.newest())


def _tell(record: TrainingRecord, directory: CampaignDirectory) -> None:
    assert record.dataset is not None
    directory.log_event(
        "trained",
        generation=record.generation,
        labels=len(record.labels),
        new_labels=len(record.new_labels),
        force_rmse_ev_a=record.dataset.force_rmse_ev_a,
        new_force_rmse_before_ev_a=record.new_before.force_rmse_ev_a if record.new_before else None,
        seconds=round(record.seconds, 3),
    )
    logger.info(
        "generation %d: %d labels (%d new), force RMSE %.1f meV/Å, %.1f s",
        record.generation,
        len(record.labels),
        len(record.new_labels),
        1000 * record.dataset.force_rmse_ev_a,
        record.seconds,
    )
