"""Read commands: find, aggregate, count, distinct, and cursors."""

from __future__ import annotations

import itertools
from typing import Any

from mongomock.filtering import NOTHING, iter_key_candidates

from mlip_fw.launchpad.server.aggregation import run_pipeline
from mlip_fw.launchpad.server.command_error import CommandError, unsupported
from mlip_fw.launchpad.server.selection import as_count, as_document, as_limit, encode_documents, select
from mlip_fw.launchpad.server.session import OK, Command, Reply, Session
from mlip_fw.launchpad.server.wire_protocol import Request


def _find(session: Session, request: Request) -> Reply:
    command, name = request.command, str(request.command["find"])
    query = as_document(command.get("filter"), "filter")
    skip = as_count(command.get("skip"), "skip")
    limit = as_count(command.get("limit"), "limit")
    found = select(
        session.store.find(request.database, name),
        query,
        as_document(command.get("sort"), "sort"),
        limit=skip + limit if limit else 0,
    )[skip:]
    documents = encode_documents(found, as_document(command.get("projection"), "projection"))
    return {**_cursor(session, request, name, documents, command.get("batchSize")), **OK}


def _aggregate(session: Session, request: Request) -> Reply:
    name = request.command["aggregate"]
    if not isinstance(name, str):
        raise unsupported("a pipeline without a collection, a change stream among them,")
    options = as_document(request.command.get("cursor"), "cursor")
    documents = run_pipeline(session.store, request.database, name, request.command.get("pipeline"))
    return {**_cursor(session, request, name, documents, options.get("batchSize")), **OK}


def _cursor(session: Session, request: Request, name: str, documents: list[bytes], batch: Any) -> Reply:
    size = None if batch is None else as_count(batch, "batchSize")
    single = bool(request.command.get("singleBatch"))
    return {"cursor": session.cursors.first(f"{request.database}.{name}", documents, size, single=single)}


def _get_more(session: Session, request: Request) -> Reply:
    command = request.command
    space = f"{request.database}.{command.get('collection')}"
    size = as_count(command.get("batchSize"), "batchSize")
    return {"cursor": session.cursors.more(int(command["getMore"]), space, size), **OK}


def _kill_cursors(session: Session, request: Request) -> Reply:
    gone, missing = session.cursors.kill(request.command.get("cursors") or [])
    return {"cursorsKilled": gone, "cursorsNotFound": missing, "cursorsAlive": [], "cursorsUnknown": [], **OK}


def _count(session: Session, request: Request) -> Reply:
    command = request.command
    query = as_document(command.get("query"), "query")
    collection = session.store.find(request.database, str(command["count"]))
    number = len(select(collection, query)) if query else len(collection)
    number = max(0, number - as_count(command.get("skip"), "skip"))
    limit = as_limit(command.get("limit"))
    return {"n": min(number, limit) if limit else number, **OK}


def _distinct(session: Session, request: Request) -> Reply:
    command, path = request.command, request.command.get("key")
    if not isinstance(path, str):
        raise CommandError(9, "the key of distinct is a name of a field")
    collection = session.store.find(request.database, str(command["distinct"]))
    found = select(collection, as_document(command.get("query"), "query"))
    values = itertools.chain.from_iterable(iter_key_candidates(path, stored.fields) for stored in found)
    different: list[Any] = []
    seen = set()
    for value in itertools.chain.from_iterable(v if isinstance(v, list) else [v] for v in values):
        key = (type(value), repr(value))
        if value is not NOTHING and key not in seen:
            seen.add(key)
            different.append(value)
    return {"values": different, **OK}


COMMANDS = {
    "find": Command(_find, frozenset({"find", "filter", "sort", "projection", "skip", "limit"})),
    "aggregate": Command(_aggregate, frozenset({"aggregate", "pipeline", "cursor"})),
    "getMore": Command(_get_more, frozenset({"getMore", "collection"})),
    "killCursors": Command(_kill_cursors, frozenset({"killCursors", "cursors"})),
    "count": Command(_count, frozenset({"count", "query", "skip", "limit", "fields"})),
    "distinct": Command(_distinct, frozenset({"distinct", "key", "query"})),
}
