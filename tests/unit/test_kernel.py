"""The compiled kernel says what pyace says, of any potential that it knows and any structure."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyace import ACEBBasisSet, create_multispecies_basis_config

from mlip_fw.engines.ace.basis import linear_basis
from mlip_fw.engines.ace.kernel import check, choice, form
from mlip_fw.engines.ace.kernel.choice import Evaluator
from mlip_fw.engines.ace.kernel.kernel import Kernel
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.errors import WorkerError

ELEMENTS = ["Ag", "Au", "Cu", "Pd"]
RADIAL = {"SBessel": [5.25], "ChebExpCos": [5.25], "ChebPow": [2.0], "ChebLinear": [2.0]}
SHAPES = [
    {"UNARY": {"nradmax_by_orders": [7, 4, 2, 2, 1], "lmax_by_orders": [0, 3, 2, 1, 1]}},
    {"ALL": {"nradmax_by_orders": [5, 3, 2], "lmax_by_orders": [0, 3, 2]}},
    {"ALL": {"nradmax_by_orders": [4, 2, 1, 1], "lmax_by_orders": [0, 2, 1, 1]}},
    {"ALL": {"nradmax_by_orders": [6, 1], "lmax_by_orders": [0, 0]}},
]


def bond(radial, cutoff_a, core_a, inner):
    return {
        "radbase": radial,
        "radparameters": RADIAL[radial],
        "rcut": cutoff_a,
        "dcut": 0.01,
        "NameOfCutoffFunction": "cos",
        "core-repulsion": [100.0 if core_a else 0.0, 1.5],
        "r_in": core_a,
        "delta_in": 0.2 if core_a else 0.0,
        "inner_cutoff_type": inner,
    }


def basis_of(
    n_elements,
    radial,
    cutoffs_a,
    shape,
    core_a,
    seed,
    mixed=False,
    fs_parameters=(1, 1),
    ndensity=1,
    npot="FinnisSinclairShiftedScaled",
    inner="distance",
    embeddings=None,
):
    """Return a basis with random coefficients, of the radial functions too if ``mixed``; cutoffs differ by pair.

    ``embeddings`` are (npot, fs_parameters) of each element in turn, in place of one for all.
    """
    names = ELEMENTS[:n_elements]
    pairs = [(a, b) for a in names for b in names]
    bonds = {
        (a if a == b else (a, b)): bond(radial, cutoffs_a[(names.index(a) + names.index(b)) % 3], core_a, inner)
        for a, b in pairs
    }
    cut = {"rho_core_cut": 200000, "drho_core_cut": 250}
    embedded = {"ALL": {"npot": npot, "fs_parameters": list(fs_parameters), "ndensity": ndensity, **cut}}
    if embeddings:
        embedded = {
            name: {"npot": kind, "fs_parameters": list(parameters), "ndensity": len(parameters) // 2, **cut}
            for name, (kind, parameters) in zip(names, embeddings, strict=False)
        }
    config = {
        "deltaSplineBins": 0.001,
        "elements": names,
        "embeddings": embedded,
        "bonds": bonds,
        "functions": {"number_of_functions_per_element": 40, **SHAPES[shape]},
    }
    basis = ACEBBasisSet(create_multispecies_basis_config(config))
    rng = np.random.default_rng(seed)
    if mixed:
        basis.crad_coeffs = rng.normal(size=len(basis.crad_coeffs)) / 3
    basis.basis_coeffs = rng.normal(size=len(basis.basis_coeffs)) / 10
    return basis


def potentials_of(basis, threads=1):
    """Return it for pyace and for the kernel, with random matrices in place of active sets."""
    rng = np.random.default_rng(3)
    sizes = [len(one) + len(more) for one, more in zip(basis.basis_rank1, basis.basis, strict=True)]
    inverses = {str(e): rng.normal(size=(n, n)) for e, n in zip(basis.elements_name, sizes, strict=True)}
    return [AcePotential(basis, inverses, Evaluator(kind, threads)) for kind in ("pyace", "kernel")]


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


SYSTEMS = st.fixed_dictionaries(
    {
        "n_elements": st.integers(1, 4),
        "radial": st.sampled_from(sorted(RADIAL)),
        "cutoffs_a": st.tuples(*[st.floats(3.0, 6.5).map(lambda x: round(x, 3))] * 3),
        "shape": st.integers(0, len(SHAPES) - 1),
        "core_a": st.sampled_from([0.0, 1.6]),
        "mixed": st.booleans(),
        "n_atoms": st.integers(1, 9),
        "spacing_a": st.sampled_from([1.9, 2.3, 3.5, 9.0]),
        "skew": st.floats(0, 0.6),
        "seed": st.integers(0, 10**6),
    }
)
"""Isolated atoms and cells smaller than the cutoff are among them, and elements that no atom has."""


EMBEDDINGS = st.lists(
    st.tuples(
        st.sampled_from(["FinnisSinclair", "FinnisSinclairShiftedScaled"]),
        st.lists(
            st.tuples(st.sampled_from([1.0, 0.5, -1.5]), st.sampled_from([1.0, 0.5, 0.7, 2.0])), min_size=1, max_size=2
        ).map(lambda densities: [x for density in densities for x in density]),
    ),
    min_size=4,
    max_size=4,
)
"""(npot, fs_parameters) of four elements: with one or two densities, which may all be linear."""


def system(n_elements, radial, cutoffs_a, shape, core_a, mixed, n_atoms, spacing_a, skew, seed, embeddings=None):
    """Return a potential for pyace, the same for the kernel, and atoms."""
    shape = shape if n_elements == 1 or shape else 1
    basis = basis_of(n_elements, radial, cutoffs_a, shape, core_a, seed, mixed, embeddings=embeddings)
    return *potentials_of(basis), cell(ELEMENTS[:n_elements], n_atoms, spacing_a, skew, seed)


def differences(pyace, kernel, atoms):
    """Return how far the kernel is off, in shares of the largest force, row or gamma, or of 1 if that is small."""
    found = {}
    for gamma in (True, False):
        known, answer = pyace.evaluate(atoms, gamma=gamma), kernel.evaluate(atoms, gamma=gamma)
        size = max(1.0, np.abs(known.forces_ev_a).max())
        found[f"energy, {gamma}"] = abs(answer.energy_ev - known.energy_ev) / len(atoms) / size
        found[f"forces, {gamma}"] = np.abs(answer.forces_ev_a - known.forces_ev_a).max() / size
        scale = max(size * len(atoms) * pyace.cutoff_a, np.abs(known.virial_ev).max())
        found[f"virial, {gamma}"] = np.abs(answer.virial_ev - known.virial_ev).max() / scale
        if gamma:
            found["gamma"] = np.abs(answer.gamma - known.gamma).max() / max(1.0, known.gamma.max())
    rows, known = kernel.design(atoms, stress=True), pyace.design(atoms, stress=True)
    size = max(1.0, np.abs(known.forces).max())
    found["rows of forces"] = np.abs(rows.forces - known.forces).max() / size
    found["rows of stress"] = np.abs(rows.stress - known.stress).max() / max(1.0, np.abs(known.stress).max())
    found["rows of energy"] = np.abs(rows.energy - known.energy).max() / max(1.0, np.abs(known.energy).max())
    functions = kernel.evaluate_with_projections(atoms)[1]
    for name, known_functions in known.projections.items():
        for what in (functions[name], rows.projections[name]):
            off = np.abs(what - known_functions).max(initial=0.0)
            found[f"functions of {name}"] = off / max(1.0, np.abs(known_functions).max(initial=0.0))
    return found


# a compiled kernel serves all examples: shrinking would take a minute for each that fails
@settings(
    max_examples=int(os.environ.get("MLIP_FW_EXAMPLES", "12")),
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(SYSTEMS)
def test_says_what_pyace_says(given_system):
    pyace, kernel, atoms = system(**given_system)
    found = differences(pyace, kernel, atoms)
    assert (str(kernel.evaluated_by(atoms)), pyace.evaluated_by(atoms).kernel) == ("the compiled kernel", None)
    assert {name: size for name, size in found.items() if not size < 1e-8} == {}


@settings(
    max_examples=int(os.environ.get("MLIP_FW_EXAMPLES", "12")),
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(SYSTEMS, EMBEDDINGS)
def test_says_what_pyace_says_of_embedded_densities(given_system, embeddings):
    pyace, kernel, atoms = system(**given_system, embeddings=embeddings)
    found = differences(pyace, kernel, atoms)
    assert (str(kernel.evaluated_by(atoms)), pyace.evaluated_by(atoms).kernel) == ("the compiled kernel", None)
    assert {name: size for name, size in found.items() if not size < 1e-8} == {}


@pytest.mark.parametrize(
    ("npot", "exponent", "energy_ev", "slope"),
    [
        # (x exp(-|ρ|) + |ρ|)^m - y exp(-|ρ|), with x = 1/4 and y = 1/2 for m = 1/2
        ("FinnisSinclairShiftedScaled", 0.5, np.sqrt(0.25 * np.exp(-0.8) + 0.8) - 0.5 * np.exp(-0.8), None),
        ("FinnisSinclair", 0.5, np.sqrt(0.8), 0.5 / np.sqrt(0.8)),
        ("FinnisSinclair", 2.0, 0.64, 1.6),
    ],
)
def test_densities_are_embedded_as_they_are_defined(npot, exponent, energy_ev, slope):
    """Two atoms with ρ = ±0.8 each, beside a linear density."""
    basis = basis_of(1, "SBessel", (5.0, 5.0, 5.0), 3, 0.0, 1, fs_parameters=(1, 1, 2, exponent), ndensity=2, npot=npot)
    dimer = Atoms("Ag2", [[0, 0, 0], [2.5, 0, 0]], cell=[30, 30, 30], pbc=True)
    coefficients = np.zeros((len(basis.basis_coeffs) // 2, 2))
    coefficients[0] = 1.0, 1.0
    basis.basis_coeffs = coefficients.ravel()
    function = AcePotential(basis, evaluator=Evaluator("pyace")).design(dimer)
    value, force = function.projections["Ag"][0, 0], function.forces[1, 0, 0]
    for sign in (1, -1):
        coefficients[0] = 0.3, sign * 0.8 / value
        basis.basis_coeffs = coefficients.ravel()
        found = AcePotential(basis, evaluator=Evaluator("kernel")).evaluate(dimer, gamma=False)
        assert found.energy_ev == pytest.approx(2 * (0.3 * value + sign * 2 * energy_ev), abs=1e-9)
        if slope is not None:
            along = 0.3 + 2 * slope * sign * 0.8 / value
            assert found.forces_ev_a[1, 0] == pytest.approx(along * force, abs=1e-8)


def test_pyace_is_right_where_elements_have_different_densities():
    """Its recursive evaluator is not; with gamma pyace takes another."""
    basis = basis_of(
        *(2, "SBessel", (5.0, 4.0, 4.5), 1, 1.6, 1),
        embeddings=[("FinnisSinclair", (1, 1, 1, 0.5)), ("FinnisSinclair", (1, 0.7))],
    )
    (pyace, _), atoms = potentials_of(basis), cell(ELEMENTS[:2], 8, 2.5, 0.3, 1)
    found, known = pyace.evaluate(atoms, gamma=False), pyace.evaluate(atoms)
    assert found.energy_ev == pytest.approx(known.energy_ev, abs=1e-9)
    assert np.abs(found.forces_ev_a - known.forces_ev_a).max() < 1e-9


def test_active_sets_of_all_coefficients_are_left_to_pyace():
    """pyace grades such sets by the derivatives of the energy by all coefficients, not by basis functions."""
    basis = basis_of(1, "SBessel", (5.0, 5.0, 5.0), 3, 1.6, 1, fs_parameters=(1, 1, 1, 0.5), ndensity=2)
    atoms, inverse = cell(["Ag"], 4, 2.5, 0.1, 1), np.random.default_rng(1).normal(size=[len(basis.basis_coeffs)] * 2)
    found, known = (AcePotential(basis, {"Ag": inverse}, Evaluator(kind)) for kind in ("auto", "pyace"))
    assert found.evaluate(atoms).gamma == pytest.approx(known.evaluate(atoms).gamma)
    assert str(found.evaluated_by(atoms)) == "pyace: its active set is not one of its functions"


@pytest.fixture(scope="module")
def alloy():
    """Return a basis of two elements and a cell of 108 atoms."""
    basis = linear_basis(["Au", "Cu"], 5.0, 60)
    basis.basis_coeffs = np.random.default_rng(1).normal(size=len(basis.basis_coeffs)) / 10
    atoms = bulk("Cu", a=3.9, cubic=True) * (3, 3, 3)
    atoms.symbols[::3] = "Au"
    atoms.rattle(0.15, seed=2)
    return basis, atoms


def test_forces_and_virial_are_derivatives_of_the_energy(alloy):
    (_, kernel), atoms, h = potentials_of(alloy[0]), alloy[1], 1e-4

    def energy(atoms):
        return kernel.evaluate(atoms, gamma=False).energy_ev

    answer = kernel.evaluate(atoms, gamma=False)
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


def test_of_many_potentials_the_last_forms_are_kept(monkeypatch):
    """Coefficients make no new form, and cutoffs do."""
    monkeypatch.setattr(form, "_shapes", {})
    for cutoff_a in (4.0, 4.1, 4.2, 4.3, 4.4, 4.4, 4.4):
        basis = linear_basis(["Cu"], cutoff_a, 5)
        basis.basis_coeffs = np.full(len(basis.basis_coeffs), cutoff_a)
        form.form_of(basis)
    kept = [float(np.sqrt(shape.space.cutoffs2[0, 0])) for shape in form._shapes.values()]
    assert kept == pytest.approx([4.1, 4.2, 4.3, 4.4])


@pytest.mark.parametrize("several", [2, 3])
def test_threads_change_nothing_but_rounding(alloy, several):
    basis, atoms = alloy

    def answer(threads):
        return potentials_of(basis, threads)[1].evaluate(atoms)

    alone, shared, again = answer(1), answer(several), answer(several)
    assert np.abs(shared.forces_ev_a - alone.forces_ev_a).max() < 1e-11
    assert shared.gamma == pytest.approx(alone.gamma, rel=1e-12)
    assert np.array_equal(shared.forces_ev_a, again.forces_ev_a)
    assert (shared.energy_ev, shared.virial_ev.tolist()) == (again.energy_ev, again.virial_ev.tolist())


def test_many_threads_may_ask_one_potential(alloy):
    (_, kernel), atoms = potentials_of(alloy[0]), alloy[1]
    scaled = [atoms.copy() for _ in range(8)]
    for k, one in enumerate(scaled):
        one.set_cell(atoms.cell.array * (1 + 0.01 * k), scale_atoms=True)
    alone = [kernel.evaluate(one).energy_ev for one in scaled]
    with ThreadPoolExecutor(4) as pool:
        assert [found.energy_ev for found in pool.map(kernel.evaluate, scaled * 5)] == alone * 5


def test_threads_begin_anew_in_a_forked_child(alloy):
    (_, kernel), atoms = potentials_of(alloy[0], 2), alloy[1]
    known = kernel.evaluate(atoms).energy_ev
    child = os.fork()
    if child == 0:
        os._exit(0 if kernel.evaluate(atoms).energy_ev == known else 1)
    assert os.waitpid(child, 0)[1] == 0


def other_vectors(atoms):
    """Return the same crystal in a cell whose angles are far from 90°."""
    atoms.set_cell(np.array([[1, 0, 0], [2, 1, 0], [-1, 2, 1]]) @ atoms.cell.array)
    return atoms


HARD = {
    "one atom alone": lambda: Atoms("Cu", cell=[20, 20, 20], pbc=True),
    "one atom with its images": lambda: bulk("Au"),
    "two atoms out of reach": lambda: Atoms("AuCu", [[0, 0, 0], [6, 6, 6]], cell=[12, 12, 12], pbc=True),
    "a needle": lambda: Atoms("Cu3Au", [[0, 0, 6 * k] for k in range(4)], cell=[2.6, 2.7, 24], pbc=True),
    "very oblique": lambda: other_vectors(bulk("Au", cubic=True)),
    "no atom of the first element": lambda: bulk("Cu", cubic=True),
    "no atom of the last element": lambda: bulk("Au", cubic=True),
}


@pytest.mark.parametrize("what", HARD)
def test_hard_cases(alloy, what):
    (pyace, kernel), atoms = potentials_of(alloy[0]), HARD[what]()
    if len(atoms) > 1:
        atoms.rattle(0.1, seed=1)
    assert max(differences(pyace, kernel, atoms).values()) < 1e-8


def test_vectors_of_the_cell_are_a_matter_of_choice(alloy):
    """The same crystal has the same energy, virial and forces, wherever its atoms are written down."""
    (_, kernel), atoms = potentials_of(alloy[0]), bulk("Au", cubic=True)
    atoms.rattle(0.1, seed=1)
    oblique = other_vectors(atoms.copy())
    oblique.positions += [[7, -3, 2], [-20, 0, 5], [0, 0, 0], [1, 1, 40]] @ oblique.cell.array
    known, found = kernel.evaluate(atoms), kernel.evaluate(oblique)
    assert found.energy_ev == pytest.approx(known.energy_ev, abs=1e-9)
    assert found.forces_ev_a == pytest.approx(known.forces_ev_a, abs=1e-9)
    assert found.virial_ev == pytest.approx(known.virial_ev, abs=1e-8)
    assert found.gamma == pytest.approx(known.gamma, rel=1e-9)


@pytest.mark.parametrize("threads", [1, 2])
def test_ten_thousand_atoms(alloy, threads):
    """Copies of a cell, in a random order and some of them outside: each atom is what it is in the one cell."""
    (pyace, kernel), cell_of_108 = potentials_of(alloy[0], threads), alloy[1]
    known, atoms = pyace.evaluate(cell_of_108), cell_of_108 * (5, 5, 4)
    order = np.random.default_rng(4).permutation(len(atoms))
    atoms = atoms[order]
    atoms.positions[::3] += atoms.cell.array[1]
    atoms.positions[1] -= 60 * atoms.cell.array[0]
    found, original = kernel.evaluate(atoms), order % len(cell_of_108)
    assert len(atoms) == 10_800
    assert found.energy_ev == pytest.approx(100 * known.energy_ev, abs=1e-8 * len(atoms))
    assert np.abs(found.forces_ev_a - known.forces_ev_a[original]).max() < 1e-8
    assert found.virial_ev == pytest.approx(100 * known.virial_ev, rel=1e-9, abs=1e-6)
    assert found.gamma == pytest.approx(known.gamma[original], rel=1e-8)


def test_memory_grows_with_the_neighbours(alloy):
    (pyace, kernel), atoms = potentials_of(alloy[0]), alloy[1]
    for scale in (1.2, 0.9, 0.75):
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell.array * scale, scale_atoms=True)
        assert max(differences(pyace, kernel, scaled).values()) < 1e-8


@pytest.mark.parametrize("n_elements", [1, 2])
def test_memory_grows_with_each_neighbour(n_elements):
    """Rows are longer than their neighbours: whatever their numbers, no row may reach into the next."""
    names = ["Au", "Cu"][:n_elements]
    basis = linear_basis(names, 5.0, 10)
    basis.basis_coeffs = np.random.default_rng(1).normal(size=len(basis.basis_coeffs)) / 10
    (pyace, kernel), lengths = potentials_of(basis), set()
    for scale in np.arange(1.4, 0.9, -0.01):
        atoms = bulk("Au", a=4.0 * scale, cubic=True)
        atoms.symbols[0] = names[-1]
        atoms.rattle(0.1, seed=1)
        pairs = kernel.neighbours(atoms).pairs_at(atoms.positions, atoms.cell.array)
        lengths.add(int(np.diff(pairs.start).max()))
        assert max(differences(pyace, kernel, atoms).values()) < 1e-8
    assert len(lengths) > 12


def test_a_trajectory_leaves_the_cell_and_the_cell_changes(alloy):
    """Atoms go round the cell while its vectors shrink and skew: the list of pairs is kept, and built again."""
    (pyace, kernel), atoms = potentials_of(alloy[0]), alloy[1].copy()
    kept, rng = kernel.neighbours(atoms, 1.0), np.random.default_rng(5)
    velocities = rng.normal(scale=0.1, size=(len(atoms), 3))
    for step in range(12):
        atoms.positions += velocities
        strain = np.eye(3) + 0.004 * np.array([[-1, 0, 0], [1, -1, 0], [0, 2, -1]])
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        if step % 3 == 2:
            atoms.wrap()
        answer = kernel.evaluate_moving(kept, atoms.positions, atoms.cell.array, gamma=False)
        known = pyace.evaluate(atoms, gamma=False)
        size = max(1.0, np.abs(known.forces_ev_a).max())
        assert np.abs(answer.forces_ev_a - known.forces_ev_a).max() < 1e-8 * size
        assert answer.virial_ev == pytest.approx(known.virial_ev, abs=1e-8 * size * len(atoms))
    assert 1 < kept.builds < 12


def test_atoms_in_each_others_core_are_left_to_pyace(alloy):
    (pyace, kernel), atoms = potentials_of(alloy[0]), alloy[1].copy()
    atoms.positions[1] = atoms.positions[0] + [0.03, 0.0, 0.0]
    found, known = kernel.evaluate(atoms), pyace.evaluate(atoms)
    assert found.energy_ev == known.energy_ev
    assert np.array_equal(found.gamma, known.gamma)
    assert np.array_equal(kernel.design(atoms).forces, pyace.design(atoms).forces)
    assert np.array_equal(kernel.evaluate_with_projections(atoms)[1]["Au"], pyace.design(atoms).projections["Au"])


@pytest.mark.parametrize("kind", ["kernel", "pyace"])
@pytest.mark.parametrize("what", ["positions", "cell"])
def test_numbers_that_are_not_finite_are_caught(alloy, what, kind):
    potential, atoms = potentials_of(alloy[0])[kind == "kernel"], alloy[1]
    given = {"positions": atoms.positions.copy(), "cell": atoms.cell.array.copy()}
    given[what][1, 1] = np.nan
    with pytest.raises(FloatingPointError, match="positions or cell are not finite"):
        potential.evaluate_moving(potential.neighbours(atoms), **given, gamma=False)
    bad = Atoms(atoms.numbers, given["positions"], cell=given["cell"], pbc=True)
    for evaluate in (potential.evaluate, potential.design, potential.evaluate_with_projections):
        with pytest.raises(FloatingPointError, match="positions or cell are not finite"):
            evaluate(bad)


def test_functions_that_are_no_numbers_make_no_small_grade():
    """The largest of some numbers must not be taken past one that is none."""
    basis = linear_basis(["Cu"], 5.0, 20)
    inverse = np.eye(len(basis.basis_coeffs))
    inverse[3, 2] = np.nan
    kernel = AcePotential(basis, {"Cu": inverse}, Evaluator("kernel"))
    assert np.isnan(kernel.evaluate(bulk("Cu", cubic=True)).gamma).all()


@pytest.mark.parametrize(
    ("changes", "n_densities"),
    [
        ({"npot": "FinnisSinclair"}, 0),
        ({"fs_parameters": (2, 1, 0.5, 1), "ndensity": 2}, 0),
        ({"fs_parameters": (1, 2)}, 1),
    ],
)
def test_densities_with_the_exponent_one_are_linear(changes, n_densities):
    """No time is spent on embedding them."""
    basis = basis_of(2, "SBessel", (5.0, 4.0, 4.5), 1, 1.6, 1, **changes)
    assert [element.n_densities for element in form.form_of(basis).elements] == [n_densities] * 2
    assert max(differences(*potentials_of(basis), cell(ELEMENTS[:2], 8, 2.5, 0.3, 1)).values()) < 1e-8


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"fs_parameters": (1, -0.5), "npot": "FinnisSinclair"},
            r"its embedding has ndensity 1 and fs_parameters \[1.0, -0.5\]",
        ),
        ({"inner": "density"}, "its inner cutoff is of type density"),
        ({"inner": "zbl"}, "its inner cutoff is of type zbl"),
    ],
)
def test_what_the_kernel_does_not_know_is_left_to_pyace(changes, reason, caplog, monkeypatch):
    """The reason is logged once; who wants nothing but the kernel is refused."""
    monkeypatch.setattr(choice, "_said", set())
    basis = basis_of(1, "SBessel", (5.0, 5.0, 5.0), 0, 1.6, 1, **changes)
    atoms = cell(["Ag"], 4, 2.5, 0.1, 1)
    with caplog.at_level("INFO", "mlip_fw"):
        found = [
            AcePotential(basis, evaluator=Evaluator(kind)).evaluate(atoms).energy_ev
            for kind in ("auto", "auto", "pyace")
        ]
    assert found == [found[2]] * 3
    assert [
        re.fullmatch(f"pyace evaluates this potential, .*: {reason}", r.message) is not None for r in caplog.records
    ] == [True]
    with pytest.raises(
        WorkerError, match=f"kernel, which can't evaluate this potential: {reason}; set it to auto or pyace"
    ):
        AcePotential(basis, evaluator=Evaluator("kernel")).evaluate(atoms)


def test_without_numba_pyace_serves(alloy, monkeypatch, caplog):
    monkeypatch.setattr(choice, "_said", set())
    monkeypatch.setattr(choice, "_here", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with caplog.at_level("INFO", "mlip_fw"):
        for _ in range(2):
            assert str(AcePotential(alloy[0]).evaluated_by(alloy[1])) == "pyace: numba is not installed"
    assert [record.message for record in caplog.records] == [
        "pyace evaluates this potential, and not the faster kernel: numba is not installed"
    ]


def test_who_is_waited_for_does_not_compile(alloy, monkeypatch):
    monkeypatch.setattr(choice, "_here", None)
    monkeypatch.setattr("mlip_fw.engines.ace.kernel.ready.is_compiled", lambda: False)
    found = AcePotential(alloy[0], evaluator=Evaluator(compiles=False)).evaluated_by(alloy[1])
    assert str(found) == "pyace: it is not compiled yet"
    monkeypatch.setattr("mlip_fw.engines.ace.kernel.ready.is_compiled", lambda: True)
    assert AcePotential(alloy[0], evaluator=Evaluator(compiles=False)).evaluated_by(alloy[1]).kernel is not None


def test_where_numba_can_not_compile_pyace_serves(alloy, monkeypatch):
    def broken(say):
        raise RuntimeError("no such processor\nin detail")

    monkeypatch.setattr(choice, "_here", None)
    monkeypatch.setattr("mlip_fw.engines.ace.kernel.ready.make_ready", broken)
    found = AcePotential(alloy[0]).evaluated_by(alloy[1])
    assert str(found) == "pyace: numba can't compile it (RuntimeError: no such processor)"


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("energies_ev", "an energy"),
        ("forces_ev_a", "forces"),
        ("virial_ev", "a virial"),
        ("projections", "basis functions"),
    ],
)
def test_a_kernel_that_differs_from_pyace_is_not_used(alloy, monkeypatch, caplog, tmp_path, part, what):
    plain = Kernel.evaluate

    def changed(self, pairs, **how):
        found = plain(self, pairs, **how)
        value = getattr(found, part)
        return replace(found, **{part: [1.001 * x for x in value] if part == "projections" else 1.001 * value})

    monkeypatch.setattr(Kernel, "evaluate", changed)
    monkeypatch.setattr(check, "folder", lambda: tmp_path)
    monkeypatch.setattr(check, "_compared", set())
    potential = AcePotential(alloy[0], evaluator=Evaluator("auto"))
    assert re.match(
        f"pyace: the kernel gives {what} that differ from pyace's by ", str(potential.evaluated_by(alloy[1]))
    )
    assert f"the compiled kernel gives {what}" in caplog.text
    monkeypatch.setattr(Kernel, "evaluate", plain)
    assert AcePotential(alloy[0], evaluator=Evaluator("auto")).evaluated_by(alloy[1]).kernel is not None
    assert len(list(tmp_path.glob("same-*"))) == 1
