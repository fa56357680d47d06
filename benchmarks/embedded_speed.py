"""How fast the embedded engine is per atom and step, small cells against large, checked steps against others.

Every number is the slope between a run of n steps and one of 2n, so that starting LAMMPS, reading the
potential and classifying the outcome drop out.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms
from ase.build import bulk

from mlip_fw.engines.md.run import run_md
from mlip_fw.engines.md.script import RunPlan
from mlip_fw.io.lammps import write_data
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.md import MDOutcome, Stage
from mlip_fw.models.worker import Worker

_REPEATS = 3
_TEMPERATURE_K = 300.0


@dataclass(frozen=True)
class Case:
    """One kind of run."""

    name: str
    repeat: tuple[int, int, int]
    n_steps: int
    check_interval: int

    def atoms(self) -> Atoms:
        """Return perfect copper."""
        return bulk("Cu", cubic=True, a=3.61) * self.repeat


SMALL = Case("108 atoms, every 10", (3, 3, 3), 200, 10)
LARGE = Case("2048 atoms, every 10", (8, 8, 8), 30, 10)
CHECKED = Case("108 atoms, every 1", (3, 3, 3), 200, 1)


def measure_embedded(potential: Path, campaign: Campaign) -> dict[str, float]:
    """Return µs per atom and step of each case: the median of several slopes, cases taking turns."""
    slopes: dict[str, list[float]] = {case.name: [] for case in (SMALL, LARGE, CHECKED)}
    _run(SMALL, 10, potential, campaign)
    for _ in range(_REPEATS):
        for case in (SMALL, LARGE, CHECKED):
            once, twice = (_run(case, n, potential, campaign) for n in (case.n_steps, 2 * case.n_steps))
            slopes[case.name].append(1e6 * (twice - once) / case.n_steps / len(case.atoms()))
    return {name: statistics.median(values) for name, values in slopes.items()}


def _run(case: Case, n_steps: int, potential: Path, campaign: Campaign) -> float:
    """Return the seconds of one nvt run from new velocities."""
    with tempfile.TemporaryDirectory(prefix="embedded-speed-") as name:
        folder = Path(name)
        write_data(folder / "start.data", case.atoms(), ("Cu",))
        plan = RunPlan(
            title=case.name,
            elements=("Cu",),
            cutoff_a=campaign.potential.cutoff_a,
            potential=potential,
            start=folder / "start.data",
            is_restart=False,
            velocity_seed=1,
            stage=Stage(ensemble="nvt", n_steps=n_steps, temperature_k=[_TEMPERATURE_K, _TEMPERATURE_K]),
            stage_first_step=0,
            stage_last_step=n_steps,
            first_step=0,
            timestep_fs=2.0,
            gamma_halt=1e9,
            check_interval=case.check_interval,
        )
        started = time.perf_counter()
        ending = run_md(plan, folder / "md", "embedded", Worker())
        seconds = time.perf_counter() - started
    if ending.outcome is not MDOutcome.FINISHED:
        raise RuntimeError(f"{case.name}: MD {ending.outcome.value}: {ending.reason}")
    return seconds
