"""Engine check: a structure that must extrapolate, on which an MD engine has to give the numbers of pyace.

Some builds of LAMMPS return a gamma of zero, with which no MD would ever halt.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from ase import Atoms

from mlip_fw.engines.ace.kernel.choice import PYACE, evaluator_of
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.md.run import Engine, run_md
from mlip_fw.engines.md.script import RunPlan
from mlip_fw.errors import WorkerError
from mlip_fw.io.lammps import write_data
from mlip_fw.models.base import Frozen
from mlip_fw.models.md import MDOutcome, Stage
from mlip_fw.models.worker import Worker

logger = logging.getLogger("mlip_fw")
TITLE = "gamma canary"
_RATTLES_A = (0.25, 0.5, 1.0, 2.0)
"""Standard deviations of the displacements that are tried, Å: a molecule in vacuum needs more than a crystal."""
_GAMMA_HALT = 1.5
_FAR_ENOUGH = 2.0
"""Gamma of the structure, in units of that threshold, at which no rounding decides whether it halts."""


class EngineCheckRecord(Frozen):
    """An engine that has passed the check."""

    engine: str
    lmp_cmd: str | None
    gamma_max: float
    evaluator: str | None = None
    """Of the embedded engine: the compiled kernel, or pyace and why."""


def run_engine_check(
    engine: Engine, worker: Worker, potential: Path, atoms: Atoms, elements: tuple[str, ...], folder: Path
) -> EngineCheckRecord:
    """Run two tiny steps of a strongly displaced copy of ``atoms`` and compare energy, forces and gamma with pyace.

    With the embedded engine, the kernel is compared with pyace first; if they differ, pyace is used.

    Raises
    ------
    WorkerError
        If the engine can't run it, does not halt, or gives other numbers than pyace.
    """
    known = AcePotential.from_files(potential, PYACE)
    strange, evaluator = extrapolating_copy(atoms, known), None
    if engine == "embedded":
        evaluator = str(AcePotential.from_files(potential, evaluator_of(worker)).evaluated_by(strange))
        logger.info("what evaluates the potential in MD: %s", evaluator)
    folder.mkdir(parents=True, exist_ok=True)
    write_data(folder / "start.data", strange, elements)
    plan = RunPlan(
        title=TITLE,
        elements=elements,
        cutoff_a=known.cutoff_a,
        potential=potential,
        start=folder / "start.data",
        is_restart=False,
        velocity_seed=1,
        stage=Stage(ensemble="nve", n_steps=2),
        stage_first_step=0,
        stage_last_step=2,
        first_step=0,
        timestep_fs=1e-3,
        gamma_halt=_GAMMA_HALT,
        check_interval=1,
    )
    ending = run_md(plan, folder, engine, worker)
    if ending.outcome is not MDOutcome.HALTED or ending.gamma_max is None:
        raise WorkerError(
            f"the {engine} engine did not halt on a structure that extrapolates ({ending.outcome.value}"
            f"{': ' + ending.reason if ending.reason else ''}); see {folder}, and `mlip-fw doctor`"
        )
    return EngineCheckRecord(engine=engine, lmp_cmd=worker.lmp_cmd, gamma_max=ending.gamma_max, evaluator=evaluator)


def extrapolating_copy(atoms: Atoms, potential: AcePotential) -> Atoms:
    """Return the least displaced copy of ``atoms`` that extrapolates according to pyace; if none does, the last."""
    for size in _RATTLES_A:
        strange = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        strange.positions += np.random.default_rng(1).normal(scale=size, size=strange.positions.shape)
        gamma = potential.evaluate(strange).gamma
        assert gamma is not None
        if gamma.max() > _FAR_ENOUGH * _GAMMA_HALT:
            break
    return strange
