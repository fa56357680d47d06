"""A campaign as a Workflow."""

from __future__ import annotations

from pathlib import Path

from fireworks import Workflow

from mlip_fw.fireworks.build import bootstrap_firework, summary_firework, validate_firework, walker_fireworks
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.handoff import Handoff


def campaign_workflow(campaign: Campaign, directory: Path) -> Workflow:
    """Return Bootstrap → the stages of every walker → Validate, if the campaign asks for it → Summary.

    What halts, labels and trainings it will take is not known yet; those Fireworks add themselves.
    """
    common = Handoff(campaign=campaign, directory=str(directory.absolute()))
    bootstrap = bootstrap_firework(common)
    walkers = [walker_fireworks(common, walker, bootstrap) for walker in range(campaign.md.walkers)]
    ends = [stages[-1] for stages in walkers]
    validation = [validate_firework(common, parents=ends)] if campaign.validation.asks_for_something else []
    summary = summary_firework(common, parents=validation or ends)
    fireworks = [bootstrap, *(md for stages in walkers for md in stages), *validation, summary]
    return Workflow(fireworks, name=campaign.campaign, metadata={"mlip_fw": True, "directory": common.directory})
