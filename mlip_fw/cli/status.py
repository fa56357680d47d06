"""``status``: the state of campaigns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mlip_fw.cli.app import CAMPAIGNS, EXIT_ERROR, app
from mlip_fw.cli.common import campaigns_here, find_campaign, printable
from mlip_fw.errors import MlipError

if TYPE_CHECKING:
    from mlip_fw.cli.firework_counts import Counts
    from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis

_WHICH = typer.Argument(None, help="campaign directory; default: those in this folder", metavar="[CAMPAIGN]")


@app.command(rich_help_panel=CAMPAIGNS)
def status(
    campaign: str | None = _WHICH,
    as_json: bool = typer.Option(False, "--json", help="print JSON on standard output"),
    watched: bool = typer.Option(False, "--watch", help="refresh until the campaign ends or Ctrl-C"),
    interval_s: float = typer.Option(2.0, "--interval-s", min=0.1, help="time between refreshes of --watch, s"),
    launchpad: Path | None = typer.Option(
        None, "--launchpad", "-l", help="my_launchpad.yaml: also count Fireworks by state"
    ),
) -> None:
    """Show the state of campaigns; with --watch, follow one to its end and exit as `mlip-fw run` does."""
    from mlip_fw.cli.firework_counts import FireworkCounts

    counts = FireworkCounts(launchpad)
    if watched:
        if as_json:
            raise typer.BadParameter("--watch and --json don't go together; ask for --json as often as you need it")
        from mlip_fw.cli.status_watch import watch

        directory = find_campaign(campaign)
        raise typer.Exit(watch(directory, interval_s, lambda: counts.of([directory])[0]))
    directories = [find_campaign(campaign)] if campaign is not None else campaigns_here()
    if not directories and not as_json:
        typer.echo("no campaign in this folder")
        return
    from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis

    analyses, fireworks = [CampaignAnalysis(directory) for directory in directories], counts.of(directories)
    if as_json:
        _print_json(analyses, fireworks, alone=campaign is not None)
    elif campaign is not None or len(analyses) == 1:
        _print_one(analyses[0], fireworks[0])
    else:
        _print_many(analyses, fireworks)
    if any(isinstance(one, str) for one in fireworks):
        raise typer.Exit(EXIT_ERROR)


def _print_one(analysis: CampaignAnalysis, fireworks: Counts) -> None:
    from mlip_fw.cli.status_tables import (
        print_age,
        print_quarantine,
        print_refused,
        print_status,
        print_summary,
    )

    print_status(analysis, fireworks)
    print_summary(analysis.summary)
    print_refused(analysis.directory)
    print_quarantine(analysis.directory)
    print_age(analysis)


def _print_many(analyses: list[CampaignAnalysis], fireworks: list[Counts]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mlip_fw.cli.status_view import counted_fireworks

    was_asked = any(isinstance(counts, Mapping) for counts in fireworks)
    columns = ("campaign", "outcome", "MD steps", "halts", "labels", "generation")
    table = Table(*columns, *(["Fireworks"] if was_asked else []))
    for analysis, counts in zip(analyses, fireworks, strict=True):
        try:
            s = analysis.summary
        except MlipError as error:
            table.add_row(
                Text(printable(analysis.directory.root.name)), Text(f"can't be read: {printable(str(error))}")
            )
            continue
        row = (
            _distinct_name(analysis),
            s.outcome,
            str(s.md_steps),
            str(s.halts),
            str(s.labels),
            str(max(0, s.generations - 1)),
        )
        table.add_row(*row, *([counted_fireworks(counts)] if was_asked and counts is not None else []))
    Console(emoji=False).print(table)
    for trouble in {counts for counts in fireworks if isinstance(counts, str)}:
        typer.echo(f"LaunchPad: {printable(trouble)}")


def _distinct_name(analysis: CampaignAnalysis) -> str:
    """Return the name of a campaign, with its directory where that has another name."""
    name, folder = analysis.summary.campaign, analysis.directory.root.name
    return name if folder == name else printable(f"{name} ({folder})")


def _print_json(analyses: list[CampaignAnalysis], fireworks: list[Counts], *, alone: bool) -> None:
    from mlip_fw.cli.status_view import status_json

    plain = [status_json(analysis, counts) for analysis, counts in zip(analyses, fireworks, strict=True)]
    typer.echo(json.dumps(plain[0] if alone else plain))
