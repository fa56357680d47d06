"""Queries to Slurm: which jobs it has, and what its cluster is called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cached_property
from typing import Any

from mlip_fw.runtime.worker_record import queue_name

_TIMEOUT_S = 30
_CLUSTER_NAME = re.compile(r"^ClusterName\s*=\s*(\S+)", re.MULTILINE)
_OUTPUT_VARIABLES = ("SQUEUE_", "SLURM_CLUSTERS")
"""Prefixes of variables by which users change the output of Slurm's commands."""


class Slurm:
    """The Slurm of this machine; each answer is kept."""

    def is_here(self) -> bool:
        """Return whether Slurm's commands are on the PATH."""
        return shutil.which("squeue") is not None

    @cached_property
    def jobs(self) -> set[str] | None:
        """Numbers of the jobs that wait or run; None if Slurm does not answer."""
        output = _ask("squeue", "--noheader", "--all", "--format=%A")
        return None if output is None else set(output.split())

    @cached_property
    def name(self) -> str | None:
        """Name of its cluster as worker records have it; None if it has none."""
        found = _CLUSTER_NAME.search(_ask("scontrol", "show", "config") or "")
        return queue_name("slurm", found[1]) if found else None

    def forget_jobs(self) -> None:
        """Query the jobs again at their next use."""
        self.__dict__.pop("jobs", None)

    def has_lost(self, job: Any) -> bool:
        """Return whether Slurm answers and does not have a job; only for jobs that this user would see."""
        return job is not None and self.jobs is not None and str(job) not in self.jobs


def sees_jobs_of(uid: int | None) -> bool:
    """Return whether this user is sure to see another one's jobs, which ``PrivateData=jobs`` in slurm.conf hides."""
    return os.getuid() in (0, uid)


def _ask(*command: str) -> str | None:
    """Return the output of a Slurm command, unaffected by the user's settings; None if it fails."""
    if shutil.which(command[0]) is None:
        return None
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OUTPUT_VARIABLES)}
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
