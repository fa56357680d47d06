"""Stresses are trained on: rows, sign, the pressure that is left free, labels with and without, older fits."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.basis import copy_of, linear_basis
from mlip_fw.engines.ace.potential import AcePotential, Design
from mlip_fw.engines.train.committee import Committee
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.engines.train.memory import max_atoms_in_memory, size_of
from mlip_fw.engines.train.stresses import PRESSURE_PENALTY, pressure_offset, project_out_pressure
from mlip_fw.io.files import read_arrays, write_arrays
from mlip_fw.io.structures import MASK, stress_of, with_labels

N = 12
GPA_OF_EV_A3 = 160.2
DIAGONAL = np.array([1, 1, 1, 0, 0, 0])
VOIGT = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


def skew_cell():
    """Return seven atoms of two elements in a skew cell thinner than the cutoff."""
    atoms = bulk("Cu", cubic=True, a=3.7) * (2, 1, 1)
    atoms.symbols[:3] = "Au"
    del atoms[4]
    atoms.set_cell(
        atoms.cell.array @ (np.eye(3) + [[0.02, 0.1, 0], [-0.03, 0, 0.05], [0.2, 0, -0.04]]), scale_atoms=True
    )
    atoms.rattle(0.1, seed=3)
    return atoms


@pytest.fixture(scope="module")
def potential():
    """Return a potential with cores and random coefficients."""
    basis = linear_basis(["Au", "Cu"], 5.0, 25)
    return AcePotential(copy_of(basis, np.random.default_rng(1).normal(size=len(basis.basis_coeffs))))


@pytest.fixture(scope="module")
def design(potential):
    return potential.design(skew_cell(), stress=True)


def strained_energy(potential, component, size):
    """Return the energy with a strain that does the work of one stress component."""
    strain = np.zeros((3, 3))
    strain[VOIGT[component]] += size / 2
    strain[VOIGT[component][::-1]] += size / 2
    atoms = skew_cell()
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return potential.evaluate(atoms, gamma=False).energy_ev


@pytest.mark.parametrize("component", range(6))
def test_rows_are_derivatives_of_the_energy_by_strain(potential, design, component):
    step = 1e-5
    found = strained_energy(potential, component, step) - strained_energy(potential, component, -step)
    expected = found / (2 * step) / skew_cell().get_volume()
    stress = design.stress @ np.array(potential.basis.basis_coeffs)
    assert stress[component] == pytest.approx(expected, rel=1e-6, abs=1e-7 * np.abs(stress).max())


def test_rows_give_the_stress_of_the_potential(potential, design):
    atoms = skew_cell()
    stress = design.stress @ np.array(potential.basis.basis_coeffs)
    expected = potential.evaluate(atoms, gamma=False).stress_ev_a3(atoms.get_volume())
    assert np.allclose(stress, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_other_rows_are_the_same_with_stress(potential, design):
    plain = potential.design(skew_cell())
    assert plain.stress is None
    assert np.array_equal(design.energy, plain.energy)
    assert np.allclose(design.forces, plain.forces, rtol=0, atol=1e-11 * np.abs(plain.forces).max())
    assert {name: rows.shape for name, rows in design.projections.items()} == {
        name: rows.shape for name, rows in plain.projections.items()
    }


class TestFit:
    def labels(self, truth, count, pressure=0.0, noise=0.05):
        rng = np.random.default_rng(2)
        for _ in range(count):
            design = Design(rng.normal(size=N), rng.normal(size=(2, 3, N)), {}, rng.normal(size=(6, N)))
            stress = design.stress @ truth + pressure * DIAGONAL + noise * rng.normal(size=6)
            yield design, float(design.energy @ truth), design.forces @ truth + noise * rng.normal(size=(2, 3)), stress

    def fitted(self, made):
        fit = LinearFit.empty(N)
        for design, energy, forces, stress in made:
            fit = fit.with_label(design, energy, forces, None, stress)
        return fit

    @pytest.fixture
    def truth(self):
        return np.random.default_rng(1).normal(size=N)

    def test_residuals_are_those_of_the_best_pressure(self, truth):
        made = list(self.labels(truth, 7, pressure=0.5))
        folds, wrong = self.fitted(made).stresses, truth + 0.1
        found = [part @ np.append(wrong, -1.0) for parts in project_out_pressure(folds) for part in parts]
        residuals = np.concatenate([d.stress @ wrong - s for d, _, _, s in made])
        column = np.tile(DIAGONAL, 7)
        pressure = -(column @ residuals) / (column @ column + PRESSURE_PENALTY**2)
        least = ((residuals + pressure * column) ** 2).sum() + (PRESSURE_PENALTY * pressure) ** 2
        assert sum((part**2).sum() for part in found) == pytest.approx(least, rel=1e-9)

    def test_where_no_pressure_is_free_all_rows_count(self, truth):
        made, wrong = list(self.labels(truth, 7, pressure=0.5)), truth + 0.1
        parts = project_out_pressure(self.fitted(made).stresses, is_free=False)
        found = sum(((part @ np.append(wrong, -1.0)) ** 2).sum() for pair in parts for part in pair)
        assert found == pytest.approx(sum(((d.stress @ wrong - s) ** 2).sum() for d, _, _, s in made), rel=1e-9)

    def test_a_pressure_that_all_have_is_not_learnt(self, truth):
        plain, pressed = (self.fitted(self.labels(truth, 8, pressure)) for pressure in (0.0, 5.0))
        one, other = (fit.solve(np.ones(N), stress_weight=10.0)[0] for fit in (plain, pressed))
        assert np.allclose(one, other, atol=2e-3)
        assert pressure_offset(pressed.stresses, other) == pytest.approx(5.0, abs=0.1)
        assert pressed.errors(other).stress_rmse_ev_a3 == pytest.approx(5.0 / np.sqrt(2), rel=0.02)

    def test_a_fold_that_is_left_out_is_in_no_other(self, truth):
        """The common pressure couples them, and would let a fit see what it is to predict."""
        made = list(self.labels(truth, 5))
        other = [*made[:4], (*made[4][:3], made[4][3] + 3.0)]
        before, after = (self.fitted(labels).scaled(np.ones(N), 1.0, 10.0) for labels in (made, other))
        assert all(np.array_equal(*pair) for pair in zip(before.folds[:4], after.folds[:4], strict=True))
        assert not np.allclose(before.folds[4], after.folds[4])
        assert not np.allclose(before.whole, after.whole)

    def test_without_energies_the_pressure_is_that_of_the_stresses(self, truth):
        """Nothing but stresses knows the last function."""
        fit = LinearFit.empty(N)
        for design, energy, forces, _ in self.labels(truth, 8):
            design.energy[-1], design.forces[:, :, -1], design.stress[:, -1] = 0.0, 0.0, DIAGONAL
            fit = fit.with_label(design, energy, forces, None, design.stress[:, :-1] @ truth[:-1] + 2.0 * DIAGONAL)
        assert fit.solve(np.ones(N), stress_weight=10.0)[0][-1] == pytest.approx(2.0, abs=0.2)

    def test_of_wrong_sign_they_are_missed(self, truth):
        right = list(self.labels(truth, 8))
        wrong = [(design, energy, forces, -stress) for design, energy, forces, stress in right]
        errors = []
        for made in (right, wrong):
            fit = self.fitted(made)
            errors.append(fit.errors(fit.solve(np.ones(N), stress_weight=1.0)[0]).stress_rmse_ev_a3)
        assert errors[1] > 20 * errors[0]

    def test_no_stress_no_rows(self, truth):
        fit = LinearFit.empty(N)
        for design, energy, forces, _ in self.labels(truth, 3):
            fit = fit.with_label(design, energy, forces)
        coefficients = fit.solve(np.ones(N))[0]
        assert np.array_equal(fit.solve(np.ones(N), stress_weight=10.0)[0], coefficients)
        assert fit.auto_stress_weight() is None
        assert fit.errors(coefficients).stress_rmse_ev_a3 is None
        assert pressure_offset(fit.stresses, coefficients) is None


def labelled(seed):
    atoms = bulk("Cu", cubic=True, a=3.61) * (2, 2, 2)
    strain = np.random.default_rng(seed).normal(scale=0.02, size=(3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain + strain.T), scale_atoms=True)
    atoms.rattle(0.08, seed=seed)
    atoms.calc = EMT()
    return with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress())


def cut_out(seed):
    atoms = labelled(seed)
    atoms.arrays[MASK] = np.arange(32) < 20
    return atoms


def without_stress(seed):
    atoms = labelled(seed)
    return with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), None)


def teach(root, campaign, *labels):
    """Train a generation on each list of labels, one after the other; return the last record."""
    dataset, record = Dataset(root), None
    for new in labels:
        for atoms in new:
            dataset.add(f"label{len(dataset.hashes())}", atoms, {})
        record = train_generation(Generations(root), dataset, campaign)
    return record


def stress_error(root, number, atoms):
    found = AcePotential.from_files(Generations(root).potential(number)).evaluate(atoms, gamma=False)
    return np.sqrt(np.mean((found.stress_ev_a3(atoms.get_volume()) - atoms.get_stress()) ** 2))


@pytest.fixture(scope="module")
def learnt(small_campaign, tmp_path_factory):
    """Return the directory of two generations: six labels, and two more."""
    root = tmp_path_factory.mktemp("learnt")
    teach(root, small_campaign(), [labelled(k) for k in range(6)], [labelled(6), labelled(7)])
    return root


def test_record_says_what_was_done(learnt):
    record, frames = Generations(learnt).record(1), [labelled(k) for k in range(8)]
    force, stress = (np.sqrt(np.mean([of(a) ** 2 for a in frames])) for of in (lambda a: a.get_forces(), stress_of))
    assert record.stress_weight == pytest.approx(force / stress, rel=1e-3)
    errors = [stress_error(learnt, 1, atoms) for atoms in frames]
    assert record.dataset.stress_rmse_ev_a3 == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-6)
    assert abs(record.pressure_offset_ev_a3) < 1e-3


@pytest.mark.slow
def test_unseen_stresses_are_better(learnt, small_campaign, tmp_path):
    record = teach(tmp_path, small_campaign(potential={"stress_weight": 0}), [labelled(k) for k in range(8)])
    assert (record.stress_weight, record.dataset.stress_rmse_ev_a3, record.pressure_offset_ev_a3) == (None, None, None)
    with_stress, without = (
        np.mean([stress_error(root, number, labelled(k)) for k in range(20, 24)])
        for root, number in ((learnt, 1), (tmp_path, 0))
    )
    assert with_stress < 0.7 * without


@pytest.mark.slow
def test_only_whole_labels_with_a_stress_have_rows(small_campaign, tmp_path):
    odd = labelled(5)
    odd.calc.results["stress"] = np.full(6, np.nan)
    assert [stress_of(atoms) is None for atoms in (labelled(4), cut_out(4), without_stress(4), odd)] == [
        False,
        True,
        True,
        True,
    ]
    close = labelled(3)
    close.positions[1] = close.positions[0] + [0.9, 0.9, 0.7]
    close.calc = EMT()
    close = with_labels(close, close.get_potential_energy(), close.get_forces(), close.get_stress())
    record = teach(tmp_path, small_campaign(), [labelled(0), cut_out(1), without_stress(2)], [close])
    assert read_arrays(Generations(tmp_path).folder(1) / "fit.npz")["n_stress"].tolist() == [6, 0, 0, 6, 0]
    errors = [stress_error(tmp_path, 1, atoms) for atoms in (labelled(0), close)]
    assert record.dataset.stress_rmse_ev_a3 == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-6)


@pytest.mark.slow
def test_labels_without_stress_are_learnt_as_if_there_were_none(small_campaign, tmp_path):
    for name, weight in (("a", "auto"), ("b", 0), ("c", 7.0)):
        campaign = small_campaign(potential={"stress_weight": weight})
        assert teach(tmp_path / name, campaign, [without_stress(k) for k in range(2)]).stress_weight is None
    a, b, c = (Generations(tmp_path / name).potential(0).read_bytes() for name in "abc")
    assert a == b == c


@pytest.mark.slow
def test_fit_of_an_older_version_is_made_anew(small_campaign, tmp_path):
    """Labels that came in an order of their own, so that folds must be dealt out as they were."""
    campaign, parts = small_campaign(), ([labelled(0), labelled(1)], [labelled(2)], [cut_out(3), labelled(4)])
    new, old = tmp_path / "new", tmp_path / "old"
    for root in (new, old):
        for name, k in (("c", 0), ("a", 1), ("b", 2)):
            Dataset(root).add(name, labelled(k), {})
            train_generation(Generations(root), Dataset(root), campaign)
    path = Generations(old).folder(2) / "fit.npz"
    write_arrays(path, {name: rows for name, rows in read_arrays(path).items() if "stress" not in name})
    committee = Committee.of_generation(Generations(old), 2)
    assert np.isfinite(committee.factor).all()
    for root in (new, old):
        teach(root, campaign, parts[2])
    assert (new / "potentials/gen_0003/potential.yaml").read_bytes() == (
        old / "potentials/gen_0003/potential.yaml"
    ).read_bytes()
    first, second = (read_arrays(Generations(root).folder(3) / "fit.npz") for root in (new, old))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_committee_knows_the_stresses_too(learnt):
    generations = Generations(learnt)
    committee = Committee.of_generation(generations, 1)
    record = generations.record(1)
    rows = committee.potential.design(labelled(30), stress=True).stress
    spread = np.linalg.norm(rows @ committee.factor)
    blind = record.model_copy(update={"stress_weight": None})
    (generations.folder(1) / "training.json").write_text(blind.model_dump_json())
    wider = np.linalg.norm(rows @ Committee.of_generation(generations, 1).factor)
    (generations.folder(1) / "training.json").write_text(record.model_dump_json())
    assert spread < 0.9 * wider


def test_size_counts_the_images(small_campaign):
    campaign, atoms = small_campaign(), labelled(0)
    basis = linear_basis(["Cu"], 5.0, 20)
    assert max_atoms_in_memory([atoms], small_campaign(potential={"stress_weight": 0}), 5.0) == 32
    found = size_of(basis, max_atoms_in_memory([atoms], campaign, 5.0)).label_mb / size_of(basis, 32).label_mb
    assert 5 < found < 15


@pytest.mark.slow
def test_two_compositions_say_the_pressure_of_an_alloy(small, tmp_path):
    """Two energies go into those of two elements; stresses of `ase` have no pressure of their own."""
    rng, dataset = np.random.default_rng(3), Dataset(tmp_path)
    for n_gold in (8, 12):
        atoms = bulk("Cu", cubic=True, a=3.75) * (2, 2, 2)
        atoms.symbols[rng.permutation(32)[:n_gold]] = "Au"
        atoms.set_cell(atoms.cell.array * (1 + 0.001 * n_gold), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.05, size=(32, 3))
        atoms.calc = EMT()
        labelled = with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress())
        dataset.add(f"label{n_gold}", labelled, {})
    alloy = {"bulk": {"symbol": "Cu", "a": 3.75, "cubic": True, "repeat": [2, 2, 2], "substitute": {"Au": 0.25}}}
    campaign = small(elements=["Au", "Cu"], structure=alloy, potential={"functions_per_element": 40})
    record = train_generation(Generations(tmp_path), dataset, campaign)
    assert abs(record.pressure_offset_ev_a3) * GPA_OF_EV_A3 < 0.02
    assert not record.is_pressure_free
