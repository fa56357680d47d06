"""One MD run from plan to outcome, by whichever engine."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Literal

import numpy as np

from mlip_fw.engines.ace import AcePotential
from mlip_fw.engines.md import script
from mlip_fw.engines.md.native import SCREEN, has_extrapolation, run_native
from mlip_fw.engines.md.outcome import Ending, classify
from mlip_fw.engines.warm import KILLED, nursery
from mlip_fw.errors import ChildError, WorkerError
from mlip_fw.io.files import write_text
from mlip_fw.models.worker import Worker

logger = logging.getLogger("mlip_fw")
_MOST_KILLS = 3
_GAMMA_RTOL = 1e-4
Engine = Literal["lammps", "embedded"]


def choose_engine(wanted: Literal["auto", "lammps", "embedded"], worker: Worker) -> tuple[Engine, str]:
    """Return the engine to use and why.

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


def run_md(plan: script.RunPlan, folder: Path, engine: Engine, worker: Worker) -> Ending:
    """Run ``plan`` in ``folder`` and classify what came of it."""
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(_MOST_KILLS):
        exit_code = _run_once(plan, folder, engine, worker)
        if exit_code not in KILLED:
            break
        logger.warning("LAMMPS was killed in %s; running it again", folder)
    ending = classify(folder, exit_code, plan)
    _require_same_gamma(ending, plan)
    return ending


def _run_once(plan: script.RunPlan, folder: Path, engine: Engine, worker: Worker) -> int:
    for name in (script.LOG, script.DUMP, script.GAMMA_LOG, script.LAST_RESTART, script.LAST_DUMP, SCREEN):
        (folder / name).unlink(missing_ok=True)
    if engine == "lammps":
        write_text(folder / script.SCRIPT, script.write_script(plan, script.native_force_field(plan)))
        return run_native(worker.lmp_cmd or "lmp", folder)
    write_text(folder / script.SCRIPT, script.write_script(plan, script.embedded_force_field(plan)))
    return _run_embedded(plan, folder)


def _require_same_gamma(ending: Ending, plan: script.RunPlan) -> None:
    """Compare the last frame's gamma with pyace's: some builds of LAMMPS have returned zero."""
    if ending.frame is None or "gamma" not in ending.frame.arrays:
        return
    found = ending.frame.arrays["gamma"]
    expected = AcePotential.from_files(plan.potential).evaluate(ending.frame).gamma
    assert expected is not None
    if not np.allclose(found, expected, rtol=_GAMMA_RTOL, atol=_GAMMA_RTOL):
        raise WorkerError(
            f"at step {ending.step} LAMMPS gives a largest gamma of {found.max():.6g}, pyace of {expected.max():.6g}: "
            "this LAMMPS does not watch the extrapolation rightly; use another build, or set md.engine: embedded"
        )


def _run_embedded(plan: script.RunPlan, folder: Path) -> int:
    argument = {
        "potential": str(plan.potential),
        "check_interval": plan.check_interval,
        "elements": list(plan.elements),
    }
    try:
        nursery().call("mlip_fw.engines.md.embedded:run_script", argument, folder=folder, log=folder / SCREEN)
    except ChildError as error:
        if error.exit_code is None:
            raise
        return error.exit_code
    return 0
