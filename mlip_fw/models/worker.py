"""This machine: the ``env`` of a FireWorks worker file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlip_fw.models.base import Frozen

WalltimeS = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=2)]


class Worker(Frozen):
    """Commands and limits of one machine, from ``my_fworker.yaml`` ``env:``."""

    lmp_cmd: str | None = Field(None, description="command that runs LAMMPS, such as 'mpirun -np 8 lmp'")
    md_walltime_s: WalltimeS | None = Field(None, description="MD stops itself after this time and is continued, s")
