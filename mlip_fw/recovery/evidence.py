"""Is anybody still at work? What processes, the queue and FireWorks' heartbeat say."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path
from typing import Any

from mlip_fw.attendance import Attendant, attendant, is_alive, queues
from mlip_fw.recovery.slurm import Slurm, sees_jobs_of

logger = logging.getLogger("mlip_fw")
TAKING_S, SUBMITTING_S = 60.0, 600.0
_CLOCK_S = 2.0
_SOMEBODY_ELSE = -1


class Evidence:
    """What is known of the workers, looked up once.

    Parameters
    ----------
    heartbeat_s
        A run that nobody else can tell of is lost when it was last heard of so long ago, s.
    dead_workers
        Names of workers that are known to be gone.
    taking_s, submitting_s
        Longest time between taking a Firework and its launch, and between its reservation and its job, s.
    """

    def __init__(
        self,
        heartbeat_s: float,
        dead_workers: frozenset[str] = frozenset(),
        *,
        taking_s: float = TAKING_S,
        submitting_s: float = SUBMITTING_S,
    ) -> None:
        self.heartbeat_s = heartbeat_s
        self.dead_workers = dead_workers
        self.taking_s, self.submitting_s = taking_s, submitting_s
        self.slurm = Slurm()
        self._said: set[str] = set()

    def leaves_alone(self, directory: str | None) -> bool:
        """Return whether a campaign is another user's, of whose processes and jobs little can be seen; say so."""
        owner = _owner(directory)
        if directory is None or owner is None:
            return False
        if not sees_jobs_of(owner):
            self._say(f"{directory} belongs to another user: who recovers its Fireworks must be that user")
            return True
        if not self.slurm.is_here() and any(name.startswith("slurm") for name in queues(Path(directory))):
            self._say(
                "there is no squeue on the PATH: lost runs are known by their silence only, cancelled jobs not at all"
            )
        return False

    def lost_reservation(self, launch: dict[str, Any], directory: str | None) -> Any:
        """Return the number of the job that a launch was reserved for if the job is gone, else None.

        A number alone does not say of which cluster it is, so no other may ever have worked on the campaign.
        """
        job, owner = reservation_of(launch), _owner(directory)
        if directory is None or owner is None or not sees_jobs_of(owner):
            return None
        is_of_this_slurm = queues(Path(directory)) <= {self.slurm.name}
        return job if is_of_this_slurm and self.slurm.has_lost(job) else None

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
        is_new = note is not None and note.since >= moment(running["created_on"]).timestamp() - _CLOCK_S
        if note is not None and is_new:
            alive = is_alive(note)
            if alive is not None:
                return None if alive else f"its process {note.pid} on {note.host} is gone"
            if self._knows(note):
                return f"its Slurm job {note.job} is gone" if self.slurm.has_lost(note.job) else None
        if not (note and is_new and note.queue) and (job := self.lost_reservation(launch, directory)):
            return f"its Slurm job {job} is gone"
        silent = age_s(running.get("updated_on") or running["created_on"])
        return f"nothing was heard of it for {silent:.0f} s" if silent > self.heartbeat_s else None

    def _say(self, what: str) -> None:
        """Warn once."""
        if what not in self._said:
            self._said.add(what)
            logger.warning(what)

    def _knows(self, note: Attendant) -> bool:
        """Return whether this machine's Slurm would show the job of a process."""
        is_ours = note.queue == "slurm" and note.cluster is not None and note.cluster == self.slurm.name
        return is_ours and self.slurm.jobs is not None and sees_jobs_of(note.uid)


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


def _owner(directory: str | None) -> int | None:
    """Return the user whose a directory is, or None if there is none here."""
    try:
        return None if directory is None else Path(directory).stat().st_uid
    except PermissionError:
        return _SOMEBODY_ELSE
    except OSError:
        return None


def _run_of(launch: dict[str, Any]) -> dict[str, Any]:
    history: list[dict[str, Any]] = launch["state_history"]
    # one that was ended before it ran has no such state
    return next((state for state in reversed(history) if state["state"] == "RUNNING"), history[-1])
