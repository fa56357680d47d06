"""A generation that is unfit for MD is found out, made stiffer, or refused."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.basis import copy_of
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train import ridge_fit
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.engines.train.stability import _constant_energy, check_stability
from mlip_fw.io.structures import with_labels
from mlip_fw.models.training import Stability


def labelled(seed=1, rattle=0.08, repeat=2):
    atoms = bulk("Cu", cubic=True, a=3.61) * (2, 2, repeat)
    atoms.rattle(rattle, seed=seed)
    atoms.calc = EMT()
    return with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), None)


@pytest.fixture(scope="module")
def trained(small_campaign, tmp_path_factory):
    """Return the generations of a sound copper potential."""
    root = tmp_path_factory.mktemp("sound")
    for seed in range(2):
        Dataset(root).add(str(seed), labelled(seed), {})
    train_generation(Generations(root), Dataset(root), small_campaign())
    return Generations(root)


@pytest.fixture(scope="module")
def potential(trained):
    return AcePotential.from_files(trained.potential(0))


def changed(potential, **functions):
    """Return the potential with other coefficients of its first functions."""
    coefficients = np.array(potential.basis.basis_coeffs)
    for name, value in functions.items():
        coefficients[int(name[1:])] = value
    return AcePotential(copy_of(potential.basis, coefficients))


def hot(small, temperature=600, **md):
    stage = {"ensemble": "nvt", "temperature_k": [300, temperature], "n_steps": 100}
    return small(md={"stages": [stage], **md})


def verdict(sound):
    return Stability(
        sound=sound,
        reasons=[] if sound else ["it is bad"],
        least_dimer_slope_ev_a=1.0,
        energy_drift_ev_atom=0.0,
        temperature_k=600.0,
        seconds=0.0,
    )


def test_sound_potential(trained, potential, small):
    found = trained.record(0).stability
    assert (found.sound, found.reasons, found.temperature_k) == (True, [], 600.0)
    assert found.least_dimer_slope_ev_a > 0
    assert found.energy_drift_ev_atom < 1e-3
    assert found.seconds > 0
    again = check_stability(potential, [labelled(0), labelled(1)], small())
    assert again.energy_drift_ev_atom == pytest.approx(found.energy_drift_ev_atom, rel=1e-6)


def test_atoms_that_attract_each_other_at_short_range(potential, small):
    found = check_stability(changed(potential, f0=-40.0), [labelled()], small())
    assert not found.sound
    assert found.reasons[0].startswith("two atoms Cu-Cu attract each other at 1.")
    assert found.least_dimer_slope_ev_a < 0


def test_collapse(potential, small):
    """Pairs that are drawn to short distances: the energy falls, or the atoms fly."""
    found = check_stability(changed(potential, f1=-6.0, f2=-6.0), [labelled()], hot(small, 1000))
    assert any("collapse" in reason or "fly apart" in reason for reason in found.reasons)


def test_numbers_that_are_not_finite(potential, small):
    found = check_stability(changed(potential, f3=1e308), [labelled()], small())
    assert any("not finite" in reason for reason in found.reasons)
    assert (found.energy_drift_ev_atom, found.least_dimer_slope_ev_a) == (None, None)


def test_time_step_that_is_too_long(potential, small):
    found = check_stability(potential, [labelled()], hot(small, 1200, timestep_fs=20.0))
    assert any("the total energy changes by" in r and "20 fs" in r for r in found.reasons)


def test_strained_start_may_relax(potential, small):
    """The energy that a far displaced structure gives off is no collapse, even where it is cold."""
    assert check_stability(potential, [labelled(rattle=0.2)], hot(small, 50)).sound


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([{"ensemble": "nve", "n_steps": 10}], 300.0),
        ([{"ensemble": "nvt", "temperature_k": [900, 400], "n_steps": 10}], 900.0),
    ],
)
def test_temperature_is_the_campaigns_highest(potential, small, stages, expected):
    assert check_stability(potential, [labelled()], small(md={"stages": stages})).temperature_k == expected


def test_runs_start_from_the_smallest_whole_structure(potential, small, monkeypatch):
    sizes = []
    plain = ridge_fit.check_stability.__globals__["_moving"]
    monkeypatch.setitem(
        check_stability.__globals__, "_moving", lambda start, *rest: sizes.append(len(start)) or plain(start, *rest)
    )
    cut = labelled(repeat=1)
    cut.arrays["mask"] = np.arange(len(cut)) < 4
    check_stability(potential, [labelled(repeat=3), cut, labelled()], small())
    assert sizes == [32, 32]


@pytest.mark.slow
class TestRefusal:
    def teach(self, root, campaign, monkeypatch, verdicts):
        """Train two generations; give what each examination finds."""
        given = iter(verdicts)
        monkeypatch.setattr(ridge_fit, "_RIDGE_FACTORS", (1.0, 10.0, 100.0))
        monkeypatch.setattr(ridge_fit, "check_stability", lambda *_: verdict(next(given)))
        generations, dataset = Generations(root), Dataset(root)
        for seed in range(2):
            dataset.add(str(seed), labelled(seed), {})
            train_generation(generations, dataset, campaign)
        return generations

    def test_stiffer_fit_is_tried(self, small, tmp_path, monkeypatch):
        soft = self.teach(tmp_path / "a", small(), monkeypatch, [True, True])
        stiff = self.teach(tmp_path / "b", small(), monkeypatch, [True, False, True])
        assert stiff.refused() == {}
        assert stiff.record(1).ridge == pytest.approx(10 * soft.record(1).ridge)
        assert stiff.record(1).dataset.force_rmse_ev_a > soft.record(1).dataset.force_rmse_ev_a

    def test_a_penalty_far_above_the_best_is_the_last_resort(self, small, tmp_path, monkeypatch):
        given, tried = iter([True, *[False] * 8, True]), []
        monkeypatch.setattr(ridge_fit, "check_stability", lambda *_: tried.append(1) or verdict(next(given)))
        dataset, generations = Dataset(tmp_path), Generations(tmp_path)
        for seed in range(2):
            dataset.add(str(seed), labelled(seed), {})
            train_generation(generations, dataset, small())
        assert len(tried) == 10 and generations.refused() == {}
        # 10,000 times the best of the ridges, of which the smallest is 1e-8
        assert generations.record(1).ridge >= 1e-4

    def test_unfit_generation_is_passed_over(self, small, tmp_path, monkeypatch):
        plain = self.teach(tmp_path / "a", small(), monkeypatch, [True, True])
        generations = self.teach(tmp_path / "b", small(), monkeypatch, [True, False, False, False])
        assert (generations.newest(), generations.fit_for_md()) == (1, 0)
        assert generations.refused() == {1: ["it is bad"]}
        assert generations.record(1).ridge == plain.record(1).ridge

    def test_where_all_are_unfit_the_newest_is_used(self, small, tmp_path, monkeypatch):
        generations = self.teach(tmp_path, small(), monkeypatch, [False] * 6)
        assert generations.fit_for_md() == 1
        assert set(generations.refused()) == {0, 1}

    def test_records_of_older_versions_count_as_sound(self, small, tmp_path, monkeypatch):
        generations = self.teach(tmp_path, small(), monkeypatch, [True, False, False, False])
        path = generations.folder(1) / "training.json"
        record = generations.record(1)
        path.write_text(record.model_copy(update={"stability": None}).model_dump_json())
        assert generations.fit_for_md() == 1

    def test_no_generation_no_number(self, tmp_path):
        assert Generations(tmp_path).fit_for_md() is None


class _TooStrong(EMT):
    """Forces that are not the derivative of the energy."""

    def calculate(self, *arguments, **keys):
        super().calculate(*arguments, **keys)
        self.results["forces"] = 1.2 * self.results["forces"]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "n_faults"), [(EMT, 0), (_TooStrong, 1)])
def test_strained_molecule_is_no_fault_of_smooth_forces(kind, n_faults):
    """EMT itself changes the total energy of such a hydrogen molecule by more than a potential may."""
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.9]], cell=[15, 15, 15], pbc=True)
    atoms.calc = kind()
    atoms.info["strain_ev"] = float(np.sum(atoms.get_forces() ** 2)) / 4
    atoms.set_velocities(np.random.default_rng(1).normal(scale=0.01, size=(2, 3)))
    drift, faults = _constant_energy(atoms, 0.5, 300.0)
    assert drift > 4e-3
    assert len(faults) == n_faults
