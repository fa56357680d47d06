"""The next generation of the potential, by pacemaker."""

from __future__ import annotations

from typing import Any

from fireworks import FWAction, explicit_serialize

from mlip_fw.dataset import Dataset
from mlip_fw.engines.train.pacemaker.schedule import is_left_to_do
from mlip_fw.engines.train.pacemaker.trainer import OutOfTime
from mlip_fw.engines.train.refinement import refine
from mlip_fw.firetasks.base import CampaignTask, logger, read_worker
from mlip_fw.firetasks.train import tell_if_refused
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import PolishHandoff
from mlip_fw.models.training import TrainingRecord


@explicit_serialize
class PolishPotential(CampaignTask):
    """Have pacemaker train on all labels; do nothing if it has seen them."""

    handed_kind = PolishHandoff

    def turn(self, handoff: PolishHandoff, fw_spec: dict[str, Any]) -> str:
        """Return the one name that all polishings of a campaign share."""
        return "polish"

    def work(self, handoff: PolishHandoff, fw_spec: dict[str, Any]) -> FWAction:
        """Return what was made, or the same Firework again if the walltime cut it."""
        directory = CampaignDirectory(handoff.directory)
        generations = self.generations(handoff.directory)
        made = None
        if is_left_to_do(generations, handoff.campaign.potential.kind):
            worker = read_worker(fw_spec.get("_fw_env"))
            made = refine(generations, Dataset(directory.root), handoff.campaign, worker, directory.polishing)
        if isinstance(made, TrainingRecord):
            _tell(made, directory)
        action: FWAction = self.then()(handoff, fw_spec, cut=isinstance(made, OutOfTime))
        return action


def _tell(record: TrainingRecord, directory: CampaignDirectory) -> None:
    assert record.dataset is not None
    tell_if_refused(record, directory)
    directory.log_event(
        "polished",
        generation=record.generation,
        parent=record.parent,
        labels=len(record.labels),
        steps=record.iterations,
        force_rmse_ev_a=record.dataset.force_rmse_ev_a,
        seconds=round(record.seconds, 3),
    )
    logger.info(
        "generation %d by pacemaker: %d labels, force RMSE %.1f meV/Å (training set), %d steps, %.0f s",
        record.generation,
        len(record.labels),
        1000 * record.dataset.force_rmse_ev_a,
        record.iterations,
        record.seconds,
    )
