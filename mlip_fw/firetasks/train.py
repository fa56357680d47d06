"""The next generation of the potential."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fireworks import FWAction, explicit_serialize

from mlip_fw.dataset import Dataset
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.errors import NumberTakenError
from mlip_fw.firetasks.base import CampaignTask, logger
from mlip_fw.generations import Generations
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.handoff import TrainHandoff
from mlip_fw.models.training import TrainingRecord
from mlip_fw.travel.errand import FAILURES, LABELS, TO_TRAIN, Errand, Want

_HARDLY_LEARNT = 0.5
"""Error of the forces of all labels in units of the forces."""


@explicit_serialize
class TrainPotential(CampaignTask):
    """Train on all labels; do nothing if the newest generation has seen them."""

    handed_kind = TrainHandoff

    def turn(self, handoff: TrainHandoff, fw_spec: dict[str, Any]) -> str:
        """Return the name of this training; those of other walkers may go on beside it."""
        if handoff.walker is None or handoff.cycle is None:
            return "train-bootstrap"
        return f"train-{handoff.walker:02d}-{handoff.cycle:04d}"

    def errand(self, handoff: TrainHandoff, fw_spec: dict[str, Any]) -> Errand:
        """Return what travels: all labels and the newest generation here; a new one is published as it appears."""
        directory = CampaignDirectory(handoff.directory)
        folder = directory.bootstrap
        if handoff.walker is not None and handoff.cycle is not None:
            folder = directory.cycle(handoff.walker, handoff.cycle)
        found = handoff.place(folder / "labels.json")
        return Errand((TO_TRAIN, LABELS, FAILURES, Want(found)), (found,))

    def work(self, handoff: TrainHandoff, fw_spec: dict[str, Any]) -> FWAction:
        """Return the number of the newest generation, or the reason to stop."""
        dataset = Dataset(Path(handoff.directory))
        record = self._train(handoff, dataset) if dataset.hashes() else None
        if record is not None:
            _tell(record, CampaignDirectory(handoff.directory))
        return self.then()(handoff, self.generations(handoff.directory).newest())

    def _train(self, handoff: TrainHandoff, dataset: Dataset) -> TrainingRecord | None:
        """Train; if another training was faster, look at what it has learnt and go on from there."""
        while True:
            try:
                generations = self.generations(handoff.directory)
                record: TrainingRecord | None = train_generation(generations, dataset, handoff.campaign)
                return record
            except NumberTakenError:
                logger.info("another training was faster; looking again")
                self.look_again()


def _tell(record: TrainingRecord, directory: CampaignDirectory) -> None:
    assert record.dataset is not None
    error, forces = record.dataset.force_rmse_ev_a, record.dataset.force_rms_ev_a
    if forces and error > _HARDLY_LEARNT * forces:
        logger.warning(
            "forces are hardly learnt: their error is %.0f %% of the forces themselves. Labels may contradict each "
            "other: forces in other units or of another level of theory, an oracle that is not converged",
            100 * error / forces,
        )
    wanted, found = record.functions_per_element, record.n_environments
    if scarce := [f"{name} ({found.get(name, 0)} for {n})" for name, n in wanted.items() if found.get(name, 0) < n]:
        logger.warning(
            "fewer environments than functions of %s: gamma stays cautious until there are more labels; a smaller "
            "potential.functions_per_element needs fewer",
            ", ".join(scarce),
        )
    tell_if_refused(record, directory)
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
        "generation %d: %d labels (%d new), force RMSE %.1f meV/Å (training set), %.1f s",
        record.generation,
        len(record.labels),
        len(record.new_labels),
        1000 * record.dataset.force_rmse_ev_a,
        record.seconds,
    )


def tell_if_refused(record: TrainingRecord, directory: CampaignDirectory) -> None:
    """Say that a generation is unfit for MD, if it is, and which one MD goes on with."""
    if record.stability is None or record.stability.sound:
        return
    generation, reasons = record.generation, record.stability.reasons
    directory.log_event("generation_refused", generation=generation, reasons=reasons)
    instead = Generations(directory.root).fit_for_md()
    logger.warning(
        "generation %d is unfit for MD: %s; %s",
        generation,
        "; ".join(reasons),
        f"MD goes on with generation {instead}" if instead != generation else "there is no better one: MD uses it",
    )
