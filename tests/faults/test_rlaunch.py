"""``mlip-fw rlaunch``: what a signal, and the end of a batch job, do to workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fireworks import Firework, FWorker, LaunchPad, ScriptTask, Workflow

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.io.campaign_file import parse_campaign
from mlip_fw.launchpad.server.control import start_server, stop_server
from mlip_fw.workflows.campaign import campaign_workflow
from tests.helpers.campaigns import SMALL, merged

LAMMPS = """\
case "$PWD" in */walkers/*) touch $PWD/began; sleep ${{MD_SECONDS:-0}} ;; esac
exec {lmp} "$@"
"""


class Farm:
    """A campaign of two walkers on a LaunchPad of its own, and workers."""

    def __init__(self, folder: Path, lmp: str) -> None:
        self.folder, self.directory = folder, CampaignDirectory(folder / "c")
        self.server = start_server(folder / "db", with_this_process=True)
        self.pad = LaunchPad.from_file(str(self.server.launchpad_file))
        campaign = parse_campaign(merged(SMALL, {"md": {"walkers": 2}}), "test")
        self.pad.add_wf(campaign_workflow(campaign, self.directory.root))
        (folder / "lmp.sh").write_text(LAMMPS.format(lmp=lmp))
        FWorker(name="w", env={"lmp_cmd": f"sh {folder}/lmp.sh"}).to_file(str(folder / "w.yaml"))

    def rlaunch(self, *arguments, **environment):
        files = ["-l", str(self.server.launchpad_file), "-w", "w.yaml"]
        return subprocess.Popen(
            [sys.executable, "-m", "mlip_fw", "rlaunch", *files, *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until_md_began(self, walkers):
        deadline = time.monotonic() + 200
        while len(list(self.directory.root.glob("walkers/*/*/began"))) < walkers:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def states(self):
        return {f["name"].split(": ")[1]: f["state"] for f in self.pad.fireworks.find()}

    def processes(self):
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if f"{self.folder}/lmp.sh" in line]


@pytest.fixture
def farm(tmp_path, lent_lmp):
    made = Farm(tmp_path, lent_lmp)
    yield made
    stop_server(made.server.directory)


def both_md(farm):
    return {state for name, state in farm.states().items() if name.startswith("md")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_a_signal_leaves_the_firework_ready(farm, number):
    worker = farm.rlaunch("rapidfire", "--sleep", "1", MD_SECONDS="600")
    farm.until_md_began(1)
    worker.send_signal(number)
    said, _ = worker.communicate(timeout=200)
    assert worker.returncode == 128 + number, said
    assert both_md(farm) == {"READY"}
    assert not farm.processes()
    launches = [launch["state"] for launch in farm.pad.launches.find()]
    assert "RUNNING" not in launches
    worker = farm.rlaunch("rapidfire", "--sleep", "1")
    said, _ = worker.communicate(timeout=200)
    assert worker.returncode == 0, said
    assert set(farm.states().values()) == {"COMPLETED"}


def test_all_workers_of_multi_end_so(farm):
    # FireWorks' multi gives up when nothing is ready at its start
    first = farm.rlaunch("rapidfire", "--sleep", "1", "--nlaunches", "4")
    first.communicate(timeout=200)
    assert both_md(farm) == {"READY"}
    worker = farm.rlaunch("multi", "2", MD_SECONDS="600")
    farm.until_md_began(2)
    worker.send_signal(signal.SIGTERM)
    said, _ = worker.communicate(timeout=200)
    assert worker.returncode == 128 + signal.SIGTERM, said
    assert not farm.processes()
    assert both_md(farm) == {"READY"}, said


def test_an_ending_job_takes_no_more_work(farm):
    worker = farm.rlaunch("rapidfire", "--sleep", "1", MLIP_FW_JOB_END=str(int(time.time()) + 30))
    said, _ = worker.communicate(timeout=200)
    assert worker.returncode == 0, said
    assert "no time for another Firework" in said
    assert farm.states()["bootstrap"] == "READY"


def test_other_peoples_fireworks_are_not_rerun(farm):
    farm.pad.add_wf(Workflow([Firework([ScriptTask.from_str("exit 3")], spec={"_priority": 9}, name="a: theirs")]))
    worker = farm.rlaunch("singleshot")
    worker.communicate(timeout=200)
    assert farm.states()["theirs"] == "FIZZLED"
