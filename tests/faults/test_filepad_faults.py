"""What happens to machines that share no file, at every step: the end is that of a run without faults.

As in :mod:`tests.faults.test_farm_faults`, each case goes back to the moment before a step, lets something
happen to machine *a* in it, and has *a* or another machine go on.
"""

import os
import shutil
import signal
import time
from collections import Counter

import numpy as np
import pytest
from bson import ObjectId
from fireworks import FWorker, LaunchPad

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.summary import summarize
from mlip_fw.launcher.recover import recover
from mlip_fw.launcher.rockets import launch_one, silence_libraries
from mlip_fw.launchpad.filepad.campaign_files import publish_campaign
from mlip_fw.launchpad.filepad.pull import pull_campaign
from mlip_fw.launchpad.server.control import start_server, stop_server
from mlip_fw.runtime.fork_server import fork_server
from mlip_fw.runtime.process_info import start_ticks
from mlip_fw.workflows.campaign import campaign_workflow
from tests.helpers import farm_worker
from tests.helpers.campaigns import make_small
from tests.helpers.farm_worker import SHORT, STEPS

LIMIT_S, THERE = 120, "/there/small"
COLLECTIONS = ("fireworks", "launches", "workflows", "fw_id_assigner")
FILES = ("filepad", "filepad_gfs.files", "filepad_gfs.chunks")


class Farm:
    """A LaunchPad and machines with folders of their own."""

    def __init__(self, base, lmp_cmd):
        self.base, self.machines, self.kept = base, base / "machines", base / "kept"
        self.machines.mkdir()
        os.chdir(base)
        self.fworkers = {}
        for name in "abc":
            env = {"lmp_cmd": f"{lmp_cmd} --halt-at 20", "campaigns_dir": str(self.machines / name)}
            self.fworkers[name] = FWorker(name=name, env=env)
            self.fworkers[name].to_file(str(base / f"{name}.yaml"))
        self.serve()
        self.documents, self.writes = {}, {}

    def serve(self):
        """Start the database, and connect as a new process does."""
        self.facts = start_server(self.base / "database", with_this_process=True)
        self.pad = LaunchPad.from_file(str(self.facts.launchpad_file))
        self.pad.m_logger.setLevel("CRITICAL")

    def launch(self, name):
        """Run one Firework on a machine, in this process."""
        return farm_worker.silently(lambda: launch_one(self.pad, self.fworkers[name]))

    def run_without_faults(self, campaign):
        """Run a campaign on machines in turn, and keep what everything is like before each step."""
        publish_campaign(campaign, THERE, self.pad)
        self.pad.add_wf(campaign_workflow(campaign, self.base / THERE))
        seen, turn = Counter(), 0
        while (firework := self.pad._get_a_fw_to_run({}, checkout=False)) is not None:
            step = next(step for step, task in farm_worker.TASKS.items() if isinstance(firework.tasks[0], task))
            seen[step] += 1
            name = "ab"[turn % 2]
            turn += 1
            if seen[step] == {"label": 2, "train": 2}.get(step, 1):
                self.keep(step)
                self.writes[step] = farm_worker.count_writes(lambda name=name: self.launch(name))
            else:
                self.launch(name)
        self.result = self.outcome()

    def keep(self, step):
        """Keep the state of all machines and of the database."""
        shutil.copytree(self.machines, self.kept / step)
        self.documents[step] = {name: list(self.pad.db[name].find()) for name in (*COLLECTIONS, *FILES)}

    def go_back_to(self, step):
        """Restore the state before a step."""
        if start_ticks(self.facts.pid) is None:
            self.serve()
        shutil.rmtree(self.machines)
        shutil.copytree(self.kept / step, self.machines)
        for name in (*COLLECTIONS, *FILES, "mlip_fw_locks"):
            self.pad.db[name].delete_many({})
        for name, documents in self.documents[step].items():
            if documents:
                self.pad.db[name].insert_many(documents)

    def start(self, name, *fault):
        """Start a worker on a machine."""
        files = self.facts.launchpad_file, self.base / f"{name}.yaml"
        return farm_worker.start(*files, self.base, fault)

    def suffer(self, *fault):
        """Run one Firework on machine a, to which something happens; return the exit code."""
        process = self.start("a", *fault)
        process.join(LIMIT_S)
        return process.exitcode

    def finish(self, name):
        """Recover, run on to the end on one machine, and return what a person had to be told."""
        told = []
        for _ in range(3):
            for finding in list(recover(self.pad, heartbeat_s=0.0, taking_s=0.0, timeout_s=0.2)):
                if finding.repair is None:
                    told.append(finding.what)
                    self.pad.rerun_fw(finding.fw_id)
            while self.launch(name):
                pass
            if not self.pad.fireworks.count_documents({"state": {"$ne": "COMPLETED"}}):
                return told
        raise AssertionError([(fw["name"], fw["state"]) for fw in self.pad.fireworks.find()])

    def outcome(self):
        """Return what the campaign came to, as whoever pulls it sees it."""
        shutil.rmtree(self.base / "pulled", ignore_errors=True)
        directory = CampaignDirectory(pull_campaign(self.pad, None, self.base / "pulled").root)
        summary, generations = summarize(directory), Generations(directory.root)
        potential = generations.potential(generations.newest()).read_bytes()
        labels = tuple(Dataset(directory.root).hashes())
        self.labelled = Counter(event["label"] for event in directory.events() if event["event"] == "labelled")
        return summary.outcome, summary.halts, summary.generations, summary.labels_failed, labels, potential


@pytest.fixture(scope="module")
def farm(tmp_path_factory):
    """Return a farm that has run once without faults."""
    base, here = tmp_path_factory.mktemp("filepad"), os.getcwd()
    lmp_cmd, lmp_server = farm_worker.lend_lmp(base)
    with silence_libraries():
        fork_server()
        farm = Farm(base, lmp_cmd)
        farm.run_without_faults(make_small(**SHORT, files="filepad"))
        yield farm
    os.chdir(here)
    stop_server(base / "database")
    lmp_server.kill()


@pytest.mark.parametrize("step", ["label", "train", "md"])
def test_killed_between_work_and_publishing(farm, step):
    """On the same machine nothing is done again."""
    farm.go_back_to(step)
    assert farm.suffer("kill", step, "end") == -signal.SIGKILL
    assert farm.finish("a") == []
    assert farm.outcome() == farm.result
    assert set(farm.labelled.values()) == {1}


@pytest.mark.parametrize("step", ["label", "md"])
def test_killed_when_published(farm, step):
    """On another machine nothing is done again."""
    farm.go_back_to(step)
    assert farm.suffer("kill_when_published") == -signal.SIGKILL
    assert farm.finish("c") == []
    assert farm.outcome() == farm.result
    assert set(farm.labelled.values()) == {1}


@pytest.mark.parametrize(("step", "seed"), [*((step, 0) for step in STEPS), ("train", 1)])
def test_killed_in_the_middle_of_writing(farm, step, seed):
    """Another machine sees all of what was published at once, or nothing, and goes on."""
    farm.go_back_to(step)
    rng = np.random.default_rng([STEPS.index(step), seed])
    number = int(rng.integers(1, farm.writes[step] + 1))
    code = farm.suffer("kill_in_write", number, ("before", "after")[int(rng.integers(2))])
    assert code == -signal.SIGKILL
    assert farm.finish("ac"[int(rng.integers(2))]) == []
    assert farm.outcome() == farm.result
    assert set(farm.labelled) == set(farm.result[-2])


def test_database_is_killed_while_something_is_published(farm):
    farm.go_back_to("train")
    process = farm.start("a", "kill_database_in_write", farm.writes["train"] // 2, farm.facts.pid)
    deadline = time.monotonic() + LIMIT_S
    while start_ticks(farm.facts.pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    farm.serve()
    process.join(LIMIT_S)
    assert process.exitcode is not None
    farm.finish("c")
    assert farm.outcome() == farm.result


@pytest.mark.parametrize("step", ["train", "md", "label"])
def test_two_machines_do_the_same_work_at_once(farm, step, tmp_path):
    """The second finds what the first has published, takes it over, and says the same."""
    farm.go_back_to(step)
    process = farm.start("a", "pause", step, tmp_path)
    deadline = time.monotonic() + LIMIT_S
    while not (tmp_path / "began").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert [finding.kind for finding in recover(farm.pad, heartbeat_s=0.0, taking_s=0.0, timeout_s=0.2)] == ["lost run"]
    farm.launch("b")
    (tmp_path / "go").touch()
    process.join(LIMIT_S)
    assert process.exitcode is not None
    farm.finish("c")
    assert farm.outcome() == farm.result
    # a label and a record of training tell how long they took: no two are the same
    [here] = (farm.machines / "a").iterdir()
    taken = [path for name in ("labels/[!.]*", "potentials/gen_*/training.json") for path in here.glob(name)]
    assert taken
    assert [p for p in taken if p.read_bytes() != (farm.base / "pulled" / p.relative_to(here)).read_bytes()] == []


def test_corrupted_chunk_is_never_used(farm):
    """A person is told which file it is; the campaign goes on when it is repaired."""
    farm.go_back_to("candidates")
    [document] = farm.pad.db["filepad"].find({"identifier": {"$regex": "parts/.*halt.extxyz$"}})
    chunks, where = farm.pad.db["filepad_gfs.chunks"], {"files_id": ObjectId(document["gfs_id"])}
    data = chunks.find_one(where)["data"]
    chunks.update_one(where, {"$set": {"data": data[:40] + bytes([data[40] ^ 1]) + data[41:]}})
    assert farm.suffer("none") == 0
    [finding] = recover(farm.pad, heartbeat_s=0.0, taking_s=0.0, timeout_s=0.0)
    assert "halt.extxyz of small-" in finding.what
    assert "is damaged" in finding.what
    chunks.update_one(where, {"$set": {"data": data}})
    farm.pad.rerun_fw(finding.fw_id)
    assert farm.finish("c") == []
    assert farm.outcome() == farm.result


def test_corrupted_copy_is_never_used(farm):
    farm.go_back_to("train")
    for path in farm.machines.glob("*/*/labels/*.extxyz"):
        path.write_text(path.read_text().replace("1", "2"))
    assert farm.finish("a") == []
    assert farm.outcome() == farm.result
