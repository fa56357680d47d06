"""``status --watch``: the status, refreshed until the campaign ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.file_cache import FileCache
from mlip_fw.cli.app import EXIT_INTERRUPTED, EXIT_STOPPED
from mlip_fw.cli.common import printable
from mlip_fw.cli.firework_counts import Counts
from mlip_fw.cli.sparkline import encodable, is_plain
from mlip_fw.cli.status_view import progress_counts, status_line, status_table
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis


def watch(
    directory: CampaignDirectory,
    interval_s: float,
    counts: Callable[[], Counts],
    *,
    console: Console | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """Show the status of a campaign until it ends or Ctrl-C is pressed.

    In a terminal the status is refreshed in place; elsewhere each change is a line.

    Returns the exit code: that of ``mlip-fw run`` for how the campaign ended, or that of a program that SIGINT ended.

    Parameters
    ----------
    directory
        The campaign.
    interval_s
        Time between refreshes, s.
    counts
        Returns the Fireworks by state, in words why they are not known, or None where no LaunchPad is asked.
    console
        Where the status is shown; None for standard output.
    sleep
        Waits between refreshes; called with ``interval_s``.
    """
    console = console or Console()
    try:
        if console.is_terminal:
            analysis = _in_place(directory, counts, console, partial(sleep, interval_s))
        else:
            analysis = _line_by_line(directory, partial(sleep, interval_s))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0 if analysis.summary.outcome == "CONVERGED" else EXIT_STOPPED


def _in_place(
    directory: CampaignDirectory, counts: Callable[[], Counts], console: Console, wait: Callable[[], object]
) -> CampaignAnalysis:
    plain, cache = is_plain(console), FileCache()
    analysis = CampaignAnalysis(directory, cache)
    with Live(_screen(analysis, counts(), plain=plain), console=console, auto_refresh=False) as live:
        while not _is_over(analysis):
            wait()
            analysis = CampaignAnalysis(directory, cache)
            live.update(_screen(analysis, counts(), plain=plain), refresh=True)
    return analysis


def _line_by_line(directory: CampaignDirectory, wait: Callable[[], object]) -> CampaignAnalysis:
    last_line, cache = "", FileCache()
    analysis = CampaignAnalysis(directory, cache)
    while True:
        if (now := printable(status_line(analysis))) != last_line:
            last_line = now
            print(f"{time.strftime('%H:%M:%S')} {last_line}", flush=True)
        if _is_over(analysis):
            return analysis
        wait()
        analysis = CampaignAnalysis(directory, cache)


def _screen(analysis: CampaignAnalysis, fireworks: Counts, *, plain: bool) -> RenderableType:
    summary = analysis.summary
    title = f"{summary.campaign}  {summary.outcome}  {progress_counts(analysis)}"
    hint = "" if _is_over(analysis) else "Ctrl-C stops watching; the campaign continues"
    return Group(
        Text(encodable(printable(title), plain=plain), style="bold"),
        status_table(analysis, fireworks, plain=plain),
        Text(hint, style="dim"),
    )


def _is_over(analysis: CampaignAnalysis) -> bool:
    return analysis.summary.outcome in ("CONVERGED", "STOPPED")
