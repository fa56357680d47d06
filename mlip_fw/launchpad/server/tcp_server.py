"""The TCP server: reads one command of a connection after the other, runs it, and sends the reply.

Commands run one at a time, in one thread, so each is atomic.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping

import bson

from mlip_fw.launchpad.server import (
    HOST,
    catalog_commands,
    connection_commands,
    read_commands,
    write_commands,
)
from mlip_fw.launchpad.server.command_error import USE_MONGODB, CommandError
from mlip_fw.launchpad.server.cursors import Cursors
from mlip_fw.launchpad.server.databases import Databases
from mlip_fw.launchpad.server.scram import Keys
from mlip_fw.launchpad.server.session import Command, Reply, Session, refuse_options
from mlip_fw.launchpad.server.wire_protocol import (
    MAX_MESSAGE_BYTES,
    BadMessageError,
    Request,
    encode_reply,
    read_request,
)

COMMANDS: Mapping[str, Command] = {
    **connection_commands.COMMANDS,
    **read_commands.COMMANDS,
    **write_commands.COMMANDS,
    **catalog_commands.COMMANDS,
}
_MAX_BYTES_BEFORE_LOGIN = 1 << 16
_MESSAGE_TIMEOUT_S, _CLOSE_TIMEOUT_S = 60.0, 2.0
_MAX_CONNECTIONS_BEFORE_LOGIN = 500
_log = logging.getLogger(__name__)


def run_command(session: Session, request: Request) -> Reply:
    """Run a command and return its reply; errors are replies, too."""
    try:
        command = COMMANDS.get(request.name)
        if command is not None and command.is_open:
            return command.answer(session, request)
        if not session.is_authenticated:
            raise CommandError(13, f"Command {request.name} requires authentication")
        if command is None:
            raise CommandError(59, f"no such command: '{request.name}'; {USE_MONGODB}")
        refuse_options(request, command.options)
        return command.answer(session, request)
    except CommandError as refusal:
        if refusal.code in (13, 18):
            _log.warning("connection %d: %s", session.number, refusal)
        return refusal.reply()
    except Exception as error:
        _log.exception("connection %d: the command %s failed", session.number, request.name)
        return CommandError(
            8, f"the command failed in an unforeseen way: {type(error).__name__}; see server.log"
        ).reply()


class Server:
    """Listens on the loopback interface only."""

    def __init__(self, store: Databases, keys: Keys) -> None:
        self._store, self._keys = store, keys
        self._cursors = Cursors()
        self._numbers = itertools.count(1)
        self._connections: dict[asyncio.StreamWriter, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def listen(self, port: int) -> int:
        """Start to listen on ``port``, or on any free one if that is 0, and return the port."""
        self._listener = await asyncio.start_server(self._connected, HOST, port, backlog=512)
        return int(self._listener.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Close all connections; replies that are being sent get 2 s."""
        if self._listener is not None:
            self._listener.close()
        for writer in self._connections:
            writer.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_TIMEOUT_S)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._make_room()
        self._connections[writer] = session = Session(self._store, self._cursors, self._keys, next(self._numbers))
        task = asyncio.get_running_loop().create_task(self._serve(session, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _make_room(self) -> None:
        """Close the oldest unauthenticated connection if there are too many, so that they can't lock the owner out."""
        waiting = [writer for writer, session in self._connections.items() if not session.is_authenticated]
        if len(waiting) >= _MAX_CONNECTIONS_BEFORE_LOGIN:
            waiting[0].close()

    async def _serve(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._run_commands(session, reader, writer)
        except BadMessageError as error:
            _log.warning("connection %d dropped: %s", session.number, error)
        except (EOFError, OSError, TimeoutError):
            _log.debug("connection %d is gone", session.number)
        finally:
            del self._connections[writer]
            writer.close()

    async def _run_commands(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            largest = MAX_MESSAGE_BYTES if session.is_authenticated else _MAX_BYTES_BEFORE_LOGIN
            request = await read_request(reader, largest, _MESSAGE_TIMEOUT_S)
            reply = run_command(session, request)
            if request.wants_reply:
                writer.write(_encoded(request, reply))
                await writer.drain()


def _encoded(request: Request, reply: Reply) -> bytes:
    try:
        return encode_reply(request, reply)
    except (bson.errors.BSONError, OverflowError, RecursionError) as error:
        _log.warning("a reply could not be encoded: %s", error)
        return encode_reply(request, CommandError(8, f"the answer can't be encoded: {error}").reply())
