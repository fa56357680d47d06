"""How many functions labels support, and what becomes of labels when another basis is chosen."""

import shutil

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train import generation
from mlip_fw.engines.train.basis_size import count_environments, possible_sizes, usual_size
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.io.structures import MASK, with_labels

AUTO = {"functions_per_element": "auto", "cutoff_a": 4.0}


def labelled(seed, gold=False):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    if gold:
        atoms.symbols[::2] = "Au"
    atoms.rattle(0.06, seed=seed)
    atoms.calc = EMT()
    return with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress())


def teach(generations, dataset, campaign, seeds):
    for seed in seeds:
        dataset.add(f"{99 - seed:016x}", labelled(seed), {})
    return train_generation(generations, dataset, campaign)


@pytest.fixture(scope="module")
def grown(small_campaign, tmp_path_factory):
    """Return root, campaign and records of three trainings; at the last there are twice the labels of the first."""
    root, campaign = tmp_path_factory.mktemp("grown"), small_campaign(potential=AUTO)
    generations, dataset = Generations(root), Dataset(root)
    return root, campaign, [teach(generations, dataset, campaign, seeds) for seeds in ((0, 1), (2,), (3,))]


def test_basis_grows_when_labels_have_doubled(grown):
    """With fewer than eight labels nothing is compared."""
    _, _, records = grown
    assert [r.basis.compared for r in records] == [[], [], []]
    assert [r.basis.labels for r in records] == [2, 2, 4]
    assert records[0].functions_per_element == {"Cu": 64}
    assert [r.functions_per_element for r in records[:2]] == [{"Cu": 64}, {"Cu": 64}]
    assert [r.outgrown_functions for r in records] == [None, None, {"Cu": 64}]
    assert records[2].functions_per_element == {"Cu": 128}
    assert records[2].reference_energy_ev == records[0].reference_energy_ev


def test_all_labels_are_in_the_new_fit_and_active_set(grown):
    root, _, (_, _, record) = grown
    potential = AcePotential.from_files(Generations(root).potential(2))
    frames = [Dataset(root).read(name) for name in record.labels]
    answers = [potential.evaluate(atoms) for atoms in frames]
    errors = [answer.forces_ev_a - atoms.get_forces() for answer, atoms in zip(answers, frames, strict=True)]
    assert len(frames) == 4
    assert record.dataset.force_rmse_ev_a == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-4)
    assert record.dataset.stress_rmse_ev_a3 is not None
    assert max(answer.gamma.max() for answer in answers) < 1.01
    assert len(potential.inverses["Cu"]) == record.functions_per_element["Cu"]


def test_new_labels_are_judged_by_the_generation_before(grown):
    root, _, (_, _, record) = grown
    before = AcePotential.from_files(Generations(root).potential(1))
    frames = [Dataset(root).read(name) for name in record.new_labels]
    errors = [before.evaluate(atoms).forces_ev_a - atoms.get_forces() for atoms in frames]
    assert record.new_before.force_rmse_ev_a == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-4)


def test_old_labels_are_learnt_once_more_only_when_the_basis_changes(grown, tmp_path, monkeypatch):
    root, campaign, _ = grown
    shutil.copytree(root, tmp_path / "c")
    # expected errors look at a sample of all labels
    monkeypatch.setattr(generation, "sample_of", lambda *args: {})
    calls, plain = [], AcePotential.design
    monkeypatch.setattr(AcePotential, "design", lambda self, atoms, **how: calls.append(1) or plain(self, atoms, **how))
    teach(Generations(tmp_path / "c"), Dataset(tmp_path / "c"), campaign, [5])
    assert len(calls) == 1


@pytest.mark.slow
def test_same_bits_whether_or_not_earlier_generations_are_there(grown, tmp_path):
    """Where files travel, a worker has the newest generation alone; `mlip-fw rebuild` has all."""
    root, campaign, _ = grown
    shutil.copytree(root, tmp_path / "c")
    generations, once = Generations(tmp_path / "c"), Generations(root)
    for number in (0, 2):
        shutil.rmtree(generations.folder(number))
    train_generation(generations, Dataset(tmp_path / "c"), campaign)
    for suffix in (".yaml", ".asi"):
        again = generations.potential(2).with_suffix(suffix)
        assert again.read_bytes() == once.potential(2).with_suffix(suffix).read_bytes()


def test_environments_are_those_that_are_trained_on():
    atoms = labelled(1, gold=True)
    atoms.arrays[MASK] = np.arange(32) < 10
    assert count_environments([atoms]) == {"Au": 5, "Cu": 5}


@pytest.mark.parametrize(
    ("elements", "environments", "sizes"),
    [
        (1, {"Cu": 10}, [50]),
        (1, {"Cu": 60}, [60]),
        (1, {"Cu": 64}, [64]),
        (1, {"Cu": 450}, [200]),
        (1, {"Cu": 1000}, [200, 400, 500]),
        (1, {"Cu": 90_000}, [200, 400, 800, 1600, 3200]),
        (2, {"Au": 300, "Cu": 200}, [200]),
        (5, {"Cu": 70, "Pd": 150}, [200]),
    ],
)
def test_no_more_functions_than_environments(small, elements, environments, sizes):
    campaign = small(
        elements=["Ag", "Au", "Cu", "Pd", "Pt"][-elements:] if elements != 2 else ["Au", "Cu"], potential=AUTO
    )
    assert possible_sizes(environments, campaign) == sizes


def test_given_size_is_the_only_one(small):
    campaign = small(potential={**AUTO, "functions_per_element": 70})
    assert possible_sizes({"Cu": 1000}, campaign) == [70]


def test_without_comparison_as_many_as_environments_but_fifty_for_each_element(small):
    elements = ["Ag", "Au", "Cu", "Pd", "Pt"]
    found = {
        n: usual_size({"Au": 0, "Cu": 70, "Pd": 150}, small(elements=elements[:n], potential=AUTO)) for n in (1, 3, 5)
    }
    assert found == {1: 110, 3: 150, 5: 200}
