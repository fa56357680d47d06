"""Linux helpers of the server: errors, private files, file locks, process start time, parent-death signal.

Small copies of what :mod:`mlip_fw.io` and mlip_fw's process helpers do, so that this package imports nothing else of
mlip_fw and could be a distribution of its own.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TextIO

_LOCK_PAUSE_S = 0.1
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
_PR_SET_PDEATHSIG = 1
_START_TIME_FIELD = 19
"""Index of the start time in ``/proc/PID/stat``, counted behind the name of the program (man 5 proc)."""


class ServerError(Exception):
    """The server, its directory or its database can't be used; the text is one paragraph for the user."""


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step.

    Raises
    ------
    ServerError
        If it can't be written; nothing is left behind.
    """
    temporary = path.with_name(f".writing-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ServerError(f"can't write {path}: {error.strerror or error}; free space or check permissions") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def try_lock(handle: TextIO, *, shared: bool = False) -> bool:
    """Try to lock an open file, and return whether that worked; the kernel releases the lock when its holder dies.

    Parameters
    ----------
    shared
        Take a shared lock, to find out whether somebody holds the exclusive one. Who fails to get the exclusive lock
        waits 0.1 s, since that may be due to a shared lock, which is held for a moment only.

    Raises
    ------
    ServerError
        If the file system has no locks.
    """
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        if not shared:
            time.sleep(_LOCK_PAUSE_S)
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise ServerError(
            f"the file system of {Path(handle.name).parent} does not know flock ({error.strerror}); have it mounted so "
            "that it does (Lustre: -o flock), or use a folder on another one"
        ) from error
    return True


def start_ticks(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot; None if there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[_START_TIME_FIELD])


def terminate_with_parent() -> None:
    """Have the kernel send this process SIGTERM when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
