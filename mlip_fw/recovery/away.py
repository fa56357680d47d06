"""Whether a launch fizzled because the database was away: by the class and the code of its last exception."""

from __future__ import annotations

import re

from pymongo import errors

_LAST = re.compile(r"(?:pymongo\.errors\.)?(\w+)(?::|$)")
_CODE = re.compile(r"'code': (\d+)")
_TRANSIENT = (errors.ConnectionFailure, errors.ExecutionTimeout, errors.WTimeoutError)
"""The first is the parent of AutoReconnect, NetworkTimeout, NotPrimaryError, ServerSelectionTimeoutError and others."""
_CODES = frozenset(
    {
        *(6, 7, 89, 91, 134, 189, 262, 9001),  # no way to the server, or it shuts down or steps down
        *(10058, 10107, 11600, 11602, 13435, 13436),  # it is no primary, or interrupted
    }
)
"""Errors that a retry gets past: MongoDB's specification "Retryable Writes", list of RetryableWriteError."""


def says_away(last_line: str) -> bool:
    """Return whether the last line of a traceback is one of pymongo's errors that pass when the database is back."""
    named = _LAST.match(last_line)
    kind = getattr(errors, named[1], None) if named else None
    if not isinstance(kind, type) or not issubclass(kind, errors.PyMongoError):
        return False
    code = _CODE.search(last_line)
    return issubclass(kind, _TRANSIENT) or (code is not None and int(code[1]) in _CODES)
