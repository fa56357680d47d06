"""File locks (``flock``), which the kernel releases when their holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from mlip_fw.errors import DirectoryError

_PAUSE_S = 0.1
_UNKNOWN = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, after waiting for it; the file is removed at the end.

    Raises
    ------
    DirectoryError
        If the file can't be written or locked.
    """
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = path.open("a")
        except OSError as error:
            raise DirectoryError(f"can't write in {path.parent}: {error.strerror}") from error
        with handle:
            _flock(handle, fcntl.LOCK_EX)
            if not _is_same_file(handle, path):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def try_lock(handle: TextIO, *, only_looking: bool = False) -> bool:
    """Try to lock an open file without blocking; return whether that succeeded.

    After a failure it pauses briefly, because a process that only looks holds the lock for a moment.

    Parameters
    ----------
    only_looking
        Take a shared lock, and do not pause.

    Raises
    ------
    DirectoryError
        If the file system does not support locks.
    """
    try:
        _flock(handle, (fcntl.LOCK_SH if only_looking else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        if not only_looking:
            time.sleep(_PAUSE_S)
        return False
    return True


def _flock(handle: TextIO, how: int) -> None:
    try:
        fcntl.flock(handle, how)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        raise DirectoryError(
            f"the file system of {Path(handle.name).parent} does not know flock ({error.strerror}); have it mounted so "
            "that it does (Lustre: -o flock), or use a folder on another one"
        ) from error


def _is_same_file(handle: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False
