"""A molecule in a box of vacuum: labelled, learnt and moved like anything else."""

import numpy as np
from ase import Atoms
from ase.calculators.emt import EMT
from ase.io import write

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.launcher.runner import run_campaign


def test_hydrogen_in_a_box(small, stand_in, tmp_path):
    write(tmp_path / "h2.extxyz", Atoms("H2", [[7, 7, 7], [7, 7, 7.76]], cell=[15, 15, 15], pbc=True))
    campaign = small(
        elements=["H"],
        structure={"bulk": None, "file": str(tmp_path / "h2.extxyz")},
        md={"timestep_fs": 0.5, "stages": [{"ensemble": "nvt", "temperature_k": 300, "n_steps": 50}]},
    )
    directory = CampaignDirectory(tmp_path / "c")
    summary = run_campaign(campaign, directory, stand_in())
    assert (summary.outcome, summary.labels_failed, summary.md_steps) == ("CONVERGED", 0, 50)
    dataset = Dataset(directory.root)
    assert len(dataset.hashes()) >= 2
    for name in dataset.hashes():
        labelled = dataset.read(name)
        energy, forces = labelled.get_potential_energy(), labelled.get_forces()
        labelled.calc = EMT()
        assert energy == labelled.get_potential_energy()
        assert np.allclose(forces, labelled.get_forces(), atol=1e-8)
