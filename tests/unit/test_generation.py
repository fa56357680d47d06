"""Training: incremental equals from scratch, nothing is learnt twice, bases and references are right."""

import json
import shutil

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.basis import copy_of, core_radius_a, linear_basis, require_linear
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.sampling.maxvol import ActiveSet
from mlip_fw.engines.train import generation
from mlip_fw.engines.train.environment_rows import EnvironmentRows
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.errors import TrainingError
from mlip_fw.io.structures import with_labels
from mlip_fw.models.handoff import TrainHandoff
from mlip_fw.models.worker import Worker
from mlip_fw.steps.step import Step
from mlip_fw.steps.train import train_potential
from tests.helpers.potentials import labelled, taught, teach


def coefficients(generations):
    return np.array(AcePotential.from_files(generations.potential(generations.newest())).basis.basis_coeffs)


@pytest.mark.slow
def test_step_by_step_equals_at_once(small, tmp_path):
    gradual, _, last = teach(tmp_path / "a", range(5), small(), one_by_one=True)
    direct, _, record = teach(tmp_path / "b", range(5), small())
    assert (last.generation, record.generation) == (4, 0)
    # the reference energies are those of the first labels: the same to what a shift can do
    assert last.dataset.force_rmse_ev_a == pytest.approx(record.dataset.force_rmse_ev_a, rel=0.05)
    frame = labelled(7)
    forces = [AcePotential.from_files(g.potential(g.newest())).evaluate(frame).forces_ev_a for g in (gradual, direct)]
    assert np.abs(forces[0] - forces[1]).max() < 0.01
    volumes = []
    for generations in (gradual, direct):
        inverse = AcePotential.from_files(generations.potential(generations.newest())).inverses["Cu"]
        volumes.append(-np.linalg.slogdet(inverse)[1])
    assert volumes[0] == pytest.approx(volumes[1], abs=2.0)


def test_forces_that_teach_nothing_are_named(small, tmp_path, caplog):
    rng, dataset = np.random.default_rng(1), Dataset(tmp_path)
    for seed in range(2):
        atoms = labelled(seed)
        dataset.add(f"label{seed}", with_labels(atoms, -1.0, rng.normal(size=(len(atoms), 3)), None), {})
    train_potential(Step(TrainHandoff(campaign=small(), directory=str(tmp_path))), Worker())
    assert "forces are hardly learnt: their error is 100 %" in caplog.text
    assert "SBessel, 5 Å, 20 functions per element) was not compared with others" in caplog.text
    assert "the ridge is the largest that is tried" in caplog.text


def test_reference_energies_are_fixed_once(small, tmp_path):
    generations, dataset, first = taught(tmp_path, 2, small())
    dataset.add("label9", labelled(9, offset=3.0), {})
    second = train_generation(generations, dataset, small())
    assert second.reference_energy_ev == first.reference_energy_ev
    assert (first.parent, second.parent) == (None, 0)


def test_core_repulsion_is_not_learnt_twice(small, tmp_path):
    """A pair within the core radius: core and fit together give the label."""
    dataset = Dataset(tmp_path)
    for seed in range(4):
        atoms = labelled(seed).copy()
        atoms.positions[1] = atoms.positions[0] + [0.9 + 0.1 * seed, 0.9, 0.9]
        dataset.add(f"{seed}", with_labels(atoms, 5.0 + 0.1 * seed, 0 * atoms.positions, None), {})
    record = train_generation(Generations(tmp_path), dataset, small())
    potential = AcePotential.from_files(Generations(tmp_path).potential(0))
    errors = []
    for name in dataset.hashes():
        atoms = dataset.read(name)
        free = sum(record.reference_energy_ev[s] for s in atoms.get_chemical_symbols())
        errors.append((potential.evaluate(atoms).energy_ev + free - atoms.get_potential_energy()) / len(atoms))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(record.dataset.energy_rmse_ev_atom, rel=1e-6)


@pytest.mark.slow
def test_bitwise_reproducible(small, tmp_path):
    texts = [teach(tmp_path / n, range(3), small())[0].potential(0).read_bytes() for n in "ab"]
    assert texts[0] == texts[1]


def test_nothing_new_is_no_generation(small, tmp_path):
    generations, dataset, _ = taught(tmp_path, 2, small())
    assert train_generation(generations, dataset, small()) is None
    assert generations.numbers() == [0]


def test_no_label_is_an_error(small, tmp_path):
    with pytest.raises(TrainingError, match="no label"):
        train_generation(Generations(tmp_path), Dataset(tmp_path), small())


def test_only_new_labels_are_evaluated(small, tmp_path, monkeypatch):
    generations, dataset, _ = taught(tmp_path, 4, small())
    dataset.add("label9", labelled(9), {})
    calls, plain = [], AcePotential.design
    monkeypatch.setattr(AcePotential, "design", lambda self, atoms, **how: calls.append(1) or plain(self, atoms, **how))
    # expected errors take a sample of all labels
    monkeypatch.setattr(generation, "sample_of", lambda *_: {})
    record = train_generation(generations, dataset, small())
    assert len(calls) == 1
    assert (record.new_labels, len(record.labels)) == (["label9"], 5)
    assert record.new_before.force_rmse_ev_a > 0


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04broken", None])
def test_damaged_rows_are_made_again(small, tmp_path, damage):
    generations, dataset, _ = taught(tmp_path / "a", 3, small())
    clean, other, _ = taught(tmp_path / "b", 3, small())
    [victim] = generations.rows("*").parent.glob("*/label1.npz")
    victim.unlink() if damage is None else victim.write_bytes(damage)
    for where, labels in ((generations, dataset), (clean, other)):
        labels.add("label9", labelled(9), {})
        train_generation(where, labels, small())
    assert generations.potential(1).read_bytes() == clean.potential(1).read_bytes()
    assert victim.stat().st_size > 1000


def test_damaged_record_is_named(small, tmp_path):
    generations, dataset, _ = taught(tmp_path, 2, small())
    (generations.folder(0) / "training.json").write_text("{")
    with pytest.raises(TrainingError, match="no whole training.json"):
        train_generation(generations, dataset, small())


def test_large_energy_offset_is_no_matter(small, tmp_path):
    """DFT energies are thousands of eV: forces and errors must not feel it."""
    _, _, plain = taught(tmp_path / "a", 3, small())
    _, _, shifted = taught(tmp_path / "b", 3, small(), offset=-12345.678)
    assert shifted.dataset.force_rmse_ev_a == pytest.approx(plain.dataset.force_rmse_ev_a, rel=1e-3)
    assert shifted.dataset.energy_rmse_ev_atom == pytest.approx(plain.dataset.energy_rmse_ev_atom, abs=1e-6)
    change = shifted.reference_energy_ev["Cu"] - plain.reference_energy_ev["Cu"]
    assert change == pytest.approx(-12345.678, abs=1e-6)


def test_two_elements_have_an_active_set_each(small, tmp_path):
    campaign = small(elements=["Au", "Cu"], potential={"functions_per_element": 30})
    generations, _, record = taught(tmp_path, 4, campaign, substitute="Au")
    potential = AcePotential.from_files(generations.potential(0))
    assert set(potential.inverses) == {"Au", "Cu"}
    assert record.n_environments["Au"] + record.n_environments["Cu"] == 4 * 32
    assert record.gamma_max_dataset < 1.01
    assert record.dataset.force_rmse_ev_a < 0.05
    for inverse in potential.inverses.values():
        assert np.isfinite(inverse).all()
        assert len(inverse) == len(ActiveSet.from_inverse(inverse).matrix)


def test_element_with_one_atom(small, tmp_path):
    campaign = small(elements=["Au", "Cu"], potential={"functions_per_element": 30})
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.symbols[5] = "Au"
    atoms.rattle(0.05, seed=1)
    atoms.calc = EMT()
    dataset = Dataset(tmp_path)
    dataset.add("a", with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), None), {})
    record = train_generation(Generations(tmp_path), dataset, campaign)
    assert record.n_environments == {"Au": 1, "Cu": 31}
    gamma = AcePotential.from_files(Generations(tmp_path).potential(0)).evaluate(dataset.read("a")).gamma
    assert np.isfinite(gamma).all()
    assert gamma.max() < 1.01


def test_cores_repel_and_only_there():
    basis = linear_basis(["Au", "Cu"], 5.0, 30)
    potential = AcePotential(basis)
    for pair in (("Cu", "Cu"), ("Au", "Au"), ("Au", "Cu")):
        radius = core_radius_a(*pair)
        distances = np.linspace(0.4, 1.0, 7) * radius
        energies = []
        for distance in distances:
            dimer = Atoms(pair, [[0, 0, 0], [0, 0, distance]], cell=[15, 15, 15], pbc=True)
            energies.append(potential.evaluate(dimer, gamma=False).energy_ev)
        assert (np.diff(energies) < 0).all()
        assert energies[0] > 10
        assert energies[-1] == pytest.approx(0, abs=1e-9)


def test_basis_is_linear_in_its_coefficients():
    basis, atoms = linear_basis(["Cu"], 5.0, 40), labelled(3)
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, len(basis.basis_coeffs)))
    energy = {
        name: AcePotential(copy_of(basis, c)).evaluate(atoms, gamma=False).energy_ev
        for name, c in (("zero", 0 * first), ("a", first), ("b", second), ("both", 2 * first - 3 * second))
    }
    expected = energy["zero"] + 2 * (energy["a"] - energy["zero"]) - 3 * (energy["b"] - energy["zero"])
    assert energy["both"] == pytest.approx(expected, rel=1e-10)
    require_linear(basis, "this basis")


def test_non_linear_potential_is_refused():
    from pyace import ACEBBasisSet, create_multispecies_basis_config

    config = {
        "deltaSplineBins": 0.001,
        "elements": ["Cu"],
        "embeddings": {"ALL": {"npot": "FinnisSinclairShiftedScaled", "fs_parameters": [1, 1, 1, 0.5], "ndensity": 2}},
        "bonds": {"ALL": {"radbase": "SBessel", "radparameters": [5.25], "rcut": 5.0, "dcut": 0.01}},
        "functions": {"number_of_functions_per_element": 10, "ALL": {"nradmax_by_orders": [4], "lmax_by_orders": [0]}},
    }
    config["bonds"]["ALL"]["NameOfCutoffFunction"] = "cos"
    with pytest.raises(TrainingError, match="not linear"):
        require_linear(ACEBBasisSet(create_multispecies_basis_config(config)), "yours.yaml")


def test_record_says_what_was_done(small, tmp_path):
    generations, _, record = taught(tmp_path, 2, small())
    kept = json.loads((generations.folder(0) / "training.json").read_text())
    assert kept["labels"] == ["label0", "label1"]
    assert kept["n_atoms"] == 64
    assert kept["functions_per_element"] == {"Cu": 20}
    assert {p.name for p in generations.folder(0).iterdir()} == {
        "potential.yaml",
        "potential.yace",
        "potential.asi",
        "potential.errors.npz",
        "training.json",
        "fit.npz",
    }
    assert record.seconds > 0


def cut_out(seed, spoilt=True):
    """Return a labelled structure whose last atoms are masked out and have absurd forces."""
    atoms = labelled(seed)
    mask = np.arange(len(atoms)) < 20
    forces = atoms.get_forces() + 50.0 * spoilt * ~mask[:, None]
    made = with_labels(atoms, atoms.get_potential_energy() + 30.0 * spoilt, forces, None)
    made.arrays["mask"] = mask
    return made


def test_what_is_masked_out_teaches_nothing(small, tmp_path):
    answers = []
    for spoilt in (False, True):
        generations, dataset, _ = taught(tmp_path / str(spoilt), 3, small())
        dataset.add("cut", cut_out(9, spoilt), {})
        record = train_generation(generations, dataset, small())
        answers.append((coefficients(generations), record.n_environments["Cu"], record.gamma_max_dataset))
    assert np.allclose(answers[0][0], answers[1][0], rtol=1e-10)
    assert answers[0][1:] == answers[1][1:]
    assert answers[0][1] == 3 * 32 + 20


def test_mask_survives_the_file_and_a_lost_row_file(small, tmp_path):
    generations, dataset, _ = taught(tmp_path, 3, small())
    dataset.add("cut", cut_out(9), {})
    assert dataset.read("cut").arrays["mask"].tolist() == [True] * 20 + [False] * 12
    train_generation(generations, dataset, small())
    for path in tmp_path.rglob("cut.npz"):
        path.unlink()
    dataset.add("more", labelled(8), {})
    assert train_generation(generations, dataset, small()).n_environments["Cu"] == 4 * 32 + 20


def test_cut_outs_alone_still_fix_the_reference_energy(small, tmp_path):
    dataset = Dataset(tmp_path)
    dataset.add("cut", cut_out(9, spoilt=False), {})
    record = train_generation(Generations(tmp_path), dataset, small())
    assert record.dataset.energy_rmse_ev_atom == 0.0
    assert record.reference_energy_ev["Cu"] == pytest.approx(dataset.read("cut").get_potential_energy() / 32, rel=1e-6)


def test_two_levels_of_theory_never_mix(small, tmp_path):
    generations, dataset = Generations(tmp_path), Dataset(tmp_path)
    dataset.add("a", labelled(0), {"level_of_theory": "aaaa00000000"})
    dataset.add("b", labelled(1), {})
    assert train_generation(generations, dataset, small()).level_of_theory == "aaaa00000000"
    dataset.add("c", labelled(2), {"level_of_theory": "bbbb00000000"})
    with pytest.raises(TrainingError, match="label c is of level of theory bbbb00000000, the others are of aaaa"):
        train_generation(generations, dataset, small())


def gamma_of_all(generations, dataset):
    potential = AcePotential.from_files(generations.potential(generations.newest()))
    return max(potential.evaluate(dataset.read(name)).gamma.max() for name in dataset.hashes())


@pytest.mark.slow
def test_old_labels_are_read_only_if_a_new_one_extrapolates(small, tmp_path, monkeypatch):
    generations, dataset, first = taught(tmp_path, 6, small())
    looks, plain = [], EnvironmentRows.blocks
    monkeypatch.setattr(EnvironmentRows, "blocks", lambda self, *asked: looks.append(1) or plain(self, *asked))
    near = dataset.read("label3")
    near.rattle(1e-5)
    dataset.add("near", with_labels(near, 0.0, near.positions * 0, None), {})
    record = train_generation(generations, dataset, small())
    assert (record.active_set_swaps, len(looks)) == (0, 0)
    assert first.gamma_max_dataset <= record.gamma_max_dataset <= 1.001
    assert record.n_environments["Cu"] == 7 * 32
    dataset.add("far", labelled(20), {})
    record = train_generation(generations, dataset, small())
    assert record.active_set_swaps > 0
    assert looks
    assert gamma_of_all(generations, dataset) == pytest.approx(record.gamma_max_dataset)
    assert record.gamma_max_dataset <= 1.001


def test_a_label_that_is_gone_counts_no_more(small, tmp_path):
    generations, dataset, _ = taught(tmp_path, 4, small())
    dataset.path("label2").unlink()
    dataset.add("far", labelled(20), {})
    record = train_generation(generations, dataset, small())
    assert (record.labels, record.n_environments) == (["far", "label0", "label1", "label3"], {"Cu": 4 * 32})
    assert gamma_of_all(generations, dataset) <= 1.001 + 1e-9


@pytest.mark.slow
def test_kept_rows_make_no_difference_to_the_active_set(small, tmp_path, monkeypatch):
    """Packed, in files of their own or lost: the generations are the same to the bit."""
    monkeypatch.setattr("mlip_fw.engines.train.environment_rows._MIN_TO_PACK", 2)
    texts = []
    for name in "ab":
        generations, dataset, _ = teach(tmp_path / name, range(4), small())
        if name == "b":
            shutil.rmtree(generations.rows("*").parent)
        dataset.add("far", labelled(20), {})
        assert train_generation(generations, dataset, small()).active_set_swaps > 0
        texts.append(generations.potential(1).with_suffix(".asi").read_bytes())
    assert texts[0] == texts[1]
