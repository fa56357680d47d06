"""This machine: the ``env`` of a FireWorks worker file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlip_fw.models.base import Frozen, PositiveCount

_LEAST_MD_S = 2.0
_LEAST_LABEL_S = 30.0
_LEAST_TRAIN_S = 60.0
WalltimeS = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=_LEAST_MD_S)]
LabelWalltimeS = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=_LEAST_LABEL_S)]

TrainWalltimeS = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=_LEAST_TRAIN_S)]


class Worker(Frozen):
    """Commands and limits of one machine, from ``my_fworker.yaml`` ``env:``."""

    lmp_cmd: str | None = Field(None, description="command that runs LAMMPS, such as 'mpirun -np 8 lmp'")
    md_walltime_s: WalltimeS | None = Field(None, description="MD stops itself after this time and is continued, s")
    md_evaluator: Literal["auto", "kernel", "pyace"] = Field(
        "auto",
        description="what evaluates potentials outside of LAMMPS with ML-PACE; kernel: compiled code, an order of "
        "magnitude faster than pyace; auto: the kernel where it can, or else pyace",
    )
    md_threads: PositiveCount | None = Field(
        None, le=256, description="threads of the kernel; default: the cores of the batch job, or OMP_NUM_THREADS, or 1"
    )
    pw_cmd: str | None = Field(None, description="command that runs Quantum ESPRESSO, such as 'mpirun -np 8 pw.x'")
    vasp_cmd: str | None = Field(None, description="command that runs VASP, such as 'mpirun -np 8 vasp_std'")
    pseudo_dir: str | None = Field(None, description="directory of the pseudopotentials (.UPF)")
    scratch: str | None = Field(
        None, pattern=r"^[/~$]", description="directory for wave functions and densities; default: the campaign's"
    )
    campaigns_dir: str | None = Field(
        None,
        pattern=r"^[/~$]",
        description="directory for this machine's copies of campaigns whose files travel through the FilePad",
    )
    trusted_calculators: list[str] = Field(
        default_factory=list,
        description="names of ASE calculators that campaigns may use although they can run programs or read code, "
        "as oracle.calculator has them",
    )
    label_walltime_s: LabelWalltimeS | None = Field(
        None, description="a reference calculation stops itself after this time and is continued, s"
    )

    pacemaker_cmd: str | None = Field(
        None, description="command that runs pacemaker; default: the one installed beside mlip_fw"
    )
    train_walltime_s: TrainWalltimeS | None = Field(
        None, description="pacemaker is stopped after this time and continued, s"
    )

    def ending_within(self, seconds: float | None) -> Worker:
        """Return the worker with calculations that stop themselves within ``seconds``, the time of a batch job."""
        if seconds is None:
            return self
        md = min(self.md_walltime_s or seconds, max(seconds, _LEAST_MD_S))
        label = min(self.label_walltime_s or seconds, max(seconds, _LEAST_LABEL_S))
        train = min(self.train_walltime_s or seconds, max(seconds, _LEAST_TRAIN_S))
        limits = {
            "md_walltime_s": max(md, _LEAST_MD_S),
            "label_walltime_s": max(label, _LEAST_LABEL_S),
            "train_walltime_s": max(train, _LEAST_TRAIN_S),
        }
        return self.model_copy(update=limits)
