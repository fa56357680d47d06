"""A campaign as a plain loop in one process: what `mlip-fw run` is measured against.

LAMMPS, pyace and the oracle are called as functions of this process. One LAMMPS instance lives
through all halts, the fit and the active set stay in memory, and the only file is the data file that
LAMMPS starts from: no Fireworks, no trajectory, no restarts, nothing that would survive a crash.
After each halt the halted frame alone is labelled, the least that improves a potential.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from threadpoolctl import threadpool_limits

from mlip_fw.campaign.seeds import derived_seed
from mlip_fw.engines.ace.basis import copy_of, linear_basis
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.md.embedded import ExternalForces, open_lammps
from mlip_fw.engines.md.script import RunPlan, embedded_force_field, write_script
from mlip_fw.engines.oracle.ase_child import calculator_class
from mlip_fw.engines.sampling.bootstrap import bootstrap_structures
from mlip_fw.engines.sampling.maxvol import ActiveSet, exchange
from mlip_fw.engines.structures.start import start_structures
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.io.lammps import write_data
from mlip_fw.io.structures import canonical
from mlip_fw.models.campaign import Campaign

_FILES = ("dump", "fix gamma_log", "write_", "if ")
"""Beginnings of the lines of the usual script that write or decide about files."""


class Clock:
    """Wall seconds by what they were spent on."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("md", "label", "train"), 0.0)

    @contextmanager
    def counting(self, what: str) -> Iterator[None]:
        """Count the block's time under ``what``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - started


@dataclass(frozen=True)
class PlainResult:
    """What the plain loop came to."""

    finished: bool
    wall_s: float
    cpu_s: float
    halts: int
    labels: int
    force_rmse_ev_a: float
    seconds: dict[str, float]


class Learner:
    """A linear ACE potential that takes up labels one by one, all in memory."""

    def __init__(self, campaign: Campaign) -> None:
        settings = campaign.potential
        basis = linear_basis(campaign.elements, settings.cutoff_a, settings.functions_per_element)
        n = len(basis.basis_coeffs)
        self._shape = AcePotential(basis)
        self._fit = LinearFit.empty(n)
        self._degrees = np.array([float(sum(f.ns) + sum(f.ls)) for f in _functions(basis)])
        self._rows: dict[str, list[np.ndarray]] = {name: [] for name in self._shape.elements}
        self._active: dict[str, ActiveSet] = {}
        self._free_ev: dict[str, float] | None = None
        self.labels = 0
        self.force_rmse_ev_a = 0.0

    def learn(self, labelled: list[Atoms]) -> AcePotential:
        """Return the potential after ``labelled`` was added to all labels before."""
        if self._free_ev is None:
            self._free_ev = self._energies_of_free_atoms(labelled)
        for atoms in labelled:
            self._add(atoms, self._free_ev)
        coefficients, _ = self._fit.solve(self._degrees)
        self.force_rmse_ev_a = self._fit.errors(coefficients).force_rmse_ev_a
        for element, parts in self._rows.items():
            rows = np.concatenate(parts)
            start = self._active.get(element) or ActiveSet.empty(rows, rows.shape[1])
            self._active[element] = exchange(start, rows).active
        basis = copy_of(self._shape.basis, coefficients)
        return AcePotential(basis, {element: active.inverse for element, active in self._active.items()})

    def _add(self, atoms: Atoms, free_ev: dict[str, float]) -> None:
        design, core = self._shape.design(atoms), self._shape.evaluate(atoms, gamma=False)
        energy = atoms.get_potential_energy() - sum(free_ev[s] for s in atoms.get_chemical_symbols())
        self._fit = self._fit.with_label(design, energy - core.energy_ev, atoms.get_forces() - core.forces_ev_a)
        for element, rows in design.projections.items():
            self._rows[element].append(rows)
        self.labels += 1

    def _energies_of_free_atoms(self, labelled: list[Atoms]) -> dict[str, float]:
        counts = np.array([[float(np.sum(a.symbols == e)) for e in self._shape.elements] for a in labelled])
        energies = np.array([a.get_potential_energy() for a in labelled])
        solution = np.linalg.lstsq(counts, energies, rcond=None)[0]
        return dict(zip(self._shape.elements, map(float, solution), strict=True))


@dataclass
class PlainLoop:
    """The loop itself: MD, halt, label, fit, MD."""

    campaign: Campaign
    clock: Clock = field(default_factory=Clock)
    halts: int = 0

    def run(self) -> PlainResult:
        """Run the campaign to its end or to the end of its budget.

        Matrices are small here: more than one thread gains nothing, and costs much on a busy machine.
        """
        with threadpool_limits(1, user_api="blas"):
            return self._run()

    def _run(self) -> PlainResult:
        wall, cpu = time.perf_counter(), time.process_time()
        campaign, learner = self.campaign, Learner(self.campaign)
        start = start_structures(campaign)[0]
        rng = np.random.default_rng(derived_seed(campaign.seed, "bootstrap"))
        potential = self._mend(learner, bootstrap_structures(start, campaign.bootstrap, rng))
        finished = True
        for walker in range(campaign.md.walkers):
            with tempfile.TemporaryDirectory(prefix="plain-loop-") as folder:
                potential, done = self._walk(walker, start, learner, potential, Path(folder))
            finished &= done
        seconds = {name: round(value, 3) for name, value in self.clock.seconds.items()}
        return PlainResult(
            finished=finished,
            wall_s=time.perf_counter() - wall,
            cpu_s=time.process_time() - cpu,
            halts=self.halts,
            labels=learner.labels,
            force_rmse_ev_a=learner.force_rmse_ev_a,
            seconds=seconds,
        )

    def _walk(
        self, walker: int, start: Atoms, learner: Learner, potential: AcePotential, folder: Path
    ) -> tuple[AcePotential, bool]:
        """Run all stages of one walker; return the last potential and whether the end was reached."""
        campaign, turns = self.campaign, 0
        write_data(folder / "start.data", start, tuple(campaign.elements))
        lammps = open_lammps(["-log", "none", "-screen", "none", "-nocite"])
        for stage in range(len(campaign.md.stages)):
            plan = _plan(campaign, walker, stage, folder / "start.data")
            set_up, run = _commands(plan)
            for line in set_up if stage == 0 else _next_stage(set_up):
                lammps.command(line)
            _attach(lammps, potential, campaign)
            while not self._went_to_the_end(lammps, run, plan):
                if turns >= campaign.budget.max_cycles:
                    return potential, False
                turns += 1
                potential = self._mend(learner, [halted_frame(lammps, campaign.elements)])
                _attach(lammps, potential, campaign)
        lammps.close()
        return potential, True

    def _went_to_the_end(self, lammps: Any, run: str, plan: RunPlan) -> bool:
        with self.clock.counting("md"):
            lammps.command(run)
        if int(lammps.extract_global("ntimestep")) >= plan.stage_last_step:
            return True
        self.halts += 1
        return False

    def _mend(self, learner: Learner, frames: list[Atoms]) -> AcePotential:
        oracle = self.campaign.oracle
        with self.clock.counting("label"):
            for atoms in frames:
                atoms.calc = calculator_class(oracle.calculator)(**oracle.parameters)
                atoms.get_forces()
        with self.clock.counting("train"):
            return learner.learn(frames)


def halted_frame(lammps: Any, elements: list[str]) -> Atoms:
    """Return the atoms as LAMMPS holds them now."""
    low, high, xy, yz, xz, _, _ = lammps.extract_box()
    lx, ly, lz = (b - a for a, b in zip(low, high, strict=True))
    n = lammps.get_natoms()
    order = np.argsort(lammps.numpy.extract_atom("id")[:n].reshape(-1))
    types = lammps.numpy.extract_atom("type")[:n].reshape(-1)[order]
    positions = lammps.numpy.extract_atom("x")[:n][order] - np.array(low)
    cell = [[lx, 0, 0], [xy, ly, 0], [xz, yz, lz]]
    return canonical(Atoms([elements[t - 1] for t in types], positions, cell=cell, pbc=True))


def _attach(lammps: Any, potential: AcePotential, campaign: Campaign) -> None:
    argument = {
        "elements": campaign.elements,
        "check_interval": campaign.uncertainty.check_interval,
        "gamma_halt": campaign.uncertainty.thresholds(campaign.elements),
    }
    ExternalForces(lammps, potential, argument).attach()


def _commands(plan: RunPlan) -> tuple[list[str], str]:
    """Return the set-up and the run command: the script of the workflow without its files.

    The halt is "continue" instead of "soft", so that this LAMMPS can go on by itself.
    """
    lines = [line for line in write_script(plan, embedded_force_field(plan)).splitlines() if line.strip()]
    kept = [line.replace("error soft", "error continue") for line in lines if not line.startswith(_FILES)]
    return [line for line in kept if not line.startswith("run ")], next(k for k in kept if k.startswith("run "))


def _next_stage(set_up: list[str]) -> list[str]:
    return ["unfix integrate", *(line for line in set_up if line.startswith("fix integrate"))]


def _plan(campaign: Campaign, walker: int, stage: int, start: Path) -> RunPlan:
    md = campaign.md
    return RunPlan(
        title="plain loop",
        elements=tuple(campaign.elements),
        cutoff_a=campaign.potential.cutoff_a,
        potential=Path("in-memory.yaml"),
        start=start,
        is_restart=False,
        velocity_seed=derived_seed(campaign.seed, "velocities", walker),
        stage=md.stages[stage],
        stage_first_step=md.first_step(stage),
        stage_last_step=md.last_step(stage),
        first_step=md.first_step(stage),
        timestep_fs=md.timestep_fs,
        gamma_halt=campaign.uncertainty.gamma_halt,
        check_interval=campaign.uncertainty.check_interval,
    )


def _functions(basis: Any) -> list[Any]:
    pairs = zip(basis.basis_rank1, basis.basis, strict=True)
    return [function for first, rest in pairs for function in [*first, *rest]]
