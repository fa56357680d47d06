"""Standard output belongs to the answer of a command; what others write goes to standard error."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

_STDOUT, _STDERR = 1, 2


@contextmanager
def stdout_on_stderr() -> Iterator[None]:
    """Send all that is written to standard output to standard error while the block runs.

    Python's ``print`` as well as file descriptor 1, to which C code and child processes write. A logging handler
    that is made in the block keeps to standard error afterwards.
    """
    before = sys.stdout
    kept = _kept_descriptor()
    _flush(before)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        _flush(before)
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).fflush(None)
        sys.stdout = before
        if kept is not None:
            os.dup2(kept, _STDOUT)
            os.close(kept)


def claim_stdout() -> TextIO:
    """Return standard output for one answer, and send all else to standard error until the process ends.

    Threads, libraries and programs that are started later can't get into the answer either. A standard output that
    is no file descriptor, as in notebooks, is returned as it is.
    """
    stream = sys.stdout
    _flush(stream)
    if not _is_descriptor(stream, _STDOUT) or (kept := _kept_descriptor()) is None:
        return stream
    sys.stdout = sys.stderr
    return os.fdopen(kept, "w", encoding=stream.encoding, errors=stream.errors)


def _kept_descriptor() -> int | None:
    """Return a copy of file descriptor 1 after pointing that to standard error; None where one of both is closed."""
    try:
        kept = os.dup(_STDOUT)
    except OSError:
        return None
    try:
        os.dup2(_STDERR, _STDOUT)
    except OSError:
        os.close(kept)
        return None
    return kept


def _is_descriptor(stream: TextIO | None, number: int) -> bool:
    try:
        return stream is not None and stream.fileno() == number
    except (OSError, ValueError):
        return False


def _flush(stream: TextIO | None) -> None:
    with suppress(OSError, ValueError, AttributeError):
        stream.flush()  # type: ignore[union-attr]
