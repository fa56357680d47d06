"""``workflow``: a campaign as a Workflow file."""

from __future__ import annotations

from pathlib import Path

import typer

from mlip_fw.cli.app import CLUSTER, app
from mlip_fw.cli.campaign_argument import CAMPAIGN, DIRECTORY, FWORKER, load_checked_campaign
from mlip_fw.cli.fireworks_import import import_fireworks
from mlip_fw.errors import CampaignError


@app.command(rich_help_panel=CLUSTER)
def workflow(
    campaign_file: Path = CAMPAIGN,
    directory: Path | None = DIRECTORY,
    output: Path = typer.Option(..., "--output", "-o", help="file to write (.yaml or .json)"),
    fworker: Path | None = FWORKER,
) -> None:
    """Write a campaign as a Workflow file for `lpad add`."""
    import_fireworks()
    campaign, where = load_checked_campaign(campaign_file, directory, fworker)
    from mlip_fw.io.files import atomic_file
    from mlip_fw.workflows.campaign import campaign_workflow

    if campaign.files == "filepad" and (named := campaign.named_files()):
        raise CampaignError(f"a Workflow file can't carry {', '.join(named)} (files: filepad); use `mlip-fw add`")
    made = campaign_workflow(campaign, where.root)
    with atomic_file(output) as temporary:
        kind = "json" if output.suffix == ".json" else "yaml"
        temporary.write_text(made.to_format(kind))
    typer.echo(f"{output}: {len(made.fws)} Fireworks; add it with: lpad add {output}")
