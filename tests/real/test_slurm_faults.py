"""What happens to jobs on a cluster, on a real Slurm: after ``mlip-fw recover`` the campaign ends all the same."""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import SMALL, merged
from tests.faults.test_kill import SLOW_ORACLE
from tests.real.slurm_farm import SAME, SlurmFarm
from tests.real.test_campaigns import mlip_fw, write

pytestmark = pytest.mark.real
CAMPAIGN = merged(
    SMALL,
    {
        "md": {"stages": [{"ensemble": "nvt", "temperature_k": [300, 1200], "n_steps": 200}]},
        "bootstrap": {"n_structures": 1},
        "oracle": {"calculator": "slow_emt:Slow"},
    },
)
HELD_LAMMPS = """\
case "$PWD $*" in */canary/* | *" -h") ;; *) while [ -e "$MD_HOLD" ]; do sleep 0.1; done ;; esac
exec {lmp} --halt-at 100 "$@"
"""
LOST, TOLD = (pytest.mark.xdist_group(f"slurm, what is {what}") for what in ("lost", "told"))
"""Halves that run side by side."""


@pytest.fixture(scope="module")
def tools(tmp_path_factory, lent_lmp):
    """Return a folder with a LAMMPS and an oracle that can be held at their work."""
    folder = tmp_path_factory.mktemp("tools")
    (folder / "slow_emt.py").write_text(SLOW_ORACLE.replace("0.3", "0"))
    (folder / "lmp.sh").write_text(HELD_LAMMPS.format(lmp=lent_lmp))
    return folder


def hold(tools, kind):
    """Return the file that keeps work of some kind from going on as long as it is there."""
    return tools / f"hold-{kind}"


def environment(tools):
    """Return the environment in which MD and labels can be held."""
    (tools / "labels.log").write_text("")
    holds = {f"{kind.upper()}_HOLD": str(hold(tools, kind)) for kind in ("md", "label")}
    return {"PYTHONPATH": str(tools), "LABEL_LOG": str(tools / "labels.log"), **holds}


@pytest.fixture(scope="module")
def plain(tools):
    """Return what the same campaign comes to without Slurm and without faults: names of its labels, and summary."""
    worker = {"name": "w", "category": "", "query": "{}", "env": {"lmp_cmd": f"sh {tools}/lmp.sh"}}
    write(worker, tools / "w.yaml")
    arguments = ("run", write(CAMPAIGN, tools / "c.yaml"), "--json", "--dir", "c", "-w", "w.yaml")
    done = mlip_fw(*arguments, folder=tools, **environment(tools))
    return {path.stem for path in (tools / "c" / "labels").iterdir()}, json.loads(done.stdout)


@pytest.fixture
def make_farm(slurm, tools, plain, tmp_path):
    """Return a function that puts the campaign on a LaunchPad, with changes of the queue adapters."""
    made = []

    def make(*changes):
        farm = SlurmFarm(slurm, tmp_path, CAMPAIGN, {"lmp_cmd": f"sh {tools}/lmp.sh"}, changes)
        farm.environment |= environment(tools)
        farm.add()
        made.append(farm)
        return farm

    yield make
    release(tools)
    for farm in made:
        farm.close()


def ends_as_without_faults(farm, plain, tools, interrupted_labels=0):
    """Recover, go on, and compare dataset, labels computed, and result with those of a run without faults."""
    release(tools)
    with farm.launching():
        summary = farm.recover_to_the_end()
    names, expected = plain
    assert {key: summary[key] for key in SAME} == {key: expected[key] for key in SAME}
    assert farm.labels() == names
    labelled = Counter(event["label"] for event in farm.directory.events() if event["event"] == "labelled")
    assert labelled == Counter(names)
    begun = (tools / "labels.log").read_text().count("label")
    assert len(names) <= begun <= len(names) + interrupted_labels
    assert set(farm.states().values()) == {"COMPLETED"}


def release(tools):
    """Let go on what is held."""
    for held in tools.glob("hold-*"):
        held.unlink()


NAMES = {"md": "md w00", "label": "label", "train": "train w00"}


def until_running(farm, tools, kind):
    """Launch until a Firework of some kind is at work, where it is held, stop launching, and return its job."""
    with farm.launching():
        farm.wait_for_event("trained")
        return at_work(farm, tools, kind)


def until_running_again(farm, tools, kind):
    """Recover from a fault of the first MD, and do the same with a Firework that comes behind that."""
    release(tools)
    hold(tools, kind).touch()
    with farm.launching():
        farm.recover_until("the halt", lambda: "halted" in farm.events())
        return at_work(farm, tools, kind)


def at_work(farm, tools, kind):
    """Hold what is of some kind, and return the job that it is in."""
    hold(tools, kind).touch()
    name = NAMES[kind]
    job = farm.job_of(name)
    farm.wait(f"{name} at work", lambda: any(n.startswith(name) for n, s in farm.states().items() if s == "RUNNING"))
    return job


def over(farm, job):
    """Wait until a job is gone."""
    farm.wait(f"the end of job {job}", lambda: job not in farm.slurm.jobs())


@LOST
def test_cancelled_jobs(make_farm, plain, tools):
    """First that of the MD, then that of a label."""
    farm = make_farm()
    job = until_running(farm, tools, "md")
    assert "Requeue=0" in farm.slurm.command("scontrol", "show", "job", str(job))
    farm.slurm.command("scancel", str(job))
    over(farm, job)
    job = until_running_again(farm, tools, "label")
    farm.slurm.command("scancel", str(job))
    over(farm, job)
    ends_as_without_faults(farm, plain, tools, interrupted_labels=1)


@LOST
def test_job_cancelled_while_it_waits(make_farm, plain, tools):
    farm = make_farm()
    with farm.launching():
        farm.wait_for_event("trained")
        farm.slurm.command("scontrol", "update", "PartitionName=md", "State=DOWN")
        farm.wait("a reservation", lambda: "RESERVED" in farm.states().values() and farm.slurm.jobs("PD"))
    farm.slurm.command("scancel", "--state=PENDING", "--user", "root")
    farm.slurm.command("scontrol", "update", "PartitionName=md", "State=UP")
    farm.wait("an empty queue", lambda: not farm.slurm.jobs())
    assert "RESERVED" in farm.states().values()
    ends_as_without_faults(farm, plain, tools)


@TOLD
def test_job_over_its_walltime(make_farm, plain, tools):
    """A worker that doesn't know of the limit, and whose job is ended by Slurm without a warning."""
    farm = make_farm(("signal: .*", "signal: null"), ("  export MLIP_FW_JOB_END=.*\n", ""))
    job = until_running(farm, tools, "md")
    farm.slurm.command("scontrol", "update", f"JobId={job}", "EndTime=now")
    over(farm, job)
    assert "TIMEOUT" in farm.slurm.command("scontrol", "show", "job", str(job))
    ends_as_without_faults(farm, plain, tools)


@TOLD
def test_worker_that_is_warned_puts_its_firework_back(make_farm, plain, tools):
    """Slurm's signal before the end goes to the job script, whose place the worker has taken."""
    farm = make_farm()
    job = until_running(farm, tools, "md")
    farm.slurm.command("scancel", "--batch", "--signal=TERM", str(job))
    over(farm, job)
    assert farm.states()["md w00 s0 c0000"] == "READY"
    ends_as_without_faults(farm, plain, tools)


@TOLD
def test_job_that_is_requeued(make_farm, plain, tools):
    farm = make_farm(("#SBATCH --no-requeue", "#SBATCH --requeue"))
    job = until_running(farm, tools, "md")
    farm.slurm.command("scontrol", "requeue", str(job))
    over(farm, job)
    ends_as_without_faults(farm, plain, tools)


@LOST
def test_killed_workers(make_farm, plain, tools):
    """First that of the MD, then that of a training."""
    farm = make_farm()
    job = until_running(farm, tools, "md")
    kill_workers(job)
    over(farm, job)
    job = until_running_again(farm, tools, "train")
    kill_workers(job)
    over(farm, job)
    ends_as_without_faults(farm, plain, tools)


def kill_workers(job):
    for pid in workers_of(job):
        os.kill(pid, signal.SIGKILL)


def workers_of(job):
    """Return the processes of a job that are a worker, and not its children."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if f"SLURM_JOB_ID={job}".encode() in variables and b"singleshot" in command:
            found.append(int(pid))
    return found


@TOLD
def test_killed_database(make_farm, plain, tools):
    """First under the MD, then under a label."""
    farm = make_farm()
    kill_database_under(farm, tools, until_running(farm, tools, "md"))
    kill_database_under(farm, tools, until_running_again(farm, tools, "label"))
    ends_as_without_faults(farm, plain, tools, interrupted_labels=1)


def kill_database_under(farm, tools, job):
    """Kill the LaunchPad server, start it again, and wait until a job that ran meanwhile has ended."""
    farm.kill_database()
    time.sleep(1)
    farm.start_database()
    release(tools)
    over(farm, job)


@LOST
def test_database_that_stays_away_until_the_job_has_ended(make_farm, plain, tools):
    farm = make_farm()
    job = until_running(farm, tools, "md")
    farm.kill_database()
    release(tools)
    over(farm, job)
    farm.start_database()
    ends_as_without_faults(farm, plain, tools)
