"""Whole campaigns through ``qlaunch`` on a real Slurm, one queue for each category."""

import json

import pytest

from tests.helpers.campaigns import TINY, merged, write
from tests.helpers.programs import check_contract, mlip_fw
from tests.helpers.slurm import CATEGORIES
from tests.helpers.slurm_farm import SAME, SlurmFarm

pytestmark = pytest.mark.real
CAMPAIGN = merged(
    TINY,
    {
        "structure": {"bulk": {**TINY["structure"]["bulk"], "repeat": [3, 3, 3]}},
        "md": {"stages": [{"ensemble": "nvt", "temperature_k": [300, 1200], "n_steps": 300}]},
        "uncertainty": {"gamma_halt": 6.0},
        "potential": {"functions_per_element": 40},
    },
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return the directory of the same campaign, run by ``mlip-fw run``, and its summary."""
    folder = tmp_path_factory.mktemp("plain")
    done = mlip_fw("run", write(CAMPAIGN, folder / "c.yaml"), "--json", "--dir", "c", folder=folder)
    return folder / "c", json.loads(done.stdout)


@pytest.fixture
def farm(slurm, tmp_path):
    """Return the campaign on a LaunchPad."""
    made = SlurmFarm(slurm, tmp_path, CAMPAIGN)
    made.add()
    yield made
    made.close()


@pytest.mark.parametrize("reserve", [True, False], ids=["reserved", "pulled"])
def test_campaign_converges_in_three_queues(farm, plain, reserve, tmp_path):
    with farm.launching(reserve=reserve):
        summary = farm.wait_for_end()
    assert summary["outcome"] == "CONVERGED"
    assert summary["halts"] >= 1
    assert {key: summary[key] for key in SAME} == {key: plain[1][key] for key in SAME}
    assert farm.labels() == {path.stem for path in (plain[0] / "labels").iterdir()}
    assert farm.events().count("labelled") == summary["labels"]
    assert set(farm.states().values()) == {"COMPLETED"}
    queues = farm.slurm.command("squeue", "-h", "-t", "all", "-o", "%P").split()
    assert set(queues) == set(CATEGORIES)
    check_contract(farm.directory.root, json.dumps(summary), tmp_path)


LONG = merged(
    CAMPAIGN,
    {
        "md": {"stages": [{"ensemble": "nvt", "temperature_k": [300, 300], "n_steps": 30000}]},
        "uncertainty": {"gamma_halt": 1e6},
    },
)
SHORT_JOBS = ((r"walltime: .*", "walltime: '00:02:00'"), ("B:TERM@120", "B:TERM@5"))


def test_md_ends_itself_before_its_job_does(slurm, tmp_path):
    """No job is ended from outside, nothing is to recover, and no step is run twice."""
    # pyace: MD has to last longer than a job does
    farm = SlurmFarm(slurm, tmp_path, LONG, {"md_evaluator": "pyace"}, changes=SHORT_JOBS)
    farm.add()
    try:
        with farm.launching():
            summary = farm.wait_for_end()
    finally:
        farm.close()
    assert summary["outcome"] == "CONVERGED"
    assert summary["md_steps"] == 30000
    events = farm.events()
    assert events.count("md_out_of_time") >= 1
    assert events.count("md_started") == events.count("md_out_of_time") + 1
    assert "TIMEOUT" not in slurm.command("scontrol", "show", "job")
