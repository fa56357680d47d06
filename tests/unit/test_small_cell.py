"""Small cells for the first labels are crystals and slabs like the large ones."""

from collections import Counter

import numpy as np
import pytest
from ase.build import bulk, fcc111

from mlip_fw.engines.sampling.small_cell import sample_atoms, small_cell
from mlip_fw.engines.structures.geometry import closest_pair
from tests.helpers.structures import liquid


def test_a_small_start_stays_whole():
    start = bulk("Cu", cubic=True) * (3, 3, 3)
    start.rattle(0.1, seed=1)
    assert small_cell(start, 108, 6.0).positions == pytest.approx(start.positions % start.cell.lengths(), abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("max_atoms", [200, 60, 20])
def test_a_crystal_gives_a_supercell(max_atoms):
    start = bulk("Cu", cubic=True, a=3.61) * (8, 8, 8)
    small = small_cell(start, max_atoms, 6.0)
    assert max_atoms / 4 < len(small) <= max_atoms
    assert small.get_volume() / len(small) == pytest.approx(3.61**3 / 4)
    units = small.cell.array @ np.linalg.inv(bulk("Cu", a=3.61).cell.array)
    assert units == pytest.approx(units.round(), abs=1e-6)
    tripled = small * (3, 3, 3)
    assert closest_pair(tripled)[0] == pytest.approx(closest_pair(start)[0])


def test_images_are_two_cutoffs_apart_if_there_is_room():
    small = small_cell(bulk("Cu", cubic=True, a=3.61) * (8, 8, 8), 200, 6.0)
    steps = np.array(list(np.ndindex(5, 5, 5))) - 2
    assert np.sort(np.linalg.norm(steps @ small.cell.array, axis=1))[1] >= 12.0


def test_a_slab_stays_a_slab():
    start = fcc111("Cu", (10, 10, 6), a=3.61, vacuum=9.0)
    start.pbc = True
    small = small_cell(start, 200, 6.0)
    assert len(small) < 200
    assert len(set(small.positions[:, 2].round(3))) == 6
    assert small.cell[2, 2] - np.ptp(small.positions[:, 2]) == pytest.approx(10.0)


def test_a_compound_keeps_its_formula():
    small = small_cell(bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (5, 5, 5), 150, 6.0)
    counts = Counter(small.get_chemical_symbols())
    assert counts["Na"] == counts["Cl"]
    d = small.get_all_distances(mic=True)
    assert d[d > 0].min() == pytest.approx(2.82)


def test_a_random_alloy_keeps_its_composition():
    start = bulk("Cu", cubic=True, a=3.85) * (6, 6, 6)
    start.symbols[np.random.default_rng(1).permutation(len(start))[: len(start) // 4]] = "Au"
    small = small_cell(start, 150, 6.0)
    assert Counter(small.get_chemical_symbols())["Au"] / len(small) == pytest.approx(0.25, abs=0.012)


def test_a_liquid_gives_a_cell_without_overlaps():
    start = liquid()
    small = small_cell(start, 200, 6.0)
    assert len(small) < 200
    assert closest_pair(small)[0] >= closest_pair(start)[0] - 1e-6
    assert len(small) / small.get_volume() == pytest.approx(len(start) / start.get_volume(), rel=0.15)


@pytest.mark.slow
def test_a_start_whose_elements_lie_far_apart_stays_whole():
    start = bulk("Cu", cubic=True, a=3.61) * (12, 2, 2)
    start.symbols[start.positions[:, 0] < 1] = "Au"
    start.symbols[np.abs(start.positions[:, 0] - 21.66) < 1] = "Ag"
    assert len(small_cell(start, 40, 6.0)) == len(start)


def test_a_cell_is_cut_around_the_atom_that_is_asked_for():
    start = bulk("Cu", cubic=True, a=3.61) * (6, 6, 6)
    start.symbols[700] = "Au"
    small = small_cell(start, 150, 6.0, around=[700])
    assert small.get_chemical_symbols()[0] == "Au"
    assert Counter(small.get_chemical_symbols())["Au"] == 1


def test_some_atoms_are_one_of_each_element():
    start = bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (3, 3, 3)
    rng = np.random.default_rng(1)
    drawn = [sample_atoms(start, rng) for _ in range(5)]
    assert all([start.symbols[k] for k in atoms] == ["Cl", "Na"] for atoms in drawn)
    assert len({tuple(atoms) for atoms in drawn}) == 5


def test_a_single_solute_is_in_the_cell():
    start = bulk("Cu", cubic=True, a=3.61) * (6, 6, 6)
    start.symbols[100] = "Au"
    assert Counter(small_cell(start, 150, 6.0).get_chemical_symbols())["Au"] == 1
