"""A whole campaign on machines that share no file: the end is that of one machine."""

import json
import logging
import os
import shutil
from pathlib import Path

import ase.io
import pytest
from fireworks import FWorker, LaunchPad
from typer.testing import CliRunner

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.summary import summarize
from mlip_fw.cli.main import app
from mlip_fw.engines.oracle.answer import OutOfTime
from mlip_fw.engines.structures.start import start_structures
from mlip_fw.errors import MlipError, WorkerError
from mlip_fw.io.campaign_file import write_campaign
from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.launcher.retry import retry_handoffs, retry_workflow, with_stored_paths
from mlip_fw.launcher.rockets import launch_one, raise_if_fizzled, silence_libraries
from mlip_fw.launcher.runner import run_campaign
from mlip_fw.launchpad.filepad.campaign_files import publish_campaign
from mlip_fw.launchpad.filepad.file_store import FileStore
from mlip_fw.launchpad.filepad.published_files import filepad_key
from mlip_fw.launchpad.filepad.pull import path_map_of, pull_campaign
from mlip_fw.launchpad.server.control import start_server, stop_server
from mlip_fw.steps import label as step_label
from mlip_fw.workflows import loop
from mlip_fw.workflows.campaign import campaign_workflow
from tests.helpers import farm_worker

LIMIT_S = 300
STAGES = [
    {"ensemble": "nvt", "temperature_k": [300, 600], "n_steps": 40},
    {"ensemble": "nve", "n_steps": 20},
]
CHANGES = {"campaign": "far", "md": {"stages": STAGES}}


class Farm:
    """A LaunchPad, a folder that only the one who adds campaigns sees, and two machines that see nothing else."""

    def __init__(self, base, lmp_cmd):
        self.base, self.submit, self.lmp_cmd = base, base / "submit", lmp_cmd
        self.submit.mkdir()
        self.facts = start_server(base / "database", with_this_process=True)
        self.pad = LaunchPad.from_file(str(self.facts.launchpad_file))
        self.pad.m_logger.setLevel("CRITICAL")
        for name in "ab":
            (base / name).mkdir()
            env = {"lmp_cmd": lmp_cmd, "campaigns_dir": str(base / name / "campaigns")}
            FWorker(name=f"machine {name}", env=env).to_file(str(base / f"{name}.yaml"))

    def typed(self, *words):
        """Return what a command says, typed in the folder of the one who adds campaigns."""
        here = Path.cwd()
        os.chdir(self.submit)
        try:
            done = CliRunner().invoke(app, [*map(str, words)])
        finally:
            os.chdir(here)
            logging.getLogger("mlip_fw").handlers, logging.getLogger("mlip_fw").propagate = [], True
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    def work(self):
        """Let the machines run Fireworks in turn, while the folder of the one who added them is out of their sight."""
        hidden = self.submit.rename(self.base / "hidden")
        turn = 0
        while self.pad.run_exists():
            name = "ab"[turn % 2]
            process = farm_worker.start(self.facts.launchpad_file, self.base / f"{name}.yaml", self.base / name)
            process.join(LIMIT_S)
            assert process.exitcode == 0
            turn += 1
        hidden.rename(self.submit)
        return {state for firework in self.pad.fireworks.find() for state in [firework["state"]]}


@pytest.fixture(scope="module")
def farm(tmp_path_factory):
    base = tmp_path_factory.mktemp("filepad")
    lmp_cmd, lmp_server = farm_worker.lend_lmp(base)
    farm = Farm(base, f"{lmp_cmd} --halt-at 20")
    yield farm
    stop_server(base / "database")
    lmp_server.kill()


@pytest.fixture(scope="module")
def campaign(small_campaign, farm):
    """Return a campaign that names a file."""
    [start] = start_structures(small_campaign())
    ase.io.write(farm.submit / "start.extxyz", start)
    return small_campaign(**CHANGES, structure={"file": str(farm.submit / "start.extxyz"), "bulk": None})


@pytest.fixture(scope="module")
def pulled(farm, campaign):
    """Return the directory of a campaign that has run and was pulled, and what was said on the way."""
    file = farm.submit / "campaign.yaml"
    write_campaign(file, campaign.model_copy(update={"files": "filepad"}))
    said = {"add": farm.typed("add", file, "-l", farm.facts.launchpad_file)}
    with pytest.raises(Exception, match=r"files of far are on the LaunchPad .*; fetch them with `mlip-fw pull`"):
        farm.typed("status", "far")
    assert farm.work() == {"COMPLETED"}
    said["pull"] = farm.typed("pull", "-l", farm.facts.launchpad_file, "--json")
    said["status"] = farm.typed("status", "far")
    return CampaignDirectory(farm.submit / "far"), said


@pytest.fixture(scope="module")
def shared(farm, campaign, tmp_path_factory):
    """Return the directory of the same campaign, run with a shared one."""
    root = tmp_path_factory.mktemp("shared") / "far"
    here = Path.cwd()
    os.chdir(farm.submit)
    run_campaign(campaign, CampaignDirectory(root), FWorker(env={"lmp_cmd": farm.lmp_cmd}))
    os.chdir(here)
    return CampaignDirectory(root)


def without_times(path):
    """Return a record without what a clock says, and without where it lies."""
    found = json.loads(path.read_text())
    return {key: value for key, value in found.items() if key not in ("seconds", "start", "restart", "frame")}


class TestWholeCampaign:
    def test_end_is_that_of_a_shared_directory(self, pulled, shared):
        here, there = summarize(pulled[0]), summarize(shared)
        assert here.outcome == "CONVERGED"
        ours, theirs = (summary.model_dump(exclude={"seconds", "potential", "active_set"}) for summary in (here, there))
        assert ours == theirs
        assert Dataset(pulled[0].root).hashes() == Dataset(shared.root).hashes()
        assert Generations(pulled[0].root).numbers() == Generations(shared.root).numbers() == [0, 1]
        for number in (0, 1):
            for name in ("potential.yaml", "potential.asi", "potential.yace"):
                paths = [Generations(directory.root).folder(number) / name for directory in (pulled[0], shared)]
                assert paths[0].read_bytes() == paths[1].read_bytes(), name
        for path in shared.root.glob("walkers/*/*/[a-z]*.json"):
            assert without_times(path) == without_times(pulled[0].root / path.relative_to(shared.root)), path

    def test_both_machines_did_part_of_it(self, farm, pulled):
        by = [launch["fworker"]["name"] for launch in farm.pad.launches.find()]
        assert min(by.count("machine a"), by.count("machine b")) >= 3
        labels = {path.name for path in farm.base.glob("*/campaigns/*/labels/*.extxyz")}
        assert labels == {f"{name}.extxyz" for name in Dataset(pulled[0].root).hashes()}

    def test_what_is_pulled_is_a_campaign_directory(self, pulled):
        directory, said = pulled
        kinds = [event["event"] for event in directory.events()]
        assert kinds.count("labelled") == len(Dataset(directory.root).hashes())
        assert kinds[-1] == "finished"
        assert {"md_started", "halted", "selected", "trained"} <= set(kinds)
        results = [json.loads(path.read_text()) for path in sorted(directory.root.glob("walkers/*/*/result.json"))]
        assert [Path(result["restart"]).is_file() for result in results] == [True, True, True]
        assert all(Path(result["restart"]).is_relative_to(directory.root) for result in results)
        summary = json.loads((directory.root / "summary.json").read_text())
        assert Path(summary["potential"]).is_file()
        assert json.loads(said["pull"])["files"] > 20
        assert "as of the last mlip-fw pull" in said["status"]
        assert not list(directory.root.rglob(".draft-*")) + list(directory.root.rglob(".writing-*"))

    def test_specs_hold_paths_of_the_machine_that_added_it_only(self, farm, pulled):
        text = str(list(farm.pad.fireworks.find()))
        assert str(farm.submit / "far") in text
        assert "/campaigns/far-" not in text
        assert "_launch_dir" not in text

    def test_pulling_again_brings_nothing(self, farm, pulled):
        assert json.loads(farm.typed("pull", "far", "-l", farm.facts.launchpad_file, "--json"))["files"] == 0

    def test_pulled_elsewhere(self, farm, pulled):
        farm.typed("pull", "far", "--dir", "elsewhere", "-l", farm.facts.launchpad_file)
        elsewhere = CampaignDirectory(farm.submit / "elsewhere")
        assert elsewhere.read_campaign().structure.file == str(elsewhere.root / "inputs/structure.file/start.extxyz")
        assert summarize(elsewhere).labels == summarize(pulled[0]).labels

    def test_files_are_removed_at_the_end_only(self, farm, pulled):
        farm.pad.workflows.update_one({}, {"$set": {"state": "RUNNING"}})
        with pytest.raises(Exception, match="not all COMPLETED"):
            farm.typed("pull", "far", "--remove", "-l", farm.facts.launchpad_file)
        farm.pad.workflows.update_one({}, {"$set": {"state": "COMPLETED"}})

    def test_added_again_it_finds_all_that_was_done(self, farm, pulled, campaign):
        """Another machine than before: nothing is computed again."""
        shutil.rmtree(farm.base / "a" / "campaigns")
        shutil.rmtree(farm.base / "b" / "campaigns")
        farm.typed("add", farm.submit / "campaign.yaml", "-l", farm.facts.launchpad_file)
        before = pulled[0].events()
        assert farm.work() == {"COMPLETED"}
        farm.typed("pull", "far", "-l", farm.facts.launchpad_file)
        after = [event["event"] for event in pulled[0].events()[len(before) :]]
        assert set(after) == {"finished"}

    def test_removed(self, farm, pulled):
        farm.typed("pull", "far", "--remove", "-l", farm.facts.launchpad_file)
        assert [farm.pad.db[name].count_documents({}) for name in ("filepad", "filepad_gfs.chunks")] == [0, 0]
        assert summarize(pulled[0]).outcome == "CONVERGED"

    def test_added_with_what_its_directory_holds(self, farm, pulled):
        """Nothing is on the LaunchPad, nor on the machines: what was pulled goes there again."""
        shutil.rmtree(farm.base / "a" / "campaigns")
        before = pulled[0].events()
        farm.typed("add", farm.submit / "campaign.yaml", "-l", farm.facts.launchpad_file)
        assert farm.work() == {"COMPLETED"}
        farm.typed("pull", "far", "-l", farm.facts.launchpad_file)
        assert {event["event"] for event in pulled[0].events()[len(before) :]} == {"finished"}

    def test_goes_on_with_a_shared_directory(self, farm, pulled, campaign):
        here, before = Path.cwd(), pulled[0].events()
        summary = run_campaign(campaign, pulled[0], FWorker(env={"lmp_cmd": farm.lmp_cmd}))
        os.chdir(here)
        assert summary.outcome == "CONVERGED"
        assert {event["event"] for event in pulled[0].events()[len(before) :]} == {"run_started", "finished"}


class Machines:
    """Machines of this process, on a LaunchPad in memory."""

    def __init__(self, base, lmp_cmd):
        self.pad, self.base, self.lmp_cmd = embedded_launchpad(), base, lmp_cmd

    def add(self, campaign):
        publish_campaign(campaign, "/there/far", self.pad)
        self.pad.add_wf(campaign_workflow(campaign, Path("/there/far")))

    def work(self, *names):
        """Let machines run Fireworks in turn until there is none that they may run."""
        env = {"lmp_cmd": self.lmp_cmd}
        machines = [FWorker(name=name, env={**env, "campaigns_dir": str(self.base / name)}) for name in names]
        here = Path.cwd()
        os.chdir(self.base)
        with silence_libraries():
            while sum(launch_one(self.pad, machine) for machine in machines):
                raise_if_fizzled(self.pad)
        os.chdir(here)

    def pull(self):
        return CampaignDirectory(pull_campaign(self.pad, None, self.base / "pulled").root)


@pytest.fixture
def machines(farm, tmp_path):
    return Machines(tmp_path, farm.lmp_cmd)


def test_failed_labels_are_made_again_on_another_machine(small, machines):
    tight = {"kind": "ase", "calculator": "emt", "max_force_ev_a": 1e-9}
    machines.add(small(files="filepad", oracle=tight, **CHANGES))
    machines.work("a")
    directory = machines.pull()
    assert summarize(directory).reason == "label_failures"
    repaired = small(files="filepad", **CHANGES)
    directory.claim(repaired)
    handoffs = with_stored_paths(retry_handoffs(directory, []), path_map_of(machines.pad, directory))
    assert {handoff.directory for handoff in handoffs} == {"/there/far"}
    machines.pad.add_wf(retry_workflow(handoffs))
    machines.work("b")
    machines.add(repaired)
    machines.work("a", "c")
    summary = summarize(machines.pull())
    assert (summary.outcome, summary.labels_failed, summary.halts) == ("CONVERGED", 0, 1)


def test_label_cut_by_the_walltime_goes_on_where_its_files_are(small, machines, monkeypatch):
    real, turns = step_label.make_label, []

    def make_label(*arguments):
        turns.append(arguments[4])
        return (
            OutOfTime(1.0)
            if len([folder for folder in turns if folder.name == turns[-1].name]) < 2
            else real(*arguments)
        )

    monkeypatch.setattr(step_label, "make_label", make_label)
    machines.add(small(files="filepad", **CHANGES))
    machines.work("a", "b")
    assert summarize(machines.pull()).outcome == "CONVERGED"
    assert len({folder.name for folder in turns}) == len(set(turns)) == len(turns) / 2
    continued = machines.pad.fireworks.find({"name": {"$regex": " t1$"}}, {"spec._fworker": 1})
    assert {firework["spec"]["_fworker"] for firework in continued} == {"a", "b"}


def test_labels_of_a_batch_are_published_one_by_one(small, machines, monkeypatch):
    """A worker that fails in the middle loses none that are done."""
    real, calls = step_label.make_label, []

    def make_label(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise WorkerError("no more")
        return real(*arguments)

    monkeypatch.setattr(loop, "_WIDEST_FAN", 1)
    monkeypatch.setattr(step_label, "make_label", make_label)
    machines.add(small(files="filepad", **CHANGES))
    with pytest.raises(MlipError, match="no more"):
        machines.work("a")
    store = FileStore(machines.pad.db, filepad_key("far", "/there/far"))
    assert len(store.names_below("labels/")) == 1


def test_run_needs_no_filepad(small, farm, tmp_path, caplog):
    fworker = FWorker(env={"lmp_cmd": farm.lmp_cmd})
    summary = run_campaign(small(files="filepad", **CHANGES), CampaignDirectory(tmp_path / "c"), fworker)
    assert summary.outcome == "CONVERGED"
    assert "files: filepad is for several machines" in caplog.text
    assert CampaignDirectory(tmp_path / "c").read_campaign().files == "shared"


def test_workflow_file_can_not_take_files_along(farm, campaign):
    write_campaign(farm.submit / "named.yaml", campaign.model_copy(update={"files": "filepad"}))
    with pytest.raises(Exception, match=r"can't carry structure.file .* use `mlip-fw add`"):
        farm.typed("workflow", "named.yaml", "-o", "wf.yaml")


def test_pseudopotentials_are_each_machines_own(small):
    oracle = {"kind": "espresso", "functional": "PBE", "ecutwfc_ry": 20, "pseudo_dir": "/x"}
    with pytest.raises(Exception, match="env.pseudo_dir in each worker's file"):
        small(files="filepad", oracle=oracle)
