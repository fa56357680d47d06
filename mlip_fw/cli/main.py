"""The command line: ``mlip-fw``."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from contextlib import suppress

from mlip_fw.cli import db, farm, look, machine, mend, publish, pull, run, start, validate, web  # noqa: F401  each adds its commands
from mlip_fw.cli.app import EXIT_ERROR, TRACEBACK, app
from mlip_fw.cli.common import keep_libraries_quiet, printable
from mlip_fw.errors import MlipError

_MENDED_BY_USERS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def main() -> None:
    """Run the command line; errors are one paragraph and exit code 1."""
    keep_libraries_quiet()
    wants_traceback = TRACEBACK in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != TRACEBACK]
    try:
        app()
    except MlipError as error:
        _report(str(error), wants_traceback)
    except KeyboardInterrupt:
        _report("interrupted; the same command goes on from there", wants_traceback)
    except BrokenPipeError:
        _drop_what_is_unsaid()
        sys.exit(EXIT_ERROR)
    except OSError as error:
        _drop_what_is_unsaid()
        _report(_of_the_machine(error) or _unforeseen(error), wants_traceback)
    except Exception as error:
        _report(_unforeseen(error), wants_traceback)


def _drop_what_is_unsaid() -> None:
    """Let go of output that can't be written: Python would try once more at its end, and exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_the_machine(error: OSError) -> str | None:
    if error.errno not in _MENDED_BY_USERS or not (error.filename or error.errno == errno.ENOSPC):
        return None
    where = f"{error.filename}: " if error.filename else "can't write what there is to say: "
    return f"{where}{error.strerror}; free space or mend its rights"


def _unforeseen(error: Exception) -> str:
    said = (f"{type(error).__name__}: {error}".splitlines() or [""])[0]
    return f"{said}. This should not happen; {TRACEBACK} shows where it comes from"


def _report(message: str, wants_traceback: bool) -> None:
    if wants_traceback:
        traceback.print_exc()
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(EXIT_ERROR)
