"""Whether the worker of a Firework is alive, by worker records, Slurm and FireWorks' heartbeat."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path
from typing import Any

from mlip_fw.launchpad.recovery.slurm import Slurm, sees_jobs_of
from mlip_fw.runtime.worker_record import WorkerRecord, is_alive, read_worker_record, recorded_queues

logger = logging.getLogger("mlip_fw")
CHECKOUT_TIMEOUT_S, SUBMIT_TIMEOUT_S = 60.0, 600.0
_CLOCK_TOLERANCE_S = 2.0
_SOMEBODY_ELSE = -1


class Evidence:
    """Answers whether workers are alive.

    Parameters
    ----------
    heartbeat_s
        Time without heartbeat after which a run counts as lost, if nothing else can tell, s.
    dead_workers
        Names of workers that are known to be dead.
    taking_s, submitting_s
        Longest time from the checkout of a Firework to its launch, and from its reservation to its job, s.
    """

    def __init__(
        self,
        heartbeat_s: float,
        dead_workers: frozenset[str] = frozenset(),
        *,
        taking_s: float = CHECKOUT_TIMEOUT_S,
        submitting_s: float = SUBMIT_TIMEOUT_S,
    ) -> None:
        self.heartbeat_s = heartbeat_s
        self.dead_workers = dead_workers
        self.taking_s, self.submitting_s = taking_s, submitting_s
        self.slurm = Slurm()
        self._warned: set[str] = set()

    def is_out_of_reach(self, directory: str | None) -> bool:
        """Return whether a campaign belongs to another user, whose processes and jobs can't be seen; warn about it."""
        owner = _owner(directory)
        if directory is None or owner is None:
            return False
        if not sees_jobs_of(owner):
            self._warn_once(f"{directory} belongs to another user: who recovers its Fireworks must be that user")
            return True
        if not self.slurm.is_here() and any(name.startswith("slurm") for name in recorded_queues(Path(directory))):
            self._warn_once(
                "there is no squeue on the PATH: lost runs are known by their silence only, cancelled jobs not at all"
            )
        return False

    def lost_reservation(self, launch: dict[str, Any], directory: str | None) -> Any:
        """Return the number of the job that a launch was reserved for, if that job is gone, else None.

        Job numbers don't name their cluster, so the answer is None if any other cluster has worked on the campaign.
        """
        job, owner = reservation_of(launch), _owner(directory)
        if directory is None or owner is None or not sees_jobs_of(owner):
            return None
        is_of_this_slurm = recorded_queues(Path(directory)) <= {self.slurm.name}
        return job if is_of_this_slurm and self.slurm.has_lost(job) else None

    def why_lost(self, launch: dict[str, Any], directory: str | None) -> str | None:
        """Return why a running launch is lost, or None if it may be alive.

        Parameters
        ----------
        launch
            Its document in the database.
        directory
            The campaign directory, if known.
        """
        if (worker := launch["fworker"]["name"]) in self.dead_workers:
            return f"its {worker} has died"
        running = _run_of(launch)
        record = read_worker_record(Path(directory), launch["fw_id"]) if directory else None
        is_new = (
            record is not None and record.since >= parse_time(running["created_on"]).timestamp() - _CLOCK_TOLERANCE_S
        )
        if record is not None and is_new:
            alive = is_alive(record)
            if alive is not None:
                return None if alive else f"its process {record.pid} on {record.host} is gone"
            if self._knows(record):
                return f"its Slurm job {record.job} is gone" if self.slurm.has_lost(record.job) else None
        if not (record and is_new and record.queue) and (job := self.lost_reservation(launch, directory)):
            return f"its Slurm job {job} is gone"
        silent = age_s(running.get("updated_on") or running["created_on"])
        return f"nothing was heard of it for {silent:.0f} s" if silent > self.heartbeat_s else None

    def _warn_once(self, what: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            logger.warning(what)

    def _knows(self, record: WorkerRecord) -> bool:
        """Return whether this machine's Slurm can tell about the job of a process."""
        is_ours = record.queue == "slurm" and record.cluster is not None and record.cluster == self.slurm.name
        return is_ours and self.slurm.jobs is not None and sees_jobs_of(record.uid)


def began(launch: dict[str, Any]) -> datetime.datetime:
    """Return the time when a launch began to run."""
    return parse_time(_run_of(launch)["created_on"])


def reservation_of(launch: dict[str, Any]) -> Any:
    """Return the number of the job that a launch was reserved for, or None."""
    return next((s["reservation_id"] for s in reversed(launch["state_history"]) if s.get("reservation_id")), None)


def age_s(value: Any) -> float:
    """Return the age of a time, s."""
    return (datetime.datetime.now(datetime.UTC) - parse_time(value)).total_seconds()


def parse_time(value: Any) -> datetime.datetime:
    """Return a time that FireWorks has stored, as text or as a date, in UTC."""
    found = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.replace(tzinfo=datetime.UTC) if found.tzinfo is None else found


def _owner(directory: str | None) -> int | None:
    """Return the number of the user who owns a directory, or None if it does not exist on this machine."""
    try:
        return None if directory is None else Path(directory).stat().st_uid
    except PermissionError:
        return _SOMEBODY_ELSE
    except OSError:
        return None


def _run_of(launch: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of the state history for the RUNNING state."""
    history: list[dict[str, Any]] = launch["state_history"]
    # a launch that was ended before it ran has none
    return next((state for state in reversed(history) if state["state"] == "RUNNING"), history[-1])
