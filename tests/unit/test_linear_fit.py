"""The incremental fit is the fit from scratch."""

import numpy as np
import pytest

from mlip_fw.engines.ace.potential import Design
from mlip_fw.engines.train.folds import TriangularFactor
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.models.campaign import ENERGY_WEIGHT

N = 15


@pytest.fixture
def truth():
    return np.random.default_rng(1).normal(size=N)


def labels(truth, count, n_atoms=8, noise=0.0, seed=2):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        energy, forces = rng.normal(size=N) * n_atoms, rng.normal(size=(n_atoms, 3, N))
        design = Design(energy, forces, {})
        yield design, float(energy @ truth), forces @ truth + noise * rng.normal(size=(n_atoms, 3))


def fitted(made):
    fit = LinearFit.empty(N)
    for design, energy, forces in made:
        fit = fit.with_label(design, energy, forces)
    return fit


def test_exact_data_give_the_truth(truth):
    fit = fitted(labels(truth, 4))
    coefficients, ridge = fit.solve(np.ones(N))
    assert np.allclose(coefficients, truth, atol=1e-6)
    assert ridge == pytest.approx(1e-8)
    assert fit.errors(coefficients).force_rmse_ev_a < 1e-6


def test_folding_in_equals_least_squares_from_scratch(truth):
    made = list(labels(truth, 5, noise=0.1))
    coefficients, ridge = fitted(made).solve(np.ones(N))
    rows = np.vstack([np.vstack([d.forces.reshape(-1, N), ENERGY_WEIGHT * d.energy[None] / 8]) for d, _, _ in made])
    targets = np.concatenate([np.append(f.reshape(-1), ENERGY_WEIGHT * e / 8) for _, e, f in made])
    scale = np.sqrt((rows**2).mean(axis=0))
    scaled = rows / scale
    direct = np.linalg.solve(scaled.T @ scaled + ridge**2 * len(rows) * np.eye(N), scaled.T @ targets) / scale
    assert np.allclose(coefficients, direct, rtol=1e-8)


def test_order_of_labels_does_not_matter(truth):
    made = list(labels(truth, 6, noise=0.1))
    forward, backward = fitted(made).solve(np.ones(N))[0], fitted(made[::-1]).solve(np.ones(N))[0]
    assert np.allclose(forward, backward, rtol=1e-9)


def test_errors_are_those_of_the_residuals(truth):
    made = list(labels(truth, 3, noise=0.3))
    fit = fitted(made)
    coefficients = truth + 0.01
    forces = np.concatenate([(d.forces @ coefficients - f).reshape(-1) for d, _, f in made])
    energies = np.array([(d.energy @ coefficients - e) / 8 for d, e, _ in made])
    errors = fit.errors(coefficients)
    assert errors.force_rmse_ev_a == pytest.approx(np.sqrt(np.mean(forces**2)))
    assert errors.energy_rmse_ev_atom == pytest.approx(np.sqrt(np.mean(energies**2)))


def test_noise_raises_the_ridge(truth):
    clean = fitted(labels(truth, 2, n_atoms=3)).solve(np.ones(N))[1]
    noisy = fitted(labels(truth, 2, n_atoms=3, noise=20.0)).solve(np.ones(N))[1]
    assert noisy > clean


def test_few_data_stay_near_the_prior(truth):
    fit = fitted(labels(truth, 1, n_atoms=2))
    coefficients, _ = fit.solve(np.ones(N), prior=truth)
    assert np.allclose(coefficients, truth, atol=1e-8)


def test_unseen_function_keeps_coefficient_zero(truth):
    made = []
    for design, _, _ in labels(truth, 3):
        design.energy[4] = 0
        design.forces[:, :, 4] = 0
        made.append((design, float(design.energy @ truth), design.forces @ truth))
    coefficients, _ = fitted(made).solve(np.ones(N))
    assert np.isfinite(coefficients).all()
    assert coefficients[4] == pytest.approx(0, abs=1e-9)


def test_empty_triangle_has_no_error():
    assert TriangularFactor.empty(3).rmse(np.ones(3)) == 0.0


def test_masked_label_gives_only_the_forces_of_its_mask(truth):
    whole, (design, energy, forces) = list(labels(truth, 3, noise=0.1)), next(labels(truth, 1, seed=5))
    mask = np.array([True, False, True, False, True, True, False, True])
    wrong = forces + 100.0 * ~mask[:, None]
    fit = fitted(whole).with_label(design, energy + 1e3, wrong, mask)
    part = Design(np.zeros(N), design.forces[mask], {})
    rows = [fold.force.n_rows for fold in fit.folds]
    assert rows == [24, 24, 24, 15, 0]
    assert [fold.energy.n_rows for fold in fit.folds] == [1, 1, 1, 0, 0]
    alone = LinearFit.empty(N).with_label(part, 0.0, forces[mask])
    coefficients = truth + 0.01
    expected = fitted(whole).errors(coefficients).force_rmse_ev_a ** 2 * 72
    expected += alone.errors(coefficients).force_rmse_ev_a ** 2 * 15
    assert fit.errors(coefficients).force_rmse_ev_a == pytest.approx(np.sqrt(expected / 87))


def test_full_mask_changes_nothing(truth):
    made = list(labels(truth, 3, noise=0.1))
    masked = LinearFit.empty(N)
    for design, energy, forces in made:
        masked = masked.with_label(design, energy, forces, np.ones(8, dtype=bool))
    assert np.allclose(masked.solve(np.ones(N))[0], fitted(made).solve(np.ones(N))[0], rtol=1e-12)
