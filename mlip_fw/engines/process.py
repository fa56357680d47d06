"""A worker's command in a process group of its own, with a time limit."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlip_fw.errors import WorkerError
from mlip_fw.interrupts import undisturbed
from mlip_fw.processes import die_with_parent

PATIENCE_S = 10.0
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


@dataclass(frozen=True)
class Ended:
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
    patience_s: float = PATIENCE_S,
) -> Ended:
    """Run a worker's command in ``folder`` and wait for it.

    The command leads a process group, which ends as a whole when the time is over, when this process
    is interrupted, or when it dies.

    Parameters
    ----------
    key
        Key of the worker's ``env`` that holds the command, to be named in errors.
    stdout, stderr
        Where its output goes; without ``stderr`` both go to ``stdout``.
    timeout_s
        Longest time; None waits for ever.
    environment
        Variables besides those of this process.
    patience_s
        Time between the signals that ask the group to end and that end it, s.

    Raises
    ------
    WorkerError
        If the command can't be started here: missing, not executable, built for another machine.
    """
    started = time.perf_counter()
    with stdout.open("wb") as out, (stderr or Path(os.devnull)).open("wb") as err:
        try:
            process = subprocess.Popen(
                [*shlex.split(command), *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err if stderr is not None else subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
                preexec_fn=functools.partial(die_with_parent, signal.SIGTERM),  # noqa: PLW1509  one system call
            )
        except (OSError, ValueError) as error:
            raise WorkerError(f"can't run {key} {command!r}: {error}; correct env.{key} in my_fworker.yaml") from error
        timed_out = False
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            end_group(process, patience_s)
    if process.returncode in (_NOT_FOUND, _NOT_EXECUTABLE):
        raise WorkerError(
            f"{key} {command!r} could not be started (exit code {process.returncode}); "
            f"correct env.{key} in my_fworker.yaml"
        )
    return Ended(process.returncode, timed_out, time.perf_counter() - started)


@undisturbed
def end_group(process: subprocess.Popen[bytes], patience_s: float = PATIENCE_S) -> None:
    """End a process group: politely at first, so that mpirun ends its ranks, wherever they are.

    Also after a normal end of its leader, which ranks may outlive.
    """
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, how)
            process.wait(patience_s)
    process.wait()


@contextlib.contextmanager
def quietly(name: str) -> Iterator[None]:
    """Keep a library's logger silent."""
    chatty = logging.getLogger(name)
    level = chatty.level
    chatty.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        chatty.setLevel(level)
