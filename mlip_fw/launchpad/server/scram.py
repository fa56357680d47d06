"""SCRAM-SHA-256 for one user: the server's half of RFC 5802 and RFC 7677.

The password is never sent: the client proves that it knows it, and so does the server in return.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode

from mlip_fw.launchpad.server import USER
from mlip_fw.launchpad.server.command_error import CommandError

MECHANISM = "SCRAM-SHA-256"
# the fewest that drivers accept; more would not help, as 32 random bytes can't be guessed
_ROUNDS = 4096


class Keys:
    """The keys that the server derives from the password, with a random salt."""

    def __init__(self, secret: str) -> None:
        self.salt = secrets.token_bytes(16)
        salted = hashlib.pbkdf2_hmac("sha256", secret.encode(), self.salt, _ROUNDS)
        self.stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
        self.server = _hmac(salted, b"Server Key")


class Conversation:
    """One authentication attempt of one client."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._messages: list[bytes] = []
        self._header = self._nonce = self._user = b""
        self.is_proven = False
        """Whether the client has proven that it knows the password."""

    def start(self, payload: bytes) -> bytes:
        """Return the reply to the client's first message: nonce, salt and number of rounds."""
        header, _, bare = payload.partition(b",,")
        fields = _fields(bare)
        if header not in (b"n", b"y") or not fields.get(b"r"):
            raise CommandError(18, "Authentication failed: the first message of SCRAM-SHA-256 was expected")
        self._user = fields.get(b"n", b"").replace(b"=2C", b",").replace(b"=3D", b"=")
        self._header = header + b",,"
        self._nonce = fields[b"r"] + b64encode(secrets.token_bytes(24))
        first = b"r=%s,s=%s,i=%d" % (self._nonce, b64encode(self._keys.salt), _ROUNDS)
        self._messages = [bare, first]
        return first

    def prove(self, payload: bytes) -> bytes:
        """Check the client's proof and return the server's.

        Raises
        ------
        RefusedError
            With code 18 if user or password is wrong.
        """
        unproven, _, _ = payload.rpartition(b",p=")
        fields = _fields(payload)
        signature = _hmac(self._keys.stored, b",".join([*self._messages, unproven]))
        try:
            proof = b64decode(fields.get(b"p", b""), validate=True)
            channel = b64decode(fields.get(b"c", b""), validate=True)
        except ValueError:
            proof = channel = b""
        key = bytes(a ^ b for a, b in zip(proof, signature, strict=False))
        agrees = [
            hmac.compare_digest(hashlib.sha256(key).digest(), self._keys.stored),
            hmac.compare_digest(self._user, USER.encode()),
            hmac.compare_digest(fields.get(b"r", b""), self._nonce),
            channel == self._header,
        ]
        if not self._messages or not all(agrees):
            raise CommandError(18, "Authentication failed: wrong username or password")
        self.is_proven = True
        return b"v=" + b64encode(_hmac(self._keys.server, b",".join([*self._messages, unproven])))


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _fields(message: bytes) -> dict[bytes, bytes]:
    return {part[:1]: part[2:] for part in message.split(b",") if part[1:2] == b"="}
