"""Write commands: insert, update, delete, findAndModify; each is one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from mlip_fw.launchpad.server.collection import Collection, Fields, Stored
from mlip_fw.launchpad.server.command_error import CommandError, unsupported
from mlip_fw.launchpad.server.databases import Databases
from mlip_fw.launchpad.server.document_limits import require_storable
from mlip_fw.launchpad.server.projection import parse_projection
from mlip_fw.launchpad.server.selection import as_document, encode_documents, select
from mlip_fw.launchpad.server.session import OK, Command, Reply, Session
from mlip_fw.launchpad.server.updates import apply_update, build_upsert, check_update
from mlip_fw.launchpad.server.wire_protocol import Request

_MANY, _ONE = 0, 1


def _each(session: Session, request: Request, statements: Any, write: Callable[[int, Fields], None]) -> Reply:
    """Execute the statements of a command; a failed one is reported, and ends the command if it is ordered."""
    if not isinstance(statements, list) or not all(isinstance(statement, dict) for statement in statements):
        raise CommandError(9, f"the command {request.name} has a list of documents")
    failures = []
    with session.store.transaction():
        for index, statement in enumerate(statements):
            try:
                write(index, statement)
            except CommandError as refusal:
                failures.append(refusal.write_error(index))
                if request.command.get("ordered", True):
                    break
    return {"writeErrors": failures} if failures else {}


def _insert(session: Session, request: Request) -> Reply:
    store, done = session.store, []

    def write(_: int, document: Fields) -> None:
        require_storable(document)
        collection = store.require(request.database, str(request.command["insert"]))
        identity = document.get("_id", ObjectId())
        done.append(store.insert(collection, {"_id": identity, **document}))

    failures = _each(session, request, request.command.get("documents"), write)
    return {"n": len(done), **failures, **OK}


def _update(session: Session, request: Request) -> Reply:
    matched: list[int] = []
    modified: list[int] = []
    new: list[Fields] = []

    def write(index: int, statement: Fields) -> None:
        refuse_parts(statement, {"q", "u", "multi", "upsert", "hint"})
        query, update = as_document(statement.get("q"), "q"), statement.get("u")
        is_replaced, multi = check_update(update), bool(statement.get("multi"))
        if is_replaced and multi:
            raise CommandError(9, "multi update is not supported for a whole new document")
        collection = session.store.find(request.database, str(request.command["update"]))
        found = select(collection, query, limit=_MANY if multi else _ONE)
        for stored in found:
            after = session.store.replace(collection, stored, apply_update(stored, query, update))
            matched.append(index)
            modified.extend([index] if after is not stored else [])
        if not found and statement.get("upsert"):
            made = _upsert(session.store, request, query, update)
            new.append({"index": index, "_id": made.fields["_id"]})

    failures = _each(session, request, request.command.get("updates"), write)
    answer = {"n": len(matched) + len(new), "nModified": len(modified), **failures, **OK}
    return {**answer, "upserted": new} if new else answer


def _delete(session: Session, request: Request) -> Reply:
    done: list[int] = []

    def write(index: int, statement: Fields) -> None:
        refuse_parts(statement, {"q", "limit", "hint"})
        collection = session.store.find(request.database, str(request.command["delete"]))
        if (limit := statement.get("limit", 0)) not in (0, 1):
            raise CommandError(9, f"The limit field in delete objects must be 0 or 1. Got {limit}")
        for stored in select(collection, as_document(statement.get("q"), "q"), limit=limit):
            session.store.delete(collection, stored)
            done.append(index)

    failures = _each(session, request, request.command.get("deletes"), write)
    return {"n": len(done), **failures, **OK}


def _find_and_modify(session: Session, request: Request) -> Reply:
    command, store = request.command, session.store
    query, update = as_document(command.get("query"), "query"), command.get("update")
    projection = as_document(command.get("fields"), "fields")
    removes = bool(command.get("remove"))
    if removes == (update is not None):
        raise CommandError(9, "findAndModify either removes or updates")
    parse_projection(projection)
    if update is not None:
        check_update(update)
    collection = store.find(request.database, _target(command))
    found = select(collection, query, as_document(command.get("sort"), "sort"), limit=_ONE)
    with store.transaction():
        before = found[0] if found else None
        after, made = _modify(store, request, collection, before, query)
    result = after if command.get("new") else before
    value = None if result is None else RawBSONDocument(encode_documents([result], projection)[0])
    last: Fields = {"n": int(bool(found or made))}
    if not removes:
        last["updatedExisting"] = bool(found)
    if made is not None:
        last["upserted"] = made.fields["_id"]
    return {"lastErrorObject": last, "value": value, **OK}


def _modify(
    store: Databases, request: Request, collection: Collection, before: Stored | None, query: Fields
) -> tuple[Stored | None, Stored | None]:
    """Return the document after the change, and the one that an upsert has inserted."""
    update = request.command.get("update")
    if before is None:
        made = _upsert(store, request, query, update) if request.command.get("upsert") else None
        return made, made
    if update is None:
        store.delete(collection, before)
        return None, None
    return store.replace(collection, before, apply_update(before, query, update)), None


def _upsert(store: Databases, request: Request, query: Fields, update: Any) -> Stored:
    collection = store.require(request.database, _target(request.command))
    return store.insert(collection, build_upsert(query, update))


def _target(command: Fields) -> str:
    """Return the name of the collection, the first field of a command."""
    return str(next(iter(command.values())))


def refuse_parts(statement: Fields, known: set[str]) -> None:
    """Refuse options of a statement that are not supported: to ignore them would change its meaning."""
    for name, value in statement.items():
        if name not in known and value not in (None, False, {}, []):
            raise unsupported(f"{name!r} of an update or delete")


_FIND_AND_MODIFY = Command(
    _find_and_modify,
    frozenset({"findAndModify", "findandmodify", "query", "update", "remove", "new", "fields", "upsert", "sort"}),
)
COMMANDS = {
    "insert": Command(_insert, frozenset({"insert", "documents"})),
    "update": Command(_update, frozenset({"update", "updates"})),
    "delete": Command(_delete, frozenset({"delete", "deletes"})),
    "findAndModify": _FIND_AND_MODIFY,
    "findandmodify": _FIND_AND_MODIFY,
}
