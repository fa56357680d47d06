"""Worker records: a file in the campaign directory says which process works on a Firework.

FireWorks knows only the time of a run's last heartbeat. With the record, ``mlip-fw recover`` and others know
at once and for certain that the process is gone.
"""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import suppress
from pathlib import Path

from mlip_fw.io.files import read_model, write_json
from mlip_fw.models.base import Frozen
from mlip_fw.processes import pid_namespace, start_ticks

FOLDER = ".running"
_JOB_VARIABLES = {"slurm": "SLURM_JOB_ID", "pbs": "PBS_JOBID", "sge": "JOB_ID"}
_CLUSTER_VARIABLE = "SLURM_CLUSTER_NAME"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_QUEUE = ".queue"
_notes: list[Path] = []
"""Records of this process. Module state, since a Firetask writes them and only the code around FireWorks' rocket, which
knows no Firetask, can clear them when the result is stored."""


class Attendant(Frozen):
    """A process that works on a Firework."""

    host: str
    boot: str
    pid: int
    started: int
    """Start time in clock ticks since boot, which distinguishes it from a later process with the same pid."""
    since: float
    queue: str | None = None
    job: str | None = None
    cluster: str | None = None
    """Name of its queue and cluster, from :func:`queue_name`."""
    uid: int | None = None
    namespace: str | None = None
    """PID namespace in which ``pid`` is valid; records of old versions have none."""


def attend(root: Path, fw_id: int | None) -> None:
    """Record that this process works on a Firework of the campaign in ``root``; clear its earlier record."""
    dismiss()
    if fw_id is not None:
        note, process = root / FOLDER / f"{fw_id}.json", this_process()
        write_json(note, process)
        _notes.append(note)
        if process.cluster is not None:
            (root / FOLDER / f"{process.cluster}{_QUEUE}").touch()


def dismiss() -> None:
    """Remove this process's record.

    To be called after FireWorks has stored the result of the Firework: if the process dies before that, the record is
    what tells.
    """
    while _notes:
        _notes.pop().unlink(missing_ok=True)


def attendant(root: Path, fw_id: int) -> Attendant | None:
    """Return the record of the process that works on a Firework, or did so until it died; None without one."""
    return read_model(root / FOLDER / f"{fw_id}.json", Attendant)


def queues(root: Path) -> set[str]:
    """Return the names of all queues whose jobs have worked on the campaign in ``root``."""
    return {path.stem for path in (root / FOLDER).glob(f"*{_QUEUE}")}


def queue_name(queue: str, cluster: str | None) -> str:
    """Return the name of a cluster's queue, ``slurm-<cluster>``: two clusters use the same job numbers."""
    return "-".join([queue, *re.findall(r"[\w-]+", (cluster or "").lower())])


def remove_notes_of_the_dead(root: Path, keep: set[int]) -> None:
    """Remove the records of dead processes of this host, except for those of the Fireworks ``keep``."""
    for note in (root / FOLDER).glob("[0-9]*.json"):
        # records of other users may be neither readable nor removable
        with suppress(OSError):
            process = read_model(note, Attendant)
            if process is not None and is_alive(process) is False and int(note.stem) not in keep:
                note.unlink()


def this_process() -> Attendant:
    """Return the record of this process."""
    queue = next((name for name, variable in _JOB_VARIABLES.items() if os.environ.get(variable)), None)
    return Attendant(
        host=socket.gethostname(),
        boot=_boot_id(),
        pid=os.getpid(),
        started=start_ticks(os.getpid()) or 0,
        since=time.time(),
        queue=queue,
        job=os.environ[_JOB_VARIABLES[queue]] if queue else None,
        cluster=queue_name(queue, os.environ.get(_CLUSTER_VARIABLE) if queue == "slurm" else None) if queue else None,
        uid=os.getuid(),
        namespace=pid_namespace(),
    )


def is_alive(process: Attendant) -> bool | None:
    """Return whether a process still runs; None if that can't be seen from here: another host or a container."""
    if process.host != socket.gethostname() or process.namespace not in (None, pid_namespace()):
        return None
    if process.boot != _boot_id():
        return False
    started = start_ticks(process.pid)
    # /proc mounted with hidepid hides the processes of other users
    is_hidden = started is None and process.uid is not None and os.getuid() not in (0, process.uid)
    return None if is_hidden else process.started == started


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip() if _BOOT_ID.is_file() else ""
