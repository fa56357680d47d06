"""Repairs of pw.x: for each kind of trouble, the changes to the input that are tried one after the other.

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

from mlip_fw.engines.oracle.espresso.job import PwRun
from mlip_fw.engines.oracle.espresso.trouble import PwTrouble
from mlip_fw.io.espresso import Namelists, Value
from mlip_fw.runtime.supervised_run import Remedy, Repair

_Finder = Callable[[PwRun], Namelists | None]
"""Returns changes to the input, or None where they would be of no use."""
TINY_WIDTH_RY = 0.001
MAX_ATTEMPTS = 12
_MIN_STEPS_TO_JUDGE = 15
"""Fewer SCF steps say nothing about whether more would do."""


def repairs(run: PwRun) -> list[Repair[PwRun]]:
    """Return the handlers of one run; trouble that no input can repair has one without remedies."""
    return [Repair(run, trouble, [_remedy(find) for find in _CHANGES.get(trouble, ())]) for trouble in PwTrouble]


def _remedy(find: _Finder) -> Remedy[PwRun]:
    def remedy(run: PwRun) -> list[Any] | None:
        changes = find(run)
        return None if changes is None else run.change(changes)

    return remedy


def _again(run: PwRun) -> Namelists | None:
    return {}


def _more_steps(run: PwRun) -> Namelists | None:
    """Go on longer after a handful of steps, or if the accuracy falls so fast that three times the steps would do."""
    accuracies = run.output.accuracies_ry if run.output else []
    wanted = float(run.setting("electrons", "conv_thr") or 0.0)
    if len(accuracies) >= _MIN_STEPS_TO_JUDGE and not _within_reach(accuracies, wanted):
        return None
    return {"electrons": {"electron_maxstep": 3 * _steps(run)}}


def _within_reach(accuracies: list[float], wanted: float) -> bool:
    """Return whether twice as many further steps would converge.

    By the straight line through the logarithms of the last two thirds of the accuracies.
    """
    if min(accuracies) <= 0 or wanted <= 0:
        return False
    tail = np.log10(accuracies[len(accuracies) // 3 :])
    decades_per_step = float(np.polyfit(range(len(tail)), tail, 1)[0])
    return bool(tail.min() + 2 * len(accuracies) * decades_per_step < math.log10(wanted))


def _smaller_beta(run: PwRun) -> Namelists | None:
    return {"electrons": {"mixing_beta": round(0.4 * _beta(run), 4), "electron_maxstep": _enough(run)}}


def _local_tf(run: PwRun) -> Namelists | None:
    if run.setting("electrons", "mixing_mode") == "local-TF":
        return None
    return {"electrons": {"mixing_mode": "local-TF", "electron_maxstep": _enough(run)}}


def _longer_history(run: PwRun) -> Namelists | None:
    values: dict[str, Value] = {"mixing_mode": "plain", "mixing_ndim": 16, "mixing_beta": min(0.1, _beta(run))}
    return {"electrons": {**values, "electron_maxstep": max(200, _enough(run))}}


def _beta(run: PwRun) -> float:
    return float(run.setting("electrons", "mixing_beta") or 0.7)


def _steps(run: PwRun) -> int:
    return int(run.setting("electrons", "electron_maxstep") or 100)


def _enough(run: PwRun) -> int:
    return max(_steps(run), 2 * run.oracle.max_scf_steps)


def _diagonalise_by(name: str, first_version: int = 0) -> _Finder:
    def find(run: PwRun) -> Namelists | None:
        version = run.output.version if run.output else ""
        too_old = first_version > int(version.partition(".")[0] or 0)
        if too_old or (run.setting("electrons", "diagonalization") or "david") == name:
            return None
        return {"electrons": {"diagonalization": name}}

    return find


def _tiny_smearing(run: PwRun) -> Namelists | None:
    if run.setting("system", "occupations") != "fixed":
        return None
    return {"system": {"occupations": "smearing", "smearing": "gaussian", "degauss": TINY_WIDTH_RY, **_more(run)}}


def _more_bands(run: PwRun) -> Namelists | None:
    return {"system": _more(run)}


def _more(run: PwRun) -> dict[str, Value]:
    bands = (run.output.n_bands if run.output else None) or run.setting("system", "nbnd")
    lower_limit = sum(run.pseudopotentials[s].z_valence for s in run.atoms.get_chemical_symbols()) / 2
    return {"nbnd": max(math.ceil(1.2 * lower_limit) + 4, math.ceil(1.3 * int(bands or 0)), int(bands or 0) + 8)}


def _less_memory(run: PwRun) -> Namelists | None:
    return {"control": {"disk_io": "medium"}, "electrons": {"mixing_ndim": 4, "diago_david_ndim": 2}}


_DIAGONALISATIONS = (("david", 0), ("cg", 0), ("ppcg", 0), ("paro", 7))
_LESS_MEMORY = (_less_memory, _diagonalise_by("cg"))
_CHANGES: dict[PwTrouble, tuple[_Finder, ...]] = {
    PwTrouble.NOT_CONVERGED: (
        _more_steps,
        _smaller_beta,
        _tiny_smearing,
        _local_tf,
        _longer_history,
        _diagonalise_by("cg"),
    ),
    PwTrouble.DIAGONALISATION: tuple(_diagonalise_by(*kind) for kind in _DIAGONALISATIONS),
    PwTrouble.NEEDS_SMEARING: (_tiny_smearing,),
    PwTrouble.TOO_FEW_BANDS: (_more_bands,) * 3,
    PwTrouble.MEMORY: _LESS_MEMORY,
    PwTrouble.KILLED: _LESS_MEMORY,
    PwTrouble.CRASHED: (_again, _less_memory),
    PwTrouble.RESTART: (_again,),
    PwTrouble.INCOMPLETE: (_again,),
}
