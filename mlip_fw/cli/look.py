"""``status`` and ``report``: look at a campaign."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlip_fw.cli.app import app
from mlip_fw.cli.common import campaigns_here, find_campaign
from mlip_fw.cli.tables import print_age, print_quarantine, print_refused, print_summary
from mlip_fw.report.formats import Format
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
    figures: Path | None = typer.Option(None, help="folder for the figures; default: beside the page, as PNG"),
    formats: list[Format] = typer.Option([Format.PNG], "--format", help="format of the figures, with --figures"),
) -> None:
    """Write a campaign as one HTML page, and its figures for papers."""
    from mlip_fw.report.drawing import write_figures
    from mlip_fw.report.html import write_report
    from mlip_fw.story.tale import Story

    directory = find_campaign(campaign)
    console = Console(stderr=True)
    with console.status("looking at the campaign") as bar:

        def tell(what: str) -> None:
            bar.update(escape(what))

        paths = write_report(directory, output, beside=figures is None, tell=tell)
        if figures is not None:
            paths += write_figures(Story(directory), figures, formats, tell)
    for path in paths:
        typer.echo(str(path))
