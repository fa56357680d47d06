"""Several walkers from several starts: side by side, one dataset, no barrier."""

import re

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.summary import md_results
from mlip_fw.errors import CampaignError
from mlip_fw.launcher.runner import run_campaign


@pytest.fixture
def starts(tmp_path):
    """Return the paths of copper and of gold, the latter with velocities."""
    copper, gold = bulk("Cu", cubic=True) * (2, 2, 2), bulk("Au", cubic=True) * (3, 2, 2)
    gold.set_momenta(np.random.default_rng(1).normal(size=(len(gold), 3)))
    paths = [tmp_path / "cu.extxyz", tmp_path / "au.extxyz"]
    for path, atoms in zip(paths, (copper, gold), strict=True):
        write(path, atoms)
    return [str(path) for path in paths]


def velocity_of(directory, walker):
    script = (directory.cycle(walker, 0) / "in.lammps").read_text()
    found = re.search(r"velocity all create \S+ (\d+)", script)
    return found and found.group(1)


def test_walkers_take_the_starts_in_turn(small, stand_in, tmp_path, starts):
    campaign = small(
        elements=["Cu", "Au"],
        structure={"bulk": None, "files": starts},
        md={"walkers": 4},
        bootstrap={"n_structures": 3},
    )
    directory = CampaignDirectory(tmp_path / "c")
    summary = run_campaign(campaign, directory, stand_in("--halt-at 50"))
    assert (summary.outcome, summary.halts, summary.md_steps) == ("CONVERGED", 4, 400)

    first = read(directory.bootstrap / "selected.extxyz", index=":")
    assert [a.get_chemical_formula() for a in first] == ["Cu32", "Au48", "Cu32"]
    halted = [read(directory.cycle(walker, 0) / "halt.extxyz") for walker in range(4)]
    assert [a.get_chemical_formula() for a in halted] == ["Cu32", "Au48", "Cu32", "Au48"]

    seeds = [velocity_of(directory, walker) for walker in range(4)]
    assert seeds[1] is None, "its file has velocities"
    assert len({seeds[0], seeds[2], seeds[3]} - {None}) == 3

    results = {(r.walker, r.cycle): r for r in md_results(directory)}
    newest = Generations(directory.root).newest()
    assert newest is not None
    labels = set(Generations(directory.root).record(newest).labels)
    assert labels == set(Dataset(directory.root).hashes()), "one dataset"
    assert all(results[w, 1].generation >= results[w, 0].generation for w in range(4))


def test_start_that_changed_is_noticed(small, stand_in, tmp_path, starts):
    campaign = small(elements=["Cu", "Au"], structure={"bulk": None, "files": starts}, md={"walkers": 2})
    CampaignDirectory(tmp_path / "c").claim(campaign)
    write(starts[1], bulk("Au", cubic=True) * (2, 2, 2))
    with pytest.raises(CampaignError, match=r"structure\.files\.1 changed since"):
        run_campaign(campaign, CampaignDirectory(tmp_path / "c"), stand_in())
