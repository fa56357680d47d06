"""What is lost on a cluster, on a real Slurm: after ``mlip-fw recover`` the campaign ends all the same."""

import pytest

from tests.helpers.held_farm import (
    ends_as_without_faults,
    kill_workers,
    over,
    release,
    until_running,
    until_running_again,
)

pytestmark = pytest.mark.real


def test_cancelled_jobs(make_farm, faultless, tools):
    """First that of the MD, then that of a label."""
    farm = make_farm()
    job = until_running(farm, tools, "md")
    assert "Requeue=0" in farm.slurm.command("scontrol", "show", "job", str(job))
    farm.slurm.command("scancel", str(job))
    over(farm, job)
    job = until_running_again(farm, tools, "label")
    farm.slurm.command("scancel", str(job))
    over(farm, job)
    ends_as_without_faults(farm, faultless, tools, interrupted_labels=1)


def test_job_cancelled_while_it_waits(make_farm, faultless, tools):
    farm = make_farm()
    with farm.launching():
        farm.wait_for_event("trained")
        farm.slurm.command("scontrol", "update", "PartitionName=md", "State=DOWN")
        farm.wait("a reservation", lambda: "RESERVED" in farm.states().values() and farm.slurm.jobs("PD"))
    farm.slurm.command("scancel", "--state=PENDING", "--user", "root")
    farm.slurm.command("scontrol", "update", "PartitionName=md", "State=UP")
    farm.wait("an empty queue", lambda: not farm.slurm.jobs())
    assert "RESERVED" in farm.states().values()
    ends_as_without_faults(farm, faultless, tools)


def test_killed_workers(make_farm, faultless, tools):
    """First that of the MD, then that of a training."""
    farm = make_farm()
    job = until_running(farm, tools, "md")
    assert kill_workers(farm, job)
    over(farm, job)
    job = until_running_again(farm, tools, "train")
    kill_workers(farm, job)
    over(farm, job)
    ends_as_without_faults(farm, faultless, tools)


def test_database_that_stays_away_until_the_job_has_ended(make_farm, faultless, tools):
    farm = make_farm()
    job = until_running(farm, tools, "md")
    farm.kill_database()
    release(tools)
    over(farm, job)
    farm.start_database()
    ends_as_without_faults(farm, faultless, tools)
