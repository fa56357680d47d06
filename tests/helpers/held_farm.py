"""A campaign on a Slurm whose work is held where something is to happen to it: no time is fixed for it."""

import os
import signal
from collections import Counter
from pathlib import Path

from tests.helpers.campaigns import SLOW_ORACLE, SMALL, merged
from tests.helpers.slurm_farm import SAME

CAMPAIGN = merged(
    SMALL,
    {
        "md": {"stages": [{"ensemble": "nvt", "temperature_k": [300, 1200], "n_steps": 200}]},
        "bootstrap": {"n_structures": 1},
        "candidates": {"max_labels_per_halt": 2, "n_candidates": 4},
        "potential": {"functions_per_element": 10},
        "oracle": {"calculator": "slow_emt:Slow"},
    },
)
HELD_LAMMPS = """\
case "$PWD $*" in */canary/* | *" -h") ;; *) while [ -e "$MD_HOLD" ]; do sleep 0.1; done ;; esac
exec {lmp} --halt-at 100 "$@"
"""
NAMES = {"md": "md w00", "label": "label", "train": "train w00"}


def write_tools(folder, lmp):
    """Write a LAMMPS and an oracle that can be held at their work."""
    (folder / "slow_emt.py").write_text(SLOW_ORACLE.replace("0.3", "0"))
    (folder / "lmp.sh").write_text(HELD_LAMMPS.format(lmp=lmp))


def hold(tools, kind):
    """Return the file that keeps work of some kind from going on as long as it is there."""
    return tools / f"hold-{kind}"


def environment(tools):
    """Return the environment in which MD and labels can be held."""
    (tools / "labels.log").write_text("")
    holds = {f"{kind.upper()}_HOLD": str(hold(tools, kind)) for kind in ("md", "label")}
    return {"PYTHONPATH": str(tools), "LABEL_LOG": str(tools / "labels.log"), **holds}


def ends_as_without_faults(farm, faultless, tools, interrupted_labels=0):
    """Recover, go on, and compare dataset, labels computed, and result with those of a run without faults."""
    release(tools)
    with farm.launching():
        summary = farm.recover_to_the_end()
    names, expected = faultless
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


def kill_workers(farm, job):
    """Kill the workers of a job, at once, and return how many there were."""
    found = workers_of(farm, job)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return len(found)


def workers_of(farm, job):
    """Return the processes of a job that are a worker, and not its children, nor of another Slurm's job."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        is_worker = b"singleshot" in command and str(farm.project).encode() in command
        if is_worker and f"SLURM_JOB_ID={job}".encode() in variables:
            found.append(int(pid))
    return found
