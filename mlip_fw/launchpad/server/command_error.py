"""Errors of commands, with MongoDB's codes and messages."""

from __future__ import annotations

from typing import Any

_HERE = "this is mlip-fw's LaunchPad server for one machine"
USE_MONGODB = f"{_HERE}; a MongoDB has it"
MONGODB_MAY_KNOW = f"{_HERE}; a MongoDB may know it"

# MongoDB's src/mongo/base/error_codes.yml; others are called Location<code>
_NAMES = {
    2: "BadValue",
    8: "UnknownError",
    9: "FailedToParse",
    13: "Unauthorized",
    14: "TypeMismatch",
    15: "Overflow",
    17: "ProtocolError",
    18: "AuthenticationFailed",
    20: "IllegalOperation",
    26: "NamespaceNotFound",
    27: "IndexNotFound",
    28: "PathNotViable",
    40: "ConflictingUpdateOperators",
    43: "CursorNotFound",
    48: "NamespaceExists",
    52: "DollarPrefixedFieldName",
    53: "InvalidIdField",
    56: "EmptyFieldName",
    59: "CommandNotFound",
    66: "ImmutableField",
    67: "CannotCreateIndex",
    73: "InvalidNamespace",
    85: "IndexOptionsConflict",
    86: "IndexKeySpecsConflict",
    115: "CommandNotSupported",
    10334: "BSONObjectTooLarge",
    11000: "DuplicateKey",
    14031: "OutOfDiskSpace",
}


class CommandError(Exception):
    """A command or statement failed: a reply with ``ok: 0``, or one entry of ``writeErrors``."""

    def __init__(self, code: int, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.details = details
        """Further fields of the reply, such as ``keyValue``."""

    def reply(self) -> dict[str, Any]:
        """Return the reply to a command that failed as a whole."""
        return {
            "ok": 0.0,
            "errmsg": str(self),
            "code": self.code,
            "codeName": _NAMES.get(self.code, f"Location{self.code}"),
            **self.details,
        }

    def write_error(self, index: int) -> dict[str, Any]:
        """Return the entry of ``writeErrors`` for the statement ``index``."""
        return {"index": index, "code": self.code, "errmsg": str(self), **self.details}


def unsupported(what: str) -> CommandError:
    """Return the error for a feature that only MongoDB has."""
    return CommandError(115, f"{what} is not supported: {USE_MONGODB}")
