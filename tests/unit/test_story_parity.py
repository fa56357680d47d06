"""A generation against its labels: the errors are those of its record, masked atoms and cut-outs' energies are out."""

import numpy as np
import pytest

from mlip_fw.dataset import Dataset
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.errors import MlipError
from mlip_fw.generations import Generations
from mlip_fw.layout import CampaignDirectory
from mlip_fw.story.parity import parity_of
from tests.conftest import make_small
from tests.unit.test_generation import labelled


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("parity")
    dataset = Dataset(root)
    for seed in range(2):
        dataset.add(f"whole{seed}", labelled(seed), {})
    cut = labelled(3)
    cut.arrays["mask"] = np.arange(len(cut)) < 8
    dataset.add("cut", cut, {})
    record = train_generation(Generations(root), dataset, make_small())
    return CampaignDirectory(root), record


def test_its_errors_are_those_of_the_record(trained):
    directory, record = trained
    parity = parity_of(directory, 0)
    assert parity.forces.shape == ((32 + 32 + 8) * 3, 2)
    assert parity.energies.shape == (2, 2)
    errors = parity.forces[:, 1] - parity.forces[:, 0]
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(record.dataset.force_rmse_ev_a, rel=1e-6)


def test_the_worst_come_first_and_are_trained_on(trained):
    worst = parity_of(trained[0], 0).worst
    errors = [atom.error_ev_a for atom in worst]
    assert errors == sorted(errors, reverse=True)
    assert all(atom.atom < 8 for atom in worst if atom.label == "cut")
    assert {atom.symbol for atom in worst} == {"Cu"}


def test_of_many_labels_some_are_taken(trained):
    assert parity_of(trained[0], 0, most_labels=2).forces.shape[0] < parity_of(trained[0], 0).forces.shape[0]


def test_without_a_record_it_is_told(trained):
    with pytest.raises(MlipError, match=r"no whole training\.json"):
        parity_of(trained[0], 7)
