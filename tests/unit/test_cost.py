"""Estimated costs order structures as their DFT would."""

import numpy as np
import pytest
from ase.build import bulk, fcc111

from mlip_fw.engines.oracle.cost import label_cost, n_kpoints
from mlip_fw.models.oracle import AseOracle, EspressoOracle


def qe(spacing=None):
    return EspressoOracle(kind="espresso", ecutwfc_ry=30.0, kpoint_spacing_1_a=spacing)


@pytest.mark.parametrize(
    ("mesh", "expected"), [((1, 1, 1), 1), ((2, 2, 2), 8), ((3, 3, 3), 14), ((4, 4, 4), 36), ((3, 1, 2), 4)]
)
def test_k_and_minus_k_count_once(mesh, expected):
    """Of a 4×4×4 mesh about Γ, eight points are their own negatives and 56 come in pairs."""
    atoms = bulk("Al", cubic=True, a=4.0)
    atoms.set_cell(2 * np.pi / np.array(mesh) / 0.2, scale_atoms=True)
    assert n_kpoints(atoms, 0.2001) == expected


def test_gamma_alone_and_large_cells_take_one_point():
    atoms = bulk("Al", cubic=True)
    assert n_kpoints(atoms, None) == 1
    assert n_kpoints(atoms * (8, 8, 8), 0.3) == 1


def test_k_points_follow_the_reciprocal_vectors_of_a_skewed_cell():
    """A primitive fcc cell has reciprocal vectors of 2π√3/a."""
    assert n_kpoints(bulk("Al", a=4.0), 2 * np.pi * np.sqrt(3) / 4.0 / 2 + 1e-6) == 8


def test_dft_grows_faster_than_the_square_of_the_cell_at_one_k_point():
    small, large = bulk("Al", cubic=True), bulk("Al", cubic=True) * (2, 1, 1)
    assert label_cost(large, qe()) == pytest.approx(2**2.5 * label_cost(small, qe()))


def test_vacuum_and_k_points_are_paid_for():
    thin, thick = fcc111("Al", (2, 2, 3), vacuum=5.0), fcc111("Al", (2, 2, 3), vacuum=10.0)
    assert label_cost(thick, qe()) > 1.3 * label_cost(thin, qe())
    cell = bulk("Al", cubic=True)
    assert label_cost(cell, qe(0.5)) == pytest.approx(label_cost(cell, qe()) * n_kpoints(cell, 0.5))


def test_a_calculator_of_ase_costs_by_the_atom():
    emt = AseOracle(kind="ase", calculator="emt")
    assert label_cost(bulk("Cu", cubic=True) * (2, 2, 2), emt) == 32
