"""Offline mode: Fireworks that run without the database, and how the LaunchPad hears of them."""

import datetime
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import MethodType

import pytest
from fireworks import LaunchPad
from fireworks.core import rocket
from fireworks.core.rocket_launcher import launch_rocket
from fireworks.queue.queue_launcher import setup_offline_job

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.summary import summarize
from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.launcher.fireworks_patches import offline_patches, patched
from mlip_fw.launcher.offline import collect_offline_runs, read_offline_runs
from mlip_fw.workflows.campaign import campaign_workflow


@pytest.fixture
def offline():
    """Let FireWorks open its files for one test."""
    with patched(offline_patches()):
        yield


class Farm:
    """A campaign on a LaunchPad, and what ``qlaunch --reserve`` and ``rlaunch --offline`` do with it."""

    def __init__(self, campaign, root, fworker, monkeypatch):
        self.directory, self.fworker, self.monkeypatch = CampaignDirectory(root), fworker, monkeypatch
        self.pad = embedded_launchpad()
        self.pad.add_wf(campaign_workflow(campaign, self.directory.root))

    def reserve(self) -> Path:
        """Reserve the next Firework and write what is to run, as qlaunch does; return where."""
        firework, launch = self.pad.reserve_fw(self.fworker, str(self.directory.root))
        folder = Path(firework.spec["_launch_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        self.pad.change_launch_dir(launch, str(folder))
        self.monkeypatch.chdir(folder)
        setup_offline_job(self.pad, firework, launch)
        return folder

    def run(self, folder):
        """Run what was written, without the LaunchPad."""
        self.monkeypatch.chdir(folder)
        launch_rocket(None, self.fworker, strm_lvl="CRITICAL")
        for thread in threading.enumerate():
            if "ping_launch" in thread.name:  # writes its last sign of life when the launch is over; a job waits for it
                thread.join()

    def states(self):
        """Return the state of each Firework by its short name."""
        found = [self.pad.get_fw_by_id(i) for i in self.pad.get_fw_ids({})]
        return {firework.name.split(": ")[1]: firework.state for firework in found}


@pytest.fixture
def farm(small, stand_in, tmp_path, monkeypatch, offline):
    """Return a function that puts a campaign on a LaunchPad for offline runs."""

    def make(options="", **changes):
        return Farm(small(**changes), tmp_path / "c", stand_in(options), monkeypatch)

    return make


class TestPatches:
    def test_fireworks_can_open_its_files_afterwards(self, offline, tmp_path):
        with rocket.zopen(str(tmp_path / "x"), "wt") as stream:
            stream.write("text")
        with rocket.zopen(str(tmp_path / "x")) as stream:
            assert stream.read() == "text"

    def test_leaves_alone_what_works(self, monkeypatch):
        monkeypatch.setattr(rocket, "zopen", open)
        assert offline_patches() == []

    def test_are_undone_at_the_end(self, monkeypatch):
        def zopen(filename, mode=None):
            if mode is None:
                raise TypeError("no mode")
            return Path(filename).open(mode)

        monkeypatch.setattr(rocket, "zopen", zopen)
        [patch] = patches = offline_patches()
        with patched(patches):
            assert rocket.zopen is patch.replacement
            assert offline_patches() == []
            with rocket.zopen(os.devnull) as stream:
                assert stream.read() == ""
        assert rocket.zopen is zopen


def test_whole_campaign(farm):
    farm = farm("--halt-at 20,50")
    while farm.pad.run_exists():
        farm.run(farm.reserve())
        assert [news.state for news in collect_offline_runs(farm.pad)] == ["COMPLETED"]
    states = farm.states()
    assert set(states.values()) == {"COMPLETED"}
    assert {"md w00 s0 c0002", "train w00 c0001", "summary"} <= set(states)
    summary = summarize(farm.directory)
    assert (summary.outcome, summary.halts) == ("CONVERGED", 2)
    assert len(Dataset(farm.directory.root).hashes()) == summary.labels


def test_labels_of_one_halt_run_side_by_side(farm):
    """Each has a folder of its own: what is written for the next does not overwrite what the first is to run."""
    farm = farm(bootstrap={"n_structures": 3})
    farm.run(farm.reserve())
    collect_offline_runs(farm.pad)
    folders = [farm.reserve() for _ in range(3)]
    assert len(set(folders)) == 3
    for folder in folders:
        farm.run(folder)
    assert [news.state for news in collect_offline_runs(farm.pad)] == ["COMPLETED"] * 3
    assert len(Dataset(farm.directory.root).hashes()) == 3


def test_rlaunch_of_this_machine_runs_offline(farm, tmp_path):
    """What FireWorks' own command does with the repaired mode, in a process of its own."""
    farm = farm()
    (tmp_path / "w.yaml").write_text("name: x\ncategory: ''\nquery: '{}'\nenv: {}\n")
    with_patches = (
        "from mlip_fw.launcher.fireworks_patches import offline_patches, patched\n"
        "from fireworks.scripts.rlaunch_run import rlaunch\n"
        "with patched(offline_patches()): rlaunch()"
    )
    command = [sys.executable, "-c", with_patches, "-w", str(tmp_path / "w.yaml"), "singleshot", "--offline"]
    done = subprocess.run(command, cwd=farm.reserve(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [news.state for news in collect_offline_runs(farm.pad)] == ["COMPLETED"]
    assert farm.states()["bootstrap"] == "COMPLETED"
    assert "train bootstrap" in farm.states()


class TestNews:
    def test_none_of_what_waits_in_the_queue(self, farm):
        farm = farm()
        farm.reserve()
        assert collect_offline_runs(farm.pad) == []
        assert farm.states()["bootstrap"] == "RESERVED"

    def test_half_written_file_is_no_failure(self, farm):
        farm = farm()
        folder = farm.reserve()
        farm.run(folder)
        whole = (folder / "FW_offline.json").read_text()
        (folder / "FW_offline.json").write_text(whole[: len(whole) // 2])
        assert collect_offline_runs(farm.pad) == []
        (folder / "FW_offline.json").write_text(whole)
        assert [news.state for news in collect_offline_runs(farm.pad)] == ["COMPLETED"]

    def test_file_of_another_launch_is_not_taken(self, farm):
        farm = farm()
        folder = farm.reserve()
        farm.run(folder)
        news = json.loads((folder / "FW_offline.json").read_text())
        (folder / "FW_offline.json").write_text(json.dumps({**news, "launch_id": 77}))
        assert collect_offline_runs(farm.pad) == []

    def test_folder_that_is_gone(self, farm):
        farm = farm()
        (farm.reserve() / "FW_offline.json").unlink()
        assert collect_offline_runs(farm.pad) == []

    def test_looking_changes_nothing(self, farm):
        farm = farm()
        farm.run(farm.reserve())
        [news] = read_offline_runs(farm.pad)
        assert (news.fw_id, news.state) == (farm.pad.get_fw_ids({"name": "small: bootstrap"})[0], "COMPLETED")
        assert farm.states()["bootstrap"] == "RESERVED"

    def test_are_taken_once(self, farm):
        farm = farm()
        farm.run(farm.reserve())
        assert len(collect_offline_runs(farm.pad)) == 1
        assert collect_offline_runs(farm.pad) == []

    def test_running_one_keeps_its_last_sign_of_life(self, farm):
        farm = farm()
        farm.pad.ping_launch = MethodType(LaunchPad.ping_launch, farm.pad)  # the embedded one doesn't ping
        folder = farm.reserve()
        news = json.loads((folder / "FW_offline.json").read_text())
        started = datetime.datetime.now(datetime.UTC).isoformat()
        (folder / "FW_offline.json").write_text(json.dumps({**news, "started_on": started}))
        (folder / "FW_ping.json").write_text(json.dumps({"ping_time": started}))
        for path in (folder / "FW_offline.json", folder / "FW_ping.json"):
            os.utime(path, (time.time() - 7200,) * 2)
        for _ in range(2):
            assert [news.state for news in collect_offline_runs(farm.pad)] == ["RUNNING"]
            assert farm.states()["bootstrap"] == "RUNNING"
            assert farm.pad.detect_lostruns(expiration_secs=8000)[0] == []
        assert len(farm.pad.detect_lostruns(expiration_secs=7000)[0]) == 1

    def test_failed_firework_fizzles_with_its_reason(self, farm, monkeypatch):
        farm = farm()
        folder = farm.reserve()
        monkeypatch.setattr("mlip_fw.firetasks.bootstrap.Bootstrap.run_task", lambda self, spec: 1 / 0)
        farm.run(folder)
        assert [news.state for news in collect_offline_runs(farm.pad)] == ["FIZZLED"]
        [launch] = farm.pad.get_fw_by_id(farm.pad.get_fw_ids({"state": "FIZZLED"})[0]).launches
        assert "ZeroDivisionError" in launch.action.stored_data["_exception"]["_stacktrace"]

    def test_what_the_launchpad_can_not_take_is_asked_again(self, farm, monkeypatch):
        farm = farm()
        farm.run(farm.reserve())
        with monkeypatch.context() as broken:
            broken.setattr(farm.pad, "complete_launch", lambda *_: 1 / 0)
            assert collect_offline_runs(farm.pad) == []
        assert [news.state for news in collect_offline_runs(farm.pad)] == ["COMPLETED"]
