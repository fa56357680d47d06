"""Everything that happens to the workers of a farm, at every step of the loop: nothing is lost, nothing is doubled.

A campaign is run once without faults, and what the farm was like before each step is kept: files and
database. Each case goes back to such a moment, lets something happen in that step, has it recovered,
and runs on to the end. The end must be that of the run without faults.
"""

import errno
import math
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from fireworks import FWorker, LaunchPad

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.summary import summarize
from mlip_fw.launcher.recover import recover
from mlip_fw.launcher.rockets import launch_one, silence_libraries
from mlip_fw.launchpad import archiving
from mlip_fw.launchpad.server.control import start_server, stop_server
from mlip_fw.runtime.fork_server import fork_server
from mlip_fw.runtime.process_info import start_ticks
from mlip_fw.workflows.campaign import campaign_workflow
from tests.helpers import farm_worker
from tests.helpers.campaigns import make_small
from tests.helpers.farm_worker import SHORT, STEPS
from tests.helpers.programs import require

COLLECTIONS = ("fireworks", "launches", "workflows", "fw_id_assigner")
PATIENCE_S, MAX_ROUNDS, LIMIT_S = 0.3, 4, 300


class Farm:
    """A campaign on a LaunchPad server, with its state before each step of a run without faults."""

    def __init__(self, base, fworker):
        self.base, self.root, self.kept = base, base / "disk" / "c", base / "kept"
        self.work, self.once = base / "work", base / "lmp-was-killed"
        self.work.mkdir()
        # FireWorks removes a folder that it leaves empty
        (self.work / "FW_submit.script").touch()
        self.once.touch()
        self.fworker = fworker
        self.worker_file = base / "my_fworker.yaml"
        fworker.to_file(str(self.worker_file))
        self.serve()
        self.writes, self.documents = {}, {}

    def serve(self):
        """Start the database server, and connect as a new process does."""
        self.facts = start_server(self.base / "database", with_this_process=True)
        self.pad = LaunchPad.from_file(str(self.facts.launchpad_file))
        self.pad.m_logger.setLevel("CRITICAL")

    def run_without_faults(self, campaign):
        """Run a campaign and keep what the farm is like before each step; the first MD halts."""
        self.pad.add_wf(campaign_workflow(campaign, self.root))
        seen = Counter()
        while (firework := self.pad._get_a_fw_to_run(self.fworker.query, checkout=False)) is not None:
            step = next(step for step, task in farm_worker.TASKS.items() if isinstance(firework.tasks[0], task))
            seen[step] += 1
            if seen[step] == {"label": 2, "train": 2}.get(step, 1):
                self.keep(step)
                self.writes[step] = farm_worker.count_writes(self.launch)
            else:
                self.launch()
        self.result = self.outcome()

    def launch(self):
        """Run one Firework in this process."""
        os.chdir(self.work)
        return farm_worker.silently(lambda: launch_one(self.pad, self.fworker))

    def keep(self, step):
        """Keep the state of the farm."""
        if self.root.exists():
            shutil.copytree(self.root, self.kept / step)
        self.documents[step] = {name: list(self.pad.db[name].find()) for name in COLLECTIONS}

    def go_back_to(self, step):
        """Restore the state of the farm before a step."""
        if start_ticks(self.facts.pid) is None:
            self.serve()
        os.chdir(self.work)
        shutil.rmtree(self.root, ignore_errors=True)
        if (self.kept / step).exists():
            shutil.copytree(self.kept / step, self.root)
        for name in (*COLLECTIONS, "mlip_fw_locks"):
            self.pad.db[name].delete_many({})
        for name, documents in self.documents[step].items():
            if documents:
                self.pad.db[name].insert_many(documents)

    def start(self, *fault):
        """Start a worker in a process of its own."""
        return farm_worker.start(self.facts.launchpad_file, self.worker_file, self.work, fault)

    def finish(self, because=()):
        """Recover and run to the end; ``because`` takes what a person had to be told, who then does as told."""
        for _ in range(MAX_ROUNDS):
            found = list(recover(self.pad, heartbeat_s=0.0, taking_s=0.0, timeout_s=PATIENCE_S))
            for finding in found:
                if finding.repair is None:
                    because.append(finding)
                    self.pad.rerun_fw(finding.fw_id)
            while self.launch():
                pass
            if not self.pad.fireworks.count_documents({"state": {"$ne": "COMPLETED"}}):
                return
        states = {fw["name"]: fw["state"] for fw in self.pad.fireworks.find({}, {"name": 1, "state": 1})}
        pytest.fail(f"not finished after {MAX_ROUNDS} recoveries: {states}")

    def outcome(self):
        """Return what the campaign came to."""
        summary = summarize(CampaignDirectory(self.root))
        labels = tuple(Dataset(self.root).hashes())
        return summary.outcome, summary.halts, summary.generations, summary.labels_failed, labels

    def require_whole(self):
        """Check that the end is that of the run without faults, and that nothing is left over."""
        assert self.outcome() == self.result
        events = CampaignDirectory(self.root).events()
        labelled = Counter(event["label"] for event in events if event["event"] == "labelled")
        assert set(labelled.values()) == {1}
        assert labelled.keys() == set(self.result[-1])
        workflows = list(self.pad.workflows.find())
        assert {workflow["state"] for workflow in workflows} == {"COMPLETED"}
        assert not any("locked" in workflow for workflow in workflows)
        assert len(workflows) > 1, "what was finished early is archived"
        states = {firework["fw_id"]: firework["state"] for firework in self.pad.fireworks.find()}
        assert sorted(states) == sorted(node for workflow in workflows for node in workflow["nodes"])
        assert len(states) == len(self.documents["summary"]["fireworks"])
        said = [state for workflow in workflows for state in workflow["fw_states"].values()]
        assert set(states.values()) | set(said) == {"COMPLETED"}
        assert list(recover(self.pad, heartbeat_s=0.0, taking_s=0.0, timeout_s=0.0)) == []
        assert not [note for note in (self.root / ".running").glob("*.json") if note.stem.isdigit()]


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """Return a folder with a small file system on it, if this machine lets us mount one."""
    base = tmp_path_factory.mktemp("farm")
    (base / "disk").mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(base / "disk")]
    mounted = subprocess.run(command, capture_output=True).returncode == 0
    yield base, mounted
    if mounted:
        subprocess.run(["umount", "-l", str(base / "disk")])


@pytest.fixture(scope="module")
def farm(disk):
    """Return a farm that has run once without faults."""
    base, _ = disk
    once = base / "lmp-was-killed"
    lmp_cmd, lmp_server = farm_worker.lend_lmp(base)
    command = f"{lmp_cmd} --halt-at 20 --misbehave killed --once {once}"
    here = Path.cwd()
    farm = Farm(base, FWorker(name="farm", env={"lmp_cmd": command}))
    with silence_libraries(), patch.multiple(archiving, **farm_worker.ARCHIVE):
        fork_server()
        farm.run_without_faults(make_small(**SHORT))
        yield farm
    os.chdir(here)
    stop_server(base / "database")
    lmp_server.kill()


@pytest.fixture(scope="module")
def table(request, tmp_path_factory):
    """Collect a row for each case, and print them at the end."""
    rows = []
    yield rows
    head = ("fault", "step", "seed", "outcome", "s")
    lines = ["{:<26} {:<11} {:>5}  {:<60} {:>5}".format(*row) for row in [head, *rows]]
    text = "\n".join([*lines, f"{len(rows)} cases"])
    (tmp_path_factory.getbasetemp() / "farm_faults.txt").write_text(text + "\n")
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{text}")


@pytest.fixture
def case(farm, table, request):
    """Return a farm at the moment before the step of a case; writes the row of the table when it is over."""
    case = Case(farm, request.node.callspec.params)
    yield case
    (farm.root.parent / "filler").unlink(missing_ok=True)
    name = request.node.originalname.removeprefix("test_").replace("_", " ")
    seed = case.parameters.get("seed", "")
    table.append((name, case.step, seed, case.said or "NOT FINISHED", f"{time.monotonic() - case.started:.1f}"))


class Case:
    """One fault in one step."""

    def __init__(self, farm, parameters):
        self.farm, self.parameters, self.started = farm, parameters, time.monotonic()
        self.step, self.said = parameters["step"], ""
        self.rng = np.random.default_rng([STEPS.index(self.step), parameters.get("seed", 0)])
        farm.go_back_to(self.step)

    def end(self, process):
        """Wait for a worker and return its exit code."""
        process.join(LIMIT_S)
        assert process.exitcode is not None, "the worker hangs"
        return process.exitcode

    def serve_again(self):
        """Start the database again as soon as it is gone."""
        deadline = time.monotonic() + LIMIT_S
        while start_ticks(self.farm.facts.pid) is not None:
            assert time.monotonic() < deadline, "the database lives on"
            time.sleep(0.02)
        self.farm.serve()

    def finish(self):
        """Recover, run on, and compare with the run without faults."""
        because = []
        self.farm.finish(because)
        self.farm.require_whole()
        self.said = f"stopped: {because[0].what[:50]}" if because else "resumed"
        return because


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("step", STEPS)
def test_worker_is_killed(case, step, seed):
    moment = ("start", "end", float(case.rng.uniform(0.001, 0.5)))[seed]
    code = case.end(case.farm.start("kill", step, moment))
    assert code == -signal.SIGKILL or (seed == 2 and code == 0)
    assert case.finish() == []


@pytest.mark.parametrize("step", ["label"])
def test_worker_is_killed_before_the_journal(case, step):
    """The label is there, but not its line in the journal: it is not computed again, and the line is written."""
    assert case.end(case.farm.start("kill", step, "kept")) == -signal.SIGKILL
    assert case.finish() == []


@pytest.mark.parametrize("step", ["md"])
def test_worker_is_killed_before_the_shelf(case, step):
    """Finished Fireworks have left their workflow, and are in no other one."""
    assert case.end(case.farm.start("kill_before_shelf")) == -signal.SIGKILL
    held = [node for workflow in case.farm.pad.workflows.find() for node in workflow["nodes"]]
    assert len(held) < case.farm.pad.fireworks.count_documents({})
    assert case.finish() == []


@pytest.mark.parametrize(("step", "seed"), [*((step, 0) for step in STEPS), ("label", 1), ("md", 1)])
def test_worker_is_terminated(case, step, seed):
    code = case.end(case.farm.start("term", step, float(case.rng.uniform(0.01, 0.1)) if seed else 0.0))
    assert code == 128 + signal.SIGTERM
    assert case.finish() == []


@pytest.mark.parametrize("step", ["label", "md"])
def test_child_is_killed(case, step):
    case.farm.once.unlink()
    assert case.end(case.farm.start("kill_child")) == 0
    assert case.farm.once.exists() == (step == "md")
    case.farm.once.touch()
    case.finish()


@pytest.mark.parametrize("step", STEPS)
def test_database_is_killed(case, step):
    worker = case.farm.start("kill_database", step, case.farm.facts.pid)
    case.serve_again()
    case.end(worker)
    assert case.finish() == []


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("step", ["bootstrap", "md", "candidates"])
def test_database_is_killed_in_a_write(case, step, seed):
    """The last write is that which unlocks the workflow."""
    number = case.farm.writes[step] if seed else int(case.rng.integers(2, case.farm.writes[step]))
    worker = case.farm.start("kill_database_in_write", number, case.farm.facts.pid)
    case.serve_again()
    worker.join(3)
    if worker.is_alive():
        # it waits for a lock that is its own: cron frees it
        list(recover(case.farm.pad, heartbeat_s=math.inf, taking_s=0.0, timeout_s=PATIENCE_S))
    code = case.end(worker)
    assert case.finish() == []
    case.said = f"resumed (write {number} of {case.farm.writes[step]}, worker ended with {code})"


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("step", ["md", "candidates"])
def test_recovery_is_killed_too(case, step, seed):
    """First a worker dies while it updates its workflow, then the one who repairs that."""
    n = case.farm.writes[step]
    assert case.end(case.farm.start("kill_in_write", int(case.rng.integers(n - 5, n)), "after")) == -signal.SIGKILL
    number = int(case.rng.integers(2, 8))
    code = case.end(farm_worker.start_recovery(case.farm.facts.launchpad_file, ("kill_in_write", number, "after")))
    assert code in (-signal.SIGKILL, 0)
    # ten minutes later
    case.farm.pad.db["mlip_fw_locks"].update_many({}, {"$set": {"until": 0.0}})
    assert case.finish() == []
    case.said = f"resumed (recovery killed in write {number})" if code else "resumed (recovery was faster)"


@pytest.mark.parametrize("step", STEPS)
def test_same_firework_runs_twice(case, step, tmp_path):
    """It is marked as lost while it runs, and run again by another worker."""
    first = case.farm.start("pause", step, str(tmp_path))
    deadline = time.monotonic() + LIMIT_S
    while not (tmp_path / "began").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    fw_id = case.farm.pad.fireworks.find_one({"state": "RUNNING"})["fw_id"]
    case.farm.pad.detect_lostruns(0, rerun=True)
    assert case.farm.pad.fireworks.find_one({"fw_id": fw_id})["state"] == "READY"
    second = case.farm.start("none")
    time.sleep(case.rng.uniform(0.0, 0.5))
    (tmp_path / "go").touch()
    assert (case.end(first), case.end(second)) == (0, 0)
    assert case.finish() == []


NEWEST = {
    "label": "labels/*.extxyz",
    "train": "labels/*.extxyz",
    "md": "potentials/gen_*/potential.yaml",
    "candidates": "walkers/00/cycle_*/halt.extxyz",
    "summary": "walkers/00/cycle_*/result.json",
}


@pytest.mark.parametrize("step", NEWEST)
def test_newest_file_is_cut(case, step):
    newest = max(case.farm.root.glob(NEWEST[step]), key=lambda path: path.stat().st_mtime_ns)
    whole = newest.read_bytes()
    newest.write_bytes(whole[: int(len(whole) * case.rng.uniform(0.1, 0.9))])
    case.end(case.farm.start("none"))
    newest.write_bytes(whole)
    for finding in case.finish():
        assert finding.what


@pytest.mark.parametrize("step", STEPS)
def test_disk_is_full(case, disk, step):
    require("tmpfs", disk[1])
    filler = case.farm.root.parent / "filler"
    with pytest.raises(OSError) as caught, filler.open("wb", buffering=0) as handle:
        while True:
            handle.write(b"\0" * 65536) or handle.write(b"\0")
    assert caught.value.errno == errno.ENOSPC
    case.end(case.farm.start("none"))
    filler.unlink()
    for finding in case.finish():
        assert "No space left" in finding.what, finding


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("step", STEPS)
def test_worker_is_killed_in_a_write(case, step, seed):
    """The third time after the Fireworks were written and before their workflow was."""
    number, moment = case.farm.writes[step] - 2, "after"
    if seed < 2:
        number = int(case.rng.integers(1, case.farm.writes[step] + 1))
        moment = ("before", "after")[int(case.rng.integers(2))]
    assert case.end(case.farm.start("kill_in_write", number, moment)) == -signal.SIGKILL
    assert case.finish() == []
    case.said = f"resumed (write {number} of {case.farm.writes[step]}, {moment})"
