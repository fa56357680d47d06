"""Repairs of pacemaker: what is tried after each kind of trouble.

No repair leaves out a label or changes what it weighs: they decide only how the optimiser gets to the minimum,
how many labels it holds in memory at once, and how much large coefficients cost.
"""

from __future__ import annotations

from typing import Any

from mlip_fw.engines.train.pacemaker.job import FitRun
from mlip_fw.engines.train.pacemaker.trouble import FitTrouble
from mlip_fw.runtime.supervised_run import Remedy, Repair

MAX_ATTEMPTS = 8
_STIFFER = 100.0


def repairs(run: FitRun) -> list[Repair[FitRun]]:
    """Return the handlers of one fit; trouble that no setting can repair has one without remedies."""
    return [Repair(run, trouble, _REMEDIES.get(trouble, ())) for trouble in FitTrouble]


def _smaller_batches(run: FitRun) -> list[Any] | None:
    size = int(run.settings["backend"]["batch_size"])
    if size <= 1:
        return None
    run.take_interim()
    return _set(run, "backend", {"batch_size": max(1, min(size, len(run.rows)) // 2)})


def _other_optimiser(run: FitRun) -> list[Any] | None:
    if run.settings["fit"]["optimizer"] == "L-BFGS-B":
        return _set(run, "fit", {"optimizer": "BFGS", "options": None})
    # SciPy's default would stop at once, as the loss is far below 1
    return _set(run, "fit", {"optimizer": "L-BFGS-B", "options": {"ftol": 1e-15, "gtol": 1e-8}})


def _stiffer(run: FitRun) -> list[Any] | None:
    loss = run.settings["fit"]["loss"]
    return _set(run, "fit", {"loss": {**loss, "L2_coeffs": _STIFFER * (loss["L2_coeffs"] or 1e-8)}})


def _go_on(run: FitRun) -> list[Any] | None:
    run.take_interim()
    return [{"start": "from the last whole potential"}]


def _set(run: FitRun, section: str, values: dict[str, Any]) -> list[Any]:
    run.settings[section].update(values)
    return [{section: values}]


_REMEDIES: dict[FitTrouble, tuple[Remedy[FitRun], ...]] = {
    FitTrouble.MEMORY: (_smaller_batches,) * 4,
    FitTrouble.NAN: (_other_optimiser, _stiffer),
    FitTrouble.DIVERGED: (_other_optimiser, _stiffer),
    FitTrouble.CRASHED: (_go_on,),
    FitTrouble.INCOMPLETE: (_go_on,),
}
