"""MaxVol finds volume, and the extrapolation grade means what it says."""

import numpy as np
import pytest

from mlip_fw.engines.sampling import maxvol
from mlip_fw.engines.sampling.maxvol import ActiveSet, exchange


@pytest.fixture
def rows():
    rng = np.random.default_rng(3)
    return rng.normal(size=(500, 12)) * np.logspace(0, -3, 12)


def test_no_row_of_the_data_extrapolates(rows):
    outcome = exchange(ActiveSet.empty(rows, 12), rows)
    assert outcome.active.gamma(rows).max() <= 1.001 + 1e-9
    assert np.allclose(outcome.active.matrix @ outcome.active.inverse, np.eye(12), atol=1e-8)


def test_active_rows_are_rows_of_the_data(rows):
    active = exchange(ActiveSet.empty(rows, 12), rows).active
    for row in active.matrix:
        assert np.isclose(rows, row, atol=0).all(axis=1).any()


def test_volume_grows_by_what_is_reported(rows):
    start = exchange(ActiveSet.empty(rows[:20], 12), rows[:20]).active
    outcome = exchange(start, rows)
    grown = np.linalg.slogdet(outcome.active.matrix)[1] - np.linalg.slogdet(start.matrix)[1]
    assert outcome.log_gain == pytest.approx(grown)
    assert outcome.log_gain > 0


def test_step_by_step_is_as_good_as_at_once(rows):
    active = ActiveSet.empty(rows[:50], 12)
    for k in range(0, 500, 50):
        active = exchange(active, rows[: k + 50]).active
    once = exchange(ActiveSet.empty(rows, 12), rows).active
    gradual, direct = (np.linalg.slogdet(a.matrix)[1] for a in (active, once))
    assert gradual == pytest.approx(direct, abs=1.0)
    assert active.gamma(rows).max() <= 1.001 + 1e-9


def test_what_the_data_do_not_span_has_a_large_gamma(rows):
    flat = rows.copy()
    flat[:, 5] = 0
    active = exchange(ActiveSet.empty(flat, 12), flat).active
    outside = flat[:1].copy()
    outside[0, 5] = 1.0
    assert active.gamma(outside)[0] > 1e3
    assert active.gamma(flat).max() <= 1.001 + 1e-9


def test_fewer_environments_than_functions(rows):
    few = rows[:3]
    active = exchange(ActiveSet.empty(few, 12), few).active
    assert np.isfinite(active.inverse).all()
    assert active.gamma(few).max() <= 1.001 + 1e-9
    assert active.gamma(rows[3:]).max() > 10


def test_no_environment_at_all():
    active = ActiveSet.empty(np.zeros((0, 4)), 4)
    assert exchange(active, np.zeros((0, 4))).active is active
    assert active.gamma(np.zeros((0, 4))).shape == (0,)
    assert active.gamma(np.ones((1, 4)))[0] > 1e6


def test_gamma_is_linear_in_the_environment(rows):
    active = exchange(ActiveSet.empty(rows, 12), rows).active
    assert active.gamma(7 * rows[:5]) == pytest.approx(7 * active.gamma(rows[:5]))


def test_stored_inverse_is_the_same_active_set(rows):
    active = exchange(ActiveSet.empty(rows, 12), rows).active
    again = ActiveSet.from_inverse(active.inverse)
    assert np.allclose(again.matrix, active.matrix)
    assert exchange(again, rows).swaps == 0


def test_very_many_rows_settle_as_well(monkeypatch):
    """Where only a pool of rows takes part at a time, no row is above the tolerance in the end all the same."""
    rows = np.random.default_rng(4).normal(size=(3000, 12))
    start = ActiveSet.empty(rows, 12)
    at_once = exchange(start, rows)
    monkeypatch.setattr(maxvol, "_POOL", 2)
    pooled = exchange(start, rows)
    assert pooled.active.gamma(rows).max() <= 1.001
    assert pooled.log_gain == pytest.approx(
        np.linalg.slogdet(pooled.active.matrix)[1] - np.linalg.slogdet(start.matrix)[1]
    )
    assert pooled.log_gain == pytest.approx(at_once.log_gain, abs=1.0)


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1300])
def test_gamma_of_very_many_rows_is_that_of_each(count):
    rng = np.random.default_rng(8)
    rows, matrix = rng.normal(size=(count, 6)), rng.normal(size=(6, 6))
    active = ActiveSet(matrix, np.linalg.inv(matrix))
    assert np.allclose(active.gamma(rows), np.abs(np.linalg.solve(matrix.T, rows.T)).max(axis=0), rtol=1e-10)
