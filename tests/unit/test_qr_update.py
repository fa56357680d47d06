"""Triangular factors stand for their rows, and the ridge chosen from them is the one that the rows themselves give."""

import numpy as np
import pytest

from mlip_fw.engines.ace.potential import Design
from mlip_fw.engines.train.linear_fit import N_FOLDS, LinearFit
from mlip_fw.engines.train.qr_update import add_rows, leave_one_out, merge

N = 40


def triangle_of(rows):
    return add_rows(np.zeros((rows.shape[1], rows.shape[1])), rows)


def rows_of(count, n=N, seed=0):
    return np.random.default_rng(seed).normal(size=(count, n))


def same(r_factor, rows):
    assert np.array_equal(r_factor, np.triu(r_factor))
    assert np.allclose(r_factor.T @ r_factor, rows.T @ rows, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("count", [1, N // 2, N, 5 * N])
def test_rows_are_folded_in(count):
    first, second = rows_of(7), rows_of(count, seed=1)
    same(add_rows(triangle_of(first), second), np.vstack([first, second]))


def test_triangles_are_joined_and_left_as_they_were():
    first, second = triangle_of(rows_of(60)), triangle_of(rows_of(3, seed=1))
    before = first.copy(), second.copy()
    same(merge(first, second), np.vstack([first, second]))
    assert np.array_equal(first, before[0])
    assert np.array_equal(second, before[1])


def test_a_triangle_of_nothing_adds_nothing():
    first, nothing = triangle_of(rows_of(60)), np.zeros((N, N))
    same(merge(first, nothing), first)
    same(merge(nothing, nothing), nothing)
    assert abs(add_rows(np.zeros((1, 1)), np.array([[3.0], [4.0]])).item()) == pytest.approx(5.0)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_each_is_left_out_once(count):
    parts = [rows_of(20, seed=seed) for seed in range(count)]
    for k, rest in enumerate(leave_one_out([triangle_of(part) for part in parts])):
        same(rest, np.vstack(parts[:k] + parts[k + 1 :]))


def labels(count, n_atoms=8, noise=0.1, unseen=(), masked=()):
    """Rows as those of a real basis: columns of very different size, many nearly dependent on each other."""
    rng = np.random.default_rng(2)
    mixture = rng.normal(size=(N, N)) @ np.diag(np.logspace(0, -7, N)) @ rng.normal(size=(N, N))
    truth = rng.normal(size=N)
    for k in range(count):
        energy, forces = rng.normal(size=N) @ mixture, rng.normal(size=(n_atoms, 3, N)) @ mixture
        energy[list(unseen)], forces[:, :, list(unseen)] = 0.0, 0.0
        mask = np.arange(n_atoms) < (2 if k in masked else n_atoms)
        noisy = forces @ truth + noise * rng.normal(size=(n_atoms, 3))
        yield Design(energy, forces, {}), float(energy @ truth), noisy, mask


def plain(made, degrees, prior, weight):
    """Return (coefficients, ridge) by decomposing all rows anew for each fold, without triangles."""
    parts = [[np.zeros((0, N + 1))] for _ in range(N_FOLDS)]
    for k, (design, energy, forces, mask) in enumerate(made):
        parts[k % N_FOLDS].append(np.column_stack([design.forces[mask].reshape(-1, N), forces[mask].reshape(-1)]))
        if mask.all():
            parts[k % N_FOLDS].append(weight / len(mask) * np.append(design.energy, energy)[None])
    folds = [np.vstack(part) for part in parts[: len(made)]]
    whole = np.vstack(folds)
    size = np.linalg.norm(whole[:, :N], axis=0)
    scale = np.where(size > 0, size, 1.0) * degrees / degrees.mean()

    def solved(rows, ridge):
        u, s, vt = np.linalg.svd(rows[:, :N] / scale, full_matrices=False)
        along = u.T @ (rows[:, N] - rows[:, :N] @ prior)
        return prior + vt.T @ (s / (s**2 + ridge**2) * along) / scale

    def loss(ridge):
        rests = [np.vstack(folds[:k] + folds[k + 1 :]) for k in range(len(folds))]
        missed = [f[:, N] - f[:, :N] @ solved(rest, ridge) for f, rest in zip(folds, rests, strict=True)]
        return sum(float(m @ m) for m in missed)

    losses = {ridge: loss(ridge) for ridge in np.logspace(-8, 1, 19)} if len(folds) > 1 else {1e-4: 0.0}
    ridge = max(ridge for ridge in losses if losses[ridge] <= 1.04 * min(losses.values()))
    return solved(whole, ridge), ridge


@pytest.mark.parametrize(
    ("count", "settings"),
    [
        (1, {}),  # nothing to leave out
        (2, {"n_atoms": 2}),  # fewer rows than columns
        (4, {"noise": 0.0}),  # fewer labels than folds, and nothing but rounding to choose by
        (23, {}),
        (23, {"noise": 1e-5}),
        (23, {"unseen": (3, 17, N - 1)}),
        (7, {"masked": (0, 3, 5, 6)}),
        (6, {"n_atoms": 2, "unseen": tuple(range(20)), "masked": (1,)}),
    ],
)
def test_the_quick_choice_is_the_plain_one(count, settings):
    made = list(labels(count, **settings))
    degrees, prior = np.arange(1.0, N + 1), 0.1 * np.random.default_rng(4).normal(size=N)
    fit = LinearFit.empty(N)
    for label in made:
        fit = fit.with_label(*label)
    coefficients, ridge = fit.solve(degrees, prior, energy_weight=3.0)
    expected, best = plain(made, degrees, prior, 3.0)
    assert ridge == pytest.approx(best)
    assert np.abs(coefficients - expected).max() < 1e-7 * np.abs(expected).max()


def test_a_given_ridge_is_taken():
    made, fit = list(labels(6)), LinearFit.empty(N)
    for label in made:
        fit = fit.with_label(*label)
    chosen = fit.solve(np.ones(N))
    assert np.array_equal(fit.solve(np.ones(N), ridge=chosen[1])[0], chosen[0])
    stiff, ridge = fit.solve(np.ones(N), ridge=1e3)
    assert ridge == 1e3
    assert np.linalg.norm(stiff) < 1e-3 * np.linalg.norm(chosen[0])
