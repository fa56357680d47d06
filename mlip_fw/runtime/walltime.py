"""Time that is left in the batch job of this process, and what a calculation returns that ran out of it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

_VARIABLES = ("MLIP_FW_JOB_END", "SLURM_JOB_END_TIME")
_MARGIN_S = 180.0
"""Kept free at the end of a job: batch systems send a warning signal before they end it."""


@dataclass(frozen=True)
class OutOfTime:
    """The walltime of the worker is over; the next Firework goes on in the same folder."""

    seconds: float
    """Wall time so far, over all attempts and Fireworks, s."""


def seconds_left() -> float | None:
    """Return the time until the batch system ends this job, s; None if it is not known.

    The end is in ``MLIP_FW_JOB_END`` (the queue adapters' scripts set it) or in Slurm's
    ``SLURM_JOB_END_TIME``, as seconds since 1970.
    """
    for name in _VARIABLES:
        try:
            return float(os.environ.get(name, "")) - time.time()
        except ValueError:
            continue
    return None


def working_seconds_left() -> float | None:
    """Return the time for a calculation that is to end by itself before the queue's warning, s; None if unknown."""
    left = seconds_left()
    return None if left is None else max(left - _MARGIN_S, left / 2)
