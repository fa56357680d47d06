"""The pacemaker of this machine: its command, and whether it can run."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mlip_fw.errors import WorkerError
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.subprocesses import run_command

_TIMEOUT_S = 120.0
_PRINT_VERSIONS = (
    "import pyace, tensorflow as t, tensorpotential as p, numpy as n;print(p.__version__,t.__version__,n.__version__)"
)
_TOO_NEW = (2, 4)
"""First version of NumPy that tensorpotential can't use."""


def command_of(worker: Worker) -> str:
    """Return the command that runs pacemaker here.

    Raises
    ------
    WorkerError
        If the worker names none and none is installed.
    """
    if worker.pacemaker_cmd is not None:
        return worker.pacemaker_cmd
    beside = Path(sys.executable).with_name("pacemaker")
    if beside.is_file():
        return str(beside)
    raise WorkerError(
        f"there is no pacemaker beside {sys.executable} and my_fworker.yaml has no env.pacemaker_cmd; "
        "install mlip-fw[pacemaker], see docs/how-to/choose-a-trainer.md"
    )


def require_pacemaker(campaign: Campaign, worker: Worker) -> None:
    """Check that pacemaker is on this machine if the campaign trains with it.

    Raises
    ------
    WorkerError
        If it is not: better now than at the end of the campaign, when MD has used its time.
    """
    if campaign.potential.kind == "pacemaker":
        _require_program(command_of(worker))


def _require_program(command: str) -> None:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise _cant_run(command, str(error)) from error
    if not words or shutil.which(words[0]) is None:
        raise _cant_run(command, "there is no such program here")


def _cant_run(command: str, why: str) -> WorkerError:
    return WorkerError(f"can't run pacemaker_cmd {command!r}: {why}; correct env.pacemaker_cmd in my_fworker.yaml")


def can_run(worker: Worker) -> str:
    """Return the command and the versions of what it needs.

    Raises
    ------
    WorkerError
        If pacemaker does not start, or its Python has no tensorpotential, no TensorFlow or a NumPy too new for them.
    """
    command = command_of(worker)
    python = Path(command).with_name("python")
    return f"{command}: " + (_versions(python) if python.is_file() else _started(command))


def _versions(python: Path) -> str:
    """Ask the Python that pacemaker is a script of."""
    command = [str(python), "-c", _PRINT_VERSIONS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise WorkerError(f"{python} can't import what pacemaker needs ({said}); install mlip-fw[pacemaker] there")
    pacemaker, tensorflow, numpy = done.stdout.split()[-3:]
    if tuple(int(part) for part in numpy.split(".")[:2]) >= _TOO_NEW:
        raise WorkerError(f"{python} has NumPy {numpy}; tensorpotential needs one below 2.4")
    return f"tensorpotential {pacemaker}, TensorFlow {tensorflow}, NumPy {numpy}"


def _started(command: str) -> str:
    """Start a command that is not a script beside its Python, such as a container's."""
    with tempfile.TemporaryDirectory(prefix="mlip-fw-pacemaker-") as name:
        out = Path(name) / "out"
        ended = run_command(
            "pacemaker_cmd", command, Path(name), arguments=("--version",), stdout=out, timeout_s=_TIMEOUT_S
        )
        if ended.exit_code or "version" not in out.read_text(errors="replace"):
            raise WorkerError(f"{command!r} --version ended with exit code {ended.exit_code}")
    return "it starts; TensorFlow was not looked for"
