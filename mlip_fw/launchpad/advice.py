"""Advice on database errors: one sentence on what is wrong and what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from pymongo.common import MIN_SUPPORTED_SERVER_VERSION

from mlip_fw.io.addresses import without_credentials
from mlip_fw.launchpad.driver_errors import ErrorKind, classify, is_slow, short_message

if TYPE_CHECKING:
    from fireworks import LaunchPad

HOW_TO = "docs/how-to/mongodb-in-production.md"
_READS = {"find", "aggregate", "count", "distinct", "getMore", "killCursors", "listIndexes", "listCollections"}
_REFUSED = (
    re.compile(r"not authorized on \S+ to execute command \{\s*(\w+):\s*\"?([^\",}\s]+)"),
    re.compile(r"not allowed to do action \[(\w+)\] on \[[^.\]]*\.?([^\]]*)\]"),
)
_ADDRESS = re.compile(r"mongodb(?:\+srv)?://(?:([^:@/?]*)(?::([^@]*))?@)?[^/?]*/?([^?]*)")
"""User, password and database of a MongoDB URI."""
_AUTHSOURCE = re.compile(r"[?&]authSource=([^&]+)", re.IGNORECASE)


def explain(error: BaseException, pad: LaunchPad | None = None, *, in_public: bool = False) -> str:
    """Return one sentence on what is wrong with a LaunchPad's database and what to do; it contains no password.

    Parameters
    ----------
    error
        The error that a request raised.
    pad
        The LaunchPad, if it is known.
    in_public
        Leave out the message of the server or driver, which may reveal more of the site than a web page should.
    """
    access, trouble = _access(pad), classify(error)
    database = f"the LaunchPad database{access.at}"
    words = "" if in_public else f": {access.without_secrets(short_message(error))}{_code(error)}"
    if trouble is ErrorKind.AWAY and is_slow(error):
        return (
            f"{database} does not answer in time{words}; is it busy, far away or without indexes? See {HOW_TO}#indexes"
        )
    if trouble is ErrorKind.AWAY:
        return f"{database} does not answer{words}; check that MongoDB runs, and host and port in my_launchpad.yaml"
    if trouble is ErrorKind.WRONG_PASSWORD:
        return (
            f"authentication failed for {access.who}{access.at}{access.against}: check user name, password and "
            "authsource in my_launchpad.yaml"
        )
    if trouble is ErrorKind.NO_USER or (trouble is ErrorKind.MISSING_ROLE and access.is_nobody):
        return f"{database} requires a user: set username and password in my_launchpad.yaml"
    if trouble is ErrorKind.MISSING_ROLE:
        return f"{access.who} {_may_not(str(error), access.database)}{access.at}; see {HOW_TO}#users-and-roles"
    if trouble is ErrorKind.BAD_QUERY:
        return (
            f"{database} refused a query{words}; mlip_fw needs MongoDB {MIN_SUPPORTED_SERVER_VERSION} or newer; with "
            "such a server, please report this as a bug"
        )
    if trouble is ErrorKind.SETTINGS:
        return (
            f"can't connect to {database}{words}; check my_launchpad.yaml and the version of the server, see {HOW_TO}"
        )
    return f"{database} reports an error{words}"


@dataclass(frozen=True)
class _Access:
    """User, database and secrets of a LaunchPad's connection."""

    at: str = ""
    """`` at HOST``; empty if the LaunchPad is unknown."""
    who: str = "the user of my_launchpad.yaml"
    database: str = "the database"
    against: str = ""
    is_nobody: bool = False
    secrets: tuple[str, ...] = ()

    def without_secrets(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "…")
        return text


def _access(pad: LaunchPad | None) -> _Access:
    if pad is None:
        return _Access()
    host, options = pad.host or "", {key.lower(): value for key, value in (pad.mongoclient_kwargs or {}).items()}
    in_address, named_source = _ADDRESS.match(host), _AUTHSOURCE.search(host)
    name, secret, database = map(_unquoted, in_address.groups()) if in_address else ("", "", "")
    user = options.get("username") or name if pad.uri_mode else pad.username or options.get("username")
    source = options.get("authsource") or (named_source[1] if named_source else database or "admin")
    has_certificate = "x509" in f"{options.get('authmechanism')} {host}".lower()
    return _Access(
        at=f" at {without_credentials(host)}",
        who=f"user {user}" if user else "the user of the certificate",
        database=f"the database {pad.name}",
        against=f" (authentication database: {source if pad.uri_mode else pad.authsource})",
        is_nobody=not user and not has_certificate,
        secrets=_texts(pad.password, options.get("password"), secret, in_address and in_address[2]),
    )


def _unquoted(part: str | None) -> str:
    return unquote_plus(part or "")


def _texts(*values: Any) -> tuple[str, ...]:
    return tuple(str(value) for value in values if value)


def _may_not(text: str, database: str) -> str:
    """Return which action was refused and which role is missing, from the server's message."""
    refused = next((found for pattern in _REFUSED if (found := pattern.search(text))), None)
    action, collection = refused.groups() if refused else ("", "")
    reads = action in _READS
    what = f"{'read' if reads else 'write to'} the collection {collection} ({action})" if collection else "do this"
    return f"may not {what}: it needs the role {'read' if reads else 'readWrite'} on {database}"


def _code(error: BaseException) -> str:
    code = getattr(error, "code", None)
    return "" if code is None else f" (code {code})"
