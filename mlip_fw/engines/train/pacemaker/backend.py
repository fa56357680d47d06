"""The trainer ``pacemaker``: nonlinear fits by TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.oracle.backend import Citation
from mlip_fw.engines.train.refinement import TrainerBackend
from mlip_fw.models.campaign import Campaign, PacemakerSettings, RefineSettings
from mlip_fw.models.worker import Worker


class PacemakerBackend(TrainerBackend):
    """pacemaker as a child process; the work is done in :mod:`mlip_fw.engines.train.pacemaker.trainer`."""

    settings: ClassVar[type[RefineSettings]] = PacemakerSettings
    title = "pacemaker"
    files = ("pacemaker.yaml", "pacemaker.txt")
    citations: ClassVar[dict[str, Citation]] = {
        "Bochkarev2022": Citation(
            "A. Bochkarev and others",
            "Efficient parametrization of the atomic cluster expansion",
            "Phys. Rev. Materials 6, 013804",
            2022,
            "10.1103/PhysRevMaterials.6.013804",
        )
    }

    def require(self, campaign: Campaign, worker: Worker) -> None:
        """Look for the program."""
        from mlip_fw.engines.train.pacemaker.command import require_pacemaker

        require_pacemaker(campaign, worker)

    def refine(
        self, generations: Generations, dataset: Dataset, campaign: Campaign, worker: Worker, folder: Path
    ) -> Any:
        """Run pacemaker under custodian, or continue a fit that the walltime cut."""
        from mlip_fw.engines.train.pacemaker.trainer import refine_with_pacemaker

        return refine_with_pacemaker(generations, dataset, campaign, worker, folder)

    def doctor(self, worker: Worker) -> str:
        """Start pacemaker and ask for the versions of what it needs."""
        from mlip_fw.engines.train.pacemaker.command import can_run

        return can_run(worker)


BACKEND = PacemakerBackend()
