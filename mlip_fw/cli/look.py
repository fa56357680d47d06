"""``status`` and ``report``: look at a campaign."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from mlip_fw.cli.app import app
from mlip_fw.cli.common import campaigns_here, find_campaign
from mlip_fw.cli.tables import print_age, print_quarantine, print_refused, print_summary
from mlip_fw.summary import summarize

_WHICH = typer.Argument(None, help="campaign directory; default: those in this folder", metavar="[CAMPAIGN]")


@app.command()
def status(
    campaign: str | None = _WHICH, as_json: bool = typer.Option(False, "--json", help="print JSON on standard output")
) -> None:
    """Say where campaigns stand."""
    directories = [find_campaign(campaign)] if campaign is not None else campaigns_here()
    summaries = [summarize(directory) for directory in directories]
    if as_json:
        plain = [s.model_dump(mode="json") for s in summaries]
        typer.echo(json.dumps(plain[0] if campaign is not None else plain))
    elif campaign is not None or len(summaries) == 1:
        print_summary(summaries[0])
        print_refused(directories[0])
        print_quarantine(directories[0])
        print_age(directories[0])
    elif not summaries:
        typer.echo("no campaign in this folder")
    else:
        table = Table("campaign", "outcome", "MD steps", "halts", "labels", "generation")
        for s in summaries:
            table.add_row(
                s.campaign, s.outcome, str(s.md_steps), str(s.halts), str(s.labels), str(max(0, s.generations - 1))
            )
        Console().print(table)


@app.command()
def report(
    campaign: str | None = _WHICH,
    output: Path = typer.Option(Path("report.html"), "--output", "-o", help="file to write"),
) -> None:
    """Write a campaign as one HTML page, with its figures beside it as PNG."""
    from mlip_fw.report.html import write_report

    directory = find_campaign(campaign)
    for path in write_report(directory, output):
        typer.echo(str(path))
