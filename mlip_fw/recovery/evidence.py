"""Is anybody still at work? What processes, the queue and FireWorks' heartbeat say."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

from mlip_fw.attendance import attendant, is_alive

_QUEUE_PATIENCE_S = 30
_CLOCK_S = 2.0


class Evidence:
    """What is known of the workers, looked up once.

    Parameters
    ----------
    heartbeat_s
        A run that nobody else can tell of is lost when it was last heard of so long ago, s.
    dead_workers
        Names of workers that are known to be gone.
    """

    def __init__(self, heartbeat_s: float, dead_workers: frozenset[str] = frozenset()) -> None:
        self.heartbeat_s = heartbeat_s
        self.dead_workers = dead_workers

    @cached_property
    def jobs(self) -> set[str] | None:
        """Numbers of the jobs that Slurm has, waiting or running; None if there is no Slurm that answers."""
        if shutil.which("squeue") is None:
            return None
        try:
            done = subprocess.run(
                ["squeue", "--noheader", "--all", "--format=%A"],
                check=False,
                capture_output=True,
                text=True,
                timeout=_QUEUE_PATIENCE_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return set(done.stdout.split()) if done.returncode == 0 else None

    def job_is_gone(self, job: Any) -> bool:
        """Return whether Slurm is there and has no such job."""
        return job is not None and self.jobs is not None and str(job) not in self.jobs

    def why_lost(self, launch: dict[str, Any], directory: str | None) -> str | None:
        """Return why a running launch is lost, or None if it is not known to be.

        Parameters
        ----------
        launch
            Its document.
        directory
            The campaign directory, if it is a campaign's.
        """
        if (worker := launch["fworker"]["name"]) in self.dead_workers:
            return f"its {worker} has died"
        running = _run_of(launch)
        note = attendant(Path(directory), launch["fw_id"]) if directory else None
        if note is not None and note.since >= moment(running["created_on"]).timestamp() - _CLOCK_S:
            alive = is_alive(note)
            if alive is not None:
                return None if alive else f"its process {note.pid} on {note.host} is gone"
            if note.queue == "slurm" and self.jobs is not None:
                return f"its Slurm job {note.job} is gone" if self.job_is_gone(note.job) else None
        if self.job_is_gone(job := reservation_of(launch)):
            return f"its Slurm job {job} is gone"
        silent = age_s(running.get("updated_on") or running["created_on"])
        return f"nothing was heard of it for {silent:.0f} s" if silent > self.heartbeat_s else None


def began(launch: dict[str, Any]) -> datetime.datetime:
    """Return when a launch began to run."""
    return moment(_run_of(launch)["created_on"])


def reservation_of(launch: dict[str, Any]) -> Any:
    """Return the number of the job that a launch was reserved for, or None."""
    return next((s["reservation_id"] for s in reversed(launch["state_history"]) if s.get("reservation_id")), None)


def age_s(value: Any) -> float:
    """Return how long ago a moment was, s."""
    return (datetime.datetime.now(datetime.UTC) - moment(value)).total_seconds()


def moment(value: Any) -> datetime.datetime:
    """Return a moment as FireWorks stores it, text or date, in UTC."""
    found = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.replace(tzinfo=datetime.UTC) if found.tzinfo is None else found


def _run_of(launch: dict[str, Any]) -> dict[str, Any]:
    history: list[dict[str, Any]] = launch["state_history"]
    # one that was ended before it ran has no such state
    return next((state for state in reversed(history) if state["state"] == "RUNNING"), history[-1])
