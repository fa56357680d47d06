"""A line at the bottom of the terminal that shows how far the MD is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mlip_fw.dataset import Dataset
from mlip_fw.engines.md.script import GAMMA_LOG
from mlip_fw.engines.train.pacemaker.metrics import read_metrics
from mlip_fw.generations import Generations
from mlip_fw.io.lammps import read_gamma_log
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
                steps, cycle, gamma = _where(campaign, directory)
                progress.update(task, completed=steps, facts=_facts(campaign, directory, cycle, gamma))

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _facts(campaign: Campaign, directory: CampaignDirectory, cycle: int, gamma: float | None) -> str:
    labels, newest = len(Dataset(directory.root).hashes()), Generations(directory.root).newest()
    seen = "-" if gamma is None else f"{gamma:.2f}"
    generation = "-" if newest is None else f"{newest}"
    halt = campaign.uncertainty.lowest_gamma_halt
    return f"cycle {cycle}, γ {seen} of {halt:g}, {labels} labels, generation {generation}{_polishing(directory)}"


def _polishing(directory: CampaignDirectory) -> str:
    """Return how far pacemaker is, while it trains."""
    if not (metrics := read_metrics(directory.polishing)):
        return ""
    return f", pacemaker step {metrics[-1].iteration}: {1000 * metrics[-1].force_rmse_ev_a:.1f} meV/Å"


def _where(campaign: Campaign, directory: CampaignDirectory) -> tuple[int, int, float | None]:
    """Return the steps of all walkers, the newest cycle of any and the gamma that was seen last."""
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
