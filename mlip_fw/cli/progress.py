"""A line at the bottom of the terminal that shows how far the MD is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mlip_fw.engines.md.script import GAMMA_LOG
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.campaign import Campaign

_INTERVAL_S = 0.5


@contextmanager
def live_progress(campaign: Campaign, directory: CampaignDirectory) -> Iterator[None]:
    """Show steps, gamma and labels while the block runs; silent when not a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    total = campaign.md.last_step(len(campaign.md.stages) - 1) * campaign.md.walkers
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps  {task.fields[facts]}"),
        TimeElapsedColumn(),
    )
    done = threading.Event()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(campaign.campaign, total=total, facts="")

        def watch() -> None:
            while not done.wait(_INTERVAL_S):
                steps, gamma = _where(campaign, directory)
                labels = sum(1 for _ in (directory.root / "labels").glob("[!.]*.extxyz"))
                facts = f"gamma {gamma:.2f}, {labels} labels" if gamma is not None else f"{labels} labels"
                progress.update(task, completed=steps, facts=facts)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _where(campaign: Campaign, directory: CampaignDirectory) -> tuple[int, float | None]:
    steps, gamma = 0, None
    for walker in range(campaign.md.walkers):
        cycles = directory.cycles(walker)
        last = _last_line(cycles[-1] / GAMMA_LOG) if cycles else None
        if last is not None:
            steps += int(last[0])
            gamma = last[1]
    return steps, gamma


def _last_line(path: object) -> tuple[float, float] | None:
    try:
        fields = open(str(path)).read().splitlines()[-1].split()  # noqa: PTH123, SIM115
        return float(fields[0]), float(fields[1])
    except (OSError, IndexError, ValueError):
        return None
