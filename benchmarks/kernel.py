"""How fast the compiled kernel is against pyace: evaluations, gamma, rows of a fit, and whole MD.

::

    python benchmarks/kernel.py                     all parts, a quarter of an hour
    python benchmarks/kernel.py --atoms 108,2048    only these sizes
    python benchmarks/kernel.py --no-md --json      evaluations and rows, as JSON on standard output
    python benchmarks/kernel.py --no-md --embedding finnis-sinclair     two densities, as pacemaker fits them
    python benchmarks/kernel.py --no-md --cpu       processor seconds, where other work goes on: no gain by threads

The kinds of a table take turns, round after round; a figure is the least of all rounds, and a ratio the median of
those within a round: what other work on the machine costs, it costs both. With ``MLIP_FW_LMP`` native ML-PACE runs the
MD too. The fraction of peak is that of multiplications and additions that a processor core does from its registers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from numba import njit
from pyace import ACEBBasisSet

from mlip_fw.engines.ace.basis import linear_basis
from mlip_fw.engines.ace.kernel.choice import Evaluator
from mlip_fw.engines.ace.kernel.form import Form, form_of
from mlip_fw.engines.ace.kernel.vector import WIDTH, muladd, spread, total
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.md.run import run_md
from mlip_fw.engines.md.script import RunPlan
from mlip_fw.engines.train.pacemaker.form import changed
from mlip_fw.io.lammps import write_data
from mlip_fw.io.pace import write_active_set, write_basis
from mlip_fw.models.md import MDOutcome, Stage
from mlip_fw.models.worker import Worker

_CUTOFF_A = 6.0
_SYSTEMS = {"Cu": 200, "Au-Pd": 120, "Mg-O": 100, "Ag-Au-Cu-Pd": 60}
"""Elements, and functions of each."""
_ROUNDS = 5
_AT_LEAST_S = 0.3
"""A measurement repeats its call for so long."""
_MAX_FOR_PYACE = 20_000
_MAX_FOR_ROWS = 256
_SKIN_A = 1.0


_clock = time.perf_counter
_embedding = "linear"


def structure(system: str, n_atoms: int) -> Atoms:
    """Return a rattled crystal of at least so many atoms."""
    cell = bulk("MgO", "rocksalt", a=4.21, cubic=True) if system == "Mg-O" else bulk("Cu", a=3.9, cubic=True)
    side = int(np.ceil((n_atoms / len(cell)) ** (1 / 3) - 1e-9))
    atoms, rng = cell * (side, side, side), np.random.default_rng(1)
    if system == "Cu":
        atoms.set_cell(atoms.cell.array * 3.61 / 3.9, scale_atoms=True)
    elif system != "Mg-O":
        names = system.split("-")
        atoms.symbols = rng.permutation([names[k % len(names)] for k in range(len(atoms))])
    atoms.positions += rng.normal(scale=0.1, size=(len(atoms), 3))
    return atoms


def potential_of(system: str) -> tuple[Any, dict[str, np.ndarray]]:
    """Return a basis with random coefficients, and matrices in place of active sets."""
    basis, rng = linear_basis(system.split("-"), _CUTOFF_A, _SYSTEMS[system]), np.random.default_rng(2)
    if _embedding == "finnis-sinclair":
        basis = ACEBBasisSet(changed(basis.to_BBasisConfiguration(), _with_two_densities))
    basis.basis_coeffs = rng.normal(size=len(basis.basis_coeffs)) / 100
    sizes = [len(one) + len(more) for one, more in zip(basis.basis_rank1, basis.basis, strict=True)]
    return basis, {str(e): rng.normal(size=(n, n)) for e, n in zip(basis.elements_name, sizes, strict=True)}


def _with_two_densities(block: Any) -> None:
    if block.number_of_species == 1:
        block.ndensityi, block.fs_parameters = 2, [1.0, 1.0, 1.0, 0.5]
    functions = [function.copy() for function in block.funcspecs]
    for function in functions:
        function.coeffs = [*function.coeffs, 0.0]
    block.funcspecs = functions


def seconds_of(call: Callable[[], object]) -> float:
    """Return the seconds of one call, the shortest of some: others may have been interrupted."""
    started, least = time.perf_counter(), np.inf
    while time.perf_counter() - started < _AT_LEAST_S or least == np.inf:
        began = _clock()
        call()
        least = min(least, _clock() - began)
    return float(least)


def taking_turns(kinds: dict[str, Callable[[], float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the least figure of each kind, and the ratio of the first kind to each: the median over rounds."""
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(_ROUNDS):
        for name, kind in kinds.items():
            found[name].append(kind())
    first = next(iter(found.values()))
    ratios = {name: statistics.median(a / b for a, b in zip(first, of, strict=True)) for name, of in found.items()}
    return {name: min(values) for name, values in found.items()}, ratios


def evaluations(system: str, n_atoms: int) -> dict[str, Any]:
    """Return µs per atom of an evaluation by pyace's recursive evaluator and by the kernel."""
    atoms, (basis, inverses) = structure(system, n_atoms), potential_of(system)
    evaluators = {"kernel": Evaluator("kernel"), "kernel, 2 threads": Evaluator("kernel", 2)}
    if len(atoms) <= _MAX_FOR_PYACE:
        evaluators = {"pyace": Evaluator("pyace"), **evaluators}
    kinds: dict[str, Callable[[], float]] = {}
    for name, evaluator in evaluators.items():
        potential = AcePotential(basis, inverses, evaluator)
        kinds[name] = _timed(potential, atoms, gamma=False)
        if name == "kernel":
            kinds["kernel, gamma"] = _timed(potential, atoms, gamma=True)
    least, ratios = taking_turns(kinds)
    n_neighbours = _n_neighbours(atoms)
    rate = flops_per_atom(form_of(basis), n_neighbours) * len(atoms) / least["kernel"]
    return {
        "system": system,
        "atoms": len(atoms),
        "neighbours": round(n_neighbours, 1),
        "us_per_atom": {name: 1e6 * seconds / len(atoms) for name, seconds in least.items()},
        "pyace_over": ratios if "pyace" in kinds else {},
        "gamma_costs": ratios["kernel"] / ratios["kernel, gamma"],
        "second_thread": ratios["kernel, 2 threads"] / ratios["kernel"],
        "share_of_peak": rate / peak(),
    }


def _timed(potential: AcePotential, atoms: Atoms, *, gamma: bool) -> Callable[[], float]:
    neighbours, positions, cell = potential.neighbours(atoms, _SKIN_A), atoms.positions, atoms.cell.array
    potential.evaluate_moving(neighbours, positions, cell, gamma=gamma)
    return lambda: seconds_of(lambda: potential.evaluate_moving(neighbours, positions, cell, gamma=gamma))


def rows(system: str, n_atoms: int) -> dict[str, Any]:
    """Return µs per atom of the rows of a label by pyace and by the kernel, with its stress."""
    atoms, (basis, inverses) = structure(system, n_atoms), potential_of(system)
    kinds = {name: _rows_timed(AcePotential(basis, inverses, Evaluator(name)), atoms) for name in ("pyace", "kernel")}
    least, ratios = taking_turns(kinds)
    of_atom = {name: 1e6 * seconds / len(atoms) for name, seconds in least.items()}
    return {"system": system, "atoms": len(atoms), "us_per_atom": of_atom, "pyace_over": ratios}


def _rows_timed(potential: AcePotential, atoms: Atoms) -> Callable[[], float]:
    potential.design(atoms, stress=True)
    return lambda: seconds_of(lambda: potential.design(atoms, stress=True))


def whole_md(system: str, n_atoms: int, check_interval: int) -> dict[str, Any]:
    """Return µs per atom and step of NVT MD: the slope between a run and one of twice its steps."""
    atoms, (basis, inverses) = structure(system, n_atoms), potential_of(system)
    basis.basis_coeffs = np.array(basis.basis_coeffs) * 1e-3  # soft enough to stay together
    with tempfile.TemporaryDirectory(prefix="kernel-") as name:
        folder = Path(name)
        write_basis(folder / "potential.yaml", basis)
        write_active_set(folder / "potential.asi", {e: 1e-9 * inverse for e, inverse in inverses.items()})
        write_data(folder / "start.data", atoms, tuple(system.split("-")))
        kinds = {
            "pyace": ("embedded", Worker(md_evaluator="pyace"), 100),
            "kernel": ("embedded", Worker(md_evaluator="kernel", md_threads=1), 1000),
            "kernel, 2 threads": ("embedded", Worker(md_evaluator="kernel", md_threads=2), 1000),
        }
        if command := os.environ.get("MLIP_FW_LMP"):
            kinds["ML-PACE"] = ("lammps", Worker(lmp_cmd=command), 100)
        slopes = {
            kind: _slope(folder, system, engine, worker, max(10, n_steps * 108 // len(atoms)), check_interval)
            for kind, (engine, worker, n_steps) in kinds.items()
        }
        least, ratios = taking_turns(slopes)
    of_atom = {kind: 1e6 * seconds / len(atoms) for kind, seconds in least.items()}
    facts = {"system": system, "atoms": len(atoms), "gamma_every": check_interval}
    return {**facts, "us_per_atom_step": of_atom, "pyace_over": ratios}


def _slope(
    folder: Path, system: str, engine: Any, worker: Worker, n_steps: int, check_interval: int
) -> Callable[[], float]:
    def run(n: int) -> float:
        plan = RunPlan(
            title="benchmark",
            elements=tuple(system.split("-")),
            cutoff_a=_CUTOFF_A,
            potential=folder / "potential.yaml",
            start=folder / "start.data",
            is_restart=False,
            velocity_seed=1,
            stage=Stage(ensemble="nvt", n_steps=n, temperature_k=[100.0, 100.0]),
            stage_first_step=0,
            stage_last_step=n,
            first_step=0,
            timestep_fs=1.0,
            gamma_halt=1e9,
            check_interval=check_interval,
        )
        started = time.perf_counter()
        ending = run_md(plan, folder / "md", engine, worker)
        seconds = time.perf_counter() - started
        if ending.outcome is not MDOutcome.FINISHED:
            raise RuntimeError(f"MD {ending.outcome.value}: {ending.reason}")
        return seconds

    return lambda: max(1e-12, (run(2 * n_steps) - run(n_steps)) / n_steps)


def flops_per_atom(form: Form, n_neighbours: float) -> float:
    """Return about how many multiplications and additions an atom's energy and forces take."""
    space, elements = form.space, form.elements
    of_neighbour = 20.0 * space.width + 8.0 * space.n_k + 16.0 * space.n_k
    found = []
    for element in elements:
        met = sum(int(n * (end - first)) for first, end, n, _ in element.groups)
        nodes = 22.0 * element.n_products + 18.0 * element.n_merged
        found.append(n_neighbours * (of_neighbour + 6.0 * met) + nodes)
    return float(np.mean(found))


@njit(fastmath={"nsz", "arcp", "contract"})
def _from_registers(n: int) -> float:
    a0, a1, a2, a3 = spread(0.1), spread(0.2), spread(0.3), spread(0.4)
    a4, a5, a6, a7 = spread(0.5), spread(0.6), spread(0.7), spread(0.8)
    x, y = spread(0.999999), spread(1e-9)
    for _ in range(n):
        a0, a1, a2, a3 = muladd(a0, x, y), muladd(a1, x, y), muladd(a2, x, y), muladd(a3, x, y)
        a4, a5, a6, a7 = muladd(a4, x, y), muladd(a5, x, y), muladd(a6, x, y), muladd(a7, x, y)
    return total(a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7)


def peak(n: int = 2_000_000) -> float:
    """Return the flops per second of a loop that reads no memory, at this moment."""
    _from_registers(10)
    started = _clock()
    _from_registers(n)
    return 2 * 8 * WIDTH * n / (_clock() - started)


def _n_neighbours(atoms: Atoms) -> float:
    from vesin import NeighborList

    found = NeighborList(cutoff=_CUTOFF_A, full_list=True).compute(atoms.positions, atoms.cell.array, True, "i")
    return len(found[0]) / len(atoms)


def _print(results: dict[str, list[dict[str, Any]]]) -> None:
    for part, measured in results.items():
        print(f"\n{part}")
        for one in measured:
            figures = ", ".join(
                f"{name} {us:.2f} µs" + (f" (×{ratio:.1f})" if (ratio := one["pyace_over"].get(name)) else "")
                for name, us in (one.get("us_per_atom") or one["us_per_atom_step"]).items()
            )
            more = ", ".join(
                f"{key} {one[key]:.2f}" for key in ("gamma_costs", "second_thread", "share_of_peak") if key in one
            )
            print(f"  {one['system']}, {one['atoms']} atoms: {figures}{'; ' + more if more else ''}")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--systems", default=",".join(_SYSTEMS))
    parser.add_argument("--atoms", default="108,2048,16384,100000")
    parser.add_argument("--embedding", choices=["linear", "finnis-sinclair"], default="linear")
    parser.add_argument("--no-md", action="store_true")
    parser.add_argument("--cpu", action="store_true", help="processor seconds: of use where other work goes on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    global _clock, _embedding
    _embedding = options.embedding
    _clock = time.process_time if options.cpu else time.perf_counter
    systems, sizes = options.systems.split(","), [int(n) for n in options.atoms.split(",")]
    results: dict[str, list[dict[str, Any]]] = {
        "µs per atom of an evaluation": [evaluations(system, n) for system in systems for n in sizes],
        "µs per atom of the rows of a label": [
            rows(system, n) for system in systems for n in sizes if n <= _MAX_FOR_ROWS
        ],
    }
    if not options.no_md:
        results["µs per atom and step of NVT MD"] = [
            whole_md(systems[0], n, interval) for n in sizes if n <= _MAX_FOR_PYACE for interval in (10, 1)
        ]
    if options.json:
        json.dump(results, sys.stdout, indent=1)
    else:
        _print(results)


if __name__ == "__main__":
    main()
