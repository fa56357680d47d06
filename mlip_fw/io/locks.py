"""Locks that the kernel takes back when their holder dies."""

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
def alone(path: Path) -> Iterator[None]:
    """Wait for the lock on a file, which its holder removes at the end.

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
    """Return whether the lock on an open file could be had; wait a moment if not, as a look holds it for one.

    Parameters
    ----------
    only_looking
        Share the lock with others that look, and don't wait.

    Raises
    ------
    DirectoryError
        If the file system knows no locks.
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
