"""Which process works on which Firework: a note that lies in the campaign directory while it does.

FireWorks knows of a running Firework only when it was last heard of. With the note, whoever looks
after a campaign can see that a process is gone, at once and for certain.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from mlip_fw.io.files import read_model, write_json
from mlip_fw.models.base import Frozen
from mlip_fw.processes import start_ticks

FOLDER = ".running"
_JOB_VARIABLES = {"slurm": "SLURM_JOB_ID", "pbs": "PBS_JOBID", "sge": "JOB_ID"}
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
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


def attend(root: Path, fw_id: int | None) -> None:
    """Leave a note that this process works on a Firework of the campaign in ``root``, and on no other any more."""
    dismiss()
    if fw_id is not None:
        note = root / FOLDER / f"{fw_id}.json"
        write_json(note, this_process())
        _notes.append(note)


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


def remove_notes_of_the_dead(root: Path, keep: set[int]) -> None:
    """Remove the notes that processes of this host left when they were killed, but those on the Fireworks ``keep``."""
    for note in (root / FOLDER).glob("[0-9]*.json"):
        process = read_model(note, Attendant)
        if process is not None and is_alive(process) is False and int(note.stem) not in keep:
            note.unlink(missing_ok=True)


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
    )


def is_alive(process: Attendant) -> bool | None:
    """Return whether a process of this host still runs, or None if it is of another host."""
    if process.host != socket.gethostname():
        return None
    return process.boot == _boot_id() and process.started == start_ticks(process.pid)


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip() if _BOOT_ID.is_file() else ""
