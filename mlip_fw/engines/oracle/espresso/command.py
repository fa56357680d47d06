"""Which pw.x this machine has, and whether it runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil

from mlip_fw.engines.oracle.espresso.install import installed_python
from mlip_fw.errors import WorkerError
from mlip_fw.models.worker import Worker


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
    """Return what pw.x needs in its environment: one thread, unless the user asks for more."""
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def why_not_started(stderr: str) -> str | None:
    """Return why a launcher could not start pw.x and what to do, or None if it does not say."""
    if "attempt to run as root" in stderr:
        return (
            "mpirun refuses to run as root; begin pw_cmd with "
            "`env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun …` if that is what you want"
        )
    if "not enough slots" in stderr:
        return "mpirun has fewer slots than pw_cmd asks for; use a smaller -np, or --oversubscribe"
    if "unable to find the specified executable" in stderr or "unable to launch the specified" in stderr:
        name = re.search(r"^Executable: +(\S+)", stderr, re.MULTILINE)
        return f"mpirun does not find {name.group(1) if name else 'its program'}; correct pw_cmd"
    if missing := re.search(r"error while loading shared libraries: (.+)", stderr):
        return f"pw.x lacks a library: {missing.group(1)}"
    if missing := re.search(r"No module named .*", stderr):
        return f"the installed Quantum ESPRESSO is broken ({missing.group(0)}); run `mlip-fw doctor --install-qe`"
    return None
