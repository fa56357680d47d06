"""The structure of the engine check extrapolates, whatever the campaign simulates."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.md.engine_check import extrapolating_copy
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.io.structures import with_labels


def crystal(seed):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=seed)
    return atoms


def molecule(length_a):
    return Atoms("Cu2", [[4, 4, 4], [4, 4, 4 + length_a]], cell=[12, 12, 12], pbc=True)


@pytest.mark.parametrize(
    ("start", "known", "least", "most"),
    [(crystal(1), [crystal(2), crystal(3)], 0.2, 0.3), (molecule(3.2), [molecule(3.24), molecule(3.3)], 0.3, 3.0)],
)
def test_canary_is_displaced_as_far_as_it_takes(small, tmp_path, start, known, least, most):
    for index, frame in enumerate(known):
        frame.calc = EMT()
        labelled = with_labels(frame, frame.get_potential_energy(), frame.get_forces(), None)
        Dataset(tmp_path).add(f"label{index}", labelled, {})
    train_generation(Generations(tmp_path), Dataset(tmp_path), small())
    potential = AcePotential.from_files(Generations(tmp_path).potential(0))
    strange = extrapolating_copy(start, potential)
    assert potential.evaluate(strange).gamma.max() > 3.0
    assert least < np.sqrt(np.mean((strange.positions - start.positions) ** 2)) < most
