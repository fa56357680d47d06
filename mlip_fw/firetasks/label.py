"""Reference calculations: one label, or several one after the other."""

from __future__ import annotations

from pathlib import Path

from fireworks import FWAction, explicit_serialize

from mlip_fw.campaign.cycle_files import SELECTION
from mlip_fw.firetasks.base import CampaignTask
from mlip_fw.launchpad.filepad.staging import LEVEL_OF_THEORY, FileSet, StagingSpec
from mlip_fw.models.handoff import LabelHandoff
from mlip_fw.models.worker import Worker
from mlip_fw.steps.label import MAX_PEERS, files_of_label, label_structures
from mlip_fw.steps.step import Step


@explicit_serialize
class LabelStructure(CampaignTask):
    """Label one structure after the other, or put it in quarantine with the reason."""

    handed_kind = LabelHandoff

    def staging(self, step: Step[LabelHandoff]) -> StagingSpec:
        """Return what is staged: structures and some labels to compare with are fetched, new labels published."""
        handoff = step.handoff
        names = [handoff.hash, *(structure.hash for structure in handoff.more)]
        source = Path(handoff.structures)
        marker = source.with_suffix(".json") if handoff.retry else source.with_name(SELECTION)
        file_sets = [
            FileSet(step.relative(marker), only=(source.name,)),
            FileSet(LEVEL_OF_THEORY),
            FileSet("labels/", limit=MAX_PEERS),
        ]
        file_sets += [file_set for name in names for file_set in (FileSet(f"labels/{name}"), _failure(name))]
        return StagingSpec(
            tuple(file_sets), (LEVEL_OF_THEORY, *(made for name in names for made in files_of_label(name)))
        )

    def work(self, step: Step[LabelHandoff], worker: Worker) -> FWAction:
        """Return what became of the last label; a failed label is a result, not a failure of the Firework."""
        return self.then()(step, label_structures(step, worker))


def _failure(name: str) -> FileSet:
    return FileSet(f"quarantine/{name}", only=("*.json",))
