"""``status --watch``: the five-second answer, again and again until the campaign ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from mlip_fw.cli.app import EXIT_INTERRUPTED, EXIT_STOPPED
from mlip_fw.cli.common import printable
from mlip_fw.cli.counts import Counts
from mlip_fw.cli.glance import facts, glance, line
from mlip_fw.cli.sparkline import is_plain, written
from mlip_fw.layout import CampaignDirectory
from mlip_fw.story.tale import Story


def watch(
    directory: CampaignDirectory,
    interval_s: float,
    counts: Callable[[], Counts],
    *,
    console: Console | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """Show where a campaign stands until it ends or Ctrl-C is pressed: in place, or in a file as lines that differ.

    Returns the exit code: that of ``mlip-fw run`` for how the campaign ended, or that of a program that SIGINT ended.

    Parameters
    ----------
    directory
        The campaign.
    interval_s
        Time between two looks, s.
    counts
        Returns the Fireworks by state, in words why they are not known, or None where no LaunchPad is asked.
    console
        Where it is shown; None for standard output.
    sleep
        Waits for some seconds.
    """
    console = console or Console()
    try:
        if console.is_terminal:
            story = _in_place(directory, counts, console, partial(sleep, interval_s))
        else:
            story = _line_by_line(directory, partial(sleep, interval_s))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0 if story.summary.outcome == "CONVERGED" else EXIT_STOPPED


def _in_place(
    directory: CampaignDirectory, counts: Callable[[], Counts], console: Console, wait: Callable[[], object]
) -> Story:
    plain = is_plain(console)
    story = Story(directory)
    with Live(_screen(story, counts(), plain=plain), console=console, auto_refresh=False) as live:
        while not _is_over(story):
            wait()
            story = Story(directory)
            live.update(_screen(story, counts(), plain=plain), refresh=True)
    return story


def _line_by_line(directory: CampaignDirectory, wait: Callable[[], object]) -> Story:
    said, story = "", Story(directory)
    while True:
        if (now := printable(line(story))) != said:
            said = now
            print(f"{time.strftime('%H:%M:%S')} {said}", flush=True)
        if _is_over(story):
            return story
        wait()
        story = Story(directory)


def _screen(story: Story, fireworks: Counts, *, plain: bool) -> RenderableType:
    summary = story.summary
    title = f"{summary.campaign}  {summary.outcome}  {facts(story)}"
    hint = "" if _is_over(story) else "Ctrl-C stops watching; the campaign continues"
    return Group(
        Text(written(printable(title), plain=plain), style="bold"),
        glance(story, fireworks, plain=plain),
        Text(hint, style="dim"),
    )


def _is_over(story: Story) -> bool:
    return story.summary.outcome in ("CONVERGED", "STOPPED")
