"""What Slurm says of jobs, where it can know them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cached_property
from typing import Any

from mlip_fw.attendance import queue_name

_PATIENCE_S = 30
_CLUSTER_NAME = re.compile(r"^ClusterName\s*=\s*(\S+)", re.MULTILINE)
_CHANGES_ANSWERS = ("SQUEUE_", "SLURM_CLUSTERS")


class Slurm:
    """The Slurm of this machine, asked once."""

    def is_here(self) -> bool:
        """Return whether its commands are on the PATH."""
        return shutil.which("squeue") is not None

    @cached_property
    def jobs(self) -> set[str] | None:
        """Numbers of the jobs that it has, waiting or running; None if there is no Slurm that answers."""
        said = _ask("squeue", "--noheader", "--all", "--format=%A")
        return None if said is None else set(said.split())

    @cached_property
    def name(self) -> str | None:
        """Its name as notes of processes give it; None if it says none."""
        found = _CLUSTER_NAME.search(_ask("scontrol", "show", "config") or "")
        return queue_name("slurm", found[1]) if found else None

    def forget_jobs(self) -> None:
        """Have the jobs asked for again."""
        self.__dict__.pop("jobs", None)

    def has_lost(self, job: Any) -> bool:
        """Return whether it is there and has no such job; the caller knows that it would see it."""
        return job is not None and self.jobs is not None and str(job) not in self.jobs


def sees_jobs_of(uid: int | None) -> bool:
    """Return whether Slurm shows this user the jobs of another one for certain; ``PrivateData=jobs`` hides them."""
    return os.getuid() in (0, uid)


def _ask(*command: str) -> str | None:
    """Return what a command of Slurm says, whatever the user's settings for it are."""
    if shutil.which(command[0]) is None:
        return None
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_CHANGES_ANSWERS)}
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_PATIENCE_S, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
