"""What of a halted frame is labelled: all of it, the best fitting cell, or the one that is worth most."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.oracle.cost import label_cost
from mlip_fw.engines.sampling import local_cell as module
from mlip_fw.engines.sampling.generate import HaltedFrame
from mlip_fw.engines.sampling.local_cell import local_cell
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.io.structures import with_labels
from mlip_fw.models.oracle import EspressoOracle
from tests.helpers.campaigns import make_small


def campaign(**candidates):
    return make_small(candidates=candidates, potential={"cutoff_a": 4.5, "functions_per_element": 30})


@pytest.fixture(scope="module")
def potential(tmp_path_factory):
    root = tmp_path_factory.mktemp("p")
    dataset = Dataset(root)
    for seed in range(3):
        atoms = bulk("Cu", cubic=True) * (2, 2, 2)
        atoms.rattle(0.05, seed=seed)
        atoms.calc = EMT()
        dataset.add(str(seed), with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), None), {})
    train_generation(Generations(root), dataset, campaign())
    return AcePotential.from_files(Generations(root).potential(0))


@pytest.fixture(scope="module")
def frame(potential):
    atoms = bulk("Cu", cubic=True) * (5, 5, 5)
    atoms.rattle(0.15, seed=1)
    center = int(np.argmax(potential.evaluate(atoms).gamma))
    return HaltedFrame(atoms, center, temperature_k=900.0, gamma_halt={"Cu": 10.0})


def test_small_frame_is_left_whole(frame, potential):
    assert local_cell(frame, potential, campaign(cutout={"max_atoms": 500})) == (frame, None)
    assert local_cell(frame, potential, campaign(cutout={"max_atoms": 100, "mode": "never"})) == (frame, None)


def test_large_frame_is_cut(frame, potential):
    small, cut = local_cell(frame, potential, campaign(cutout={"max_atoms": 120}))
    assert len(small.atoms) == len(cut.atoms) <= 120
    gamma = potential.evaluate(small.atoms).gamma
    assert gamma[small.center] == pytest.approx(potential.evaluate(frame.atoms).gamma[frame.center], rel=1e-6)
    assert np.array_equal(small.mask_of(small.atoms, gamma), small.mask)
    assert small.mask[small.center]
    assert not small.mask_of(small.atoms, np.full(len(small.atoms), 1e9)).all()


@pytest.mark.slow
def test_cost_decides_between_two_cells(frame, potential, monkeypatch):
    made = {}

    def remember(*arguments, **options):
        cut = plain(*arguments, **options)
        made[len(cut.atoms)] = cut
        return cut

    plain = module.cut_out
    monkeypatch.setattr(module, "cut_out", remember)
    settings = campaign(cutout={"max_atoms": 120}, selection="volume_per_cost")
    _, chosen = local_cell(frame, potential, settings)
    assert len(made) == 2
    per_cost = {n: module._gain(cut, potential) / label_cost(cut.atoms, settings.oracle) for n, cut in made.items()}
    assert len(chosen.atoms) == max(per_cost, key=per_cost.get)
    narrow = campaign(cutout={"max_atoms": min(made)}, selection="volume_per_cost")
    assert len(local_cell(frame, potential, narrow)[1].atoms) == min(made)


def test_k_points_make_the_roomier_cell_cheaper(frame, potential):
    """The small cell needs several k-points where the large one needs one."""
    settings = campaign(cutout={"max_atoms": 140}, selection="volume_per_cost")
    by_atoms = local_cell(frame, potential, settings)[1]
    lengths = 2 * np.pi * np.linalg.norm(by_atoms.atoms.cell.reciprocal().array, axis=1)
    oracle = EspressoOracle(kind="espresso", ecutwfc_ry=30.0, kpoint_spacing_1_a=float(lengths.min()) * 0.99)
    by_dft = local_cell(frame, potential, settings.model_copy(update={"oracle": oracle}))[1]
    assert len(by_dft.atoms) > len(by_atoms.atoms)
