"""custodian's ErrorHandlers for pacemaker: what is tried after each kind of trouble.

No repair leaves out a label or changes what it weighs: they decide only how the optimiser gets to the minimum,
how many labels it holds in memory at once, and how much large coefficients cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from custodian.custodian import ErrorHandler

from mlip_fw.engines.train.pacemaker.job import Fit
from mlip_fw.engines.train.pacemaker.trouble import Trouble

MOST_ATTEMPTS = 8
_STIFFER = 100.0
Step = Callable[[Fit], dict[str, Any] | None]
"""Changes the settings of the next attempt and returns what it changed; None where it does not apply."""


class Repair(ErrorHandler):
    """Changes the fit after one kind of trouble, step by step, until the steps are used up."""

    def __init__(self, fit: Fit, trouble: Trouble, steps: tuple[Step, ...]) -> None:
        self._fit, self._trouble, self._steps = fit, trouble, list(steps)

    def as_dict(self) -> dict[str, Any]:
        """Return what custodian's log shows of the handler."""
        return {"@module": type(self).__module__, "@class": type(self).__name__, "trouble": str(self._trouble)}

    def check(self, directory: str = "./") -> bool:
        """Return True if the last attempt ended with this trouble."""
        return self._fit.found is not None and self._fit.found.trouble is self._trouble

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Apply the next step that fits; without one the fit is given up."""
        assert self._fit.found is not None
        errors = [f"{self._fit.found.trouble}: {self._fit.found.said}"]
        while self._steps:
            changed = self._steps.pop(0)(self._fit)
            if changed is not None:
                self._fit.corrections.append({"errors": errors, "actions": [changed]})
                # custodian keeps and extends what it gets
                return {"errors": list(errors), "actions": [dict(changed)]}
        return {"errors": errors, "actions": None}


def repairs(fit: Fit) -> list[Repair]:
    """Return the handlers of one fit; trouble that no setting can repair has one without steps."""
    return [Repair(fit, trouble, _STEPS.get(trouble, ())) for trouble in Trouble]


def _smaller_batches(fit: Fit) -> dict[str, Any] | None:
    size = int(fit.settings["backend"]["batch_size"])
    if size <= 1:
        return None
    fit.take_interim()
    return _set(fit, "backend", {"batch_size": max(1, min(size, len(fit.rows)) // 2)})


def _other_optimiser(fit: Fit) -> dict[str, Any] | None:
    if fit.settings["fit"]["optimizer"] == "L-BFGS-B":
        return _set(fit, "fit", {"optimizer": "BFGS", "options": None})
    # SciPy's default would stop at once, as the loss is far below 1
    return _set(fit, "fit", {"optimizer": "L-BFGS-B", "options": {"ftol": 1e-15, "gtol": 1e-8}})


def _stiffer(fit: Fit) -> dict[str, Any] | None:
    loss = fit.settings["fit"]["loss"]
    return _set(fit, "fit", {"loss": {**loss, "L2_coeffs": _STIFFER * (loss["L2_coeffs"] or 1e-8)}})


def _go_on(fit: Fit) -> dict[str, Any] | None:
    fit.take_interim()
    return {"start": "from the last whole potential"}


def _set(fit: Fit, section: str, values: dict[str, Any]) -> dict[str, Any]:
    fit.settings[section].update(values)
    return {section: values}


_STEPS: dict[Trouble, tuple[Step, ...]] = {
    Trouble.MEMORY: (_smaller_batches,) * 4,
    Trouble.NAN: (_other_optimiser, _stiffer),
    Trouble.DIVERGED: (_other_optimiser, _stiffer),
    Trouble.CRASHED: (_go_on,),
    Trouble.INCOMPLETE: (_go_on,),
}
