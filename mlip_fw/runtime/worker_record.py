"""Worker records: which process works on which Firework, as a file in the campaign directory while it does.

FireWorks only knows when it last heard from a running Firework. The record tells whether the process is still there,
at once and for certain.
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
from mlip_fw.runtime.process_info import pid_namespace, start_ticks

RECORDS_FOLDER = ".running"
_JOB_VARIABLES = {"slurm": "SLURM_JOB_ID", "pbs": "PBS_JOBID", "sge": "JOB_ID"}
_CLUSTER_VARIABLE = "SLURM_CLUSTER_NAME"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_QUEUE = ".queue"
_written: list[Path] = []
"""Records of this process that are not removed yet, at most one.

State of the whole process, because nothing else connects its two ends: a Firetask writes the record, FireWorks stores
what came of the Firework, and only then may the launcher, which gets nothing from the Firetask, remove it.
"""


class WorkerRecord(Frozen):
    """Contents of a record: the process that works on a Firework."""

    host: str
    boot: str
    pid: int
    started: int
    """When the process started, in clock ticks since boot: another process that gets its pid later has another."""
    since: float
    """When it began with the Firework, s since 1970."""
    queue: str | None = None
    """Kind of the batch system: slurm, pbs or sge."""
    job: str | None = None
    """Number of its batch job."""
    cluster: str | None = None
    """Name of its queue by :func:`queue_name`."""
    uid: int | None = None
    namespace: str | None = None
    """PID namespace in which its pid is valid; records of old versions don't say."""


def write_worker_record(root: Path, fw_id: int | None) -> None:
    """Write the record that this process works on a Firework of the campaign in ``root``, and remove its last one."""
    clear_worker_record()
    if fw_id is not None:
        record, process = root / RECORDS_FOLDER / f"{fw_id}.json", current_process_record()
        write_json(record, process)
        _written.append(record)
        if process.cluster is not None:
            (root / RECORDS_FOLDER / f"{process.cluster}{_QUEUE}").touch()


def clear_worker_record() -> None:
    """Remove the record of this process.

    To be called after FireWorks has stored what came of the Firework: if the process dies just before, the
    record still shows it.
    """
    while _written:
        _written.pop().unlink(missing_ok=True)


def read_worker_record(root: Path, fw_id: int) -> WorkerRecord | None:
    """Return the process that works on a Firework, or worked on it until it died; None if there is no record."""
    return read_model(root / RECORDS_FOLDER / f"{fw_id}.json", WorkerRecord)


def recorded_queues(root: Path) -> set[str]:
    """Return the names of all queues whose jobs have worked on the campaign in ``root``."""
    return {path.stem for path in (root / RECORDS_FOLDER).glob(f"*{_QUEUE}")}


def queue_name(queue: str, cluster: str | None) -> str:
    """Return the name of a cluster's queue, ``slurm-<cluster>``: two clusters may have jobs of the same number."""
    return "-".join([queue, *re.findall(r"[\w-]+", (cluster or "").lower())])


def remove_dead_records(root: Path, keep: set[int]) -> None:
    """Remove records of killed processes of this host, except those on the Fireworks ``keep``."""
    for record in (root / RECORDS_FOLDER).glob("[0-9]*.json"):
        # those of other users may be neither readable nor removable
        with suppress(OSError):
            process = read_model(record, WorkerRecord)
            if process is not None and is_alive(process) is False and int(record.stem) not in keep:
                record.unlink()


def current_process_record() -> WorkerRecord:
    """Return this process as it is recorded."""
    queue = next((name for name, variable in _JOB_VARIABLES.items() if os.environ.get(variable)), None)
    return WorkerRecord(
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


def is_alive(process: WorkerRecord) -> bool | None:
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
