"""What pacemaker leaves: its table of metrics, its log and its potentials."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from pyace import BBasisConfiguration

from mlip_fw.engines.train.pacemaker.form import read_form

METRICS, LOG, OUTPUT = "metrics.txt", "log.txt", "output_potential.yaml"
_INTERIM = "interim_potential_0.yaml"
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
    """Return what pacemaker wrote of its steps, in order; a line that is not whole is left out."""
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


def finished_potential(folder: Path) -> BBasisConfiguration | None:
    """Return the potential of a fit that came to its end, or None."""
    return read_form(folder / OUTPUT)


def interim_potential(folder: Path) -> BBasisConfiguration | None:
    """Return the potential of the last step of a fit that did not, or None if there is no whole one."""
    return read_form(folder / _INTERIM)


def put_away(folder: Path) -> None:
    """Keep the table of an earlier attempt under another name, and remove its potentials: nothing stale is believed."""
    for name in (OUTPUT, "interim_potential_best_cycle.yaml", "target_potential.yaml"):
        (folder / name).unlink(missing_ok=True)
    for path in folder.glob("interim_potential_*.yaml"):
        path.unlink()
    if (folder / METRICS).exists():
        number = 1 + len(list(folder.glob(f"attempt_*_{METRICS}")))
        (folder / METRICS).rename(folder / f"attempt_{number}_{METRICS}")


def steps_of_last(folder: Path) -> int:
    """Return the number of steps of the last attempt in ``folder``."""
    metrics = read_metrics(folder)
    return metrics[-1].iteration if metrics else 0
