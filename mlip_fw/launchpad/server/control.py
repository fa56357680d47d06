"""Start, stop and find the LaunchPad server of this machine."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pymongo.errors import PyMongoError

from mlip_fw.launchpad.server.data_directory import DataDirectory, RunningServer
from mlip_fw.launchpad.server.system import ServerError, start_ticks, terminate_with_parent

_START_TIMEOUT_S, _STOP_TIMEOUT_S, _CHECK_INTERVAL_S, _PAUSE_S = 120.0, 30.0, 1.0, 0.02
_started: list[subprocess.Popen[bytes]] = []
"""Servers that this process started. They outlive the call that starts them; a process has to wait for its own
children when they end (:func:`_reap`), or they stay zombies until it ends itself."""


@dataclass(frozen=True)
class ServerFacts:
    """A running server."""

    directory: Path
    port: int
    pid: int
    launchpad_file: Path
    """``my_launchpad.yaml`` for FireWorks' commands (``-l``); it holds the password."""


def start_server(directory: Path, *, port: int = 0, with_this_process: bool = False) -> ServerFacts:
    """Start the server of the database in ``directory`` and return when it answers.

    A new database is initialized as ``lpad reset`` does. A server that runs already is left as it is.

    Parameters
    ----------
    directory
        Directory of the database; created if it does not exist.
    port
        Port on the loopback interface; 0: the last one used, or a free one.
    with_this_process
        Stop the server when this process (more exactly: the calling thread) ends, for whatever reason.

    Raises
    ------
    ServerError
        If the directory, the database or the port can't be used.
    """
    home = DataDirectory(directory)
    home.prepare()
    with home.start_lock():
        found = _wait_until_ready(home)
        if found is not None and port not in (0, found.port):
            raise ServerError(f"the server of {home.root} runs on port {found.port}, not {port}; stop it first")
        if found is None:
            _spawn(home, port, with_this_process=with_this_process)
            return _initialized_server(home)
        _initialize(_facts(home, found))
        return _facts(home, found)


def server_status(directory: Path) -> ServerFacts | None:
    """Return the running server of the database in ``directory``, or None."""
    home = DataDirectory(directory)
    found = _wait_until_ready(home)
    return None if found is None else _facts(home, found)


def stop_server(directory: Path) -> ServerFacts | None:
    """Stop the server of the database in ``directory`` and return what it was, or None if none ran.

    Raises
    ------
    ServerError
        If it runs on another machine, or does not stop.
    """
    home = DataDirectory(directory)
    found = _wait_until_ready(home)
    if found is None:
        return None
    for how in (signal.SIGTERM, signal.SIGKILL):
        _signal(found, how)
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            _reap()
            if home.running_server() is None:
                return _facts(home, found)
            time.sleep(_PAUSE_S)
    raise ServerError(f"the server of {home.root}, process {found.pid}, does not end; end it by hand")


def serve_until_signal(directory: Path, *, port: int = 0, say: Callable[[ServerFacts], None]) -> None:
    """Start the server, call ``say`` with its facts, wait for SIGINT or SIGTERM, and stop it.

    Raises
    ------
    ServerError
        If it runs already, can't be started, or stops by itself.
    """
    if server_status(directory) is not None:
        raise ServerError(f"the server of {directory} runs already; stop it first: `mlip-fw db stop`")
    facts = start_server(directory, port=port, with_this_process=True)
    say(facts)
    ends = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        while signal.sigtimedwait(ends, _CHECK_INTERVAL_S) is None:
            if server_status(directory) is None:
                raise ServerError(f"the server of {facts.directory} ended by itself; see its server.log")
    finally:
        stop_server(directory)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_until_ready(home: DataDirectory) -> RunningServer | None:
    """Return the running server, once it has started, or None."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        found = home.running_server()
        if found is None:
            return None
        if found.port and found.machine != socket.gethostname():
            raise ServerError(f"the server of {home.root} runs on the machine {found.machine}; use or stop it there")
        # a killed server is a zombie first, and its threads may hold the lock a moment longer
        if found.port and start_ticks(found.pid) is not None:
            return found
        time.sleep(_PAUSE_S)
    raise ServerError(f"the server of {home.root} does not come to answer; see {home.log}")


def _spawn(home: DataDirectory, port: int, *, with_this_process: bool) -> None:
    """Start the server process and wait for its report."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as answers, home.open_log() as errors:
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mlip_fw.launchpad.server", str(home.root), str(port), str(writer)],
                cwd=home.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                pass_fds=(writer,),
                preexec_fn=terminate_with_parent if with_this_process else None,  # noqa: PLW1509  one system call
            )
        finally:
            os.close(writer)
        _started.append(process)
        if not select.select([answers], [], [], _START_TIMEOUT_S)[0]:
            process.kill()
            raise ServerError(f"the database server did not start within {_START_TIMEOUT_S:g} s; see {home.log}")
        report = json.loads(answers.readline() or b"{}")
    if "error" in report:
        process.wait()
        raise ServerError(report["error"])


def _initialized_server(home: DataDirectory) -> ServerFacts:
    """Initialize the database of the server that was started; if that fails, stop the server."""
    found = _wait_until_ready(home)
    if found is None:
        raise ServerError(f"the database server ended as soon as it was started; see {home.log}")
    facts = _facts(home, found)
    try:
        _initialize(facts)
    except BaseException:
        stop_server(home.root)
        raise
    return facts


def _initialize(facts: ServerFacts) -> None:
    """Do what ``lpad reset`` does for an empty database, and what ``lpad admin tuneup`` does for any other."""
    from fireworks import LaunchPad

    pad = LaunchPad.from_file(str(facts.launchpad_file))
    level = pad.m_logger.level
    pad.m_logger.setLevel(logging.ERROR)
    try:
        if pad.fw_id_assigner.find_one() is None:
            pad.reset("", require_password=False)
        else:
            pad.tuneup()
    except PyMongoError as error:
        message = str(error).partition(", full error")[0]
        raise ServerError(f"the database in {facts.directory} can't be made ready: {message}") from error
    finally:
        pad.m_logger.setLevel(level)
        pad.connection.close()


def _signal(server: RunningServer, how: signal.Signals) -> None:
    try:
        os.kill(server.pid, how)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise ServerError(f"the server, process {server.pid}, belongs to another user") from error


def _reap() -> None:
    """Collect the exit status of servers that this process started and that have ended."""
    _started[:] = [process for process in _started if process.poll() is None]


def _facts(home: DataDirectory, server: RunningServer) -> ServerFacts:
    return ServerFacts(home.root, server.port, server.pid, home.launchpad_file)
