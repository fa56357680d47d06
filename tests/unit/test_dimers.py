"""Dimer curves: the core is that of nuclei, and no fit outweighs it."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.engines.ace.basis import copy_of, core_radius_a, core_repulsion, linear_basis, zbl_ev
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.dimers import (
    cached_repulsion_constraints,
    contact_a,
    pairs_of,
    repulsion_constraints,
    repulsion_curve,
)
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.engines.train.ridge import RidgeProblem

ELEMENTS = ["Ag", "Au", "Cu"]


@pytest.fixture(scope="module")
def shape():
    """Return a basis of three elements, all coefficients zero."""
    return AcePotential(linear_basis(ELEMENTS, 5.0, 30))


@pytest.fixture(scope="module")
def fit(shape):
    """Return what is known of two small alloy cells whose forces have the wrong sign: close pairs attract."""
    found = LinearFit.empty(len(shape.basis.basis_coeffs))
    for seed in range(2):
        atoms = bulk("Cu", cubic=True) * (2, 2, 1)
        atoms.symbols[::3], atoms.symbols[1::3] = "Ag", "Au"
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        found = found.with_label(shape.design(atoms), atoms.get_potential_energy(), -atoms.get_forces())
    return found


def dimer(pair, distance):
    return Atoms(pair, [[0, 0, 0], [0, 0, distance]], cell=[15, 15, 15], pbc=True)


def solved(fit, shape, conditions):
    coefficients, _ = fit.solve(np.ones(len(shape.basis.basis_coeffs)), constraints=conditions)
    return coefficients, AcePotential(copy_of(shape.basis, coefficients))


def least_slopes(potential):
    return {pair: repulsion_curve(potential, pair)[1].min() for pair in pairs_of(potential.elements)}


def test_pairs_are_like_and_unlike():
    assert pairs_of(["Au", "Cu"]) == [("Au", "Au"), ("Au", "Cu"), ("Cu", "Cu")]


def test_repulsion_of_nuclei():
    """At 0.01 Å it is nearly Coulomb's; doubling the charge of both nuclei more than doubles it everywhere."""
    assert zbl_ev("Si", "Si", 1e-4) == pytest.approx(14.3996 * 14**2 / 1e-4, rel=2e-3)
    assert zbl_ev("Si", "Si", 1.0) == pytest.approx(51.0, abs=0.1)
    assert zbl_ev("Cu", "Au", 1.0) == zbl_ev("Au", "Cu", 1.0) > 2 * zbl_ev("Si", "Si", 1.0)


@pytest.mark.parametrize("pair", [("Cu", "Cu"), ("H", "H"), ("O", "H"), ("Au", "Cu")])
def test_core_is_the_repulsion_of_nuclei(pair):
    prefactor, decay = core_repulsion(*pair)
    for r in (core_radius_a(*pair) / 2, core_radius_a(*pair)):
        assert 2 * prefactor * np.exp(-decay * r**2) / r == pytest.approx(zbl_ev(*pair, r), rel=1e-12)


def test_evaluated_core_is_that_of_its_formula(shape):
    prefactor, decay = core_repulsion("Au", "Cu")
    found = shape.evaluate(dimer(("Au", "Cu"), 0.7), gamma=False).energy_ev
    assert found == pytest.approx(2 * prefactor * np.exp(-decay * 0.49) / 0.7, rel=0.05)


def test_contact_is_inside_of_bonds():
    bonds = {("H", "H"): 0.74, ("C", "C"): 1.20, ("N", "N"): 1.10, ("O", "H"): 0.96, ("Cu", "Cu"): 2.22}
    assert all(0.6 * length < contact_a(*pair) < length for pair, length in bonds.items())


def test_conditions_are_the_slopes_of_the_curves(shape):
    conditions, rng = repulsion_constraints(shape), np.random.default_rng(3)
    coefficients = rng.normal(size=conditions.rows.shape[1])
    potential = AcePotential(copy_of(shape.basis, coefficients))
    slopes = 1.0 + conditions.rows @ coefficients - conditions.min_slopes
    distance, step = contact_a("Ag", "Ag"), 1e-4
    near, far = (potential.evaluate(dimer(("Ag", "Ag"), distance + d), gamma=False).energy_ev for d in (-step, step))
    assert np.abs(slopes - (near - far) / (2 * step)).min() < 1e-3


def test_no_fit_outweighs_the_cores(fit, shape):
    (_, without), (_, within) = solved(fit, shape, None), solved(fit, shape, repulsion_constraints(shape))
    assert min(least_slopes(without).values()) < 0
    assert min(least_slopes(within).values()) > 0
    energies = [within.evaluate(dimer(("Ag", "Cu"), r), gamma=False).energy_ev for r in np.arange(0.5, 2.0, 0.05)]
    assert (np.diff(energies) < 0).all()


def test_a_fit_that_rises_by_itself_is_left_alone(fit, shape):
    conditions = repulsion_constraints(shape)
    least = conditions.rows @ fit.solve(np.ones(conditions.rows.shape[1]))[0] - 1e-6
    met = type(conditions)(conditions.rows, least)
    assert np.array_equal(solved(fit, shape, met)[0], solved(fit, shape, None)[0])


def test_change_is_the_cheapest():
    """Cost x² + 4 y² with x + y >= 1 has its minimum at x = 0.8, y = 0.2."""
    problem = RidgeProblem.of(np.diag([1.0, 2.0]), np.zeros(2))
    found = problem.constrained_change(np.array([[1.0, 1.0], [-1.0, 0.0]]), np.array([1.0, -5.0]), 1e-9)
    assert found == pytest.approx([0.8, 0.2])


def test_conditions_are_kept_with_the_basis(shape, tmp_path, monkeypatch):
    first = cached_repulsion_constraints(tmp_path, shape)
    monkeypatch.setattr("mlip_fw.engines.train.dimers.repulsion_constraints", None)
    again = cached_repulsion_constraints(tmp_path, shape)
    assert np.array_equal(first.rows, again.rows) and np.array_equal(first.min_slopes, again.min_slopes)
