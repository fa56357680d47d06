"""Connection commands: hello, authentication, server information."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlip_fw.launchpad.server import USER
from mlip_fw.launchpad.server.command_error import CommandError
from mlip_fw.launchpad.server.databases import MAX_DOCUMENT_BYTES
from mlip_fw.launchpad.server.scram import MECHANISM, Conversation
from mlip_fw.launchpad.server.session import OK, Command, Reply, Session
from mlip_fw.launchpad.server.wire_protocol import MAX_MESSAGE_BYTES, Request

# the MongoDB release whose protocol is spoken; commands of newer ones are refused by name
_VERSION, _WIRE_VERSION = (7, 0, 0), 21
_MAX_WRITES = 100_000


def _hello(session: Session, request: Request) -> Reply:
    """Describe the server: standalone and without sessions, so drivers retry no writes."""
    reply: dict[str, Any] = {
        "helloOk": True,
        "isWritablePrimary": True,
        "ismaster": True,
        "maxBsonObjectSize": MAX_DOCUMENT_BYTES,
        "maxMessageSizeBytes": MAX_MESSAGE_BYTES,
        "maxWriteBatchSize": _MAX_WRITES,
        "localTime": datetime.now(UTC),
        "connectionId": session.number,
        "minWireVersion": 0,
        "maxWireVersion": _WIRE_VERSION,
        "readOnly": False,
    }
    if request.command.get("saslSupportedMechs"):
        reply["saslSupportedMechs"] = [MECHANISM]
    return {**reply, **OK}


def _sasl_start(session: Session, request: Request) -> Reply:
    mechanism = request.command.get("mechanism")
    if mechanism != MECHANISM:
        raise CommandError(18, f"Authentication failed: {MECHANISM} is the only mechanism here, not {mechanism}")
    session.conversation = Conversation(session.keys)
    payload = session.conversation.start(_payload(request))
    return {"conversationId": 1, "done": False, "payload": payload, **OK}


def _sasl_continue(session: Session, request: Request) -> Reply:
    if session.conversation is None:
        raise CommandError(17, "No SASL session state found")
    if session.conversation.is_proven:
        return {"conversationId": 1, "done": True, "payload": b"", **OK}
    conversation, session.conversation = session.conversation, None
    payload = conversation.prove(_payload(request))
    session.conversation = conversation
    return {"conversationId": 1, "done": False, "payload": payload, **OK}


def _payload(request: Request) -> bytes:
    payload = request.command.get("payload")
    if not isinstance(payload, bytes):
        raise CommandError(18, "Authentication failed: no payload")
    return payload


def _ok(session: Session, request: Request) -> Reply:
    return dict(OK)


def _build_info(session: Session, request: Request) -> Reply:
    return {
        "version": ".".join(map(str, _VERSION)),
        "versionArray": [*_VERSION, 0],
        "gitVersion": "mlip_fw",
        "modules": [],
        "bits": 64,
        "maxBsonObjectSize": MAX_DOCUMENT_BYTES,
        **OK,
    }


def _connection_status(session: Session, request: Request) -> Reply:
    users = [{"user": USER, "db": "admin"}] if session.is_authenticated else []
    return {"authInfo": {"authenticatedUsers": users, "authenticatedUserRoles": []}, **OK}


def _logout(session: Session, request: Request) -> Reply:
    session.conversation = None
    return dict(OK)


_GREETING = Command(
    _hello,
    frozenset(
        {
            *("hello", "isMaster", "ismaster", "helloOk", "client", "compression", "saslSupportedMechs"),
            *("speculativeAuthenticate", "topologyVersion", "maxAwaitTimeMS", "loadBalanced", "backpressure"),
        }
    ),
    is_open=True,
)
COMMANDS = {
    "hello": _GREETING,
    "isMaster": _GREETING,
    "ismaster": _GREETING,
    "ping": Command(_ok, frozenset({"ping"}), is_open=True),
    "saslStart": Command(
        _sasl_start, frozenset({"saslStart", "mechanism", "payload", "options", "autoAuthorize"}), is_open=True
    ),
    "saslContinue": Command(_sasl_continue, frozenset({"saslContinue", "conversationId", "payload"}), is_open=True),
    "logout": Command(_logout, frozenset({"logout"})),
    "endSessions": Command(_ok, frozenset({"endSessions"})),
    "buildInfo": Command(_build_info, frozenset({"buildInfo"})),
    "buildinfo": Command(_build_info, frozenset({"buildinfo"})),
    "connectionStatus": Command(_connection_status, frozenset({"connectionStatus", "showPrivileges"})),
}
