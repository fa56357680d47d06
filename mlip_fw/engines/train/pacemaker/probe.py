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
_ASK = "import tensorflow as t, tensorpotential as p, numpy as n; print(p.__version__, t.__version__, n.__version__)"
_TOO_NEW = (2, 4)


def can_run(worker: Worker) -> str:
    """Return the command and the versions of what it needs.

    Raises
    ------
    WorkerError
        If pacemaker does not start, or its Python has no tensorpotential, no TensorFlow or a NumPy too new for them.
    """
    command = command_of(worker)
    with tempfile.TemporaryDirectory(prefix="mlip-fw-pacemaker-") as name:
        out = Path(name) / "out"
        ended = run_command(
            "pacemaker_cmd", command, Path(name), arguments=("--version",), stdout=out, timeout_s=_TIMEOUT_S
        )
        if ended.exit_code or "version" not in out.read_text(errors="replace"):
            raise WorkerError(f"{command!r} --version ended with exit code {ended.exit_code}")
    return f"{command}: {_needed(command)}"


def _needed(command: str) -> str:
    """Ask the Python of a pacemaker that is a script of it; of another command nothing is known before it runs."""
    python = Path(command).with_name("python")
    if not python.is_file():
        return "TensorFlow was not looked for, as this is no script beside a Python"
    done = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise WorkerError(f"{python} has no TensorFlow and tensorpotential: install mlip-fw[pacemaker] there")
    versions = done.stdout.split()[-3:]
    if tuple(int(part) for part in versions[2].split(".")[:2]) >= _TOO_NEW:
        raise WorkerError(f"{python} has NumPy {versions[2]}; tensorpotential needs one below 2.4")
    return "tensorpotential {}, TensorFlow {}, NumPy {}".format(*versions)
