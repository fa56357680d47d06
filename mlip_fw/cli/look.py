"""``status`` and ``report``: look at a campaign."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mlip_fw.cli.app import CAMPAIGNS, app
from mlip_fw.cli.common import answering, campaigns_here, find_campaign, load_launchpad, printable
from mlip_fw.cli.progress import working
from mlip_fw.errors import MlipError
from mlip_fw.report.formats import Format

if TYPE_CHECKING:
    from mlip_fw.layout import CampaignDirectory
    from mlip_fw.story.tale import Story

_WHICH = typer.Argument(None, help="campaign directory; default: those in this folder", metavar="[CAMPAIGN]")


@app.command(rich_help_panel=CAMPAIGNS)
def status(
    campaign: str | None = _WHICH,
    as_json: bool = typer.Option(False, "--json", help="print JSON on standard output"),
    watched: bool = typer.Option(False, "--watch", help="show it again and again until the campaign ends or Ctrl-C"),
    interval_s: float = typer.Option(2.0, "--interval-s", min=0.1, help="time between two looks of --watch, s"),
    launchpad: Path | None = typer.Option(
        None, "--launchpad", "-l", help="my_launchpad.yaml: count the campaign's Fireworks by state too"
    ),
) -> None:
    """Say where campaigns stand; with --watch, wait for the end and exit as `mlip-fw run` would."""
    from mlip_fw.story.tale import Story

    if watched:
        if as_json:
            raise typer.BadParameter("--watch and --json don't go together; ask for --json as often as you need it")
        from mlip_fw.cli.watch import watch

        directory = find_campaign(campaign)
        raise typer.Exit(watch(directory, interval_s, lambda: _fireworks(directory, launchpad)))
    directories = [find_campaign(campaign)] if campaign is not None else campaigns_here()
    stories = [Story(directory) for directory in directories]
    if as_json:
        _print_json(stories, launchpad, alone=campaign is not None)
    elif campaign is not None or len(stories) == 1:
        _print_one(stories[0], _fireworks(directories[0], launchpad))
    elif not stories:
        typer.echo("no campaign in this folder")
    else:
        _print_many(stories)


@app.command(rich_help_panel=CAMPAIGNS)
def report(
    campaign: str | None = _WHICH,
    output: Path = typer.Option(Path("report.html"), "--output", "-o", help="file to write"),
    figures: Path | None = typer.Option(None, help="folder for the figures; default: beside the page"),
    formats: list[Format] = typer.Option(
        [Format.PNG], "--format", help="format of the figures; may be given several times"
    ),
) -> None:
    """Write a campaign as one HTML page, and its figures for papers."""
    from mlip_fw.report.html import write_report

    directory = find_campaign(campaign)
    with working("looking at the campaign") as tell:
        paths = write_report(directory, output, folder=figures, formats=formats, tell=tell)
    for path in paths:
        typer.echo(str(path))


def _print_one(story: Story, fireworks: Mapping[str, int] | None) -> None:
    from mlip_fw.cli.tables import print_age, print_glance, print_quarantine, print_refused, print_summary

    print_glance(story, fireworks)
    print_summary(story.summary)
    print_refused(story.directory)
    print_quarantine(story.directory)
    print_age(story.directory)


def _print_many(stories: list[Story]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("campaign", "outcome", "MD steps", "halts", "labels", "generation")
    for story in stories:
        try:
            s = story.summary
        except MlipError as error:
            table.add_row(Text(printable(story.directory.root.name)), Text(f"can't be read: {printable(str(error))}"))
            continue
        table.add_row(
            s.campaign, s.outcome, str(s.md_steps), str(s.halts), str(s.labels), str(max(0, s.generations - 1))
        )
    Console().print(table)


def _print_json(stories: list[Story], launchpad: Path | None, *, alone: bool) -> None:
    from mlip_fw.cli.glance import as_json

    plain = [as_json(story, _fireworks(story.directory, launchpad)) for story in stories]
    typer.echo(json.dumps(plain[0] if alone else plain))


def _fireworks(directory: CampaignDirectory, launchpad: Path | None) -> Mapping[str, int] | None:
    """Return the Fireworks of a campaign by state, if a LaunchPad is given."""
    if launchpad is None:
        return None
    from mlip_fw.store import Store

    name = directory.read_campaign().campaign
    pad = load_launchpad(launchpad)
    with answering(pad):
        store = Store(pad)
        return store.counts(name, str(directory.root)) or store.counts(name)
