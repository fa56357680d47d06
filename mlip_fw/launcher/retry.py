"""Retry failed labels, after the cause has been fixed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fireworks import Workflow

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.engines.oracle.label import require_oracle
from mlip_fw.errors import DirectoryError
from mlip_fw.launchpad.filepad.path_map import PathMap
from mlip_fw.launchpad.names import workflow_metadata
from mlip_fw.models.handoff import LabelHandoff
from mlip_fw.models.label import LabelState
from mlip_fw.models.worker import Worker
from mlip_fw.steps.label import label_structure
from mlip_fw.steps.step import Step
from mlip_fw.workflows.build import label_firework


def retry_handoffs(directory: CampaignDirectory, names: list[str]) -> list[LabelHandoff]:
    """Return the hand-offs of the quarantined labels with these names, or of all; those of the audit come last.

    Raises
    ------
    DirectoryError
        If no such label is in the quarantine.
    """
    campaign = directory.read_campaign()
    known: dict[str, Path] = {}
    for root in (directory.root, directory.audit):
        for record in Dataset(root).quarantined():
            known.setdefault(record.hash, root)
    if unknown := [name for name in names if name not in known]:
        held = ", ".join(known) or "nothing"
        raise DirectoryError(f"{', '.join(unknown)} not in the quarantine of {directory.root}, which holds {held}")
    return [
        LabelHandoff(
            campaign=campaign,
            directory=str(directory.root),
            hash=name,
            structures=str(Dataset(known[name]).quarantined_path(name)),
            index=0,
            retry=True,
            audit=known[name] == directory.audit,
        )
        for name in names or known
    ]


def with_stored_paths(handoffs: list[LabelHandoff], places: PathMap) -> list[LabelHandoff]:
    """Return hand-offs with the paths of the machine that added the campaign; workers translate them to theirs."""
    return [LabelHandoff.model_validate(places.there(handoff.plain())) for handoff in handoffs]


def retry_locally(handoffs: list[LabelHandoff], worker: Worker) -> Iterator[tuple[str, LabelState]]:
    """Compute labels on this machine, one after the other; yield the name and state of each.

    Raises
    ------
    WorkerError
        If this machine can't compute labels.
    """
    if handoffs:
        require_oracle(handoffs[0].campaign.oracle, worker, handoffs[0].campaign.elements)
    for handoff in handoffs:
        while (state := label_structure(Step(handoff), worker)) is LabelState.UNFINISHED:
            pass
        yield handoff.hash, state


def retry_workflow(handoffs: list[LabelHandoff]) -> Workflow:
    """Return labels as a Workflow of independent Fireworks, for a LaunchPad."""
    name, metadata = f"{handoffs[0].campaign.campaign} labels again", workflow_metadata(handoffs[0].directory)
    return Workflow([label_firework(handoff) for handoff in handoffs], name=name, metadata=metadata)
