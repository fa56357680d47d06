"""pacemaker's table of metrics; reading it needs no pyace, so views can do it quickly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

METRICS = "metrics.txt"
_WANTED = ("iter_num", "loss", "rmse_epa", "rmse_f_comp")


@dataclass(frozen=True)
class Metrics:
    """One line of pacemaker's ``metrics.txt``."""

    iteration: int
    loss: float
    energy_rmse_ev_atom: float
    force_rmse_ev_a: float

    @property
    def finite(self) -> bool:
        """Whether all of them are numbers."""
        return all(map(math.isfinite, (self.loss, self.energy_rmse_ev_atom, self.force_rmse_ev_a)))


def read_metrics(folder: Path) -> list[Metrics]:
    """Return the metrics of the steps, in order; incomplete lines are left out."""
    if not (folder / METRICS).is_file():
        return []
    try:
        header, *lines = (folder / METRICS).read_text(errors="replace").splitlines()
        columns = [header.split().index(name) for name in _WANTED]
    except (OSError, ValueError):
        return []
    width = len(header.split())
    return [found for line in lines if (found := _metrics(line.split(), columns, width)) is not None]


def _metrics(fields: list[str], columns: list[int], width: int) -> Metrics | None:
    if len(fields) != width:
        return None
    try:
        iteration, *values = (fields[column] for column in columns)
        return Metrics(int(iteration), *map(float, values))
    except ValueError:
        return None


def steps_of_last(folder: Path) -> int:
    """Return the number of steps of the last attempt in ``folder``."""
    metrics = read_metrics(folder)
    return metrics[-1].iteration if metrics else 0
