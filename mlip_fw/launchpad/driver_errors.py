"""Classification of the MongoDB driver's errors, by class, code and labels rather than by message.

Codes are those of MongoDB's ``error_codes.yml``; which of them are temporary follows from MongoDB's specifications of
server discovery and of retryable reads and writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import pymongo.errors
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    CursorNotFound,
    EncryptionError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

_AWAY = frozenset(
    {
        *(6, 7, 89, 9001),  # HostUnreachable, HostNotFound, NetworkTimeout, SocketException
        *(91, 11600),  # ShutdownInProgress, InterruptedAtShutdown
        *(189, 10058, 10107, 11602, 13435, 13436),  # not primary, or recovering
        *(50, 64, 134, 202, 262, 290),  # a time limit: of the query, of the write concern, of the server
        *(43, 133, 237, 462),  # CursorNotFound, no primary of a shard, CursorKilled, overloaded
    }
)
_AWAY_LABELS = (
    *("RetryableWriteError", "TransientTransactionError", "UnknownTransactionCommitResult"),
    *("RetryableError", "SystemOverloadedError"),
)
_WRONG_PASSWORD = frozenset({11, 18, 334})
"""UserNotFound, AuthenticationFailed, MechanismUnavailable."""
_UNAUTHORIZED, _ATLAS = 13, 8000
_BAD_QUERY = frozenset({2, 9, 14, 40, 52, 57, 59, 72, 73, 115, 168, 238, 291, 322, 323})
"""BadValue, FailedToParse, TypeMismatch and others that the same query always gets."""
_NOT_THE_QUERY = frozenset({10334, 11000, 11001, 12582, 13388, 14031, 17280})
"""Codes above 10000 are errors of MongoDB's query parser, except for these."""
_MIN_PARSER_CODE = 10000
_APPENDED = (", Timeout: ", ", full error: ", " (configured timeouts", ", Topology Description: ")
_NO_USER = re.compile(r"requires authentication|auth required|not logged in", re.IGNORECASE)


class ErrorKind(StrEnum):
    """Why a request to a LaunchPad's database failed."""

    AWAY = "no answer"
    """Server or network are unavailable at the moment: a later retry will work."""
    WRONG_PASSWORD = "wrong password"
    NO_USER = "no user"
    """The server requires a user, and none is configured."""
    MISSING_ROLE = "missing role"
    BAD_QUERY = "bad query"
    SETTINGS = "settings"
    """The connection settings or the version of the server don't fit."""
    OTHER = "other"


STOPS_EVERYTHING = frozenset({ErrorKind.AWAY, ErrorKind.WRONG_PASSWORD, ErrorKind.NO_USER, ErrorKind.MISSING_ROLE})
"""Kinds that every other request would get, too."""


def classify(error: BaseException) -> ErrorKind:
    """Return the kind of an error; :attr:`ErrorKind.OTHER` if it is not one of pymongo.

    Examples
    --------
    >>> from pymongo.errors import AutoReconnect
    >>> classify(AutoReconnect("db1:27017: connection closed"))
    <ErrorKind.AWAY: 'no answer'>
    >>> classify(OperationFailure("Authentication failed.", 18))
    <ErrorKind.WRONG_PASSWORD: 'wrong password'>
    """
    if isinstance(error, EncryptionError):
        return classify(error.cause)
    if not isinstance(error, PyMongoError):
        return ErrorKind.OTHER
    if isinstance(error, ConnectionFailure | CursorNotFound) or error.timeout:
        return ErrorKind.AWAY
    if any(error.has_error_label(label) for label in _AWAY_LABELS):
        return ErrorKind.AWAY
    if isinstance(error, ConfigurationError):
        return ErrorKind.SETTINGS
    if isinstance(error, OperationFailure):
        return _of_codes([(error.code, short_message(error)), *_inner(error.details)])
    return ErrorKind.OTHER


def is_slow(error: BaseException) -> bool:
    """Return whether a server was found but answered too slowly."""
    return isinstance(error, PyMongoError) and error.timeout and not isinstance(error, ServerSelectionTimeoutError)


def classify_text(line: str) -> ErrorKind:
    """Return the kind of an error from the last line of its traceback, which is all that FireWorks stores.

    Examples
    --------
    >>> classify_text("pymongo.errors.NotPrimaryError: not primary, full error: {'code': 10107}")
    <ErrorKind.AWAY: 'no answer'>
    """
    name = re.match(r"(?:[\w.]*\.)?(\w+)(?::|$)", line.strip())
    kind = getattr(pymongo.errors, name[1], None) if name else None
    if not (isinstance(kind, type) and issubclass(kind, PyMongoError)):
        return ErrorKind.OTHER
    if issubclass(kind, ConnectionFailure | CursorNotFound | pymongo.errors.ExecutionTimeout):
        return ErrorKind.AWAY
    if issubclass(kind, pymongo.errors.WTimeoutError) or any(f"'{label}'" in line for label in _AWAY_LABELS):
        return ErrorKind.AWAY
    if issubclass(kind, ConfigurationError):
        return ErrorKind.SETTINGS
    return _of_codes([(int(code), line) for code in re.findall(r"'code': (\d+)", line)])


def short_message(error: BaseException) -> str:
    """Return the message of an error without what the driver appends: settings, topology, the whole reply.

    Examples
    --------
    >>> short_message(OperationFailure("unknown operator: $x", 2, {"ok": 0.0}))
    'unknown operator: $x'
    """
    message = " ".join(str(error).split())
    for appended in _APPENDED:
        message = message.split(appended)[0]
    return message.rstrip(" .;") or type(error).__name__


def _of_codes(found: Iterable[tuple[int | None, str]]) -> ErrorKind:
    """Return the kind of an error with several codes; temporary ones have precedence."""
    kinds = [_of_code(code, message) for code, message in found]
    known = [kind for kind in ErrorKind if kind in kinds]
    return known[0] if known else ErrorKind.OTHER


def _of_code(code: int | None, message: str) -> ErrorKind:
    if code in _AWAY:
        return ErrorKind.AWAY
    if code in _WRONG_PASSWORD:
        return ErrorKind.WRONG_PASSWORD
    if code == _UNAUTHORIZED:
        return ErrorKind.NO_USER if _NO_USER.search(message) else ErrorKind.MISSING_ROLE
    if code == _ATLAS:
        return _of_atlas(message)
    if code in _BAD_QUERY or (code is not None and code >= _MIN_PARSER_CODE and code not in _NOT_THE_QUERY):
        return ErrorKind.BAD_QUERY
    return ErrorKind.OTHER


def _of_atlas(message: str) -> ErrorKind:
    """Return the kind of an error of MongoDB Atlas, which uses one code for all its own refusals."""
    if "auth" in message.lower() and "fail" in message.lower():
        return ErrorKind.WRONG_PASSWORD
    return ErrorKind.MISSING_ROLE if "not allowed to do action" in message else ErrorKind.OTHER


def _inner(details: Mapping[str, Any] | None) -> Iterator[tuple[int | None, str]]:
    """Yield codes and messages of the failed writes inside a bulk command."""
    for key in ("writeErrors", "writeConcernErrors"):
        for one in (details or {}).get(key) or ():
            if isinstance(one, Mapping):
                yield one.get("code"), str(one.get("errmsg", ""))
    concern = (details or {}).get("writeConcernError")
    if isinstance(concern, Mapping):
        yield concern.get("code"), str(concern.get("errmsg", ""))
