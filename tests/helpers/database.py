"""The other side of the LaunchPad server: bytes of messages, a client that proves itself, and one that talks."""

import hashlib
import hmac
import struct
from base64 import b64decode, b64encode

import bson

from mlip_fw.launchpad.server.cursors import Cursors
from mlip_fw.launchpad.server.databases import Databases
from mlip_fw.launchpad.server.scram import Keys
from mlip_fw.launchpad.server.session import Session
from mlip_fw.launchpad.server.sqlite_file import SqliteFile
from mlip_fw.launchpad.server.tcp_server import run_command
from mlip_fw.launchpad.server.wire_protocol import CODEC, Request, encode_reply

SECRET = "correct horse"
OP_QUERY, OP_MSG = 2004, 2013


class ScramClient:
    """The other half, written from RFC 5802."""

    def __init__(self, secret=SECRET, user="mlip_fw"):
        self.secret = secret
        self.bare = f"n={user},r=clientnonce".encode()
        self.first = b"n,," + self.bare

    def final(self, answer, nonce=None, binding=b"biws"):
        fields = dict(part.split(b"=", 1) for part in answer.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", self.secret.encode(), b64decode(fields[b"s"]), int(fields[b"i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        unproven = b"c=" + binding + b",r=" + (nonce or fields[b"r"])
        self.signed = b",".join([self.bare, answer, unproven])
        signature = hmac.digest(hashlib.sha256(key).digest(), self.signed, "sha256")
        self.expected = b"v=" + b64encode(
            hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), self.signed, "sha256")
        )
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        return unproven + b",p=" + b64encode(proof)


def op_msg(command, *sections, flags=0):
    """Return the body of an OP_MSG."""
    return struct.pack("<IB", flags, 0) + bson.encode(command) + b"".join(sections)


def message(body, kind=OP_MSG):
    """Return a message with its header."""
    return struct.pack("<iiii", 16 + len(body), 7, 0, kind) + body


class Proven:
    """A conversation at its end."""

    is_proven = True


class Talk:
    """A client that has proven itself."""

    def __init__(self, path):
        self.session = Session(Databases(SqliteFile.open(path)), Cursors(), Keys("x"), 1, Proven())

    def __call__(self, command, database="t"):
        request = Request(1, bson.decode(bson.encode({**command, "$db": database}), CODEC), True, False)
        return bson.decode(encode_reply(request, run_command(self.session, request))[21:], CODEC)

    def refused(self, code, command, database="t"):
        reply = self(command, database)
        assert (reply["ok"], reply.get("code")) == (0.0, code), reply
        return reply["errmsg"]

    def insert(self, *documents, into="a"):
        reply = self({"insert": into, "documents": list(documents)})
        assert (reply["n"], reply["ok"]) == (len(documents), 1.0), reply

    def find(self, query=None, **options):
        return self({"find": "a", "filter": query or {}, **options})["cursor"]["firstBatch"]

    def ids(self, query=None, **options):
        return [document["_id"] for document in self.find(query, **options)]

    def update(self, query, change, **options):
        return self({"update": "a", "updates": [{"q": query, "u": change, **options}]})

    def aggregate(self, *stages, of="a"):
        return self({"aggregate": of, "pipeline": list(stages), "cursor": {}})["cursor"]["firstBatch"]
