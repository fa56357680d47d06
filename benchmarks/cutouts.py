"""What to label of a large MD cell, and what of it to learn: a table of policies.

Campaigns run as plain loops in this process: MD with the potential, a halt where gamma passes the
threshold, a label of the whole cell or of a cut-out, a fit, and on. The reference is EMT, because it
is cheap enough to label whole cells too. The errors are those of the last potential on frames from
MD with EMT itself, of the same kind of system. Run as::

    OMP_NUM_THREADS=1 python benchmarks/cutouts.py [copper-500 copper-2048 surface alloy liquid] [--policies …]
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from cutout_policies import POLICIES, Example, Policy, hard, never_cut, rehearsed, settings, whole
from cutout_systems import SYSTEMS, System, force_rmse, oracle_frames
from threadpoolctl import threadpool_limits

from mlip_fw.engines.ace.basis import copy_of, linear_basis
from mlip_fw.engines.ace.potential import AcePotential, Design, rows_within
from mlip_fw.engines.sampling.bootstrap import first_structures
from mlip_fw.engines.sampling.maxvol import ActiveSet, exchange
from mlip_fw.engines.sampling.small_cell import seamless_cell
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.models.campaign import BootstrapSettings

CUTOFF_A, N_FUNCTIONS, CHECK_INTERVAL, MAX_HALTS = 6.0, 200, 10, 60
_FRICTION_1_FS = 0.01


class Learner:
    """A linear ACE potential that takes up examples one by one."""

    def __init__(self, elements: list[str]) -> None:
        basis = linear_basis(elements, CUTOFF_A, N_FUNCTIONS)
        self._shape = AcePotential(basis)
        self._fit = LinearFit.empty(len(basis.basis_coeffs))
        functions = [f for pair in zip(basis.basis_rank1, basis.basis, strict=True) for part in pair for f in part]
        self._degrees = np.array([float(sum(f.ns) + sum(f.ls)) for f in functions])
        self._rows: dict[str, list[np.ndarray]] = {name: [] for name in self._shape.elements}
        self._active: dict[str, ActiveSet] = {}
        self._free_ev: dict[str, float] | None = None
        self.labels = self.labelled_atoms = self.trained_atoms = 0

    def learn(self, examples: list[Example]) -> AcePotential:
        """Label ``examples`` with EMT and return the potential that knows them."""
        for example in examples:
            example.atoms.calc = EMT()
            example.atoms.get_forces()
        if self._free_ev is None:
            self._free_ev = self._free_energies([example.atoms for example in examples])
        for example in examples:
            self._take(example, self._free_ev)
        coefficients, _ = self._fit.solve(self._degrees)
        for element, parts in self._rows.items():
            rows = np.concatenate(parts)
            start = self._active.get(element) or ActiveSet.empty(rows, rows.shape[1])
            self._active[element] = exchange(start, rows).active
        inverses = {element: active.inverse for element, active in self._active.items()}
        return AcePotential(copy_of(self._shape.basis, coefficients), inverses)

    def _take(self, example: Example, free_ev: dict[str, float]) -> None:
        atoms, weights = example.atoms, example.weights[:, None]
        design, core = self._shape.design(atoms), self._shape.evaluate(atoms, gamma=False)
        energy = atoms.get_potential_energy() - sum(free_ev[s] for s in atoms.get_chemical_symbols())
        weighted = Design(design.energy, design.forces * weights[:, :, None], design.projections)
        forces = (atoms.get_forces() - core.forces_ev_a) * weights
        self._fit = self._fit.with_label(weighted, energy - core.energy_ev, forces, self._in_fit(example))
        for element, rows in rows_within(example.mask, design.projections, atoms).items():
            self._rows[element].append(rows)
        self.labels += 1
        self.labelled_atoms += len(atoms)
        self.trained_atoms += int(example.mask.sum())

    def _in_fit(self, example: Example) -> np.ndarray:
        """Return the atoms whose forces count; never all of them unless the energy counts too."""
        inside = example.weights > 0
        if not example.mask.all() and inside.all():
            inside[int(np.argmin(example.weights))] = False
        return inside

    def _free_energies(self, labelled: list[Atoms]) -> dict[str, float]:
        counts = np.array([[float(np.sum(a.symbols == e)) for e in self._shape.elements] for a in labelled])
        energies = np.array([a.get_potential_energy() for a in labelled])
        return dict(zip(self._shape.elements, np.linalg.lstsq(counts, energies, rcond=None)[0], strict=True))


class _Ace(Calculator):
    implemented_properties = ("energy", "forces")

    def __init__(self, potential: AcePotential, atoms: Atoms) -> None:
        super().__init__()
        self.potential, self._neighbours = potential, potential.neighbours(atoms, skin_a=1.0)

    def calculate(self, atoms=None, properties=("forces",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        answer = self.potential.evaluate_moving(self._neighbours, atoms.positions, atoms.cell.array, gamma=False)
        self.results = {"energy": answer.energy_ev, "forces": answer.forces_ev_a}

    def gamma(self, atoms: Atoms) -> np.ndarray:
        answer = self.potential.evaluate_moving(self._neighbours, atoms.positions, atoms.cell.array, gamma=True)
        assert answer.gamma is not None
        return answer.gamma


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    halts: int
    labels: int
    labelled_atoms: int
    trained_atoms: int
    force_rmse_mev_a: tuple[float, ...]
    finished: bool
    wall_s: float

    def __str__(self) -> str:
        errors = " / ".join(f"{error:.1f}" for error in self.force_rmse_mev_a)
        overall = float(np.sqrt(np.mean(np.square(self.force_rmse_mev_a))))
        share = self.trained_atoms / self.labelled_atoms
        ending = "" if self.finished else " (stopped)"
        counts = f"{self.halts}{ending} | {self.labels} | {self.labelled_atoms:,} | {share:.0%}"
        return f"{counts} | {errors} | {overall:.2f} | {self.wall_s:.0f}"


@threadpool_limits.wrap(limits=1, user_api="blas")
def campaign(system: System, policy: Policy, tests: dict[int, list[Atoms]], bootstrap: dict, seed: int) -> Row:
    """Run one campaign; the first labels are small cells unless the policy is never to cut."""
    started, rng = time.perf_counter(), np.random.default_rng(seed)
    elements = sorted(set(system.start.get_chemical_symbols()))
    learner = Learner(elements)
    cutout = {"mode": "never" if policy is never_cut else "auto"}
    made_with = settings(elements, candidates={"cutout": cutout}, bootstrap=bootstrap)
    first = first_structures([system.start], made_with, rng)
    potential = learner.learn([hard(atoms, np.ones(len(atoms), dtype=bool)) for atoms in first])
    n_halts = 0
    cell = seamless_cell(system.start, made_with.candidates.cutout.max_atoms, CUTOFF_A)
    if policy is rehearsed and cell is not None:
        potential, n_halts, _ = _ramp(cell, whole, learner, potential, system, rng)
    potential, halts_of_all, finished = _ramp(system.start, policy, learner, potential, system, rng)
    errors = tuple(1000 * force_rmse(potential, frames) for frames in tests.values())
    return Row(
        halts=n_halts + halts_of_all,
        labels=learner.labels,
        labelled_atoms=learner.labelled_atoms,
        trained_atoms=learner.trained_atoms,
        force_rmse_mev_a=errors,
        finished=finished,
        wall_s=time.perf_counter() - started,
    )


def _ramp(
    start: Atoms, policy: Policy, learner: Learner, potential: AcePotential, system: System, rng: np.random.Generator
) -> tuple[AcePotential, int, bool]:
    """Heat ``start``, retraining after each halt; return the potential, the number of halts, and whether MD ended."""
    atoms, (low, high) = start.copy(), system.ramp_k
    halts = dict.fromkeys(potential.elements, system.gamma_halt)
    MaxwellBoltzmannDistribution(atoms, temperature_K=low, rng=rng)
    atoms.calc = _Ace(potential, atoms)
    dynamics = Langevin(atoms, 2 * units.fs, temperature_K=low, friction=_FRICTION_1_FS / units.fs, rng=rng)
    n_halts, step = 0, 0
    while step < system.n_steps and n_halts < MAX_HALTS:
        gamma = atoms.calc.gamma(atoms)
        if gamma.max() > system.gamma_halt:
            n_halts += 1
            potential = learner.learn(policy(atoms, int(gamma.argmax()), potential, halts))
            atoms.calc = _Ace(potential, atoms)
            continue
        dynamics.set_temperature(temperature_K=low + (high - low) * step / system.n_steps)
        dynamics.run(CHECK_INTERVAL)
        step += CHECK_INTERVAL
    return potential, n_halts, step >= system.n_steps


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", choices=[*SYSTEMS, []], help="all if none is named")
    parser.add_argument("--policies", nargs="+", choices=list(POLICIES), help="all for copper-500, four for the others")
    parser.add_argument("--gamma-halt", type=float, help="threshold of all elements")
    parser.add_argument("--rattle-a", type=float, default=BootstrapSettings().rattle_a, help="of the first labels, Å")
    parser.add_argument("--n-steps", type=int, help="MD steps")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    given = parser.parse_args()
    for category in (FutureWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", category=category)
    logging.getLogger("mlip_fw").setLevel(logging.WARNING)
    for name in given.systems or SYSTEMS:
        system = SYSTEMS[name]()
        system = replace(
            system, gamma_halt=given.gamma_halt or system.gamma_halt, n_steps=given.n_steps or system.n_steps
        )
        tests = oracle_frames(system)
        temperatures = " / ".join(map(str, system.test_k))
        print(f"\n{name}: {len(system.start)} atoms, {system.n_steps} steps, gamma_halt {system.gamma_halt:g}\n")
        errors = f"force RMSE meV/Å at {temperatures} K | of all"
        print(f"| trained on | halts | labels | labelled atoms | trained | {errors} | s |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        few = ["whole cells, the first too", "fitted box, core or known", "same, and a burst", "same, rehearsed"]
        first = {"rattle_a": given.rattle_a}
        for label in given.policies or (POLICIES if name == "copper-500" else few):
            for seed in given.seeds:
                print(f"| {label} | {campaign(system, POLICIES[label], tests, first, seed)} |", flush=True)


if __name__ == "__main__":
    main()
