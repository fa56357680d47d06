"""Messages: what is a command, and what is dropped."""

import asyncio
import struct

import bson
import pytest

from mlip_fw.launchpad.server.wire_protocol import BadMessageError, Request, encode_reply, parse, read_request
from tests.helpers.database import OP_MSG, OP_QUERY, message, op_msg


def sequence(name, documents):
    """Return a section of documents."""
    content = name.encode() + b"\0" + b"".join(map(bson.encode, documents))
    return b"\1" + struct.pack("<i", len(content) + 4) + content


def query(name):
    """Return the body of an OP_QUERY that asks for hello."""
    return struct.pack("<i", 0) + name.encode() + b"\0" + struct.pack("<ii", 0, -1) + bson.encode({"isMaster": 1})


def received(data, largest=1000, timeout_s=5.0):
    """Return what is read of the bytes that a client sent."""

    async def read():
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        if timeout_s > 1:
            reader.feed_eof()
        return await read_request(reader, largest, timeout_s)

    return asyncio.run(read())


def test_command_with_a_section_of_documents():
    request = received(message(op_msg({"insert": "a", "$db": "t"}, sequence("documents", [{"x": 1}, {"x": 2}]))))
    assert (request.name, request.database, request.number) == ("insert", "t", 7)
    assert request.command["documents"] == [{"x": 1}, {"x": 2}]
    assert request.wants_reply
    assert not request.is_legacy


def test_command_that_wants_no_reply():
    assert not parse(1, OP_MSG, op_msg({"insert": "a"}, flags=2)).wants_reply


def test_checksum_is_skipped():
    assert parse(1, OP_MSG, op_msg({"ping": 1}, b"sums", flags=1)).name == "ping"


def test_legacy_hello():
    body = query("admin.$cmd")
    request = parse(3, OP_QUERY, body)
    assert (request.name, request.database, request.is_legacy) == ("isMaster", "admin", True)
    reply = encode_reply(request, {"ok": 1.0})
    length, _, to, kind = struct.unpack_from("<iiii", reply)
    assert (length, to, kind) == (len(reply), 3, 1)
    assert bson.decode(reply[36:]) == {"ok": 1.0}


def test_reply():
    reply = encode_reply(Request(9, {"ping": 1}, True, False), {"ok": 1.0})
    length, _, to, kind = struct.unpack_from("<iiii", reply)
    assert (length, to, kind) == (len(reply), 9, OP_MSG)
    assert bson.decode(reply[21:]) == {"ok": 1.0}


NESTED = b"\x05\0\0\0\0"
for _ in range(5000):
    NESTED = struct.pack("<i", len(NESTED) + 8) + b"\x03a\0" + NESTED + b"\0"

BAD = {
    "too long": message(b"x" * 1000),
    "negative length": struct.pack("<iiii", -5, 1, 0, OP_MSG),
    "shorter than its header": struct.pack("<iiii", 12, 1, 0, OP_MSG),
    "compressed": message(op_msg({"ping": 1}), kind=2012),
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "unknown section": message(struct.pack("<IB", 0, 9) + bson.encode({"ping": 1})),
    "unknown flag": message(op_msg({"ping": 1}, flags=1 << 9)),
    "no command": message(op_msg({})),
    "section beyond the end": message(struct.pack("<IBi", 0, 0, 500) + b"\0" * 5),
    "section of nothing": message(struct.pack("<IBi", 0, 0, 0)),
    "section that goes back": message(struct.pack("<IBi", 0, 1, -1) + b"\0" * 20),
    "torn document": message(struct.pack("<IB", 0, 0) + b"\x0c\0\0\0\x10abc\0\1\0\0"),
    "no flags": message(b"\1"),
    "query of a collection": message(query("t.a"), kind=OP_QUERY),
    "name that is no text": message(op_msg({"insert": "a"}, b"\1" + struct.pack("<i", 7) + b"\xff\xfe\0")),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(BadMessageError):
        received(data)


def test_document_of_many_levels_is_refused_or_read():
    try:
        received(message(struct.pack("<IB", 0, 0) + NESTED), largest=1 << 20)
    except BadMessageError:
        pass
    assert received(message(op_msg({"ping": 1, "$db": "t"}))).name == "ping"


@pytest.mark.parametrize("size", [0, 1, 10, 16, 30])
def test_client_that_goes_away(size):
    with pytest.raises(EOFError):
        received(message(op_msg({"ping": 1}))[:size])


def test_client_that_stops_in_the_middle():
    with pytest.raises(TimeoutError):
        received(message(op_msg({"ping": 1}))[:-1], timeout_s=0.1)
