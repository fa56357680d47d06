"""The outcome of a LAMMPS run, from its exit code, log and files, which have to agree."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from mlip_fw.engines.md import script
from mlip_fw.engines.structures.geometry import too_close
from mlip_fw.io.lammps import error_in_log, halt_in_log, read_dump
from mlip_fw.io.structures import write_frames
from mlip_fw.models.md import MDOutcome
from mlip_fw.runtime.fork_server import KILLED_EXIT_CODES

_PHYSICS = re.compile(
    r"lost atoms|non-numeric|not finite|out of range|too far|neighbor list overflow|box size|too many neighbor",
    re.IGNORECASE,
)
"""Errors of LAMMPS that mean that atoms have moved too fast or overlap."""
_WALLTIME = "Wall time limit reached"


@dataclass(frozen=True)
class Ending:
    """The outcome of one LAMMPS run with the last frame."""

    outcome: MDOutcome
    step: int
    frame: Atoms | None = None
    gamma_max: float | None = None
    atom: int | None = None
    reason: str | None = None
    is_physics: bool = False
    """Of a crash: whether the atoms are to blame, and not the machine."""


def classify(folder: Path, exit_code: int, plan: script.RunPlan) -> Ending:
    """Return the outcome of the run in ``folder``.

    A halt counts only if the last frame is of that very step, a finish only if it is of the stage's last step.
    """
    log = _text(folder / script.LOG)
    last = _last_frame(folder / script.LAST_DUMP)
    restart = folder / script.LAST_RESTART
    if exit_code != 0 or last is None or not restart.is_file():
        return _crash(folder, exit_code, log, plan)
    step, frame = last[0], plan.with_masses(last[1])
    if not np.isfinite(frame.positions).all() or not np.isfinite(frame.get_velocities()).all():
        return Ending(
            MDOutcome.CRASHED, step, reason=f"positions or velocities are not finite at step {step}", is_physics=True
        )
    halt = halt_in_log(log, "watchdog")
    gamma = frame.arrays.get("gamma")
    # the log also echoes the command that would print this: only a line of its own counts
    halted_at_start = any(line.startswith(script.HALTED_AT_START) for line in log.splitlines())
    if halted_at_start and step == plan.first_step and gamma is not None:
        return _halted(step, frame, gamma, plan)
    if halt is not None and halt[0] == step:
        if gamma is None:
            return Ending(MDOutcome.CRASHED, step, reason=f"halted at step {step}, but {script.LAST_DUMP} has no gamma")
        return _halted(step, frame, gamma, plan)
    if step == plan.stage_last_step:
        return Ending(MDOutcome.FINISHED, step, frame)
    if _WALLTIME in log:
        return Ending(MDOutcome.WALLTIME, step, frame)
    return Ending(
        MDOutcome.CRASHED, step, reason=f"LAMMPS stopped at step {step} of {plan.stage_last_step} without saying why"
    )


def frame_before_crash(folder: Path, gamma_select: float, plan: script.RunPlan) -> Ending | None:
    """Return the last frame before a crash that is finite, extrapolates and has no atoms too close, if any."""
    dump = folder / script.DUMP
    if not dump.is_file():
        return None
    for step, frame in reversed(read_dump(dump)):
        gamma = frame.arrays.get("gamma")
        sound = gamma is not None and np.isfinite(frame.positions).all() and np.isfinite(gamma).all()
        if gamma is not None and sound and gamma.max() >= gamma_select and not too_close(frame):
            atom = int(np.argmax(plan.relative(frame, gamma)))
            return Ending(MDOutcome.CRASHED, step, plan.with_masses(frame), gamma_max=float(gamma[atom]), atom=atom)
    return None


def keep_last_frame(ending: Ending, source: Path, folder: Path, generation: int) -> tuple[Path | None, Path | None]:
    """Store the last frame and restart file of a run under their lasting names, and remove its temporary files.

    Parameters
    ----------
    source, folder
        Where the run was made and where its files are kept; the same, but for a run that was traced back.
    generation
        Of the potential, written to the frame.

    Returns
    -------
    restart, frame : pathlib.Path | None
        ``halt.restart`` or ``end.restart``, which a crash does not leave, and ``halt.extxyz``, ``end.extxyz`` or
        ``crash.extxyz``.
    """
    for name in script.NEAR_RESTARTS:
        (folder / name).unlink(missing_ok=True)
        (source / name).unlink(missing_ok=True)
    if source != folder:
        (source / script.DUMP).unlink(missing_ok=True)
    if ending.frame is None:
        return None, None
    name = {MDOutcome.HALTED: "halt", MDOutcome.CRASHED: "crash"}.get(ending.outcome, "end")
    kept, restart = folder / f"{name}.extxyz", folder / f"{name}.restart"
    ending.frame.info = {"step": ending.step, "generation": generation}
    if ending.atom is not None:
        ending.frame.info["center"] = ending.atom
    write_frames(kept, [ending.frame])
    if ending.outcome is MDOutcome.CRASHED:
        return None, kept
    (source / script.LAST_RESTART).replace(restart)
    return restart, kept


def _halted(step: int, frame: Atoms, gamma: np.ndarray, plan: script.RunPlan) -> Ending:
    atom = int(np.argmax(plan.relative(frame, gamma)))
    return Ending(MDOutcome.HALTED, step, frame, gamma_max=float(gamma[atom]), atom=atom)


def _crash(folder: Path, exit_code: int, log: str, plan: script.RunPlan) -> Ending:
    said = error_in_log(log) or _last_line(_text(folder / "lmp.out"))
    if exit_code < 0:
        said = f"killed by {signal.Signals(-exit_code).name}" + (f"; {said}" if said else "")
    reason = said or f"exit code {exit_code} and no last frame"
    is_physics = exit_code not in KILLED_EXIT_CODES and _PHYSICS.search(reason) is not None
    return Ending(MDOutcome.CRASHED, plan.first_step, reason=reason, is_physics=is_physics)


def _last_frame(path: Path) -> tuple[int, Atoms] | None:
    if not path.is_file():
        return None
    frames = read_dump(path)
    return frames[-1] if frames else None


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


def _last_line(text: str) -> str | None:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else None
