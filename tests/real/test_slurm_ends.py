"""How a cluster ends jobs, and what its jobs do without a database, on a real Slurm; the campaign ends all the same."""

import time

import pytest

from tests.helpers.held_farm import ends_as_without_faults, over, release, until_running, until_running_again

pytestmark = pytest.mark.real


def test_job_over_its_walltime(make_farm, faultless, tools):
    """A worker that doesn't know of the limit, and whose job is ended by Slurm without a warning."""
    farm = make_farm(("signal: .*", "signal: null"), ("  export MLIP_FW_JOB_END=.*\n", ""))
    job = until_running(farm, tools, "md")
    farm.slurm.command("scontrol", "update", f"JobId={job}", "EndTime=now")
    over(farm, job)
    assert "TIMEOUT" in farm.slurm.command("scontrol", "show", "job", str(job))
    ends_as_without_faults(farm, faultless, tools)


def test_worker_that_is_warned_puts_its_firework_back(make_farm, faultless, tools):
    """Slurm's signal before the end goes to the job script, whose place the worker has taken."""
    farm = make_farm()
    job = until_running(farm, tools, "md")
    farm.slurm.command("scancel", "--batch", "--signal=TERM", str(job))
    over(farm, job)
    assert farm.states()["md w00 s0 c0000"] == "READY"
    ends_as_without_faults(farm, faultless, tools)


def test_job_that_is_requeued(make_farm, faultless, tools):
    farm = make_farm(("#SBATCH --no-requeue", "#SBATCH --requeue"))
    job = until_running(farm, tools, "md")
    farm.slurm.command("scontrol", "requeue", str(job))
    release(tools)
    over(farm, job)
    ends_as_without_faults(farm, faultless, tools)


def test_killed_database(make_farm, faultless, tools):
    """First under the MD, then under a label."""
    farm = make_farm()
    kill_database_under(farm, tools, until_running(farm, tools, "md"))
    kill_database_under(farm, tools, until_running_again(farm, tools, "label"))
    ends_as_without_faults(farm, faultless, tools, interrupted_labels=1)


def kill_database_under(farm, tools, job):
    """Kill the LaunchPad server, start it again, and wait until a job that ran meanwhile has ended."""
    farm.kill_database()
    time.sleep(1)
    farm.start_database()
    release(tools)
    over(farm, job)
