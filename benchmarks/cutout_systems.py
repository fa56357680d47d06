"""Systems for the benchmark of cut-outs, and frames of MD with the reference to test potentials on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.build import bulk, fcc100
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from mlip_fw.engines.ace.potential import AcePotential


@dataclass(frozen=True)
class System:
    """Something to simulate."""

    start: Atoms
    tested: Atoms
    """A smaller cell of the same kind, for MD with the reference."""
    ramp_k: tuple[float, float]
    test_k: tuple[int, ...]
    gamma_halt: float = 10.0
    n_steps: int = 600


def copper(n: int) -> System:
    """Return a crystal that is heated until it melts."""
    cell = bulk("Cu", cubic=True, a=3.61)
    return System(cell * (n, n, n), cell * (4, 4, 4), (300, 1600), (300, 950, 1600))


def surface() -> System:
    """Return a slab with vacuum."""

    def slab(n: int) -> Atoms:
        atoms = fcc100("Cu", (n, n, 6), a=3.61, vacuum=8.0)
        atoms.pbc = True
        return atoms

    return System(slab(19), slab(6), (300, 1200), (300, 700, 1200))


def alloy() -> System:
    """Return a random solid solution of copper and gold."""

    def mixed(n: int) -> Atoms:
        atoms = bulk("Cu", cubic=True, a=3.87) * (n, n, n)
        atoms.symbols[np.random.default_rng(n).permutation(len(atoms))[: len(atoms) // 2]] = "Au"
        return atoms

    return System(mixed(8), mixed(4), (300, 1600), (300, 950, 1600))


def liquid() -> System:
    """Return molten copper, where no box fits."""
    melt = bulk("Cu", cubic=True, a=3.85) * (5, 5, 5)
    for temperature_k in (3500, 1800):
        oracle_md(melt, temperature_k, 300, np.random.default_rng(1))
    melt.calc = None
    return System(melt, melt, (1600, 2400), (1600, 2200), gamma_halt=2.0)


SYSTEMS: dict[str, Callable[[], System]] = {
    "copper-500": lambda: copper(5),
    "copper-2048": lambda: copper(8),
    "surface": surface,
    "alloy": alloy,
    "liquid": liquid,
}


def oracle_md(atoms: Atoms, temperature_k: float, n_steps: int, rng: np.random.Generator) -> Langevin:
    atoms.calc = EMT()
    MaxwellBoltzmannDistribution(atoms, temperature_K=2 * temperature_k, rng=rng)
    dynamics = Langevin(atoms, 2 * units.fs, temperature_K=temperature_k, friction=0.02 / units.fs, rng=rng)
    dynamics.run(n_steps)
    return dynamics


def oracle_frames(system: System) -> dict[int, list[Atoms]]:
    """Return frames of MD with EMT by temperature, each with its forces."""
    frames: dict[int, list[Atoms]] = {}
    for temperature_k in system.test_k:
        atoms = system.tested.copy()
        dynamics = oracle_md(atoms, temperature_k, 150, np.random.default_rng(temperature_k))
        for _ in range(4):
            dynamics.run(25)
            frame = atoms.copy()
            frame.set_array("reference", atoms.get_forces().copy())
            frames.setdefault(temperature_k, []).append(frame)
    return frames


def force_rmse(potential: AcePotential, frames: list[Atoms]) -> float:
    differences = [potential.evaluate(f, gamma=False).forces_ev_a - f.arrays["reference"] for f in frames]
    return float(np.sqrt(np.mean(np.square(differences))))
