"""Expected force errors: calibrated intervals that hold, where the posterior of the fit is far too narrow."""

import json

import numpy as np
import pytest
from scipy.stats import spearmanr

from mlip_fw.engines.ace.error_estimate import LEVELS, ErrorEstimate, ErrorEstimator, error_scales, file_beside
from mlip_fw.engines.ace.potential import AcePotential, Design
from mlip_fw.engines.train import error_calibration
from mlip_fw.engines.train.error_calibration import LabelRows, calibrated_estimate, ensemble_of
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.engines.train.linear_fit import LinearFit
from tests.helpers.potentials import labelled, taught

N, HIDDEN, ATOMS = 12, 12, 30


class World:
    """Forces that are linear in functions, some of which the fit does not have: its misfit."""

    def __init__(self, misfit, noise=0.0):
        rng = np.random.default_rng(5)
        self.rng, self.misfit, self.noise = rng, misfit, noise
        self.seen, self.unseen = rng.normal(size=N), rng.normal(size=HIDDEN)

    def label(self):
        # environments are unlike each other: all functions are large on some atoms
        size = np.exp(0.7 * self.rng.normal(size=(ATOMS, 1, 1)))
        rows, hidden = (size * self.rng.normal(size=(ATOMS, 3, n)) for n in (N, HIDDEN))
        forces = rows @ self.seen + self.misfit * hidden @ self.unseen
        return rows, forces + self.noise * self.rng.normal(size=forces.shape)


def rows_of(rows, forces, species=None):
    known = np.ones(forces.shape, dtype=bool)
    species = np.zeros(len(rows), dtype=int) if species is None else species
    return LabelRows(rows, forces, np.zeros_like(forces), known, species)


def fitted(world, count):
    fit, labels = LinearFit.empty(N), {}
    for place in range(count):
        rows, forces = world.label()
        fit = fit.with_label(Design(rows.sum(axis=(0, 1)), rows, {}), float(forces.sum()), forces)
        labels[place] = rows_of(rows, forces)
    problem = fit.scaled(np.ones(N), 0.0)
    ridge = problem.best_ridge(np.zeros(N))
    return problem, ridge, fit.solve(np.ones(N), ridge=ridge, energy_weight=0.0)[0], labels


def estimate_for(world, count=12, n_elements=1, seed=1):
    problem, ridge, coefficients, labels = fitted(world, count)
    rng = np.random.default_rng(seed)
    found = calibrated_estimate(problem, np.zeros(N), ridge, coefficients, labels, n_elements, rng)
    return found, problem, ridge, coefficients


def fresh(world, estimate, coefficients):
    """Return absolute errors (m, 3) and half widths (m, 2) for labels that nobody has seen."""
    errors, widths = [], []
    for _ in range(40):
        rows, forces = world.label()
        predicted = rows @ coefficients
        scales = error_scales(rows @ (estimate.members - coefficients).T, predicted, estimate.force_rms_ev_a)
        errors.append(np.abs(predicted - forces))
        widths.append(scales[:, None] * estimate.factors[0])
    return np.concatenate(errors), np.concatenate(widths)


@pytest.mark.parametrize(("misfit", "noise"), [(0.3, 0.0), (0.0, 0.1), (0.1, 0.1)])
def test_intervals_hold_whatever_the_error_comes_from(misfit, noise):
    world = World(misfit, noise)
    estimate, _, _, coefficients = estimate_for(world)
    errors, widths = fresh(world, estimate, coefficients)
    within = [(errors <= widths[:, k, None]).mean() for k in range(2)]
    assert within == pytest.approx(LEVELS, abs=0.05)


def test_posterior_of_a_misfit_is_far_too_narrow_and_these_are_not():
    world = World(misfit=0.3)
    estimate, problem, ridge, coefficients = estimate_for(world)
    errors, widths = fresh(world, estimate, coefficients)
    root = problem.spectrum(problem.whole, np.zeros(N)).inverse_hessian_root(ridge) / problem.scale[:, None]
    residual = np.linalg.norm(problem.whole @ np.append(coefficients, -1.0)) / np.sqrt(12 * ATOMS * 3)
    held = []
    for _ in range(40):
        rows, forces = world.label()
        spread = residual * np.sqrt(((rows @ root) ** 2).sum(axis=2))
        held.append((np.abs(rows @ coefficients - forces) <= spread).mean())
    assert np.mean(held) < 0.2
    assert (errors <= widths[:, :1]).mean() > 0.6
    assert spearmanr(widths[:, 0], np.linalg.norm(errors, axis=1)).statistic > 0.5


def test_members_scatter_as_the_smallest_changes_that_meet_each_row(monkeypatch):
    """With many members their covariance is that of the pointwise optimal parameter sets."""
    monkeypatch.setattr(error_calibration, "N_MEMBERS", 20000)
    world = World(misfit=0.3)
    problem, ridge, coefficients, labels = fitted(world, 2)
    root = problem.spectrum(problem.whole, np.zeros(N)).inverse_hessian_root(ridge) / problem.scale[:, None]
    changes = ensemble_of(list(labels.values()), coefficients, root, np.random.default_rng(2))
    rows = np.concatenate([label.forces.reshape(-1, N) for label in labels.values()])
    misses = np.concatenate([label.targets_ev_a.ravel() for label in labels.values()]) - rows @ coefficients
    inverse = root @ root.T
    pops = np.array([inverse @ x * miss / (x @ inverse @ x) for x, miss in zip(rows, misses, strict=True)])
    # each of them meets its row
    assert np.einsum("ij,ij->i", rows, coefficients + pops) == pytest.approx(rows @ coefficients + misses)
    assert changes @ changes.T / 20000 == pytest.approx(pops.T @ pops / len(pops), abs=0.05 * np.mean(pops**2) * N)


def test_rows_that_symmetry_makes_zero_do_no_harm():
    world = World(misfit=0.3)
    problem, ridge, coefficients, labels = fitted(world, 6)
    labels[0] = rows_of(np.full((ATOMS, 3, N), 1e-14), np.full((ATOMS, 3), 1e-12))
    found = calibrated_estimate(problem, np.zeros(N), ridge, coefficients, labels, 1, np.random.default_rng(1))
    assert np.abs(found.members - coefficients).max() < np.abs(coefficients).max()


def test_an_element_with_few_atoms_has_the_factors_of_all():
    world = World(misfit=0.3)
    problem, ridge, coefficients, labels = fitted(world, 10)
    species = np.zeros(ATOMS, dtype=int)
    species[0], species[1:15] = 2, 1
    labels = {place: rows_of(one.forces, one.targets_ev_a, species) for place, one in labels.items()}
    found = calibrated_estimate(problem, np.zeros(N), ridge, coefficients, labels, 3, np.random.default_rng(1))
    assert found.factors.shape == (3, 2) and (found.factors[:, 0] < found.factors[:, 1]).all()
    low, high = np.sort(found.factors[:2, 0])
    assert low < found.factors[2, 0] < high and low < high


def test_one_label_tells_nothing():
    world = World(misfit=0.3)
    assert estimate_for(world, count=1)[0] is None


def test_scales_grow_with_spread_and_force():
    deviations = np.array([[[0.1]] * 3, [[0.2]] * 3, [[0.1]] * 3])
    forces = np.array([[0.0, 0, 0], [0.0, 0, 0], [0.0, 2.0, 0]])
    found = error_scales(deviations, forces, 1.0)
    assert found == pytest.approx([0.1**1.25, 0.2**1.25, 0.1**1.25 * 5**0.25])


def test_a_generation_states_the_errors_of_copper(small, tmp_path):
    generations, dataset, record = taught(tmp_path, 6, small())
    assert record.fold_order == [f"label{k}" for k in range(6)]
    dataset.add("label9", labelled(9), {})
    assert train_generation(generations, dataset, small()).fold_order == [*record.fold_order, "label9"]
    path = generations.potential(1)
    estimator, potential = ErrorEstimator.of_file(path), AcePotential.from_files(path)
    errors, widths = [], []
    for seed in range(20, 26):
        atoms = labelled(seed)
        forces = potential.evaluate(atoms, gamma=False).forces_ev_a
        errors.append(np.abs(forces - atoms.get_forces()))
        widths.append(estimator.half_widths_ev_a(atoms, forces))
    errors, widths = np.concatenate(errors), np.concatenate(widths)
    assert 0.58 < (errors <= widths[:, :1]).mean() < 0.78
    assert 0.88 < (errors <= widths[:, 1:]).mean() < 1.0


def test_generations_without_the_file_state_none(small, tmp_path):
    generations, dataset, _ = taught(tmp_path, 3, small())
    path = generations.potential(0)
    whole = ErrorEstimate.beside(path)
    assert whole.members.shape == (4, 20) and whole.factors.shape == (1, 2)
    file_beside(path).write_bytes(b"PK\x03\x04broken")
    assert ErrorEstimator.of_file(path) is None
    file_beside(path).unlink()
    assert ErrorEstimator.of_file(path) is None
    # of an older version it is not known which labels the folds have
    training = json.loads((generations.folder(0) / "training.json").read_text())
    del training["fold_order"]
    (generations.folder(0) / "training.json").write_text(json.dumps(training))
    dataset.add("label9", labelled(9), {})
    assert train_generation(generations, dataset, small()).fold_order is None
    assert ErrorEstimate.beside(generations.potential(1)) is None
