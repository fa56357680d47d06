"""Molecular dynamics until it finishes or halts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fireworks import FWAction, explicit_serialize

from mlip_fw.campaign.cycle_files import RESULT
from mlip_fw.firetasks.base import CampaignTask
from mlip_fw.launchpad.filepad.staging import (
    ALL_POTENTIALS,
    IMPORTED_DATASET,
    INPUT_FILES,
    POTENTIAL_TO_RUN,
    QUARANTINE_RECORDS,
    FileSet,
    StagingSpec,
)
from mlip_fw.models.handoff import MDHandoff
from mlip_fw.models.worker import Worker
from mlip_fw.steps.md import run_dynamics
from mlip_fw.steps.step import Step


@explicit_serialize
class RunMD(CampaignTask):
    """Run one MD from its start or restart with the newest potential."""

    handed_kind = MDHandoff
    goes_on = True

    def receive(self, handoff: MDHandoff, fw_spec: dict[str, Any]) -> MDHandoff:
        """Return the hand-off with where the stage before has ended."""
        return handoff.with_carry_over(fw_spec)

    def lock_name(self, handoff: MDHandoff) -> str:
        """Return the name of this cycle's MD."""
        return f"md-{handoff.walker:02d}-{handoff.cycle:04d}"

    def staging(self, step: Step[MDHandoff]) -> StagingSpec:
        """Return what is staged: start, potential and earlier results are fetched, this run published."""
        handoff = step.handoff
        walker, cycle = step.relative(step.directory.walker(handoff.walker)), step.relative(step.files.folder)
        file_sets = [FileSet(f"{walker}/", only=(RESULT,)), FileSet(f"{cycle}/")]
        if handoff.start is not None:
            start = Path(handoff.start)
            file_sets.append(FileSet(step.relative(start.with_name(RESULT)), only=(start.name,)))
        return StagingSpec(
            (POTENTIAL_TO_RUN, ALL_POTENTIALS, INPUT_FILES, *file_sets, QUARANTINE_RECORDS, IMPORTED_DATASET),
            (f"{cycle}/{RESULT}",),
            all_label_names=True,
        )

    def work(self, step: Step[MDHandoff], worker: Worker) -> FWAction:
        """Return selection, training and resumed MD of a halted run as a detour, or hand a finished stage's end on."""
        self.archive_finished()
        return self.then()(step, run_dynamics(step, worker))
