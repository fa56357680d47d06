"""Keep standard output for the answer of a command, and send all other output to standard error."""

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
    """Redirect standard output to standard error while the block runs.

    Both Python's ``print`` and file descriptor 1, to which C code and child processes write. A logging handler that
    is made in the block goes on writing to standard error afterwards.
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
    """Return a stream to standard output, and redirect everything else to standard error until the process ends.

    So threads, libraries and programs that are started later can't write into the answer, either. A standard output
    that is not file descriptor 1, as in notebooks, is returned as it is.
    """
    stream = sys.stdout
    _flush(stream)
    if not _is_descriptor(stream, _STDOUT) or (kept := _kept_descriptor()) is None:
        return stream
    sys.stdout = sys.stderr
    return os.fdopen(kept, "w", encoding=stream.encoding, errors=stream.errors)


def _kept_descriptor() -> int | None:
    """Point file descriptor 1 to standard error and return a copy of the old one; None where one of both is closed."""
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
