"""What pacemaker leaves: its log and its potentials."""

from __future__ import annotations

from pathlib import Path

from pyace import BBasisConfiguration

from mlip_fw.engines.train.pacemaker.form import read_form
from mlip_fw.engines.train.pacemaker.metrics import METRICS

LOG, OUTPUT = "log.txt", "output_potential.yaml"
_INTERIM = "interim_potential_0.yaml"


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
