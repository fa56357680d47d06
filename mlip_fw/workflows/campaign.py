"""A campaign as a Workflow."""

from __future__ import annotations

from pathlib import Path

from fireworks import Workflow

from mlip_fw.launchpad.names import workflow_metadata
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.handoff import AuditHandoff, Handoff, RefineHandoff, ValidateHandoff
from mlip_fw.workflows.build import (
    audit_firework,
    bootstrap_firework,
    refine_firework,
    summary_firework,
    validate_firework,
    walker_fireworks,
)


def campaign_workflow(campaign: Campaign, directory: Path) -> Workflow:
    """Return Bootstrap → the stages of every walker → Polish, Audit, Validate, if asked for → Summary.

    Labels and trainings after halts are not known yet; the Fireworks that need them add them at run time.
    """
    common = Handoff(campaign=campaign, directory=str(directory.absolute()))
    bootstrap = bootstrap_firework(common)
    walkers = [walker_fireworks(common, walker, bootstrap) for walker in range(campaign.md.walkers)]
    ends = [stages[-1] for stages in walkers]
    polish = [refine_firework(_refine(common), parents=ends)] if is_refined_at_the_end(campaign) else []
    ends = polish or ends
    audit = [audit_firework(_audit(common), parents=ends)] if campaign.is_audited else []
    ends = audit or ends
    validation = [validate_firework(_validate(common), parents=ends)] if campaign.validation.asks_for_something else []
    summary = summary_firework(common, parents=validation or ends)
    fireworks = [bootstrap, *(md for stages in walkers for md in stages), *polish, *audit, *validation, summary]
    return Workflow(fireworks, name=campaign.campaign, metadata=workflow_metadata(common.directory))


def is_refined_at_the_end(campaign: Campaign) -> bool:
    """Return whether the campaign's trainer refines the potential when all MD has ended."""
    settings = campaign.potential.refinement
    return settings is not None and settings.at_end


def _refine(common: Handoff) -> RefineHandoff:
    return RefineHandoff(campaign=common.campaign, directory=common.directory)


def _audit(common: Handoff) -> AuditHandoff:
    return AuditHandoff(campaign=common.campaign, directory=common.directory)


def _validate(common: Handoff) -> ValidateHandoff:
    return ValidateHandoff(campaign=common.campaign, directory=common.directory)
