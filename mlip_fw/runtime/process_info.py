"""Linux process helpers: parent-death signal, PID namespace and start time."""

from __future__ import annotations

import ctypes
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_FIELD_OF_START = 19
"""``starttime`` in /proc/PID/stat, counted from the field after the command name."""


def die_with_parent(how: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent (more exactly: the thread that forked it) dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, how)


def pid_namespace() -> str:
    """Return the PID namespace in which the pid of this process is valid (containers have their own), or ""."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if it is gone or a zombie (man 5 proc)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[_FIELD_OF_START])
