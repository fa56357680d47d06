"""A campaign as a Workflow."""

from __future__ import annotations

from pathlib import Path

from fireworks import Firework, Workflow

from mlip_fw.fireworks.build import bootstrap_firework, md_firework, polish_firework, summary_firework
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.handoff import Handoff, MDHandoff, PolishHandoff


def campaign_workflow(campaign: Campaign, directory: Path) -> Workflow:
    """Return Bootstrap → the stages of every walker → Summary; before that Polish, if pacemaker trains.

    What halts, labels and trainings it will take is not known yet; those Fireworks add themselves.
    """
    common = Handoff(campaign=campaign, directory=str(directory.absolute()))
    bootstrap = bootstrap_firework(common)
    fireworks, ends = [bootstrap], []
    for walker in range(campaign.md.walkers):
        previous = bootstrap
        for stage in range(len(campaign.md.stages)):
            handoff = MDHandoff(
                campaign=campaign,
                directory=common.directory,
                walker=walker,
                stage=stage,
                first_step=campaign.md.first_step(stage),
            )
            previous = _after(previous, handoff, fireworks)
        ends.append(previous)
    if campaign.potential.kind == "pacemaker" and campaign.potential.pacemaker.at_end:
        polish = polish_firework(PolishHandoff(campaign=campaign, directory=common.directory), parents=ends)
        fireworks.append(polish)
        ends = [polish]
    fireworks.append(summary_firework(common, parents=ends))
    return Workflow(fireworks, name=campaign.campaign, metadata={"mlip_fw": True, "directory": common.directory})


def _after(previous: Firework, handoff: MDHandoff, fireworks: list[Firework]) -> Firework:
    firework = md_firework(handoff, parents=[previous])
    fireworks.append(firework)
    return firework
