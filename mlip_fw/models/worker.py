"""This machine: the ``env`` of a FireWorks worker file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlip_fw.models.base import Frozen

WalltimeS = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=2)]
LabelWalltimeS = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=30)]


class Worker(Frozen):
    """Commands and limits of one machine, from ``my_fworker.yaml`` ``env:``."""

    lmp_cmd: str | None = Field(None, description="command that runs LAMMPS, such as 'mpirun -np 8 lmp'")
    md_walltime_s: WalltimeS | None = Field(None, description="MD stops itself after this time and is continued, s")
    pw_cmd: str | None = Field(None, description="command that runs Quantum ESPRESSO, such as 'mpirun -np 8 pw.x'")
    vasp_cmd: str | None = Field(None, description="command that runs VASP, such as 'mpirun -np 8 vasp_std'")
    pseudo_dir: str | None = Field(None, description="directory of the pseudopotentials (.UPF)")
    scratch: str | None = Field(
        None, pattern=r"^[/~$]", description="directory for wave functions and densities; default: the campaign's"
    )
    label_walltime_s: LabelWalltimeS | None = Field(
        None, description="a reference calculation stops itself after this time and is continued, s"
    )
