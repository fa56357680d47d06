"""``add``: a campaign to the LaunchPad."""

from __future__ import annotations

from pathlib import Path

import typer

from mlip_fw.cli.app import CLUSTER, app
from mlip_fw.cli.campaign_argument import CAMPAIGN, DIRECTORY, FWORKER, load_checked_campaign
from mlip_fw.cli.common import add_to_launchpad, explain_database_errors, load_launchpad, log_to_stderr
from mlip_fw.cli.fireworks_import import import_fireworks
from mlip_fw.cli.progress import working

_LAUNCHPAD = typer.Option(None, "--launchpad", "-l", help="my_launchpad.yaml")


@app.command(rich_help_panel=CLUSTER)
def add(
    campaign_file: Path = CAMPAIGN,
    directory: Path | None = DIRECTORY,
    launchpad: Path | None = _LAUNCHPAD,
    fworker: Path | None = FWORKER,
) -> None:
    """Add a campaign to the LaunchPad."""
    log_to_stderr()
    import_fireworks()
    with working("checking the campaign") as tell:
        campaign, where = load_checked_campaign(campaign_file, directory, fworker)
        if campaign.files == "filepad":
            from mlip_fw.launchpad.filepad.campaign_files import publish_campaign

            tell("uploading files")
            where.claim(campaign)
            with explain_database_errors(pad := load_launchpad(launchpad)):
                publish_campaign(campaign, str(where.root), pad)
        from mlip_fw.workflows.campaign import campaign_workflow

        tell("adding Fireworks")
        ids = add_to_launchpad(campaign_workflow(campaign, where.root), launchpad)
    typer.echo(f"added {campaign.campaign} as Fireworks {', '.join(str(i) for i in ids)}")
