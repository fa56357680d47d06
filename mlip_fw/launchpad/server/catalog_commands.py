"""Catalog commands: databases, collections and indexes."""

from __future__ import annotations

from typing import Any

import bson

from mlip_fw.launchpad.server.collection import Fields
from mlip_fw.launchpad.server.command_error import CommandError, unsupported
from mlip_fw.launchpad.server.mongomock_engine import matches
from mlip_fw.launchpad.server.selection import as_document
from mlip_fw.launchpad.server.session import OK, Command, Reply, Session
from mlip_fw.launchpad.server.wire_protocol import Request

_ID = "_id_"
_KEPT_OPTIONS = ("unique", "sparse", "partialFilterExpression")
_INDEX_OPTIONS = {"key", "name", "background", "v", *_KEPT_OPTIONS}


def _create_indexes(session: Session, request: Request) -> Reply:
    store, name = session.store, str(request.command["createIndexes"])
    wanted = request.command.get("indexes")
    if not isinstance(wanted, list) or not wanted:
        raise CommandError(9, "createIndexes has a list of indexes")
    is_new = name not in store.names(request.database)
    with store.transaction():
        collection = store.require(request.database, name)
        before = dict(collection.indexes)
        indexes = {**before}
        for index in wanted:
            _add_index(indexes, as_document(index, "an index"))
        if indexes != before:
            store.set_indexes(collection, indexes)
    return {
        "numIndexesBefore": len(before),
        "numIndexesAfter": len(indexes),
        "createdCollectionAutomatically": is_new,
        **OK,
    }


def _add_index(indexes: dict[str, Fields], index: Fields) -> None:
    unknown = [option for option, value in index.items() if option not in _INDEX_OPTIONS and value]
    if unknown:
        raise unsupported(f"the index option {unknown[0]!r}")
    key, name = index.get("key"), index.get("name")
    if not isinstance(key, dict) or not key or not isinstance(name, str) or not name:
        raise CommandError(67, "an index has a key, which is a document, and a name")
    special = [kind for kind in key.values() if kind not in (1, -1)]
    if special:
        raise unsupported(f"an index of kind {special[0]!r}")
    kept = {"key": key, **{option: index[option] for option in _KEPT_OPTIONS if index.get(option)}}
    if name == _ID or key == {"_id": 1}:
        return
    if name in indexes and (indexes[name] != kept or list(indexes[name]["key"]) != list(key)):
        raise CommandError(
            86,
            "An existing index has the same name as the requested index. When index names are not specified, they are "
            f"auto generated and can cause conflicts. Requested index: {kept!r}, existing index: {indexes[name]!r}",
        )
    for other, there in indexes.items():
        if other != name and list(there["key"].items()) == list(key.items()):
            raise CommandError(85, f"Index already exists with a different name: {other}")
    indexes[name] = kept


def _drop_indexes(session: Session, request: Request) -> Reply:
    name = str(next(iter(request.command.values())))
    collection = session.store.find(request.database, name)
    if name not in session.store.names(request.database):
        raise CommandError(26, f"ns not found {request.database}.{name}")
    which: Any = request.command.get("index")
    if isinstance(which, dict):
        which = next((known for known, index in collection.indexes.items() if index["key"] == which), which)
    names = set(collection.indexes) - {_ID} if which == "*" else {which}
    if not names <= set(collection.indexes) - {_ID}:
        raise CommandError(27, f"index not found with name [{which}]")
    before = len(collection.indexes)
    with session.store.transaction():
        kept = {known: index for known, index in collection.indexes.items() if known not in names}
        session.store.set_indexes(collection, kept)
    return {"nIndexesWas": before, **OK}


def _list_indexes(session: Session, request: Request) -> Reply:
    name = str(request.command["listIndexes"])
    if name not in session.store.names(request.database):
        raise CommandError(26, f"ns does not exist: {request.database}.{name}")
    indexes = session.store.find(request.database, name).indexes
    shown = [{"v": 2, **_as_listed(name, index)} for name, index in indexes.items()]
    documents = [bson.encode(index) for index in shown]
    return {"cursor": session.cursors.first(f"{request.database}.{name}", documents, len(documents)), **OK}


def _as_listed(name: str, index: Fields) -> Fields:
    return {**({k: v for k, v in index.items() if k != "unique"} if name == _ID else index), "name": name}


def _list_collections(session: Session, request: Request) -> Reply:
    query = as_document(request.command.get("filter"), "filter")
    listed = [
        {"name": name, "type": "collection", "options": {}, "info": {"readOnly": False}}
        for name in session.store.names(request.database)
    ]
    documents = [bson.encode(entry) for entry in listed if matches(query, entry)]
    space = f"{request.database}.$cmd.listCollections"
    return {"cursor": session.cursors.first(space, documents, len(documents)), **OK}


def _list_databases(session: Session, request: Request) -> Reply:
    query = as_document(request.command.get("filter"), "filter")
    listed = [{"name": name, "sizeOnDisk": 0, "empty": False} for name in session.store.databases()]
    return {"databases": [entry for entry in listed if matches(query, entry)], "totalSize": 0, **OK}


def _create(session: Session, request: Request) -> Reply:
    name = str(request.command["create"])
    if name in session.store.names(request.database):
        raise CommandError(48, f"Collection {request.database}.{name} already exists.")
    with session.store.transaction():
        session.store.require(request.database, name)
    return dict(OK)


def _drop(session: Session, request: Request) -> Reply:
    name = str(request.command["drop"])
    with session.store.transaction():
        if not session.store.drop(request.database, name):
            raise CommandError(26, "ns not found")
    return {"ns": f"{request.database}.{name}", **OK}


def _drop_database(session: Session, request: Request) -> Reply:
    with session.store.transaction():
        for name in session.store.names(request.database):
            session.store.drop(request.database, name)
    return {"dropped": request.database, **OK}


def _rename(session: Session, request: Request) -> Reply:
    store, command = session.store, request.command
    database, _, name = str(command["renameCollection"]).partition(".")
    new_database, _, new_name = str(command.get("to")).partition(".")
    if name not in store.names(database):
        raise CommandError(26, f"Source collection {database}.{name} does not exist")
    if new_name in store.names(new_database) and not command.get("dropTarget"):
        raise CommandError(48, "target namespace exists")
    with store.transaction():
        store.drop(new_database, new_name)
        store.rename(database, name, new_database, new_name)
    return dict(OK)


_DROP_INDEXES = Command(_drop_indexes, frozenset({"dropIndexes", "deleteIndexes", "index"}))
COMMANDS = {
    "createIndexes": Command(_create_indexes, frozenset({"createIndexes", "indexes", "commitQuorum"})),
    "dropIndexes": _DROP_INDEXES,
    "deleteIndexes": _DROP_INDEXES,
    "listIndexes": Command(_list_indexes, frozenset({"listIndexes", "cursor"})),
    "listCollections": Command(
        _list_collections, frozenset({"listCollections", "filter", "nameOnly", "cursor", "authorizedCollections"})
    ),
    "listDatabases": Command(
        _list_databases, frozenset({"listDatabases", "filter", "nameOnly", "authorizedDatabases"})
    ),
    "create": Command(_create, frozenset({"create"})),
    "drop": Command(_drop, frozenset({"drop"})),
    "dropDatabase": Command(_drop_database, frozenset({"dropDatabase"})),
    "renameCollection": Command(_rename, frozenset({"renameCollection", "to", "dropTarget"})),
}
