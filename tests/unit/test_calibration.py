"""A second uncertainty beside gamma, and what both say of the true error."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.calibration import UnseenAtoms, unseen_atoms
from mlip_fw.engines.train.committee import Committee
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.engines.train.initial import import_initial
from mlip_fw.errors import TrainingError
from mlip_fw.io.structures import with_labels
from mlip_fw.views.analysis.campaign_analysis import CampaignAnalysis
from mlip_fw.views.report.figures import calibration_figure


def labelled(seed, rattle):
    atoms = bulk("Cu", cubic=True, a=3.61) * (2, 2, 2)
    atoms.rattle(rattle, seed=seed)
    atoms.calc = EMT()
    return with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), None)


@pytest.fixture(scope="module")
def campaign(small_campaign):
    return small_campaign()


@pytest.fixture(scope="module")
def learnt(campaign, tmp_path_factory):
    """Return the directory of three generations; the last one learns a cut-out with a mask."""
    root = tmp_path_factory.mktemp("learnt")
    CampaignDirectory(root).claim(campaign)
    for seed, rattle in enumerate((0.03, 0.1, 0.2)):
        atoms = labelled(seed, rattle)
        if seed == 2:
            atoms.arrays["mask"] = np.arange(32) < 20
        Dataset(root).add(f"label{seed}", atoms, {})
        train_generation(Generations(root), Dataset(root), campaign)
    return root


@pytest.mark.slow
def test_spread_is_that_of_the_members(learnt):
    committee, atoms = Committee.of_generation(Generations(learnt), 1), labelled(5, 0.15)
    potential, members = committee.potential, committee.members(400, seed=1)
    moved = np.array([member.basis_coeffs for member in members]) - np.array(potential.basis.basis_coeffs)
    # forces are linear in the coefficients, and one product is quicker than 400 evaluations
    off = np.einsum("acf,mf->mac", potential.design(atoms).forces, moved)
    one = AcePotential(members[0]).evaluate(atoms, gamma=False).forces_ev_a
    assert np.allclose(off[0], one - potential.evaluate(atoms).forces_ev_a, atol=1e-8)
    drawn = np.sqrt((off**2).sum(axis=2).mean(axis=0))
    assert np.allclose(committee.force_spread_ev_a(atoms), drawn, rtol=0.15)


def test_spread_on_the_labels_is_what_their_residuals_leave_open(learnt):
    """Of m residuals of size s, n functions leave s² n open, summed over the labels themselves."""
    generations = Generations(learnt)
    committee, record = Committee.of_generation(generations, 1), generations.record(1)
    total = sum((committee.force_spread_ev_a(Dataset(learnt).read(name)) ** 2).sum() for name in record.labels)
    noise = record.dataset.force_rmse_ev_a**2 * 192 / (192 - 20)
    assert total == pytest.approx(20 * noise, rel=0.3)


def test_members_are_drawn_from_the_seed(learnt):
    committee = Committee.of_generation(Generations(learnt), 1)
    first, again, other = (np.array(committee.members(1, seed)[0].basis_coeffs) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.allclose(first, other)


def test_spread_is_larger_where_less_is_known(learnt):
    known, strange = labelled(0, 0.03), labelled(9, 0.25)
    early, late = (Committee.of_generation(Generations(learnt), n) for n in (0, 2))
    assert early.force_spread_ev_a(strange).mean() > 3 * early.force_spread_ev_a(known).mean()
    assert late.force_spread_ev_a(strange).mean() < early.force_spread_ev_a(strange).mean()


def test_potential_without_labels_has_no_committee(learnt, campaign, tmp_path):
    import_initial(Generations(tmp_path), Generations(learnt).potential(0), Dataset(tmp_path), campaign)
    with pytest.raises(TrainingError, match="was not fitted to labels"):
        Committee.of_generation(Generations(tmp_path), 0)


def test_labels_are_seen_by_the_generation_before(learnt):
    generations, dataset = Generations(learnt), Dataset(learnt)
    seen = unseen_atoms(generations, dataset)
    assert len(seen.error_ev_a) == 32 + 20
    before = AcePotential.from_files(generations.potential(0)).evaluate(dataset.read("label1"))
    errors = np.linalg.norm(before.forces_ev_a - dataset.read("label1").get_forces(), axis=1)
    assert np.allclose(seen.error_ev_a[:32], errors)
    assert np.allclose(seen.gamma[:32], before.gamma)
    assert seen.overconfidence == pytest.approx(np.sqrt((seen.error_ev_a**2).sum() / (seen.spread_ev_a**2).sum()))


def test_without_the_committee_the_rest_is_the_same(learnt):
    with_it, without = (
        unseen_atoms(Generations(learnt), Dataset(learnt), with_spread=asked) for asked in (True, False)
    )
    assert np.array_equal(with_it.gamma_and_error, without.gamma_and_error)
    assert np.isnan(without.spread_ev_a).all() and not np.isnan(with_it.spread_ev_a).any()
    assert with_it.gamma_and_error.shape == (52, 2)


def test_many_labels_are_thinned_out(learnt):
    assert len(unseen_atoms(Generations(learnt), Dataset(learnt), max_labels=1).error_ev_a) == 32


def test_generation_without_committee_still_has_gamma(learnt, campaign, tmp_path):
    generations = Generations(tmp_path)
    import_initial(generations, Generations(learnt).potential(0), Dataset(tmp_path), campaign)
    Dataset(tmp_path).add("label1", labelled(1, 0.1), {})
    train_generation(generations, Dataset(tmp_path), campaign)
    seen = unseen_atoms(generations, Dataset(tmp_path))
    assert np.isfinite(seen.gamma).all() and np.isnan(seen.spread_ev_a).all()
    assert seen.overconfidence == 0.0


def test_quantiles_are_taken_in_bins_of_gamma():
    gamma, error = np.repeat([1.0, 10.0, 100.0], [100, 100, 5]), np.concatenate([np.arange(100), np.full(105, 7.0)])
    found = UnseenAtoms(gamma, error, error).quantiles(0.95)
    assert found == pytest.approx(np.array([[1.0, 94.05], [10.0, 7.0]]))


def test_figure_has_the_atoms_and_the_thresholds(learnt, tmp_path, campaign):
    left, right = calibration_figure(CampaignAnalysis(CampaignDirectory(learnt))).axes
    assert [len(axes.lines[0].get_xdata()) for axes in (left, right)] == [52, 52]
    assert any("gamma_halt = 10" in line.get_label() for line in left.lines)
    CampaignDirectory(tmp_path).claim(campaign)
    assert len(calibration_figure(CampaignAnalysis(CampaignDirectory(tmp_path))).axes) == 2


class TestEnergyWeight:
    def weight_of(self, root, campaign, count=5):
        for seed in range(count):
            Dataset(root).add(f"{seed}", labelled(seed, 0.05 + 0.03 * seed), {})
        return train_generation(Generations(root), Dataset(root), campaign)

    def test_by_scatter(self, small, tmp_path):
        auto = self.weight_of(tmp_path, small(potential={"energy_weight": "auto"}))
        frames = [Dataset(tmp_path).read(f"{seed}") for seed in range(5)]
        forces = np.sqrt(np.mean([a.get_forces() ** 2 for a in frames]))
        energies = np.array([a.get_potential_energy() / 32 for a in frames])
        scatter = np.sqrt(np.mean((energies - energies.mean()) ** 2))
        assert auto.energy_weight == pytest.approx(forces / scatter, rel=1e-3)

    def test_few_labels_scatter_too_little(self, small, tmp_path):
        assert self.weight_of(tmp_path / "a", small(potential={"energy_weight": "auto"}), 2).energy_weight == 10.0
        assert self.weight_of(tmp_path / "b", small(), 1).energy_weight == 10.0

    def test_large_weight_fits_energies_better(self, small, tmp_path):
        errors = [
            self.weight_of(tmp_path / f"{w}", small(potential={"energy_weight": w}), 2).dataset.energy_rmse_ev_atom
            for w in (0.01, 100.0)
        ]
        assert errors[1] < errors[0]
