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
from mlip_fw.surroundings import prepare_streams

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_RIGHTS = (errno.EROFS, errno.EACCES, errno.EPERM)


def main() -> None:
    """Run the command line; errors are one paragraph and exit code 1."""
    prepare_streams()
    keep_libraries_quiet()
    wants_traceback = TRACEBACK in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != TRACEBACK]
    try:
        app()
    except MlipError as error:
        _report(str(error), wants_traceback)
    except KeyboardInterrupt:
        _report("interrupted. Run the same command to resume", wants_traceback)
    except BrokenPipeError:
        _drop_unwritten_output()
        sys.exit(EXIT_ERROR)
    except OSError as error:
        trouble = _drop_unwritten_output()
        _report(trouble or _of_the_machine(error) or _unexpected(error), wants_traceback)
    except Exception as error:
        _report(_unexpected(error), wants_traceback)


def _drop_unwritten_output() -> str | None:
    """Discard output that can't be written, which Python would try to flush once more; return why it can't be."""
    try:
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return f"can't write to standard output: {error.strerror}{_advice(error)}"
    return None


def _of_the_machine(error: OSError) -> str | None:
    if error.errno in _NO_SPACE or (error.errno in _NO_RIGHTS and error.filename):
        where = f"{error.filename}: " if error.filename else "can't write: "
        return f"{where}{error.strerror}{_advice(error)}"
    return None


def _advice(error: OSError) -> str:
    if error.errno in _NO_SPACE:
        return "; free some space"
    return "; check its permissions" if error.errno in _NO_RIGHTS else ""


def _unexpected(error: Exception) -> str:
    first = (f"{type(error).__name__}: {error}".splitlines() or [""])[0]
    return f"{first}. This should not happen; run the command again with {TRACEBACK} and report what it shows"


def _report(message: str, wants_traceback: bool) -> None:
    if wants_traceback:
        traceback.print_exc()
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(EXIT_ERROR)
