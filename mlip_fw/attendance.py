"""Which process works on which Firework: a note that lies in the campaign directory while it does.

FireWorks knows of a running Firework only when it was last heard of. With the note, whoever looks
after a campaign can see that a process is gone, at once and for certain.
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


class Attendant(Frozen):
    """A process that works on a Firework."""

    host: str
    boot: str
    pid: int
    started: int
    """When the process started, in clock ticks since boot: a number that a second process with its pid can't share."""
    since: float
    queue: str | None = None
    job: str | None = None
    cluster: str | None = None
    """What :func:`queue_name` says of its queue."""
    uid: int | None = None
    namespace: str | None = None
    """Where its pid is valid; notes of old versions don't say."""


def attend(root: Path, fw_id: int | None) -> None:
    """Leave a note that this process works on a Firework of the campaign in ``root``, and on no other any more."""
    dismiss()
    if fw_id is not None:
        note, process = root / FOLDER / f"{fw_id}.json", this_process()
        write_json(note, process)
        _notes.append(note)
        if process.cluster is not None:
            (root / FOLDER / f"{process.cluster}{_QUEUE}").touch()


def dismiss() -> None:
    """Take the note back.

    Not before FireWorks has written down what came of the Firework: if the process dies just then, the
    note tells.
    """
    while _notes:
        _notes.pop().unlink(missing_ok=True)


def attendant(root: Path, fw_id: int) -> Attendant | None:
    """Return who works, or worked until it died, on a Firework."""
    return read_model(root / FOLDER / f"{fw_id}.json", Attendant)


def queues(root: Path) -> set[str]:
    """Return the names of all queues whose jobs have ever worked on the campaign in ``root``."""
    return {path.stem for path in (root / FOLDER).glob(f"*{_QUEUE}")}


def queue_name(queue: str, cluster: str | None) -> str:
    """Return the name of a cluster's queue, ``slurm-<cluster>``: job numbers of two clusters are the same."""
    return "-".join([queue, *re.findall(r"[\w-]+", (cluster or "").lower())])


def remove_notes_of_the_dead(root: Path, keep: set[int]) -> None:
    """Remove the notes that processes of this host left when they were killed, but those on the Fireworks ``keep``."""
    for note in (root / FOLDER).glob("[0-9]*.json"):
        # those of other users may be neither readable nor removable
        with suppress(OSError):
            process = read_model(note, Attendant)
            if process is not None and is_alive(process) is False and int(note.stem) not in keep:
                note.unlink()


def this_process() -> Attendant:
    """Return this process as an attendant."""
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
    """Return whether a process still runs, or None if it can't be seen from here: on another host, in a container."""
    if process.host != socket.gethostname() or process.namespace not in (None, pid_namespace()):
        return None
    if process.boot != _boot_id():
        return False
    started = start_ticks(process.pid)
    # a /proc with hidepid shows nobody the processes of others
    is_hidden = started is None and process.uid is not None and os.getuid() not in (0, process.uid)
    return None if is_hidden else process.started == started


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip() if _BOOT_ID.is_file() else ""
