"""The command line: ``mlip-fw``."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from contextlib import suppress

from mlip_fw.cli import (  # noqa: F401  each module adds its command to the application
    add,
    check,
    db,
    doctor,
    export,
    init,
    pull,
    rebuild,
    recover,
    report,
    retry_labels,
    rlaunch,
    run,
    status,
    validate,
    web,
    workflow,
)
from mlip_fw.cli.app import EXIT_ERROR, TRACEBACK, app
from mlip_fw.cli.common import keep_libraries_quiet, printable
from mlip_fw.errors import MlipError
from mlip_fw.runtime.environment import prepare_streams, use_utf8

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_OUTPUT = (*_NO_SPACE, errno.EBADF, errno.EIO)
_NO_RIGHTS = (errno.EROFS, errno.EACCES, errno.EPERM)
_NO_PATH = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)


def main() -> None:
    """Run the command line; errors are one paragraph and exit code 1."""
    use_utf8()
    prepare_streams()
    keep_libraries_quiet()
    wants_traceback = TRACEBACK in sys.argv
    # accepted anywhere on the command line, also behind a command
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
        _drop_unwritten_output()
        _report(_disk_or_permission_message(error) or _unexpected_message(error), wants_traceback)
    except RuntimeError as error:
        _report(_no_home_message(error) or _unexpected_message(error), wants_traceback)
    except Exception as error:
        _report(_unexpected_message(error), wants_traceback)


def _drop_unwritten_output() -> None:
    """Discard output that can't be written: Python would try to flush it at its end, and exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _disk_or_permission_message(error: OSError) -> str | None:
    if not error.filename:
        what = f"can't write the output: {error.strerror}" if error.errno in _NO_OUTPUT else None
    else:
        what = f"{error.filename}: {error.strerror}" if error.errno in _NO_SPACE + _NO_RIGHTS + _NO_PATH else None
    advice = "; free space" if error.errno in _NO_SPACE else "; check permissions" if error.errno in _NO_RIGHTS else ""
    return f"{what}{advice}" if what else None


def _no_home_message(error: RuntimeError) -> str | None:
    """Return what to do where pathlib finds no home folder, which containers and batch jobs may not have."""
    return "this user has no home folder: set HOME" if "home directory" in str(error) else None


def _unexpected_message(error: Exception) -> str:
    first = (f"{type(error).__name__}: {error}".splitlines() or [""])[0]
    return f"{first}. This should not happen; run the command again with {TRACEBACK} and report what it shows"


def _report(message: str, wants_traceback: bool) -> None:
    if wants_traceback:
        traceback.print_exc()
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(EXIT_ERROR)
