"""``report``: a campaign as one HTML page with figures."""

from __future__ import annotations

from pathlib import Path

import typer

from mlip_fw.cli.app import CAMPAIGNS, app
from mlip_fw.cli.common import find_campaign
from mlip_fw.cli.progress import working
from mlip_fw.views.report.figure_format import Format

_WHICH = typer.Argument(None, help="campaign directory; default: those in this folder", metavar="[CAMPAIGN]")


@app.command(rich_help_panel=CAMPAIGNS)
def report(
    campaign: str | None = _WHICH,
    output: Path = typer.Option(Path("report.html"), "--output", "-o", help="file to write"),
    figures: Path | None = typer.Option(None, help="folder for the figures; default: that of the page"),
    formats: list[Format] = typer.Option([Format.PNG], "--format", help="format of the figures (may be repeated)"),
) -> None:
    """Write a campaign as one HTML page, with figures for papers."""
    from mlip_fw.views.report.html_report import write_report

    directory = find_campaign(campaign)
    with working("reading the campaign") as progress:
        paths = write_report(directory, output, folder=figures, formats=formats, progress=progress)
    for path in paths:
        typer.echo(str(path))
