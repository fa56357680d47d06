"""Backtracking: a halted frame far beyond the threshold is replaced by an earlier one of the same trajectory.

Gamma is checked only every few steps. In between, atoms may come so close that a reference calculation fails or
teaches nothing of the structures that MD should visit.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path

from mlip_fw.engines.md.outcome import Ending
from mlip_fw.engines.md.run import Engine, run_md
from mlip_fw.engines.md.script import NEAR_EVERY, NEAR_RESTARTS, RunPlan
from mlip_fw.engines.structures.geometry import too_close
from mlip_fw.models.md import MDOutcome
from mlip_fw.models.worker import Worker

logger = logging.getLogger("mlip_fw")
FOLDER = "closer"
_SENSIBLE = 10.0
"""A gamma_halt below this counts as this much: a user who halts early does not say that larger grades are useless."""


def exceeds_ceiling(ending: Ending, plan: RunPlan, too_far: float) -> bool:
    """Return whether a halted frame is not worth a label: atoms are too close, or gamma is far above its threshold.

    Parameters
    ----------
    too_far
        Largest gamma, in units of the threshold, that is worth one.
    """
    if ending.outcome is not MDOutcome.HALTED or ending.frame is None:
        return False
    beyond = replace(plan, gamma_halt={name: too_far * max(_SENSIBLE, halt) for name, halt in plan.thresholds.items()})
    relative = beyond.relative(ending.frame, ending.frame.arrays["gamma"])
    return bool(relative.max() > 1) or too_close(ending.frame) is not None


def backtrack(
    ending: Ending, plan: RunPlan, folder: Path, gamma_select: float, engine: Engine, worker: Worker
) -> Ending | None:
    """Run the last steps before a halt again, with gamma checked at every step, up to an earlier frame.

    The frame is the first whose gamma exceeds the geometric mean of ``gamma_select`` and the threshold,
    with its velocities and a restart file, in the folder ``closer`` inside of ``folder``.

    Returns
    -------
    Ending | None
        The earlier halt, or None if there is none: the run began beyond the threshold.
    """
    start = _before_the_halt(ending, plan, folder)
    if start is None:
        return None
    between = {name: math.sqrt(gamma_select * halt) for name, halt in plan.thresholds.items()}
    near = replace(
        start,
        title=f"{plan.title}, traced back",
        gamma_halt=between,
        check_interval=1,
        last_step=min(ending.step + 1, plan.stage_last_step),
        walltime_s=None,
    )
    found = run_md(near, folder / FOLDER, engine, worker)
    if found.outcome is not MDOutcome.HALTED or not near.first_step <= found.step <= ending.step:
        logger.warning("could not trace the halt at step %d back: %s", ending.step, found.reason or found.outcome.value)
        return None
    return found


def _before_the_halt(ending: Ending, plan: RunPlan, folder: Path) -> RunPlan | None:
    """Return the plan of a run from the newest restart file before the halt, or from where the run began."""
    if ending.step <= plan.first_step:
        return None
    every = NEAR_EVERY * plan.check_interval
    step = (ending.step - 1) // every * every
    written = step // every - plan.first_step // every
    restart = folder / NEAR_RESTARTS[(written - 1) % len(NEAR_RESTARTS)]
    if written <= 0 or not restart.is_file():
        return plan
    return replace(plan, start=restart, is_restart=True, velocity_seed=None, first_step=step)
