"""Going on across Fireworks: what a fit leaves that was cut by the walltime or killed, and when that is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyace import ACEBBasisSet, BBasisConfiguration
from pydantic import Field

from mlip_fw.engines.ace import AcePotential
from mlip_fw.engines.train.pacemaker.form import carried_over, read_form, without_cores
from mlip_fw.engines.train.pacemaker.frame import Row, loss_of
from mlip_fw.engines.train.pacemaker.inputs import BEGIN
from mlip_fw.engines.train.pacemaker.metrics import steps_of_last
from mlip_fw.engines.train.pacemaker.output import interim_potential
from mlip_fw.io.files import read_model, write_json
from mlip_fw.models.base import Count, Frozen, NotNegative

_FILE = "unfinished.json"


class Unfinished(Frozen):
    """Where a fit stood when an attempt began."""

    labels: list[str]
    settings: dict[str, dict[str, Any]]
    steps: Count
    seconds: NotNegative
    corrections: list[dict[str, Any]] = Field(default_factory=list)


def write_note(folder: Path, note: Unfinished) -> None:
    """Keep what the next Firework has to know if this one does not come to its end."""
    write_json(folder / _FILE, note)


def earlier(folder: Path, labels: list[str]) -> Unfinished | None:
    """Return where a fit of the same labels stood, with the steps of its last attempt; None if there is none."""
    note = read_model(folder / _FILE, Unfinished)
    if note is None or note.labels != labels:
        return None
    return note.model_copy(update={"steps": note.steps + steps_of_last(folder)})


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
    starts = {name: carried_over(source, form) for name, source in found.items() if source is not None}
    losses = {name: loss_of(AcePotential(ACEBBasisSet(start)), rows, kappa) for name, start in starts.items()}
    name = min(losses, key=losses.__getitem__)
    return starts[name], name
