"""The interface between mlip_fw and a trainer that refines the linear generations, as pacemaker does.

Every campaign learns by linear least squares after each halt. A trainer named in ``potential.kind`` makes a further
generation from the same labels after every few of these, and at the end. It is an object of a class that derives from
:class:`TrainerBackend`, named by a line in :mod:`mlip_fw.plugins` or by an entry point in the group
``mlip_fw.trainers``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.oracle.backend import Citation
from mlip_fw.models.campaign import Campaign, RefineSettings
from mlip_fw.models.training import TrainingRecord
from mlip_fw.models.worker import Worker, WorkerKeys
from mlip_fw.plugins import TRAINERS


class TrainerBackend(Protocol):
    """A program that refines a linear generation."""

    settings: ClassVar[type[RefineSettings]]
    """Model of the section ``potential.trainer`` of a campaign file."""
    worker_keys: ClassVar[type[WorkerKeys] | None] = None
    """Model of the keys of ``env`` that the trainer adds; ``worker.own_keys(model)`` returns them."""
    title: ClassVar[str] = ""
    """Name of its row in ``mlip-fw doctor``; empty: there is no row."""
    citations: ClassVar[dict[str, Citation]] = {}
    """What an exported potential cites of the trainer, by BibTeX key."""
    files: ClassVar[tuple[str, ...]] = ()
    """Files of a generation of its own besides potential and record, which an export copies."""

    def require(self, campaign: Campaign, worker: Worker) -> None:
        """Check before a campaign starts that the trainer can run here.

        Raises
        ------
        WorkerError
            If it can't.
        """
        ...

    def refine(
        self, generations: Generations, dataset: Dataset, campaign: Campaign, worker: Worker, folder: Path
    ) -> Any:
        """Publish a generation trained on the labels of the newest linear one, and return its record.

        The generation must be an ACE potential with an active set of its own (``potential.yaml``, ``.yace`` and
        ``.asi``) and a record whose ``trainer`` is the name of the entry.

        Parameters
        ----------
        folder
            Kept between Fireworks: what a walltime cut can be continued from there.

        Returns
        -------
        TrainingRecord, OutOfTime or None
            What was made; that the worker's walltime cut it, and the same Firework goes on with it; or that there is
            nothing to publish.

        Raises
        ------
        TrainingError
            If no trustworthy potential came of it.
        WorkerError
            If the machine is at fault.
        """
        ...

    def doctor(self, worker: Worker) -> str:
        """Return what is found of the trainer on this machine.

        Raises
        ------
        WorkerError
            If it is missing; this is no fault of the machine unless a campaign wants this trainer.
        """
        return "installed"


def require_trainer(campaign: Campaign, worker: Worker) -> None:
    """Check that the trainer of a campaign can run here: better told now than when all MD has ended.

    Raises
    ------
    WorkerError
        If it is not installed, is broken, or can't run.
    """
    if campaign.potential.refinement is not None:
        TRAINERS.require(campaign.potential.kind).require(campaign, worker)


def refine(
    generations: Generations, dataset: Dataset, campaign: Campaign, worker: Worker, folder: Path
) -> TrainingRecord | Any | None:
    """Let the trainer of a campaign refine the newest linear generation; see :meth:`TrainerBackend.refine`."""
    return TRAINERS.get(campaign.potential.kind).refine(generations, dataset, campaign, worker, folder)
