"""Jobs that don't reach the database, on a real Slurm: reserved with it, run without it, collected afterwards."""

import json

import pytest

from mlip_fw.launcher.offline import collect_offline_runs
from tests.helpers.campaigns import SMALL, merged
from tests.helpers.programs import check_contract
from tests.helpers.slurm import CATEGORIES
from tests.helpers.slurm_farm import SlurmFarm

pytestmark = pytest.mark.real
CAMPAIGN = merged(SMALL, {"bootstrap": {"n_structures": 1}})
OFFLINE = ((r"  -l \S+my_launchpad.yaml\n", ""), ("  singleshot", "  singleshot --offline"))


@pytest.fixture
def farm(slurm, tmp_path, stand_in):
    """Return a campaign on a LaunchPad whose jobs run offline."""
    made = SlurmFarm(slurm, tmp_path, CAMPAIGN, stand_in("--halt-at 50").env, OFFLINE)
    made.add()
    yield made
    made.close()


def submit(farm):
    """Reserve what is ready, one Firework of each category."""
    for category in CATEGORIES:
        if farm.pad.fireworks.find_one({"state": "READY", "spec._category": category}):
            farm.run(*farm.qlaunch(category, "singleshot"))


def collect(farm, *, by_lpad):
    """Take what the jobs left to the LaunchPad, by FireWorks' command or by ours."""
    if by_lpad:
        farm.run("lpad", "-l", "my_launchpad.yaml", "recover_offline")
    else:
        collect_offline_runs(farm.pad)


def test_campaign_runs_while_the_database_is_down(farm, tmp_path):
    rounds = 0
    while not farm.summary_file.is_file():
        submit(farm)
        jobs = farm.slurm.jobs()
        assert jobs, farm.said()
        farm.kill_database()
        farm.wait("the end of the jobs", lambda: not farm.slurm.jobs())
        farm.start_database()
        collect(farm, by_lpad=rounds % 2 == 0)
        rounds += 1
    assert rounds > 8
    summary = json.loads(farm.summary_file.read_text())
    assert (summary["outcome"], summary["halts"], summary["labels"]) == ("CONVERGED", 1, len(farm.labels()))
    assert set(farm.states().values()) == {"COMPLETED"}
    assert farm.events().count("labelled") == summary["labels"]
    check_contract(farm.directory.root, json.dumps(summary), tmp_path)
