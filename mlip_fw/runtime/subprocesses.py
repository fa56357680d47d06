"""Run a worker's command in a process group of its own, with a time limit."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mlip_fw.errors import WorkerError
from mlip_fw.runtime.process_info import die_with_parent
from mlip_fw.runtime.signals import signals_deferred

GRACE_S = 10.0
"""How long a process group has to end after SIGTERM, before SIGKILL."""
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


@dataclass(frozen=True)
class CommandResult:
    """How a command ended."""

    exit_code: int
    """Negative is a signal."""
    timed_out: bool
    seconds: float


def run_command(
    key: str,
    command: str,
    folder: Path,
    *,
    arguments: tuple[str, ...] = (),
    stdout: Path,
    stderr: Path | None = None,
    timeout_s: float | None = None,
    environment: dict[str, str] | None = None,
    grace_s: float = GRACE_S,
) -> CommandResult:
    """Run a worker's command in ``folder`` and wait for it.

    The command leads a process group, which is ended as a whole when the time is over or this process is
    interrupted; if this process dies, the command gets SIGTERM.

    Parameters
    ----------
    key
        Key of the worker's ``env`` that holds the command, for messages.
    stdout, stderr
        Where its output goes; without ``stderr`` both go to ``stdout``.
    timeout_s
        Longest time, s; None is no limit.
    environment
        Variables to set, besides those of this process.
    grace_s
        Time between SIGTERM and SIGKILL at the end of the process group, s.

    Raises
    ------
    WorkerError
        If the command can't be started here: missing, not executable, built for another machine.
    """
    started = time.perf_counter()
    with stdout.open("wb") as out, (stderr or Path(os.devnull)).open("wb") as err:
        try:
            process = start_group(
                [*shlex.split(command), *arguments],
                folder,
                stdout=out,
                stderr=err if stderr is not None else subprocess.STDOUT,
                environment=environment,
            )
        except (OSError, ValueError) as error:
            raise WorkerError(f"can't run {key} {command!r}: {error}; correct env.{key} in my_fworker.yaml") from error
        timed_out = False
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            terminate_group(process, grace_s)
    if process.returncode in (_NOT_FOUND, _NOT_EXECUTABLE):
        raise WorkerError(
            f"{key} {command!r} could not be started (exit code {process.returncode}); "
            f"correct env.{key} in my_fworker.yaml"
        )
    return CommandResult(process.returncode, timed_out, time.perf_counter() - started)


@signals_deferred
def start_group(
    words: Sequence[str],
    folder: Path,
    *,
    stdout: IO[bytes],
    stderr: IO[bytes] | int,
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command as the leader of a process group of its own, which gets SIGTERM if this process dies.

    No interrupt comes in between: a process that has started is always known to the caller.

    Raises
    ------
    OSError, ValueError
        If it can't be started.
    """
    return subprocess.Popen(
        words,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
        preexec_fn=functools.partial(die_with_parent, signal.SIGTERM),  # noqa: PLW1509  one system call
    )


@signals_deferred
def terminate_group(process: subprocess.Popen[bytes], grace_s: float = GRACE_S) -> None:
    """End a process group: by SIGTERM at first, so that mpirun can end its ranks on all nodes, then by SIGKILL.

    To be called even when the leader has ended normally: ranks may outlive it.
    """
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, how)
            process.wait(grace_s)
    process.wait()
