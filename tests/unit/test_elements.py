"""Several elements: few environments, one that appears later, and what it all takes."""

import logging

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.basis import linear_basis
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.sampling.maxvol import ActiveSet
from mlip_fw.engines.train.fit_state import first_basis
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.engines.train.memory import size_in_words, size_of
from mlip_fw.io.structures import with_labels

OFFSET = {"Cu": -1000.0, "Au": -3000.0}
"""What a plane-wave code would call the energies of free atoms."""


def labelled(seed, n_gold=0):
    atoms = bulk("Cu", cubic=True, a=3.7) * (2, 2, 2)
    atoms.symbols[np.random.default_rng(seed).permutation(32)[:n_gold]] = "Au"
    atoms.rattle(0.06, seed=seed)
    atoms.calc = EMT()
    free = sum(OFFSET[symbol] for symbol in atoms.symbols)
    return with_labels(atoms, atoms.get_potential_energy() + free, atoms.get_forces(), None)


@pytest.fixture(scope="module")
def late_gold(small_campaign, tmp_path_factory):
    """Return generations and dataset of a campaign that sees gold only after its first generation."""
    root = tmp_path_factory.mktemp("late")
    campaign = small_campaign(elements=["Au", "Cu"], potential={"functions_per_element": 20})
    dataset, generations = Dataset(root), Generations(root)
    for names in ({"a": 0, "b": 0}, {"c": 1}, {"d": 8, "e": 16, "f": 12}):
        for name, n_gold in names.items():
            dataset.add(name, labelled(ord(name), n_gold), {})
        train_generation(generations, dataset, campaign)
    return generations, dataset


def test_element_without_a_label_is_not_known(late_gold):
    generations, dataset = late_gold
    record = generations.record(0)
    assert record.n_environments == {"Au": 0, "Cu": 64}
    assert set(record.reference_energy_ev) == {"Cu"}
    gamma = AcePotential.from_files(generations.potential(0)).evaluate(dataset.read("c")).gamma
    assert gamma.max() > 1e6


def test_element_that_appears_later_gets_its_own_reference(late_gold):
    first, second, third = (late_gold[0].record(k).reference_energy_ev for k in range(3))
    assert second["Cu"] == third["Cu"] == first["Cu"]
    assert third["Au"] == second["Au"] == pytest.approx(-3000, abs=10)


def test_element_that_appears_later_is_learnt(late_gold):
    generations, dataset = late_gold
    record = generations.record(2)
    assert record.n_environments == {"Au": 37, "Cu": 155}
    assert record.dataset.force_rmse_ev_a < 0.05
    assert record.dataset.energy_rmse_ev_atom < 0.02
    potential = AcePotential.from_files(generations.potential(2))
    assert potential.evaluate(dataset.read("e")).gamma.max() < 1.01


def test_first_environments_of_an_element_set_the_scale_of_its_active_set(late_gold):
    """With the scale of nothing, gamma would stay above 1e15 until there are as many environments as functions."""
    generations, dataset = late_gold
    potential = AcePotential.from_files(generations.potential(1))
    assert np.isfinite(potential.inverses["Au"]).all()
    assert potential.evaluate(dataset.read("c")).gamma.max() < 1.01
    assert potential.evaluate(labelled(77, 1)).gamma.max() < 1e5


@pytest.mark.parametrize(("n_labels", "expected"), [(1, 100), (8, 128), (20, 200)])
def test_as_many_functions_as_environments(small, n_labels, expected):
    campaign = small(elements=["Au", "Cu"], potential={"functions_per_element": "auto", "cutoff_a": 4.0})
    size = size_of(first_basis(campaign, [labelled(k, 16) for k in range(n_labels)]), 32)
    assert set(size.functions_per_element.values()) == {expected}


def test_what_is_masked_out_counts_for_no_function(small):
    campaign, atoms = small(potential={"functions_per_element": "auto"}), labelled(1) * (4, 1, 1)
    atoms.arrays["mask"] = np.arange(len(atoms)) < 70
    assert size_of(first_basis(campaign, [atoms]), 128).coefficients == 70


def test_blank_active_set_is_told_from_one_of_virtual_rows():
    blank = ActiveSet.empty(np.zeros((0, 3)), 3)
    assert blank.is_blank and ActiveSet.from_inverse(blank.inverse).is_blank
    assert not ActiveSet.empty(np.full((1, 3), 1e-9), 3).is_blank


def test_size_is_that_of_the_arrays(small, tmp_path, caplog):
    caplog.set_level(logging.INFO, "mlip_fw")
    campaign = small(elements=["Au", "Cu"], potential={"functions_per_element": 20, "stress_weight": 0})
    dataset = Dataset(tmp_path)
    dataset.add("a", labelled(1, 8), {})
    train_generation(Generations(tmp_path), dataset, campaign)
    basis = linear_basis(["Au", "Cu"], 5.0, 20)
    size, potential = size_of(basis, 32), AcePotential(basis)
    assert size.functions_per_element == potential.n_functions()
    assert size.coefficients == len(basis.basis_coeffs)
    inverses = AcePotential.from_files(Generations(tmp_path).potential(0)).inverses.values()
    assert size.active_set_mb == pytest.approx(2e-6 * sum(inverse.nbytes for inverse in inverses))
    assert size.label_mb == pytest.approx(5e-6 * potential.design(dataset.read("a")).forces.nbytes)
    with np.load(Generations(tmp_path).folder(0) / "fit.npz") as kept:
        assert size.fit_mb == pytest.approx(1e-6 * sum(kept[name].nbytes for name in ("energy", "force", "stress")))
    assert size_in_words(size) in caplog.text
    assert "(20 Au, 20 Cu)" in size_in_words(size)
