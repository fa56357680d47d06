"""Which errors of the database pass when it is back: by class and code, not by what a text mentions."""

import pytest

from mlip_fw.launchpad.driver_errors import ErrorKind, classify_text


@pytest.mark.parametrize(
    ("line", "is_away"),
    [
        *((f"pymongo.errors.{name}: db1:27017: x", True) for name in ("AutoReconnect", "NetworkTimeout")),
        *((f"pymongo.errors.{name}: x", True) for name in ("ServerSelectionTimeoutError", "ConnectionFailure")),
        *(
            (f"pymongo.errors.{name}: x", True)
            for name in ("NotPrimaryError", "WaitQueueTimeoutError", "WTimeoutError")
        ),
        ("pymongo.errors.ExecutionTimeout: operation exceeded time limit", True),
        ("pymongo.errors.AutoReconnect", True),
        ("AutoReconnect: connection closed", True),
        ("pymongo.errors.OperationFailure: interrupted, full error: {'ok': 0.0, 'code': 11600}", True),
        ("pymongo.errors.OperationFailure: not primary, full error: {'code': 10107, 'codeName': 'NotWritable'}", True),
        ("pymongo.errors.OperationFailure: Authentication failed., full error: {'code': 18}", False),
        ("pymongo.errors.OperationFailure: not authorized, full error: {'code': 13}", False),
        ("pymongo.errors.DuplicateKeyError: E11000 duplicate key, full error: {'code': 11000}", False),
        ("pymongo.errors.DocumentTooLarge: 17 MB", False),
        ("ValueError: ConnectionFailure: no", False),
        ("ValueError: AutoReconnect", False),
        ("mlip_fw.errors.OracleError: can't run pw.x", False),
        ("builtins.ConnectionError: refused", False),
        ("", False),
    ],
)
def test_by_class_and_code(line, is_away):
    assert (classify_text(line) is ErrorKind.AWAY) == is_away
