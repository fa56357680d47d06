"""custodian's ErrorHandlers for pw.x: for each kind of trouble, what is tried one after the other.

No repair changes what a label is worth: mixing, diagonalisation, steps, empty bands and memory only decide
how the same ground state is reached. The one exception is bounded: where the campaign wants fixed
occupations and the structure does not allow them (an odd number of electrons, a metal), they are smeared by
1 mRy (14 meV). A structure with a gap has the same energy either way, so such a label fits the others, and the
label says so (``corrections_made``). A smearing that the campaign chose is never touched.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from custodian.custodian import ErrorHandler

from mlip_fw.engines.oracle.espresso.job import Calculation
from mlip_fw.engines.oracle.espresso.trouble import Trouble
from mlip_fw.io.espresso import Namelists, Value

Step = Callable[[Calculation], Namelists | None]
"""Changes to the input, or None where the step does not apply."""
TINY_WIDTH_RY = 0.001
MOST_ATTEMPTS = 12
_TELLING_STEPS = 15
"""Fewer SCF steps say nothing about whether more would do."""


class Repair(ErrorHandler):
    """Changes the input after one kind of trouble, step by step, until the steps are used up.

    One is made for each run: custodian's handlers keep what they did.
    """

    def __init__(self, calculation: Calculation, trouble: Trouble, steps: tuple[Step, ...]) -> None:
        self._calculation, self._trouble, self._steps = calculation, trouble, list(steps)

    def as_dict(self) -> dict[str, Any]:
        """Return what custodian's log shows of the handler."""
        return {"@module": type(self).__module__, "@class": type(self).__name__, "trouble": str(self._trouble)}

    def check(self, directory: str = "./") -> bool:
        """Return True if the last attempt ended with this trouble."""
        found = self._calculation.found
        return found is not None and found.trouble is self._trouble

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Apply the next step that fits; without one the calculation is given up."""
        calculation = self._calculation
        assert calculation.found is not None
        errors = [f"{calculation.found.trouble}: {calculation.found.said}"]
        while self._steps:
            changes = self._steps.pop(0)(calculation)
            if changes is not None:
                break
        else:
            return {"errors": errors, "actions": None}
        for namelist, values in changes.items():
            calculation.changes.setdefault(namelist, {}).update(values)
        calculation.resume = False
        actions: list[Any] = [{namelist: dict(values)} for namelist, values in changes.items()] or [AS_BEFORE]
        calculation.corrections.append({"errors": errors, "actions": actions})
        # custodian keeps and extends what it gets
        return {"errors": list(errors), "actions": list(actions)}


AS_BEFORE = "from scratch, as before"


def repairs(calculation: Calculation) -> list[Repair]:
    """Return the handlers of one run; trouble that no input can repair has one without steps."""
    return [Repair(calculation, trouble, _STEPS.get(trouble, ())) for trouble in Trouble]


def _again(calculation: Calculation) -> Namelists | None:
    return {}


def _more_steps(calculation: Calculation) -> Namelists | None:
    """Go on longer after a handful of steps, or if the accuracy falls so fast that three times the steps would do."""
    accuracies = calculation.output.accuracies_ry if calculation.output else []
    wanted = float(calculation.setting("electrons", "conv_thr") or 0.0)
    if len(accuracies) >= _TELLING_STEPS and not _within_reach(accuracies, wanted):
        return None
    return {"electrons": {"electron_maxstep": 3 * _steps(calculation)}}


def _within_reach(accuracies: list[float], wanted: float) -> bool:
    """Whether the line through the last two thirds of the logarithms gets to what is wanted in twice the steps."""
    if min(accuracies) <= 0 or wanted <= 0:
        return False
    tail = np.log10(accuracies[len(accuracies) // 3 :])
    decades_per_step = float(np.polyfit(range(len(tail)), tail, 1)[0])
    return bool(tail.min() + 2 * len(accuracies) * decades_per_step < math.log10(wanted))


def _smaller_beta(calculation: Calculation) -> Namelists | None:
    return {"electrons": {"mixing_beta": round(0.4 * _beta(calculation), 4), "electron_maxstep": _enough(calculation)}}


def _local_tf(calculation: Calculation) -> Namelists | None:
    if calculation.setting("electrons", "mixing_mode") == "local-TF":
        return None
    return {"electrons": {"mixing_mode": "local-TF", "electron_maxstep": _enough(calculation)}}


def _longer_history(calculation: Calculation) -> Namelists | None:
    values: dict[str, Value] = {"mixing_mode": "plain", "mixing_ndim": 16, "mixing_beta": min(0.1, _beta(calculation))}
    return {"electrons": {**values, "electron_maxstep": max(200, _enough(calculation))}}


def _beta(calculation: Calculation) -> float:
    return float(calculation.setting("electrons", "mixing_beta") or 0.7)


def _steps(calculation: Calculation) -> int:
    return int(calculation.setting("electrons", "electron_maxstep") or 100)


def _enough(calculation: Calculation) -> int:
    return max(_steps(calculation), 2 * calculation.oracle.max_scf_steps)


def _diagonalise_by(name: str, first_version: int = 0) -> Step:
    def step(calculation: Calculation) -> Namelists | None:
        version = calculation.output.version if calculation.output else ""
        too_old = first_version > int(version.partition(".")[0] or 0)
        if too_old or (calculation.setting("electrons", "diagonalization") or "david") == name:
            return None
        return {"electrons": {"diagonalization": name}}

    return step


def _tiny_smearing(calculation: Calculation) -> Namelists | None:
    if calculation.setting("system", "occupations") != "fixed":
        return None
    return {
        "system": {"occupations": "smearing", "smearing": "gaussian", "degauss": TINY_WIDTH_RY, **_more(calculation)}
    }


def _more_bands(calculation: Calculation) -> Namelists | None:
    return {"system": _more(calculation)}


def _more(calculation: Calculation) -> dict[str, Value]:
    bands = (calculation.output.n_bands if calculation.output else None) or calculation.setting("system", "nbnd")
    least = sum(calculation.pseudopotentials[s].z_valence for s in calculation.atoms.get_chemical_symbols()) / 2
    return {"nbnd": max(math.ceil(1.2 * least) + 4, math.ceil(1.3 * int(bands or 0)), int(bands or 0) + 8)}


def _less_memory(calculation: Calculation) -> Namelists | None:
    return {"control": {"disk_io": "medium"}, "electrons": {"mixing_ndim": 4, "diago_david_ndim": 2}}


_DIAGONALISATIONS = (("david", 0), ("cg", 0), ("ppcg", 0), ("paro", 7))
_MEMORY_STEPS = (_less_memory, _diagonalise_by("cg"))
_STEPS: dict[Trouble, tuple[Step, ...]] = {
    Trouble.NOT_CONVERGED: (
        _more_steps,
        _smaller_beta,
        _tiny_smearing,
        _local_tf,
        _longer_history,
        _diagonalise_by("cg"),
    ),
    Trouble.DIAGONALISATION: tuple(_diagonalise_by(*kind) for kind in _DIAGONALISATIONS),
    Trouble.NEEDS_SMEARING: (_tiny_smearing,),
    Trouble.TOO_FEW_BANDS: (_more_bands,) * 3,
    Trouble.MEMORY: _MEMORY_STEPS,
    Trouble.KILLED: _MEMORY_STEPS,
    Trouble.CRASHED: (_again, _less_memory),
    Trouble.RESTART: (_again,),
    Trouble.INCOMPLETE: (_again,),
}
