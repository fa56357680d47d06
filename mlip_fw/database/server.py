"""Connections: each command is read, answered alone, and replied to before the next one."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping

import bson

from mlip_fw.database import HOST, catalogue, handshake, reading, writing
from mlip_fw.database.cursors import Cursors
from mlip_fw.database.refusal import ELSEWHERE, RefusedError
from mlip_fw.database.scram import Keys
from mlip_fw.database.session import Command, Reply, Session, refuse_options
from mlip_fw.database.store import Store
from mlip_fw.database.wire import MAX_MESSAGE_BYTES, BadMessageError, Request, encode_reply, read_request

COMMANDS: Mapping[str, Command] = {
    **handshake.COMMANDS,
    **reading.COMMANDS,
    **writing.COMMANDS,
    **catalogue.COMMANDS,
}
_STRANGER_BYTES = 1 << 16
_PATIENCE_S, _FAREWELL_S = 60.0, 2.0
_MOST_STRANGERS = 500
_log = logging.getLogger(__name__)


def answer(session: Session, request: Request) -> Reply:
    """Return the reply to a command; what fails is a reply too."""
    try:
        command = COMMANDS.get(request.name)
        if command is not None and command.is_open:
            return command.answer(session, request)
        if not session.is_authenticated:
            raise RefusedError(13, f"Command {request.name} requires authentication")
        if command is None:
            raise RefusedError(59, f"no such command: '{request.name}'; {ELSEWHERE}")
        refuse_options(request, command.options)
        return command.answer(session, request)
    except RefusedError as refusal:
        if refusal.code in (13, 18):
            _log.warning("connection %d: %s", session.number, refusal)
        return refusal.reply()
    except Exception as error:
        _log.exception("connection %d: the command %s failed", session.number, request.name)
        return RefusedError(
            8, f"the command failed in an unforeseen way: {type(error).__name__}; see server.log"
        ).reply()


class Server:
    """Listens on the loopback interface, and nowhere else."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store, self._keys = store, keys
        self._cursors = Cursors()
        self._numbers = itertools.count(1)
        self._connections: dict[asyncio.StreamWriter, Session] = {}
        self._conversations: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def listen(self, port: int) -> int:
        """Answer from now on, on ``port`` or, if that is 0, on any that is free; returns which."""
        self._listener = await asyncio.start_server(self._connected, HOST, port, backlog=512)
        return int(self._listener.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Hang up, after the replies that are on their way."""
        if self._listener is not None:
            self._listener.close()
        for writer in self._connections:
            writer.close()
        if self._conversations:
            await asyncio.wait(self._conversations, timeout=_FAREWELL_S)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._make_room()
        self._connections[writer] = session = Session(self._store, self._cursors, self._keys, next(self._numbers))
        conversation = asyncio.get_running_loop().create_task(self._serve(session, reader, writer))
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)

    def _make_room(self) -> None:
        """Hang up on the oldest stranger if there are too many: nobody can keep the owner out."""
        strangers = [writer for writer, session in self._connections.items() if not session.is_authenticated]
        if len(strangers) >= _MOST_STRANGERS:
            strangers[0].close()

    async def _serve(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(session, reader, writer)
        except BadMessageError as error:
            _log.warning("connection %d dropped: %s", session.number, error)
        except (EOFError, OSError, TimeoutError):
            _log.debug("connection %d is gone", session.number)
        finally:
            del self._connections[writer]
            writer.close()

    async def _converse(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            largest = MAX_MESSAGE_BYTES if session.is_authenticated else _STRANGER_BYTES
            request = await read_request(reader, largest, _PATIENCE_S)
            reply = answer(session, request)
            if request.wants_reply:
                writer.write(_encoded(request, reply))
                await writer.drain()


def _encoded(request: Request, reply: Reply) -> bytes:
    try:
        return encode_reply(request, reply)
    except (bson.errors.BSONError, OverflowError, RecursionError) as error:
        _log.warning("a reply could not be encoded: %s", error)
        return encode_reply(request, RefusedError(8, f"the answer can't be encoded: {error}").reply())
