"""``mlip-fw run --workers N``: workers that are killed, told to stop, or fail."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from fireworks import Firework, ScriptTask, Workflow
from ruamel.yaml import YAML

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.launcher import worker_pool
from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.runtime.signals import InterruptedBySignal, signals_as_exceptions
from mlip_fw.runtime.worker_record import read_worker_record
from tests.helpers.campaigns import SMALL, merged

CAMPAIGN = merged(
    SMALL, {"md": {"walkers": 2, "stages": [{"ensemble": "nvt", "temperature_k": [300, 1200], "n_steps": 200}]}}
)
LAMMPS = """\
case "$PWD $*" in */canary/* | *" -h") ;; *) sleep 1.5 ;; esac
exec {lmp} --halt-at 100 "$@"
"""

DIES_ONCE = """\
import os, signal, sys
if "mlip_fw.cli.worker" in " ".join(sys.orig_argv):
    from fireworks import LaunchPad
    plain = LaunchPad.{place}

    def dying(self, *arguments, **options):
        if not os.path.exists("{once}"):
            open("{once}", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, *arguments, **options)

    LaunchPad.{place} = dying
"""
SEES_IT_SOON = """\
import sys
if "mlip_fw.cli.worker" in " ".join(sys.orig_argv):
    from pymongo import common
    common.SERVER_SELECTION_TIMEOUT = 5
"""
IMPATIENT = """\
import functools
import mlip_fw.launcher.worker_pool
from mlip_fw.launcher.recover import recover
from mlip_fw.cli.main import main
mlip_fw.launcher.worker_pool._RECOVERY_INTERVAL_S = 3.0
mlip_fw.launcher.worker_pool.recover = functools.partial(recover, taking_s=15.0)
main()
"""
"""``mlip-fw`` that gives up what a dead worker was just taking sooner than after a minute or more."""


@pytest.fixture
def lammps(lent_lmp):
    """Return the script of a LAMMPS that takes a while."""
    return LAMMPS.format(lmp=lent_lmp)


@pytest.fixture
def folder(tmp_path, lammps):
    """Return a folder with a campaign and a worker whose MD takes a while."""
    (tmp_path / "lmp.sh").write_text(lammps)
    worker = {"name": "w", "category": "", "query": "{}", "env": {"lmp_cmd": f"sh {tmp_path}/lmp.sh"}}
    YAML(typ="safe").dump(CAMPAIGN, tmp_path / "c.yaml")
    YAML(typ="safe").dump(worker, tmp_path / "w.yaml")
    return tmp_path


def start(folder, *options, program=("-m", "mlip_fw"), **environment):
    command = [sys.executable, *program, "run", "c.yaml", "--dir", "c", "-w", "w.yaml", "--json", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, **pipes)


def finish(process, code=0):
    out, err = process.communicate(timeout=200)
    assert process.returncode == code, err
    return json.loads(out) if code == 0 else err


def processes_of(folder):
    """Return the command lines of this campaign's processes that are still there."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


def worker_that_runs_md(directory, limit=200):
    """Return the process that runs an MD."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        for note in (directory.root / ".running").glob("[0-9]*.json"):
            worker = read_worker_record(directory.root, int(note.stem))
            if worker and "md-" in " ".join(p.name for p in note.parent.glob("md-*.lock")):
                return worker.pid
        time.sleep(0.02)
    raise AssertionError("no MD began")


def is_whole(folder, summary):
    """Check that nothing is lost, nothing doubled, and nothing left over."""
    directory = CampaignDirectory(folder / "c")
    assert (summary["outcome"], summary["halts"], summary["md_steps"]) == ("CONVERGED", 2, 400)
    labelled = Counter(event["label"] for event in directory.events() if event["event"] == "labelled")
    assert labelled == Counter(Dataset(directory.root).hashes())
    assert not (directory.root / ".launchpad").exists()
    assert not processes_of(folder)


def test_two_workers_share_the_work(folder):
    process = start(folder, "--workers", "2")
    is_whole(folder, finish(process))
    hosts = {event["walker"] for event in CampaignDirectory(folder / "c").events() if event["event"] == "md_started"}
    assert hosts == {0, 1}


def test_walkers_that_begin_together_hear_one_canary_after_the_other(folder, lammps):
    """It has one folder for all, so two at once would tear each other's files."""
    slow = 'case "$PWD" in */canary/*) echo begin >> {log}; sleep 2; echo end >> {log} ;; esac\n'
    log = folder / "canary.log"
    (folder / "lmp.sh").write_text(slow.format(log=log) + lammps)
    is_whole(folder, finish(start(folder, "--workers", "2")))
    assert log.read_text().split() == ["begin", "end"]


def test_a_killed_worker_is_replaced(folder):
    process = start(folder, "--workers", "2")
    os.kill(worker_that_runs_md(CampaignDirectory(folder / "c")), signal.SIGKILL)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "another takes its place" in err
    is_whole(folder, json.loads(out))


@pytest.mark.parametrize("place", ["complete_launch", "get_new_launch_id", "change_launch_dir"])
def test_a_worker_killed_where_it_leaves_no_note(folder, place, monkeypatch):
    """Between taking a Firework and its work, and between its work and what FireWorks writes of it."""
    monkeypatch.setenv("PYTHONPATH", str(folder))
    (folder / "sitecustomize.py").write_text(DIES_ONCE.format(place=place, once=folder / "died"))
    process = start(folder, "--workers", "2", program=("-c", IMPATIENT))
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert (folder / "died").exists()
    assert "another takes its place" in err
    is_whole(folder, json.loads(out))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_that_ends_takes_its_workers_with_it_and_goes_on(folder, how):
    """The database of a killed one goes with it, which pymongo believes after half a minute."""
    (folder / "sitecustomize.py").write_text(SEES_IT_SOON)
    process = start(folder, "--workers", "2", PYTHONPATH=str(folder))
    worker_that_runs_md(CampaignDirectory(folder / "c"))
    process.send_signal(how)
    err = finish(process, code=-signal.SIGKILL if how == signal.SIGKILL else 1)
    assert how == signal.SIGKILL or "interrupted. Run the same command to resume" in err
    deadline = time.monotonic() + 200
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_of(folder)
    is_whole(folder, finish(start(folder, "--workers", "2")))


def test_what_one_worker_began_two_finish(folder):
    process = start(folder)
    worker_that_runs_md(CampaignDirectory(folder / "c"))
    process.send_signal(signal.SIGTERM)
    finish(process, code=1)
    is_whole(folder, finish(start(folder, "--workers", "2")))


def test_a_failure_is_said_once_and_ends_all(folder, lammps):
    (folder / "lmp.sh").write_text(f'case "$PWD" in */walkers/*) exit 127;; esac\n{lammps}')
    err = finish(start(folder, "--workers", "2"), code=1)
    assert "has no pair style" in err
    assert "Traceback" not in err
    assert not processes_of(folder)
    (folder / "lmp.sh").write_text(lammps)
    is_whole(folder, finish(start(folder, "--workers", "2")))


def test_a_worker_that_ends_slowly_is_waited_for(monkeypatch):
    """The interrupt that ended the run comes again meanwhile."""
    slow = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit(0)))\n"
        "print(flush=True)\ntime.sleep(60)"
    )

    class SlowWorker(worker_pool._WorkerProcess):
        def start(self):
            self.process = subprocess.Popen([sys.executable, "-c", slow], stdout=subprocess.PIPE)
            self.process.stdout.readline()

    monkeypatch.setattr(worker_pool, "_WorkerProcess", SlowWorker)
    interrupted = signals_as_exceptions(lambda _: True, insist_s=0.1)
    with pytest.raises(InterruptedBySignal), interrupted, worker_pool._running_workers(1, []) as pool:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    assert pool[0].process.returncode == 0


@pytest.mark.parametrize(("state", "stays"), [("RUNNING", True), ("RESERVED", True), ("COMPLETED", False)])
def test_an_idle_worker_stays_while_another_one_works(state, stays):
    """What runs may add Fireworks when it ends, also if nothing waits for it."""
    pad = embedded_launchpad()
    pad.add_wf(Workflow([Firework([ScriptTask.from_str("true")])]))
    pad.fireworks.update_one({}, {"$set": {"state": state}})
    assert worker_pool.has_unfinished_fireworks(pad) is stays
