"""Broken molecules and changed coordination are found, and atoms that only vibrate are not."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from mlip_fw.engines.structures.coordination import Chemistry, changes_since


def water(n=2):
    """Return molecules of water along a line in a periodic box: O, H, H each."""
    atoms = Atoms(cell=[4.0 * n, 8.0, 8.0], pbc=True)
    for k in range(n):
        one = molecule("H2O")
        one.translate([4.0 * k + 1.0, 4.0, 4.0])
        atoms += one
    return atoms


def shaken(atoms, width_a, seed=1):
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(scale=width_a, size=(len(atoms), 3))
    return moved


def oxide():
    return bulk("MgO", "rocksalt", a=4.21, cubic=True) * (2, 2, 2)


def copper():
    return bulk("Cu", "fcc", a=3.61, cubic=True) * (3, 3, 3)


# about the displacements of copper at 900 K and MgO at 1500 K
@pytest.mark.parametrize(("atoms", "width_a"), [(water(3), 0.05), (oxide(), 0.15), (copper(), 0.17)])
@pytest.mark.parametrize("seed", range(5))
def test_hot_and_intact_says_nothing(atoms, width_a, seed):
    assert changes_since(atoms, shaken(atoms, width_a, seed)) == []


def test_a_proton_that_moved_to_another_molecule():
    start, end = water(), water()
    end.positions[1] = end.positions[3] + [0.0, 0.0, 1.0]
    changes = Chemistry(start).changes(end)
    assert [(one.n_changed, one.n_all) for one in changes] == [(2, 2), (2, 2)]
    assert [one.sentence for one in changes] == [
        "2 of 2 molecules have lost or gained a bond since the start",
        "2 of 2 O have 1 or 3 H neighbours; at the start all had 2",
    ]


def test_protons_that_change_places_leave_counts_but_not_molecules():
    start, end = water(), water()
    end.positions[[1, 4]] = end.positions[[4, 1]]
    assert changes_since(start, end) == ["2 of 2 molecules have lost or gained a bond since the start"]


def test_a_bond_breaks_beyond_one_and_a_half_times_the_radii():
    start = molecule("H2")
    for length_a, found in ((0.9, []), (0.95, ["the molecule has lost or gained a bond"])):
        end = start.copy()
        end.positions = [[0, 0, 0], [0, 0, length_a]]
        assert changes_since(start, end)[:1] == found


def test_molecules_across_the_boundary_of_the_cell_are_whole():
    start = water()
    end = start.copy()
    end.translate([2.9, 4.1, 3.7])
    end.wrap()
    assert changes_since(start, end) == [] == changes_since(end, start)


def test_two_ions_that_change_places():
    start, end = oxide(), oxide()
    near = int(np.argmin([9 if k == 0 else d for k, d in enumerate(start.get_distances(0, range(64), mic=True))]))
    end.positions[[0, near]] = end.positions[[near, 0]]
    # of each element the one opposite has its lost neighbour beyond the shell; to others it has come diagonal
    assert changes_since(start, end) == [
        "1 of 32 O have 5 Mg neighbours; at the start all had 6",
        "1 of 32 Mg have 5 O neighbours; at the start all had 6",
        "5 of 32 Mg have 11 or 13 Mg neighbours; at the start all had 12",
    ]


def test_a_bond_between_elements_that_had_none():
    start, end = oxide(), oxide()
    oxygen = [atom.index for atom in end if atom.symbol == "O"]
    near = oxygen[int(np.argsort(end.get_distances(oxygen[0], oxygen, mic=True))[1])]
    way = end.get_distance(oxygen[0], near, mic=True, vector=True)
    end.positions[near] -= way * (1 - 1.4 / np.linalg.norm(way))
    assert "2 of 32 O have 1 O neighbours; at the start all had 0" in changes_since(start, end)


def test_a_liquid_has_no_shell_to_leave():
    liquid = shaken(copper(), 0.6, 3)
    assert changes_since(liquid, shaken(copper(), 0.6, 4)) == []


def test_a_melt_is_one_line():
    said = changes_since(copper(), shaken(copper(), 0.6, 4))
    assert said == ["3 of 108 Cu have 11 Cu neighbours; at the start all had 12"]


def test_a_metal_cluster_is_no_molecule():
    cluster = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.3]])
    apart = Atoms("Cu2", [[0, 0, 0], [0, 0, 9.0]])
    assert not any("molecule" in one for one in changes_since(cluster, apart))
