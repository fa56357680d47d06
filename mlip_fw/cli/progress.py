"""Progress line at the bottom of the terminal while a command runs; nothing without a terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlip_fw.cli.common import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from mlip_fw.campaign.directory import CampaignDirectory
    from mlip_fw.models.campaign import Campaign

_INTERVAL_S = 0.5


class ProgressLine:
    """The progress line of a command; without a terminal, calls do nothing."""

    def __init__(self, progress: Progress | None = None, task: TaskID | None = None) -> None:
        self._progress, self._task = progress, task

    def __call__(self, what: str | None = None, *, done: float | None = None, total: float | None = None) -> None:
        """Change the line: what is being done, and how much of it."""
        if self._progress is None or self._task is None:
            return
        if what is not None:
            self._progress.update(self._task, description=printable(what))
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def working(what: str) -> Iterator[ProgressLine]:
    """Show what a command does, and for how long, while the block runs; silent without a terminal.

    Parameters
    ----------
    what
        What it does at first.
    """
    if not sys.stderr.isatty():
        yield ProgressLine()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.text import Text

    class CountColumn(MofNCompleteColumn):
        def render(self, task: Task) -> Text:
            return super().render(task) if task.total is not None else Text()

    described = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), described, BarColumn(), CountColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        yield ProgressLine(progress, progress.add_task(what, total=None))


@contextmanager
def live_progress(campaign: Campaign, directory: CampaignDirectory) -> Iterator[None]:
    """Show MD steps, gamma and labels while the block runs; silent without a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

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
                steps, cycle, gamma = _md_progress(campaign, directory)
                progress.update(task, completed=steps, facts=_details(campaign, directory, cycle, gamma))

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _details(campaign: Campaign, directory: CampaignDirectory, cycle: int, gamma: float | None) -> str:
    from mlip_fw.campaign.dataset import Dataset
    from mlip_fw.campaign.generations import Generations

    labels, newest = len(Dataset(directory.root).hashes()), Generations(directory.root).newest()
    seen = "-" if gamma is None else f"{gamma:.2f}"
    generation = "-" if newest is None else f"{newest}"
    halt = campaign.uncertainty.lowest_gamma_halt
    return (
        f"cycle {cycle}, γ {seen} of {halt:g}, {labels} labels, generation {generation}{_pacemaker_progress(directory)}"
    )


def _pacemaker_progress(directory: CampaignDirectory) -> str:
    """Return the newest step of pacemaker as text, while it trains."""
    from mlip_fw.engines.train.pacemaker.metrics import read_metrics

    if not (metrics := read_metrics(directory.refining)):
        return ""
    return f", pacemaker step {metrics[-1].iteration}: {1000 * metrics[-1].force_rmse_ev_a:.1f} meV/Å"


def _md_progress(campaign: Campaign, directory: CampaignDirectory) -> tuple[int, int, float | None]:
    """Return the MD steps of all walkers together, the newest cycle of any, and the newest gamma."""
    from mlip_fw.engines.md.script import GAMMA_LOG
    from mlip_fw.io.lammps import read_gamma_log

    steps, newest, gamma = 0, 0, None
    for walker in range(campaign.md.walkers):
        cycles = directory.cycles(walker)
        newest = max(newest, len(cycles) - 1)
        for folder in reversed(cycles):
            series = read_gamma_log(folder / GAMMA_LOG)
            if len(series):
                steps, gamma = steps + int(series[-1, 0]), float(series[-1, 1])
                break
    return steps, newest, gamma
