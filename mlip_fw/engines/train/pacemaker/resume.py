"""Going on in a later Firework: what a fit leaves that was cut by the walltime or killed, and when that is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyace import ACEBBasisSet, BBasisConfiguration

from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.pacemaker.form import read_form, transfer_coefficients, without_cores
from mlip_fw.engines.train.pacemaker.frame import Row, loss_of
from mlip_fw.engines.train.pacemaker.inputs import BEGIN
from mlip_fw.engines.train.pacemaker.metrics import steps_of_last
from mlip_fw.engines.train.pacemaker.trouble import interim_potential
from mlip_fw.io.files import read_model, write_json
from mlip_fw.models.base import Count
from mlip_fw.runtime.supervised_run import Progress

_FILE = "unfinished.json"


class FitProgress(Progress):
    """Where a fit stood when an attempt began."""

    labels: list[str]
    settings: dict[str, dict[str, Any]]
    steps: Count


def write_progress(folder: Path, progress: FitProgress) -> None:
    """Store what the next Firework has to know if this one does not come to its end."""
    write_json(folder / _FILE, progress)


def read_progress(folder: Path, labels: list[str]) -> FitProgress | None:
    """Return where a fit of the same labels stood, with the steps of its last attempt; None if there is none."""
    progress = read_model(folder / _FILE, FitProgress)
    if progress is None or progress.labels != labels:
        return None
    return progress.model_copy(update={"steps": progress.steps + steps_of_last(folder)})


def best_start(
    folder: Path, generations: list[Path], form: BBasisConfiguration, rows: list[Row], kappa: float
) -> tuple[BBasisConfiguration, str]:
    """Return the start of lowest loss, in ``form``, and what it is.

    The choice is among what an unfinished fit left and the potentials of ``generations``, in this order where
    they are equal.
    """
    found = {
        "an unfinished fit": interim_potential(folder),
        "the start of an unfinished fit": read_form(folder / BEGIN),
    }
    found |= {path.parent.name: without_cores(BBasisConfiguration(str(path))) for path in generations}
    starts = {name: transfer_coefficients(source, form) for name, source in found.items() if source is not None}
    losses = {name: loss_of(AcePotential(ACEBBasisSet(start)), rows, kappa) for name, start in starts.items()}
    name = min(losses, key=losses.__getitem__)
    return starts[name], name
