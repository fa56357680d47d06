"""What errors of MongoDB's driver mean: every class that pymongo and gridfs have, every way a server says no."""

import inspect

import gridfs.errors
import pymongo.errors
import pytest
from pymongo.common import MIN_SUPPORTED_SERVER_VERSION
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    EncryptionError,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WTimeoutError,
)
from pymongo.helpers_shared import _NOT_PRIMARY_CODES, _RETRYABLE_ERROR_CODES, _check_command_response

from mlip_fw.launchpad.advice import explain
from mlip_fw.launchpad.driver_errors import ErrorKind, classify, classify_text

AWAY = {
    *("ConnectionFailure", "AutoReconnect", "NetworkTimeout", "NotPrimaryError", "ServerSelectionTimeoutError"),
    *("WaitQueueTimeoutError", "_OperationCancelled", "_PoolClosedError", "ExecutionTimeout", "WTimeoutError"),
    "CursorNotFound",
}
SETTINGS = {"ConfigurationError", "InvalidURI"}
MADE = {
    "BulkWriteError": lambda kind: kind({"writeErrors": []}),
    "ClientBulkWriteException": lambda kind: kind({"writeErrors": []}, verbose=False),
    "EncryptionError": lambda kind: kind(ValueError("x")),
    "EncryptedCollectionError": lambda kind: kind(ValueError("x"), {}),
}
KINDS = {
    kind.__name__: kind
    for module in (pymongo.errors, gridfs.errors)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, PyMongoError)
}


@pytest.mark.parametrize("name", KINDS)
def test_every_class_of_pymongo(name):
    error = MADE.get(name, lambda kind: kind("said"))(KINDS[name])
    expected = ErrorKind.AWAY if name in AWAY else ErrorKind.SETTINGS if name in SETTINGS else ErrorKind.OTHER
    assert classify(error) is expected
    stored = f"{KINDS[name].__module__}.{name}: said"
    if KINDS[name].__module__ == "pymongo.errors":
        assert classify_text(stored) is expected, "FireWorks stores the last line of a traceback"


def replied(code, message="no", **more):
    """Return what pymongo raises when a server replies so."""
    with pytest.raises(PyMongoError) as caught:
        _check_command_response({"ok": 0.0, "errmsg": message, "code": code, **more}, None)
    return caught.value


@pytest.mark.parametrize("code", sorted(_RETRYABLE_ERROR_CODES | _NOT_PRIMARY_CODES | {43, 50, 202, 237}))
def test_what_passes_is_waited_for(code):
    error = replied(code)
    assert classify(error) is ErrorKind.AWAY
    assert classify_text(f"{type(error).__module__}.{type(error).__name__}: {error}") is ErrorKind.AWAY


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (18, "Authentication failed.", ErrorKind.WRONG_PASSWORD),
        (11, 'Could not find user "CN=farm" for db "$external"', ErrorKind.WRONG_PASSWORD),
        (8000, "bad auth : authentication failed", ErrorKind.WRONG_PASSWORD),
        (13, 'not authorized on copper to execute command { find: "workflows" }', ErrorKind.MISSING_ROLE),
        (13, "Command find requires authentication", ErrorKind.NO_USER),
        (8000, "user is not allowed to do action [find] on [copper.workflows]", ErrorKind.MISSING_ROLE),
        (8000, "you are over your space quota", ErrorKind.OTHER),
        (2, "unknown operator: $x", ErrorKind.BAD_QUERY),
        (9, "Failed to parse", ErrorKind.BAD_QUERY),
        (59, "no such command: 'find'", ErrorKind.BAD_QUERY),
        (40324, "Unrecognized pipeline stage name: '$x'", ErrorKind.BAD_QUERY),
        (14031, "no space left", ErrorKind.OTHER),
        (11000, "E11000 duplicate key", ErrorKind.OTHER),
        (8, "unknown", ErrorKind.OTHER),
        (None, "no code", ErrorKind.OTHER),
    ],
)
def test_what_a_server_replies(code, message, expected):
    error = replied(code, message)
    assert classify(error) is expected
    assert classify_text(f"pymongo.errors.{type(error).__name__}: {error}") is expected


@pytest.mark.parametrize("label", ["RetryableWriteError", "TransientTransactionError", "RetryableError"])
def test_labels_say_that_it_passes(label):
    error = replied(8, errorLabels=[label])
    assert classify(error) is ErrorKind.AWAY
    assert classify_text(f"pymongo.errors.OperationFailure: {error}") is ErrorKind.AWAY
    assert classify(PyMongoError("x", [label])) is ErrorKind.AWAY


def test_inside_of_a_bulk_write():
    assert classify(BulkWriteError({"writeErrors": [{"code": 11600, "errmsg": "x"}]})) is ErrorKind.AWAY
    assert classify(BulkWriteError({"writeConcernErrors": [{"code": 91, "errmsg": "x"}]})) is ErrorKind.AWAY
    assert (
        classify(BulkWriteError({"writeErrors": [{"code": 13, "errmsg": "not authorized"}]})) is ErrorKind.MISSING_ROLE
    )
    assert classify(BulkWriteError({"writeErrors": [{"code": 11000, "errmsg": "x"}]})) is ErrorKind.OTHER
    assert classify(WriteConcernError("x", 64)) is ErrorKind.AWAY
    assert classify(EncryptionError(AutoReconnect("x"))) is ErrorKind.AWAY


@pytest.mark.parametrize("line", ["", "ValueError: AutoReconnect", "AutoReconnector: x", "os.error: NetworkTimeout:"])
def test_other_errors_are_none_of_pymongos(line):
    assert classify_text(line) is ErrorKind.OTHER
    assert classify(ValueError("AutoReconnect")) is ErrorKind.OTHER


class Pad:
    """What a sentence takes from a LaunchPad."""

    def __init__(self, host="db1.example.org", username="farm", password="s3cret", **more):
        self.host, self.username, self.password, self.name = host, username, password, "copper"
        self.authsource, self.uri_mode = more.pop("authsource", "copper"), "://" in host
        self.mongoclient_kwargs = more


SENTENCES = [
    (
        replied(18, "Authentication failed."),
        Pad(),
        "authentication failed for user farm at db1.example.org (authentication database: copper): check user name, "
        "password and authsource in my_launchpad.yaml",
    ),
    (
        replied(8000, "bad auth"),
        Pad("mongodb+srv://db.example.net/?authSource=admin", username=None, password=None),
        "the LaunchPad database at mongodb+srv://db.example.net/ reports an error: bad auth (code 8000)",
    ),
    (
        replied(13, 'not authorized on copper to execute command { find: "workflows", filter: {} }'),
        Pad(username="watcher"),
        "user watcher may not read the collection workflows (find): it needs the role read on the database copper at "
        "db1.example.org; see docs/how-to/mongodb-in-production.md#users-and-roles",
    ),
    (
        replied(8000, "user is not allowed to do action [update] on [copper.filepad_gfs.files]"),
        Pad(username="watcher"),
        "user watcher may not write to the collection filepad_gfs.files (update): it needs the role readWrite on the "
        "database copper at db1.example.org; see docs/how-to/mongodb-in-production.md#users-and-roles",
    ),
    (
        replied(13, "Command find requires authentication"),
        Pad(username=None, password=None),
        "the LaunchPad database at db1.example.org requires a user: set username and password in my_launchpad.yaml",
    ),
    (
        replied(18, "Authentication failed."),
        Pad(username=None, password=None, authsource="$external", authMechanism="MONGODB-X509"),
        "authentication failed for the user of the certificate at db1.example.org (authentication database: "
        "$external): check user name, password and authsource in my_launchpad.yaml",
    ),
    (
        ServerSelectionTimeoutError("db1:27017: timed out (configured timeouts: x), Timeout: 4s, Topology …"),
        Pad("mongodb://farm:s3cret@db1:27017/?x=y", username="other"),
        "the LaunchPad database at db1:27017/ does not answer: db1:27017: timed out; check that MongoDB runs, and host "
        "and port in my_launchpad.yaml",
    ),
    (
        replied(2, "unknown operator: $x s3cret"),
        Pad(),
        "the LaunchPad database at db1.example.org refused a query: unknown operator: $x … (code 2); mlip_fw needs "
        f"MongoDB {MIN_SUPPORTED_SERVER_VERSION} or newer; with such a server, please report this as a bug",
    ),
    (
        ConfigurationError("Server at db1:27017 reports wire version 8, but this version requires at least 9"),
        Pad(),
        "can't connect to the LaunchPad database at db1.example.org: Server at db1:27017 reports wire version 8, but "
        "this version requires at least 9; check my_launchpad.yaml and the version of the server, see "
        "docs/how-to/mongodb-in-production.md",
    ),
]


def test_slow_is_not_absent():
    slow = [ExecutionTimeout("operation exceeded time limit", 50), NetworkTimeout("db1:27017: timed out")]
    for error in slow:
        assert "does not answer in time: " in explain(error, Pad())
        assert "is it busy, far away or without indexes?" in explain(error, Pad())
    assert "in time" not in explain(ServerSelectionTimeoutError("refused"), Pad())


@pytest.mark.parametrize(("error", "pad", "sentence"), SENTENCES)
def test_sentences(error, pad, sentence):
    assert explain(error, pad) == sentence
    assert "s3cret" not in explain(error, pad)


@pytest.mark.parametrize(
    ("host", "who", "source"),
    [
        ("mongodb://fa%40rm:s3cret%2F@db1,db2/copper?tls=true", "user fa@rm at db1,db2/copper", "copper"),
        ("mongodb://farm:s3cret@db1/?authSource=other", "user farm at db1/", "other"),
        ("mongodb+srv://farm:s3cret@cluster0.ab1cd.mongodb.net", "user farm at cluster0.ab1cd.mongodb.net", "admin"),
    ],
)
def test_user_and_database_of_an_address(host, who, source):
    said = explain(replied(18, "s3cret/ failed"), Pad(host, username=None, password=None))
    assert said.startswith(f"authentication failed for {who} (authentication database: {source})")
    said = explain(replied(8, "s3cret/ and s3cret"), Pad("mongodb://a:s3cret%2F@h/", username=None, password="s3cret"))
    assert "s3cret" not in said


def test_in_public_the_words_of_the_driver_are_left_out():
    said = explain(AutoReconnect("db7.internal:27017 closed"), Pad(), in_public=True)
    assert said == (
        "the LaunchPad database at db1.example.org does not answer; check that MongoDB runs, and host and port in "
        "my_launchpad.yaml"
    )
    assert explain(AutoReconnect("x")).startswith("the LaunchPad database does not answer: x;")


def test_classes_that_wait_are_waited_for():
    waiting = [ExecutionTimeout("x", 50), WTimeoutError("x", 64), NotPrimaryError("x"), OperationFailure("x", 91)]
    assert {classify(error) for error in waiting} == {ErrorKind.AWAY}
