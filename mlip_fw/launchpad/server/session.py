"""A client's connection, and the description of a command with the options that it supports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mlip_fw.launchpad.server.command_error import USE_MONGODB, CommandError, unsupported
from mlip_fw.launchpad.server.cursors import Cursors
from mlip_fw.launchpad.server.databases import Databases
from mlip_fw.launchpad.server.scram import Conversation, Keys
from mlip_fw.launchpad.server.wire_protocol import Request

Reply = dict[str, Any]
OK = {"ok": 1.0}

_IGNORED_OPTIONS = {
    *("$db", "lsid", "$clusterTime", "$readPreference", "readConcern", "writeConcern", "maxTimeMS", "comment"),
    *("apiVersion", "apiStrict", "apiDeprecationErrors", "hint", "allowDiskUse", "noCursorTimeout"),
    *("bypassDocumentValidation", "ordered", "batchSize", "singleBatch"),
}
"""Options that are accepted with every command: they ask for what is the case anyhow, or make no difference here."""


@dataclass
class Session:
    """One connection of one client."""

    store: Databases
    cursors: Cursors
    keys: Keys
    number: int
    conversation: Conversation | None = field(default=None)

    @property
    def is_authenticated(self) -> bool:
        """Whether the client has proven that it knows the password."""
        return self.conversation is not None and self.conversation.is_proven


@dataclass(frozen=True)
class Command:
    """A command: the function that runs it and the options that it supports."""

    answer: Callable[[Session, Request], Reply]
    options: frozenset[str]
    is_open: bool = False
    """Whether it is allowed before authentication."""


def refuse_options(command: Request, known: frozenset[str]) -> None:
    """Refuse options that are not supported: to ignore them would change the meaning of the command."""
    if command.command.get("txnNumber") is not None or command.command.get("startTransaction"):
        raise CommandError(20, f"transactions and retried writes are not supported: {USE_MONGODB}")
    for name, value in command.command.items():
        if name not in known and name not in _IGNORED_OPTIONS and value not in (None, False, {}, []):
            raise unsupported(f"{name!r} of the command {command.name}")
