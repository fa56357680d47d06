"""Two machines that share no file, with real LAMMPS and real pyace, as users start them."""

import json
import os
import signal
import subprocess
import sys

import pytest
from fireworks import FWorker, LaunchPad

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.launchpad.server.control import start_server, stop_server
from tests.helpers.campaigns import TINY, merged, write
from tests.helpers.programs import check_contract, mlip_fw

pytestmark = pytest.mark.real
LIMIT_S = 300


@pytest.fixture
def launchpad(tmp_path):
    """Return the file of a LaunchPad that runs."""
    yield start_server(tmp_path / "database", with_this_process=True).launchpad_file
    stop_server(tmp_path / "database")


def test_two_walkers_on_two_machines(launchpad, tmp_path):
    submit = tmp_path / "submit"
    submit.mkdir()
    campaign = write(merged(TINY, {"files": "filepad", "md": {"walkers": 2}}), submit / "c.yaml")
    mlip_fw("add", campaign, "-l", launchpad, folder=submit)
    hidden = submit.rename(tmp_path / "hidden")
    workers = [start_worker(launchpad, tmp_path / name) for name in ("md", "labels")]
    try:
        assert [worker.wait(LIMIT_S) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
    hidden.rename(submit)
    pulled = json.loads(mlip_fw("pull", "-l", launchpad, "--json", folder=submit).stdout)
    summary = json.loads(mlip_fw("status", "small", "--json", folder=submit).stdout)
    assert (summary["outcome"], summary["md_steps"]) == ("CONVERGED", 600)
    assert summary["halts"] >= 2
    directory = CampaignDirectory(pulled["directory"])
    labelled = [event["label"] for event in directory.events() if event["event"] == "labelled"]
    assert sorted(labelled) == Dataset(directory.root).hashes()
    numbers, generations = Generations(directory.root).numbers(), Generations(directory.root)
    assert numbers == list(range(summary["generations"]))
    assert [generations.record(number).parent for number in numbers] == [None, *numbers[:-1]]
    assert set(generations.record(numbers[-1]).labels) == set(labelled)
    pad = LaunchPad.from_file(str(launchpad))
    by = [launch["fworker"]["name"] for launch in pad.launches.find()]
    assert set(by) == {"md", "labels"}
    assert not pad.fireworks.count_documents({"state": {"$ne": "COMPLETED"}})
    check_contract(directory.root, json.dumps(summary), tmp_path)


def start_worker(launchpad, folder):
    """Start a worker of a machine that has its copies in ``folder``."""
    folder.mkdir()
    FWorker(name=folder.name, env={"campaigns_dir": str(folder / "campaigns")}).to_file(str(folder / "w.yaml"))
    words = ["rlaunch", "-s", "-l", launchpad, "-w", "w.yaml", "rapidfire", "--sleep", "1"]
    return subprocess.Popen(
        [sys.executable, "-m", "mlip_fw", *map(str, words)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
