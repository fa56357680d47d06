"""The compiled kernel says what pyace says, of any linear potential and structure."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyace import ACEBBasisSet, create_multispecies_basis_config

from mlip_fw.engines.ace import AcePotential
from mlip_fw.engines.kernel.form import why_not
from mlip_fw.engines.kernel.kernel import Kernel
from mlip_fw.engines.kernel.potential import KernelPotential
from mlip_fw.engines.md.run import choose_engine
from mlip_fw.engines.neighbours import PairList
from mlip_fw.engines.train.basis import linear_basis
from mlip_fw.errors import WorkerError
from mlip_fw.models.worker import Worker

ELEMENTS = ["Ag", "Au", "Cu", "Pd"]
RADIAL = {"SBessel": [5.25], "ChebExpCos": [5.25], "ChebPow": [2.0]}
SHAPES = [
    {"UNARY": {"nradmax_by_orders": [7, 4, 2, 2, 1], "lmax_by_orders": [0, 3, 2, 1, 1]}},
    {"ALL": {"nradmax_by_orders": [5, 3, 2], "lmax_by_orders": [0, 3, 2]}},
    {"ALL": {"nradmax_by_orders": [4, 2, 1, 1], "lmax_by_orders": [0, 2, 1, 1]}},
    {"ALL": {"nradmax_by_orders": [6, 1], "lmax_by_orders": [0, 0]}},
]


def bond(radial, cutoff_a, core_a):
    return {
        "radbase": radial,
        "radparameters": RADIAL[radial],
        "rcut": cutoff_a,
        "dcut": 0.01,
        "NameOfCutoffFunction": "cos",
        "core-repulsion": [100.0 if core_a else 0.0, 1.5],
        "r_in": core_a,
        "delta_in": 0.2 if core_a else 0.0,
        "inner_cutoff_type": "distance",
    }


def basis_of(n_elements, radial, cutoffs_a, shape, core_a, seed, fs_parameters=(1, 1)):
    """Return a basis with random coefficients, and cutoffs that differ by pair."""
    names = ELEMENTS[:n_elements]
    pairs = [(a, b) for a in names for b in names]
    bonds = {
        (a if a == b else (a, b)): bond(radial, cutoffs_a[(names.index(a) + names.index(b)) % 3], core_a)
        for a, b in pairs
    }
    embedding = {"npot": "FinnisSinclairShiftedScaled", "fs_parameters": list(fs_parameters), "ndensity": 1}
    config = {
        "deltaSplineBins": 0.001,
        "elements": names,
        "embeddings": {"ALL": {**embedding, "rho_core_cut": 200000, "drho_core_cut": 250}},
        "bonds": bonds,
        "functions": {"number_of_functions_per_element": 40, **SHAPES[shape]},
    }
    basis = ACEBBasisSet(create_multispecies_basis_config(config))
    basis.basis_coeffs = np.random.default_rng(seed).normal(size=len(basis.basis_coeffs)) / 10
    return basis


def potential_of(basis):
    """Return it with random matrices in place of active sets."""
    rng = np.random.default_rng(3)
    sizes = [len(one) + len(more) for one, more in zip(basis.basis_rank1, basis.basis, strict=True)]
    return AcePotential(
        basis, {str(e): rng.normal(size=(n, n)) for e, n in zip(basis.elements_name, sizes, strict=True)}
    )


def cell(elements, n_atoms, spacing_a, skew, seed):
    """Return atoms at random in a skewed cell, none nearer than the core."""
    rng, side = np.random.default_rng(seed), spacing_a * n_atoms ** (1 / 3)
    atoms = Atoms(cell=side * (np.eye(3) + np.tril(skew * rng.uniform(-1, 1, (3, 3)), -1)), pbc=True)
    while len(atoms) < n_atoms:
        place = atoms.cell.array.T @ rng.uniform(size=3)
        trial = atoms + Atoms(str(rng.choice(elements)), [place])
        if len(trial) == 1 or trial.get_distances(-1, list(range(len(atoms))), mic=True).min() > 1.3:
            atoms = trial
    return atoms


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    n_elements=st.integers(1, 4),
    radial=st.sampled_from(sorted(RADIAL)),
    cutoffs_a=st.tuples(*[st.floats(3.0, 6.5).map(lambda x: round(x, 3))] * 3),
    shape=st.integers(0, len(SHAPES) - 1),
    core_a=st.sampled_from([0.0, 1.6]),
    n_atoms=st.integers(1, 9),
    spacing_a=st.sampled_from([2.3, 3.5, 9.0]),
    skew=st.floats(0, 0.6),
    seed=st.integers(0, 10**6),
)
def test_says_what_pyace_says(n_elements, radial, cutoffs_a, shape, core_a, n_atoms, spacing_a, skew, seed):
    basis = basis_of(n_elements, radial, cutoffs_a, shape if n_elements == 1 or shape else 1, core_a, seed)
    assert why_not(basis) is None
    pyace, atoms = potential_of(basis), cell(ELEMENTS[:n_elements], n_atoms, spacing_a, skew, seed)
    kernel = KernelPotential(pyace)
    for gamma in (True, False):
        known = pyace.evaluate(atoms, gamma=gamma)
        found = kernel.evaluate_moving(kernel.neighbours(atoms), atoms.positions, atoms.cell.array, gamma=gamma)
        size = max(1.0, np.abs(known.forces_ev_a).max())
        assert found.energy_ev == pytest.approx(known.energy_ev, abs=1e-8 * n_atoms * size)
        assert np.abs(found.forces_ev_a - known.forces_ev_a).max() < 1e-8 * size
        assert np.abs(found.virial_ev - known.virial_ev).max() < 1e-8 * n_atoms * size * max(cutoffs_a)
    known = pyace.evaluate(atoms)
    found = kernel.evaluate_moving(kernel.neighbours(atoms), atoms.positions, atoms.cell.array, gamma=True)
    assert found.gamma == pytest.approx(known.gamma, rel=1e-8, abs=1e-8)
    rows = Kernel(basis).design(
        PairList(pyace.species(atoms), pyace.cutoff_a).pairs_at(atoms.positions, atoms.cell.array)
    )
    design = pyace.design(atoms, stress=True)
    largest = max(1.0, np.abs(design.forces).max())
    assert np.abs(rows.forces - design.forces).max() < 1e-8 * largest
    assert np.abs(-rows.virials[[0, 1, 2, 5, 4, 3]] / atoms.get_volume() - design.stress).max() < 1e-8 * largest
    for k, name in enumerate(pyace.elements):
        assert rows.projections[k] == pytest.approx(design.projections[name], abs=1e-8 * max(1.0, largest))


@pytest.fixture(scope="module")
def alloy():
    """Return a potential of two elements and a cell of 108 atoms."""
    basis = linear_basis(["Au", "Cu"], 5.0, 60)
    basis.basis_coeffs = np.random.default_rng(1).normal(size=len(basis.basis_coeffs)) / 10
    atoms = bulk("Cu", a=3.9, cubic=True) * (3, 3, 3)
    atoms.symbols[::3] = "Au"
    atoms.rattle(0.15, seed=2)
    return potential_of(basis), atoms


def test_forces_and_virial_are_derivatives_of_the_energy(alloy):
    potential, atoms, h = KernelPotential(alloy[0]), alloy[1], 1e-4

    def energy(atoms):
        pairs = potential.neighbours(atoms)
        return potential.evaluate_moving(pairs, atoms.positions, atoms.cell.array, gamma=False).energy_ev

    answer = potential.evaluate_moving(potential.neighbours(atoms), atoms.positions, atoms.cell.array, gamma=False)
    for atom, axis in ((0, 0), (50, 1), (101, 2)):
        moved = [atoms.copy(), atoms.copy()]
        for sign, one in zip((1, -1), moved, strict=True):
            one.positions[atom, axis] += sign * h
        slope = (energy(moved[0]) - energy(moved[1])) / (2 * h)
        assert answer.forces_ev_a[atom, axis] == pytest.approx(-slope, abs=1e-5)
    for k, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))):
        strained = [atoms.copy(), atoms.copy()]
        for sign, one in zip((1, -1), strained, strict=True):
            strain = np.eye(3)
            strain[i, j] += sign * h
            one.set_cell(one.cell.array @ strain, scale_atoms=True)
        slope = (energy(strained[0]) - energy(strained[1])) / (2 * h)
        assert answer.virial_ev[k] == pytest.approx(-slope, abs=1e-3)


def test_threads_change_nothing_but_rounding(alloy):
    potential, atoms = alloy

    def forces(threads):
        kernel = KernelPotential(potential, threads)
        pairs = kernel.neighbours(atoms)
        return kernel.evaluate_moving(pairs, atoms.positions, atoms.cell.array, gamma=False).forces_ev_a

    alone, shared = forces(1), forces(3)
    assert np.abs(shared - alone).max() < 1e-11
    assert np.array_equal(shared, forces(3))


def test_memory_grows_with_the_neighbours(alloy):
    potential, atoms = alloy
    kernel = KernelPotential(potential)
    for scale in (1.2, 0.9, 0.75):
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell.array * scale, scale_atoms=True)
        found = kernel.evaluate_moving(kernel.neighbours(scaled), scaled.positions, scaled.cell.array, gamma=False)
        known = potential.evaluate(scaled, gamma=False)
        size = max(1.0, np.abs(known.forces_ev_a).max())
        assert np.abs(found.forces_ev_a - known.forces_ev_a).max() < 1e-8 * size


def test_atoms_in_each_others_core_are_left_to_pyace(alloy):
    potential, atoms = KernelPotential(alloy[0]), alloy[1].copy()
    atoms.positions[1] = atoms.positions[0] + [0.03, 0.0, 0.0]
    found = potential.evaluate_moving(potential.neighbours(atoms), atoms.positions, atoms.cell.array, gamma=True)
    known = alloy[0].evaluate(atoms)
    assert found.energy_ev == known.energy_ev
    assert np.array_equal(found.gamma, known.gamma)


@pytest.mark.parametrize("what", ["positions", "cell"])
def test_numbers_that_are_not_finite_are_caught(alloy, what):
    potential, atoms = KernelPotential(alloy[0]), alloy[1]
    given = {"positions": atoms.positions.copy(), "cell": atoms.cell.array.copy()}
    given[what][1, 1] = np.nan
    with pytest.raises(FloatingPointError):
        potential.evaluate_moving(potential.neighbours(atoms), **given, gamma=False)


def test_what_the_kernel_does_not_know_is_refused():
    basis = basis_of(1, "SBessel", (5.0, 5.0, 5.0), 0, 0.0, 1, fs_parameters=(1, 0.5))
    assert why_not(basis) == "its energy is not linear (ndensity 1, fs_parameters [1.0, 0.5])"
    with pytest.raises(WorkerError, match="env.md_evaluator: kernel can't evaluate this potential: its energy is not"):
        KernelPotential(AcePotential(basis))


def test_without_numba_the_worker_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WorkerError, match="numba is not installed: pip install 'mlip-fw"):
        choose_engine("embedded", Worker(md_evaluator="kernel"))
    assert choose_engine("embedded", Worker())[0] == "embedded"
