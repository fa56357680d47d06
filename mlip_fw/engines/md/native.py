"""LAMMPS with ML-PACE, started by the worker's own command."""

from __future__ import annotations

import functools
import shlex
import subprocess
from pathlib import Path

from mlip_fw.engines.md.script import LOG, SCRIPT
from mlip_fw.engines.process import run_command
from mlip_fw.errors import WorkerError

_PAIR_STYLE = "pace/extrapolation"
SCREEN = "lmp.out"


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


def run_native(lmp_cmd: str, folder: Path) -> int:
    """Run ``in.lammps`` in ``folder`` and return the exit code; negative is a signal.

    LAMMPS leads a process group of its own, which ends as a whole when this process is interrupted.
    """
    arguments = ("-in", SCRIPT, "-log", LOG, "-nocite")
    return run_command("lmp_cmd", lmp_cmd, folder, arguments=arguments, stdout=folder / SCREEN).exit_code
