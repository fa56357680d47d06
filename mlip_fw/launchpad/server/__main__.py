"""The server process: ``python -m mlip_fw.launchpad.server DIRECTORY PORT DESCRIPTOR``.

It reports to the process that started it through the pipe ``DESCRIPTOR``: the port that it listens on, or an error.
The password is read from the directory, never from an argument or an environment variable, which others can see.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import resource
import signal
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from mlip_fw.launchpad.server import HOST
from mlip_fw.launchpad.server.data_directory import DataDirectory
from mlip_fw.launchpad.server.databases import Databases
from mlip_fw.launchpad.server.scram import Keys
from mlip_fw.launchpad.server.sqlite_file import SqliteFile
from mlip_fw.launchpad.server.system import ServerError
from mlip_fw.launchpad.server.tcp_server import Server

_LOG_BYTES = 1_000_000
_log = logging.getLogger("mlip_fw.launchpad.server")


def main(directory: str, port: str, descriptor: str) -> int:
    """Serve the database in ``directory`` until SIGTERM or SIGINT, and return the exit code."""
    os.umask(0o077)
    _, max_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max_files, max_files))
    home = DataDirectory(Path(directory))
    pipe = int(descriptor)
    try:
        with home.server_lock():
            _log_to(home.log)
            home.write_status(home.last_port(), ready=False)
            store = Databases(SqliteFile.open(home.journal))
            keys = Keys(home.secret())
            asyncio.run(_serve(home, Server(store, keys), int(port), pipe))
            store.close()
            _log.info("stopped")
    except ServerError as error:
        _report(pipe, {"error": str(error)})
        return 1
    except OSError as error:
        message = f"can't serve the database in {directory}: {error.strerror or error}; free space or check permissions"
        _report(pipe, {"error": message})
        return 1
    return 0


async def _serve(home: DataDirectory, server: Server, wanted: int, pipe: int) -> None:
    stop = _stop_event()
    port = await _listen(server, wanted, home.last_port())
    home.write_launchpad_file(port)
    home.write_status(port, ready=True)
    _log.info("listening on %s:%d", HOST, port)
    _report(pipe, {"port": port})
    await stop.wait()
    await server.close()


def _stop_event() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set; signals after the end of the event loop are ignored."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def set_event(*_: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, set_event)
    return stop


async def _listen(server: Server, wanted: int, last: int) -> int:
    """Listen on the wanted port, or else on the last one, if it is free: running workers know that one."""
    for port in [wanted] if wanted else [last, 0]:
        try:
            return await server.listen(port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ServerError(f"can't listen on port {port}: {error.strerror}; choose another one") from error
            _log.warning("port %d is taken", port)
    raise ServerError(f"port {wanted} is taken by another program; choose another one, or none for a free one")


def _log_to(path: Path) -> None:
    handler = RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=1)
    logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(asctime)s %(levelname)s %(message)s")


def _report(pipe: int, message: dict[str, Any]) -> None:
    os.write(pipe, json.dumps(message).encode() + b"\n")
    os.close(pipe)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
