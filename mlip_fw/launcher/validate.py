"""Validation of a campaign on this machine, or as a Workflow for a LaunchPad."""

from __future__ import annotations

from collections.abc import Iterator

from fireworks import Workflow

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.engines.oracle.label import require_oracle
from mlip_fw.launchpad.names import workflow_metadata
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.handoff import ValidateHandoff
from mlip_fw.models.label import LabelState
from mlip_fw.models.validation import ValidationSettings
from mlip_fw.models.worker import Worker
from mlip_fw.steps.label import label_structure
from mlip_fw.steps.step import Step
from mlip_fw.steps.validate import validate_potential
from mlip_fw.workflows.build import validate_firework

_FRAMES = 10
_PROPERTIES = ["equation_of_state", "elastic", "phonons"]


def validation_handoff(
    directory: CampaignDirectory, frames: int | None = None, properties: list[str] | None = None
) -> ValidateHandoff:
    """Return the hand-off of a validation: with the given settings, or the campaign's, or defaults.

    The defaults are 10 frames, equation of state, elastic constants and phonons.
    """
    campaign = directory.read_campaign()
    settings = campaign.validation
    if not settings.asks_for_something and frames is None and not properties:
        frames, properties = _FRAMES, _PROPERTIES
    changes: dict[str, object] = {}
    if frames is not None:
        changes["n_frames"] = frames
    if properties:
        changes["properties"] = properties
    asked = ValidationSettings.model_validate({**settings.model_dump(), **changes})
    asking: Campaign = campaign.model_copy(update={"validation": asked})
    return ValidateHandoff(campaign=asking, directory=str(directory.root))


def validate_locally(handoff: ValidateHandoff, worker: Worker) -> Iterator[tuple[int, int]]:
    """Compute the labels that a validation needs, one after the other, and write its report.

    Yields
    ------
    Numbers of labels done and needed, before and after each label; later more may turn out to be needed.

    Raises
    ------
    WorkerError
        If this machine can't compute labels.
    """
    require_oracle(handoff.campaign.oracle, worker, handoff.campaign.elements)
    step, done = Step(handoff), 0
    while True:
        with step.directory.work_locked("validation"):
            missing = validate_potential(step, worker, anew=True)
        if not missing:
            return
        step = step.with_handoff(step.handoff.waiting_for(missing))
        for label in missing:
            yield done, done + len(missing)
            while label_structure(step.with_handoff(label), worker) is LabelState.UNFINISHED:
                pass
            missing, done = missing[1:], done + 1
            yield done, done + len(missing)


def release_failed_labels(directory: CampaignDirectory) -> int:
    """Release the failed labels of earlier validations, so that they are computed again; return their number."""
    dataset = Dataset(directory.validation)
    failed = [record.hash for record in dataset.quarantined()]
    for name in failed:
        dataset.release(name)
    return len(failed)


def validation_workflow(handoff: ValidateHandoff) -> Workflow:
    """Return a validation as a Workflow, for a LaunchPad."""
    name, metadata = f"{handoff.campaign.campaign} validation", workflow_metadata(handoff.directory)
    return Workflow([validate_firework(handoff)], name=name, metadata=metadata)
