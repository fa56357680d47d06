"""This machine: the ``env`` of a FireWorks worker file."""

from __future__ import annotations

from pydantic import Field

from mlip_fw.models.base import Frozen, Positive


class Worker(Frozen):
    """Commands and limits of one machine, from ``my_fworker.yaml`` ``env:``."""

    lmp_cmd: str | None = Field(None, description="command that runs LAMMPS, such as 'mpirun -np 8 lmp'")
    md_walltime_s: Positive | None = Field(None, description="MD stops itself after this time and is continued, s")
