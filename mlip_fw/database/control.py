"""Starting, stopping and finding the LaunchPad server of this machine."""

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

from mlip_fw.database.home import Home, Running
from mlip_fw.errors import DirectoryError
from mlip_fw.processes import die_with_parent, start_ticks

_START_S, _STOP_S, _LOOK_S, _PAUSE_S = 120.0, 30.0, 1.0, 0.02
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class ServerFacts:
    """A server that runs."""

    directory: Path
    port: int
    pid: int
    launchpad_file: Path
    """What FireWorks' commands take with ``-l``; it holds the secret."""


def start_server(directory: Path, *, port: int = 0, with_this_process: bool = False) -> ServerFacts:
    """Start the server of the database in ``directory`` and return when it answers.

    A new database is ready for Fireworks. A server that runs already stays as it is.

    Parameters
    ----------
    directory
        Where the database lies or shall lie.
    port
        Where to listen on the loopback interface; 0 is the port of the last time, or a free one.
    with_this_process
        Whether the server ends when this process (more exactly: the calling thread) ends, however that happens.

    Raises
    ------
    DirectoryError
        If the directory, the database or the port can't be used.
    """
    home = Home(directory)
    home.prepare()
    with home.starting():
        found = _wait_until_ready(home)
        if found is not None and port not in (0, found.port):
            raise DirectoryError(f"the server of {home.root} runs on port {found.port}, not {port}; stop it first")
        if found is None:
            _spawn(home, port, with_this_process=with_this_process)
            return _made_ready(home)
        _initialize(_facts(home, found))
        return _facts(home, found)


def server_status(directory: Path) -> ServerFacts | None:
    """Return the server of the database in ``directory``, or None if none runs."""
    home = Home(directory)
    found = _wait_until_ready(home)
    return None if found is None else _facts(home, found)


def stop_server(directory: Path) -> ServerFacts | None:
    """End the server of the database in ``directory``; returns which one, or None if none ran.

    Raises
    ------
    DirectoryError
        If it runs on another machine, or can't be ended.
    """
    home = Home(directory)
    found = _wait_until_ready(home)
    if found is None:
        return None
    for how in (signal.SIGTERM, signal.SIGKILL):
        _signal(found, how)
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline:
            _reap()
            if home.running() is None:
                return _facts(home, found)
            time.sleep(_PAUSE_S)
    raise DirectoryError(f"the server of {home.root}, process {found.pid}, does not end; end it by hand")


def serve_until_signal(directory: Path, *, port: int = 0, say: Callable[[ServerFacts], None]) -> None:
    """Start the server, tell ``say`` about it, wait for an interrupt or SIGTERM, and stop it.

    Raises
    ------
    DirectoryError
        If it runs already, can't be started, or ends by itself.
    """
    if server_status(directory) is not None:
        raise DirectoryError(f"the server of {directory} runs already; stop it first: `mlip-fw db stop`")
    facts = start_server(directory, port=port, with_this_process=True)
    say(facts)
    ends = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        while signal.sigtimedwait(ends, _LOOK_S) is None:
            if server_status(directory) is None:
                raise DirectoryError(f"the server of {facts.directory} ended by itself; see its server.log")
    finally:
        stop_server(directory)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_until_ready(home: Home) -> Running | None:
    """Return the server that runs, once it has started."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        found = home.running()
        if found is None:
            return None
        if found.port and found.machine != socket.gethostname():
            raise DirectoryError(f"the server of {home.root} runs on the machine {found.machine}; use or stop it there")
        # the threads of a killed server may hold its lock for a moment longer than it lives
        if found.port and start_ticks(found.pid) is not None:
            return found
        time.sleep(_PAUSE_S)
    raise DirectoryError(f"the server of {home.root} does not come to answer; see {home.log}")


def _spawn(home: Home, port: int, *, with_this_process: bool) -> None:
    """Start the server's process and wait for what it says."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as answers, home.open_log() as errors:
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mlip_fw.database", str(home.root), str(port), str(writer)],
                cwd=home.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                pass_fds=(writer,),
                preexec_fn=_die_politely if with_this_process else None,  # noqa: PLW1509  one system call
            )
        finally:
            os.close(writer)
        _started.append(process)
        if not select.select([answers], [], [], _START_S)[0]:
            process.kill()
            raise DirectoryError(f"the database server did not start within {_START_S:g} s; see {home.log}")
        said = json.loads(answers.readline() or b"{}")
    if "error" in said:
        process.wait()
        raise DirectoryError(said["error"])


def _die_politely() -> None:
    die_with_parent(signal.SIGTERM)


def _made_ready(home: Home) -> ServerFacts:
    """Return the server that was started, with a database that Fireworks can be added to; else stop it."""
    found = _wait_until_ready(home)
    if found is None:
        raise DirectoryError(f"the database server ended as soon as it was started; see {home.log}")
    facts = _facts(home, found)
    try:
        _initialize(facts)
    except BaseException:
        stop_server(home.root)
        raise
    return facts


def _initialize(facts: ServerFacts) -> None:
    """Do for an empty database what ``lpad reset`` does, and for any what ``lpad admin tuneup`` does."""
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
        said = str(error).partition(", full error")[0]
        raise DirectoryError(f"the database in {facts.directory} can't be made ready: {said}") from error
    finally:
        pad.m_logger.setLevel(level)
        pad.connection.close()


def _signal(server: Running, how: signal.Signals) -> None:
    try:
        os.kill(server.pid, how)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise DirectoryError(f"the server, process {server.pid}, belongs to another user") from error


def _reap() -> None:
    """Let go of servers that this process started and that have ended."""
    _started[:] = [process for process in _started if process.poll() is None]


def _facts(home: Home, server: Running) -> ServerFacts:
    return ServerFacts(home.root, server.port, server.pid, home.launchpad_file)
