"""How many labels a campaign takes, and how good its potential is on MD of the oracle itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from workflow_loop import run_workflow

from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.models.campaign import Campaign

TEMPERATURES_K = (300, 800, 1600)
_FRAMES, _SPACING, _EQUILIBRATION = 8, 20, 300


@dataclass(frozen=True)
class LabelCount:
    """What the campaign took and gave."""

    halts: int
    labels: int
    wall_s: float
    force_rmse_mev_a: dict[int, float]
    """By temperature of the oracle's MD, K."""


def gamma_halt_five(copper: Campaign) -> Campaign:
    """Return the ramp of 2,000 steps at gamma_halt 5."""
    data = copper.model_dump(mode="json")
    data["uncertainty"]["gamma_halt"] = 5.0
    data["md"]["stages"][0]["n_steps"] = 2000
    return Campaign.model_validate(data)


def measure_labels(folder: Path, copper: Campaign) -> LabelCount:
    """Run the campaign by `mlip-fw run` and test its potential on frames that it has never seen."""
    ours = run_workflow(gamma_halt_five(copper), folder)
    potential = AcePotential.from_files(Path(ours.summary["potential"]))
    errors = {t: 1000 * force_rmse(potential, oracle_md(t)) for t in TEMPERATURES_K}
    return LabelCount(ours.summary["halts"], ours.summary["labels"], ours.wall_s, errors)


def oracle_md(temperature_k: int) -> list[Atoms]:
    atoms = bulk("Cu", cubic=True, a=3.61) * (3, 3, 3)
    atoms.calc = EMT()
    rng = np.random.default_rng(temperature_k)
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature_k, rng=rng)
    dynamics = Langevin(atoms, 2 * units.fs, temperature_K=temperature_k, friction=0.02, rng=rng)
    dynamics.run(_EQUILIBRATION)
    frames = []
    for _ in range(_FRAMES):
        dynamics.run(_SPACING)
        frame = atoms.copy()
        frame.set_array("reference", atoms.get_forces().copy())
        frames.append(frame)
    return frames


def force_rmse(potential: AcePotential, frames: list[Atoms]) -> float:
    differences = [potential.evaluate(f, gamma=False).forces_ev_a - f.arrays["reference"] for f in frames]
    return float(np.sqrt(np.mean(np.square(differences))))
