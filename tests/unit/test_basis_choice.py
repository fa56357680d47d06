"""The basis that cross-validation chooses: by material, labels and cost, and never against what the campaign gives."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.basis import Radials, fingerprint, linear_basis, with_radials
from mlip_fw.engines.ace.cost import md_cost_us_atom
from mlip_fw.engines.structures.reach import possible_cutoffs_a, usual_cutoff_a
from mlip_fw.engines.train.basis_choice import BasisForm, chosen_basis, usual_form
from mlip_fw.engines.train.basis_cv import Blocks
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.errors import MlipError
from mlip_fw.io.campaign_file import parse_campaign
from mlip_fw.io.structures import with_labels
from mlip_fw.models.campaign import with_earlier_basis
from mlip_fw.models.handoff import TrainHandoff
from tests.helpers.campaigns import SMALL, merged

SIZE = {"functions_per_element": 30}
FREE = {"basis": "auto", "cutoff_a": "auto", **SIZE}


def labels_of(amplitudes, calculator=EMT, a=3.61, symbol="Cu"):
    found = []
    for seed, amplitude in enumerate(amplitudes):
        atoms = bulk(symbol, "fcc", a=a, cubic=True) * (2, 2, 2)
        atoms.rattle(amplitude, seed=seed)
        atoms.calc = calculator()
        found.append(with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()))
    return found


def nearest_only():
    """Return a pair potential that ends between the first and the second shell of neighbours."""
    return LennardJones(sigma=2.3, epsilon=0.1, rc=3.3, ro=2.9, smooth=True)


def chosen(small, labels, potential, in_use=None):
    return chosen_basis(labels, small(potential=potential), in_use)


def error_of(choice, form):
    return next(
        one.cv_force_share
        for one in choice.compared
        if (Radials(one.radial, one.lambda_, one.cutoff_a), one.functions) == (form.radials, form.functions)
    )


def test_short_cutoff_wins_where_forces_end_early(small):
    labels = labels_of(np.linspace(0.05, 0.12, 8), nearest_only)
    choice = chosen(small, labels, {**FREE, "basis": "SBessel"})
    looked_at = {one.cutoff_a for one in choice.compared}
    assert {4.0, 6.0} <= looked_at
    assert choice.form.radials.cutoff_a == 4.0
    long = BasisForm(Radials("SBessel", 5.25, 6.0), 30)
    assert error_of(choice, choice.form) < 0.5 * error_of(choice, long)


def test_hot_labels_change_the_choice(small):
    """Cold atoms are the same in any basis that has their shell; only hot ones tell the bases apart."""
    cold = chosen(small, labels_of(np.linspace(0.001, 0.0016, 8)), {**FREE, "cutoff_a": 5.0})
    hot = chosen(small, labels_of([0.001, 0.0011, 0.0012, 0.0013, 0.2, 0.23, 0.26, 0.3]), {**FREE, "cutoff_a": 5.0})
    assert cold.form != hot.form
    assert min(one.cv_force_share for one in hot.compared) > 10 * min(one.cv_force_share for one in cold.compared)


def test_blocks_are_of_labels_with_similar_forces():
    labels = labels_of([0.1, 0.01, 0.09, 0.02, 0.2, 0.21])
    sizes = [[float(np.sqrt(np.mean(a.get_forces() ** 2))) for a in block] for block in Blocks.of(labels).frames]
    assert [len(block) for block in sizes] == [2, 1, 1, 1, 1]
    assert sum(sizes, []) == sorted(sum(sizes, []))


def test_what_the_campaign_gives_is_obeyed(small):
    labels = labels_of(np.linspace(0.05, 0.06, 8))
    choice = chosen(small, labels, {**FREE, "basis": "SBessel", "cutoff_a": 5.5})
    assert str(choice.form) == "SBessel, 5.5 Å, 30 functions per element"
    assert len(choice.compared) == 1
    assert {one.radial for one in chosen(small, labels, {**FREE, "basis": "ChebPow"}).compared} == {"ChebPow"}


def test_nothing_is_compared_if_all_is_given(small, tmp_path):
    dataset = Dataset(tmp_path)
    for k, atoms in enumerate(labels_of([0.05, 0.06])):
        dataset.add(f"{k:016x}", atoms, {})
    record = train_generation(Generations(tmp_path), dataset, small())
    assert record.basis.plain() == {
        "radial": "SBessel",
        "lambda": 5.25,
        "cutoff_a": 5.0,
        "functions_per_element": 20,
        "labels": 0,
        "compared": [],
        "why": "given by the campaign file",
    }
    assert record.cv_force_rmse_ev_a > record.dataset.force_rmse_ev_a


def test_basis_in_use_stays_unless_another_is_clearly_better(small):
    labels, free = labels_of(np.linspace(0.05, 0.12, 8), nearest_only), {**FREE, "basis": "SBessel"}
    stays = {}
    for cutoff in (4.0, 4.5, 6.0):
        in_use = BasisForm(Radials("SBessel", 5.25, cutoff), 30)
        choice = chosen(small, labels, free, in_use)
        lowest = min(one.cv_force_share for one in choice.compared)
        stays[cutoff] = choice.form == in_use
        assert stays[cutoff] == (lowest > 0.8 * error_of(choice, in_use))
        assert stays[cutoff] or error_of(choice, choice.form) <= 1.03 * lowest
    assert stays[4.0]
    assert not stays[6.0]


def test_usual_basis_is_taken_unless_another_is_clearly_better(small):
    free = {**FREE, "cutoff_a": 5.0}
    for labels in (labels_of(np.linspace(0.05, 0.08, 8)), labels_of(np.linspace(0.05, 0.08, 8), nearest_only)):
        choice, usual = chosen(small, labels, free), usual_form(small(potential=free), labels)
        lowest = min(one.cv_force_share for one in choice.compared)
        assert (choice.form == usual) == (lowest > 0.8 * error_of(choice, usual))


def test_cost_of_md_is_bounded(small):
    labels = labels_of(np.linspace(0.05, 0.06, 8))
    auto = {**FREE, "basis": "SBessel", "functions_per_element": "auto"}
    free, cheap = chosen(small, labels, auto), chosen(small, labels, {**auto, "md_cost_limit": 3.0})
    assert max(one.cost_us_atom for one in free.compared) > 3.0
    assert cheap.compared
    assert max(one.cost_us_atom for one in cheap.compared) <= 3.0
    assert cheap.form.functions == 100


def test_usual_basis_is_within_the_limit_of_cost(small):
    auto, labels = {**FREE, "functions_per_element": "auto"}, labels_of(np.linspace(0.05, 0.06, 7))

    def usual(limit):
        form = usual_form(small(potential={**auto, "md_cost_limit": limit}), labels)
        return form.functions, form.radials.cutoff_a

    assert [usual(limit) for limit in (30.0, 4.8, 3.0, 0.1)] == [(200, 5.5), (100, 5.5), (100, 4.5), (100, 4.0)]


def test_cost_grows_with_neighbours_and_functions():
    small, large = (linear_basis(["Cu"], 6.0, n) for n in (50, 200))
    assert max(md_cost_us_atom(small, 77), md_cost_us_atom(large, 40)) < md_cost_us_atom(large, 77)
    assert md_cost_us_atom(large, 77) == pytest.approx(6.85, abs=0.01)


def test_cutoffs_follow_density_and_cell(small):
    auto = small(potential={"cutoff_a": "auto"})
    copper, argon = (bulk("Cu", "fcc", a=a, cubic=True) * (4, 4, 4) for a in (3.61, 5.3))
    assert possible_cutoffs_a([copper], auto) == [4.0, 4.5, 5.0, 5.5, 6.0]
    assert possible_cutoffs_a([argon], auto) == [5.5, 6.0, 7.0, 8.0]
    assert possible_cutoffs_a([copper.copy() * (1, 1, 1), bulk("Cu", cubic=True)], auto) == [3.5]
    assert usual_cutoff_a([copper], auto) == 5.5
    assert usual_cutoff_a([copper], small()) == 5.0
    alone = Atoms("Cu", cell=[20, 20, 20], pbc=True)
    assert possible_cutoffs_a([alone], auto) == [6.0, 7.0, 8.0]


def test_few_labels_are_not_compared(small):
    labels = labels_of(np.linspace(0.05, 0.06, 7))
    choice = chosen(small, labels, FREE)
    assert choice.form == usual_form(small(potential=FREE), labels)
    assert choice.compared == ()
    in_use = BasisForm(Radials("SBessel", 5.25, 4.5), 30)
    assert chosen(small, labels, FREE, in_use).form == in_use


def test_basis_in_use_grows_with_the_labels(small):
    free, labels = {**FREE, "functions_per_element": "auto"}, labels_of([0.05, 0.06, 0.07])
    in_use = BasisForm(Radials("SBessel", 5.25, 4.5), 64)
    assert chosen(small, labels, free, in_use).form == BasisForm(in_use.radials, 96)
    in_use = BasisForm(in_use.radials, 80)
    assert chosen(small, labels, free, in_use).form == in_use


def test_other_radials_of_the_same_functions_are_a_new_basis():
    basis = linear_basis(["Au", "Cu"], 6.0, 60)
    radials = Radials("ChebExpCos", 2.5, 4.5)
    assert fingerprint(with_radials(basis, radials)) == fingerprint(
        linear_basis(["Au", "Cu"], 4.5, 60, "ChebExpCos", 2.5)
    )
    assert Radials.of(with_radials(basis, radials)) == radials


def test_stored_campaign_of_an_earlier_version_keeps_sbessel(small, tmp_path):
    stored = small().plain()
    del stored["potential"]["basis"], stored["potential"]["md_cost_limit"]
    stored["potential"].update(cutoff_a=6.0, functions_per_element=200)
    handoff = TrainHandoff.model_validate({"campaign": stored, "directory": str(tmp_path)})
    assert handoff.campaign.potential.basis == "SBessel"
    assert not handoff.campaign.potential.compares_bases
    begun = parse_campaign(with_earlier_basis(stored), "test")
    plain = merged(SMALL, {})
    plain["potential"] = {"kind": "linear"}
    mine = parse_campaign(plain, "test")
    assert mine.potential.basis == mine.potential.cutoff_a == mine.potential.functions_per_element == "auto"
    assert mine.with_basis_of(begun).identity() == begun.identity()
    plain["potential"]["cutoff_a"] = 5.0
    assert parse_campaign(plain, "test").with_basis_of(begun).potential.cutoff_a == 5.0


def test_basis_is_compared_again_when_new_labels_are_a_surprise(small, tmp_path):
    campaign, dataset, generations = (
        small(potential={**FREE, "cutoff_a": 5.0}),
        Dataset(tmp_path),
        Generations(tmp_path),
    )
    compared = []
    for k, atoms in enumerate(labels_of([*[0.05] * 9, 0.4])):
        dataset.add(f"{k:016x}", atoms, {})
        if k >= 7:
            record = train_generation(generations, dataset, campaign)
            compared.append((record.basis.labels, bool(record.basis.compared)))
    assert compared == [(8, True), (8, False), (10, True)]


def test_unknown_radial_functions_are_named(small):
    with pytest.raises(MlipError, match=r"potential\.basis should be 'auto', 'SBessel', 'ChebExpCos' or 'ChebPow'"):
        small(potential={"basis": "Chebychev"})
