"""MongoDB's wire protocol: decode requests, encode replies.

Commands come as OP_MSG; the legacy OP_QUERY is accepted too, since drivers may send their first hello with it.
Layout of the messages: MongoDB manual, "MongoDB Wire Protocol".
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

MAX_MESSAGE_BYTES = 48_000_000
_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
_CHECKSUM, _MORE_TO_COME = 1, 2
_HEADER = struct.Struct("<iiii")
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


class BadMessageError(Exception):
    """Received bytes are no message of MongoDB's protocol, or the message is too large."""


@dataclass(frozen=True)
class Request:
    """A command as it was received."""

    number: int
    command: dict[str, Any]
    wants_reply: bool
    is_legacy: bool

    @property
    def name(self) -> str:
        """Name of the command."""
        return next(iter(self.command), "")

    @property
    def database(self) -> str:
        """Database that the command is for."""
        return str(self.command.get("$db", ""))


async def read_request(reader: asyncio.StreamReader, max_bytes: int, timeout_s: float) -> Request:
    """Wait for a message and return it.

    Parameters
    ----------
    max_bytes
        Largest message that is accepted.
    timeout_s
        Longest time between the first and the last byte of a message.

    Raises
    ------
    BadMessageError
        If it is not a message, or too large.
    EOFError, TimeoutError
        If the client has closed the connection, or stops in the middle of a message.
    """
    first = await reader.readexactly(1)
    async with asyncio.timeout(timeout_s):
        head = first + await reader.readexactly(_HEADER.size - 1)
        length, number, _, kind = _HEADER.unpack(head)
        if not _HEADER.size < length <= max_bytes:
            raise BadMessageError(f"a message of {length} bytes; at most {max_bytes} are taken")
        body = await reader.readexactly(length - _HEADER.size)
    try:
        return parse(number, kind, body)
    except (bson.errors.BSONError, struct.error, ValueError, IndexError, RecursionError) as error:
        raise BadMessageError(f"not a message of MongoDB's protocol: {type(error).__name__}") from error


def parse(number: int, kind: int, body: bytes) -> Request:
    """Return the command in the body of a message."""
    if kind == _OP_QUERY:
        return _parse_query(number, body)
    if kind != _OP_MSG:
        raise BadMessageError(f"a message of kind {kind}; only OP_MSG and OP_QUERY are known")
    (flags,) = struct.unpack_from("<I", body)
    if flags & 0xFFFF & ~(_CHECKSUM | _MORE_TO_COME):
        raise BadMessageError(f"unknown flags {flags:#x}")
    end = len(body) - (4 if flags & _CHECKSUM else 0)
    command: dict[str, Any] = {}
    sequences: dict[str, list[dict[str, Any]]] = {}
    position = 4
    while position < end:
        section, position = body[position], position + 1
        (size,) = struct.unpack_from("<i", body, position)
        if size < 5 or position + size > end:
            raise BadMessageError("a section longer than its message")
        content, position = body[position : position + size], position + size
        if section == 0:
            command = bson.decode(content, CODEC)
        elif section == 1:
            name, _, documents = content[4:].partition(b"\0")
            sequences[name.decode()] = bson.decode_all(documents, CODEC)
        else:
            raise BadMessageError(f"unknown section {section}")
    if not command:
        raise BadMessageError("no command")
    return Request(number, {**command, **sequences}, not flags & _MORE_TO_COME, is_legacy=False)


def _parse_query(number: int, body: bytes) -> Request:
    name, _, rest = body[4:].partition(b"\0")
    database, _, collection = name.decode().partition(".")
    if collection != "$cmd":
        raise BadMessageError("OP_QUERY for something other than a command")
    command = bson.decode(rest[8:], CODEC)
    return Request(number, {**command, "$db": database}, wants_reply=True, is_legacy=True)


def encode_reply(request: Request, reply: dict[str, Any]) -> bytes:
    """Return the reply to ``request`` as a message."""
    document = bson.encode(reply)
    if request.is_legacy:
        kind, body = _OP_REPLY, struct.pack("<iqii", 8, 0, 0, 1) + document
    else:
        kind, body = _OP_MSG, struct.pack("<IB", 0, 0) + document
    return _HEADER.pack(_HEADER.size + len(body), 0, request.number, kind) + body
