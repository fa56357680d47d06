"""custodian's handlers for a static calculation, and two of our own that watch the time.

Left out are those for relaxations (Potim, NonConverging, Drift) and those that answer by another level of
theory: LargeSigma and IncorrectSmearing change the smearing, Aliasing the FFT grid, MeshSymmetry and
Kspacing the k-points.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from custodian.custodian import ErrorHandler
from custodian.vasp.handlers import (
    FrozenJobErrorHandler,
    StdErrHandler,
    UnconvergedErrorHandler,
    VaspErrorHandler,
)

_FROZEN_S = 21_600.0
_STOPCAR = "STOPCAR"
_STEP = re.compile(r"^\s*[A-Z]{2,3}\s*:\s+\d+\s", re.MULTILINE)
_STEPS_IN_HAND = 3
_SHARE_IN_HAND = 0.05
"""VASP is asked to stop when less than this many electronic steps, or this share of the walltime, is left."""


class StopInTime(ErrorHandler):
    """Ask VASP to stop at its next electronic step when the walltime is near.

    custodian's own WalltimeHandler keeps its start in an environment variable, so the second label of a worker would
    find its time already over. And it asks again, which counts as another error, at every check.
    """

    is_monitor = True
    is_terminating = False
    raises_runtime_error = False

    def __init__(self, walltime_s: float) -> None:
        self.walltime_s = walltime_s
        self.asked = False
        self._steps = 0
        self._started = self._attempt_started = time.monotonic()

    def check(self, directory: str = "./") -> bool:
        """Return True, once per attempt, when less than three electronic steps fit into the time that is left."""
        now, steps = time.monotonic(), scf_steps_so_far(Path(directory))
        if steps < self._steps:
            self._attempt_started = now
        self._steps = steps
        if (Path(directory) / _STOPCAR).exists():
            return False
        step_s = (now - self._attempt_started) / steps if steps else 0.0
        in_hand = max(_STEPS_IN_HAND * step_s, _SHARE_IN_HAND * self.walltime_s)
        return self.walltime_s - (now - self._started) < in_hand

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Write the file that VASP looks for after each electronic step."""
        self.asked = True
        (Path(directory) / _STOPCAR).write_text("LABORT = .TRUE.\n")
        return {"errors": ["walltime is near"], "actions": None}


class EndInTime(ErrorHandler):
    """End VASP when its time is over, even if it does not react."""

    is_monitor = True

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.over = False
        self._started = time.monotonic()

    def check(self, directory: str = "./") -> bool:
        """Return True when the time is over."""
        self.over = self.over or time.monotonic() - self._started > self.limit_s
        return self.over

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Give up: custodian has ended VASP by now."""
        return {"errors": ["out of time"], "actions": None}


def scf_steps_so_far(folder: Path) -> int:
    """Return how many electronic steps OSZICAR has by now."""
    try:
        return len(_STEP.findall((folder / "OSZICAR").read_text(errors="replace")))
    except OSError:
        return 0


def handlers_of_a_run(walltime_s: float | None, limit_s: float) -> list[ErrorHandler]:
    """Return new handlers for one run: custodian's never reset their counts.

    Parameters
    ----------
    walltime_s
        When VASP is asked to stop, to be continued later, s; None never asks.
    limit_s
        When it is ended, s.
    """
    stop = [] if walltime_s is None else [StopInTime(walltime_s)]
    return [
        EndInTime(limit_s),
        *stop,
        VaspErrorHandler(),
        StdErrHandler(),
        UnconvergedErrorHandler(),
        FrozenJobErrorHandler(timeout=_FROZEN_S),
    ]
