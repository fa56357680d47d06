"""The pw.x of this machine: its command, its version, and a dry run that reads all files and computes nothing."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ase import Atoms

from mlip_fw.engines.oracle.espresso.install import installed_python
from mlip_fw.engines.oracle.espresso.pseudo import Pseudopotential
from mlip_fw.engines.oracle.espresso.settings import (
    CRASH,
    ERRORS,
    INPUT,
    OUTDIR,
    OUTPUT,
    PSEUDO_DIR,
    first_namelists,
)
from mlip_fw.engines.oracle.espresso.trouble import MACHINE_TROUBLES, PwTrouble, Traces, diagnose
from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.io.espresso import read_pw_output, write_pw_input
from mlip_fw.models.oracle import EspressoOracle
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.subprocesses import CommandResult, run_command

_TIMEOUT_S = 300.0
_SPACING_A = 5.0
_TEST_TROUBLES = {
    PwTrouble.NOT_CONVERGED,
    PwTrouble.NEEDS_SMEARING,
    PwTrouble.TOO_FEW_BANDS,
    PwTrouble.DIAGONALISATION,
}
"""Troubles of the few atoms of a dry run: older versions make the SCF step that ``nstep = 0`` should spare."""
_MACHINE_TROUBLES = MACHINE_TROUBLES | {PwTrouble.KILLED, PwTrouble.HUNG, PwTrouble.CRASHED}
"""With these, a dry run says nothing about the settings, either."""


def find_command(worker: Worker) -> str:
    """Return the command of pw.x: the worker's, the one on the PATH, or the one of ``doctor --install-qe``.

    Raises
    ------
    WorkerError
        If there is none.
    """
    if worker.pw_cmd:
        return worker.pw_cmd
    if shutil.which("pw.x"):
        return "pw.x"
    python = installed_python()
    if python is not None:
        return f"{shlex.quote(str(python))} -m qepy --pw.x"
    raise WorkerError(
        "no pw.x on this machine: set env.pw_cmd in my_fworker.yaml, or let `mlip-fw doctor --install-qe` install one"
    )


def environment() -> dict[str, str]:
    """Return the environment variables for pw.x: one thread, unless the user asks for more."""
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def dry_run(command: str, oracle: EspressoOracle, pseudopotentials: Mapping[str, Pseudopotential]) -> str:
    """Let pw.x read the settings and the pseudopotentials, and return its version.

    Raises
    ------
    CampaignError
        If pw.x refuses the settings.
    WorkerError
        If pw.x does not start or does not read a pseudopotential.
    """
    with tempfile.TemporaryDirectory(prefix="mlip-fw-pw-") as name:
        traces = _run(command, oracle, pseudopotentials, Path(name))
    failure, version = diagnose(traces), read_pw_output(traces.out).version
    if version and (failure is None or failure.trouble in _TEST_TROUBLES):
        return version
    said = f"{failure.trouble}: {failure.message}" if failure else f"exit code {traces.ended.exit_code}"
    if failure is None or failure.trouble in _MACHINE_TROUBLES:
        raise WorkerError(f"pw_cmd {command!r} does not run here: {said}")
    raise CampaignError(f"pw.x refuses the oracle's settings: {said}; see oracle.namelists")


def version_of(command: str) -> str:
    """Return the version that pw.x says it is, whatever it makes of an empty input.

    Raises
    ------
    WorkerError
        If it does not start or is not pw.x.
    """
    with tempfile.TemporaryDirectory(prefix="mlip-fw-pw-") as name:
        folder = Path(name)
        (folder / INPUT).write_text("")
        ended, out = _start(command, folder)
        version = read_pw_output(out.read_text(errors="replace")).version
    if not version:
        raise WorkerError(
            f"pw_cmd {command!r} did not say that it is pw.x (exit code {ended.exit_code}); correct env.pw_cmd"
        )
    return version


def _run(command: str, oracle: EspressoOracle, pseudopotentials: Mapping[str, Pseudopotential], folder: Path) -> Traces:
    elements = list(pseudopotentials)
    spots = [[_SPACING_A * k, 0.0, 0.0] for k in range(len(elements))]
    atoms = Atoms(elements, spots, cell=[_SPACING_A * len(elements), _SPACING_A, _SPACING_A], pbc=True)
    namelists = first_namelists(atoms, oracle, pseudopotentials)
    namelists["control"]["nstep"] = 0
    namelists["electrons"]["electron_maxstep"] = 1
    (folder / OUTDIR).mkdir()
    (folder / PSEUDO_DIR).mkdir()
    for pseudo in pseudopotentials.values():
        (folder / PSEUDO_DIR / pseudo.path.name).symlink_to(pseudo.path)
    write_pw_input(folder / INPUT, atoms, namelists, {e: p.path.name for e, p in pseudopotentials.items()}, None)
    ended, out = _start(command, folder)
    err = folder / ERRORS
    crash = (folder / CRASH).read_text(errors="replace") if (folder / CRASH).is_file() else ""
    return Traces(ended, out.read_text(errors="replace"), err.read_text(errors="replace"), crash)


def _start(command: str, folder: Path) -> tuple[CommandResult, Path]:
    out = folder / OUTPUT
    ended = run_command(
        "pw_cmd",
        command,
        folder,
        arguments=("-in", INPUT),
        stdout=out,
        stderr=folder / ERRORS,
        timeout_s=_TIMEOUT_S,
        environment=environment(),
    )
    return ended, out
