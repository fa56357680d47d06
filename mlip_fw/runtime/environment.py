"""Environment of a process at its start: encoding, standard streams, Python's options, current folder.

Only the standard library is imported here (and the exceptions), since a broken environment may break other imports.
"""

from __future__ import annotations

import codecs
import locale
import os
import sys
from pathlib import Path

from mlip_fw.errors import DirectoryError, WorkerError

_UTF8_MODE = "PYTHONUTF8"
_STREAMS = {0: ("stdin", "r"), 1: ("stdout", "w"), 2: ("stderr", "w")}


def use_utf8() -> None:
    """Start Python again in its UTF-8 mode where the locale has another encoding.

    File names, text files and the output of child processes are then UTF-8, as on all other machines that work on the
    same campaign. The terminal keeps its encoding: see :func:`prepare_streams`.
    """
    # the variable is checked as well: if it did not help, starting again would go on for ever
    if sys.flags.utf8_mode or _is_utf8(locale.getencoding()) or os.environ.get(_UTF8_MODE) == "1":
        return
    os.environ[_UTF8_MODE] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def prepare_streams() -> None:
    """Open /dev/null as standard input, output or error where that is closed, and set the encoding of the streams.

    Otherwise the first file that is opened would get the descriptor, and what a child writes to its standard output
    would end up in that file. Characters that the encoding lacks are written as escapes: file names may not be UTF-8,
    and terminals may know ASCII only.
    """
    for number in _STREAMS:
        if not _is_open(number):
            _open_null(number)
    for number, (name, mode) in _STREAMS.items():
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.dup(number), mode, encoding="utf-8"))
    encoding = None if os.environ.get("PYTHONIOENCODING") else _encoding_of_terminal()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def require_assertions() -> None:
    """Refuse ``python -O``: it removes assertions, and without some of them ASE misreads files.

    Raises
    ------
    WorkerError
        If Python runs without assertions.
    """
    if sys.flags.optimize:
        raise WorkerError(
            "Python runs with -O or PYTHONOPTIMIZE, which removes assertions that ASE relies on to read structures; "
            "unset PYTHONOPTIMIZE and run python without -O"
        )


def require_current_folder() -> None:
    """Refuse to work in a current folder that is gone or not accessible to this user.

    Raises
    ------
    DirectoryError
        If it is.
    """
    try:
        here = Path.cwd()
    except OSError as error:
        raise DirectoryError(
            f"the current folder can't be used ({error.strerror}): it was removed, renamed or unmounted; "
            "cd to a folder that exists"
        ) from None
    if not os.access(here, os.X_OK):
        raise DirectoryError(f"the current folder {here} is closed to this user; check its permissions or cd elsewhere")


def require_utf8(path: Path, what: str, then: str) -> None:
    """Refuse a path that is not UTF-8: the LaunchPad and JSON files could not store it.

    Parameters
    ----------
    path, what
        The path, and what it is the path of, for the message.
    then
        What the user can do about it, for the message.

    Raises
    ------
    DirectoryError
        If it is not UTF-8.
    """
    whole = os.fsencode(path.absolute())
    try:
        whole.decode()
    except UnicodeDecodeError:
        shown = whole.decode(errors="backslashreplace")
        raise DirectoryError(f"the path of {what} is not UTF-8: {shown}; {then}") from None


def _encoding_of_terminal() -> str:
    """Return the encoding of the locale; where that says ASCII, as ``LC_ALL=C`` does, terminals take UTF-8."""
    found = codecs.lookup(locale.getencoding()).name
    return "utf-8" if found == "ascii" else found


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "utf-8"


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _open_null(number: int) -> None:
    """Open /dev/null as a descriptor that children inherit."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    if descriptor == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(descriptor, number)
        os.close(descriptor)
