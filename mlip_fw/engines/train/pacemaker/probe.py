"""Whether pacemaker can run on this machine, by running what it needs."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from mlip_fw.engines.process import run_command
from mlip_fw.engines.train.pacemaker.job import command_of
from mlip_fw.errors import WorkerError
from mlip_fw.models.worker import Worker

_TIMEOUT_S = 120.0
_ASK = (
    "import pyace, tensorflow as t, tensorpotential as p, numpy as n;print(p.__version__,t.__version__,n.__version__)"
)
_TOO_NEW = (2, 4)


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
    done = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise WorkerError(f"{python} can't import what pacemaker needs ({said}); install mlip-fw[pacemaker] there")
    pacemaker, tensorflow, numpy = done.stdout.split()[-3:]
    if tuple(int(part) for part in numpy.split(".")[:2]) >= _TOO_NEW:
        raise WorkerError(f"{python} has NumPy {numpy}; tensorpotential needs one below 2.4")
    return f"tensorpotential {pacemaker}, TensorFlow {tensorflow}, NumPy {numpy}"


def _started(command: str) -> str:
    """Start a command that is no script beside a Python."""
    with tempfile.TemporaryDirectory(prefix="mlip-fw-pacemaker-") as name:
        out = Path(name) / "out"
        ended = run_command(
            "pacemaker_cmd", command, Path(name), arguments=("--version",), stdout=out, timeout_s=_TIMEOUT_S
        )
        if ended.exit_code or "version" not in out.read_text(errors="replace"):
            raise WorkerError(f"{command!r} --version ended with exit code {ended.exit_code}")
    return "it starts; TensorFlow was not looked for"
