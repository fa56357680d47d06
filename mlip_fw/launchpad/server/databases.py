"""All collections, in memory and in the SQLite file; a transaction changes both or neither."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import bson

from mlip_fw.launchpad.server.collection import Collection, Fields, Stored
from mlip_fw.launchpad.server.command_error import CommandError
from mlip_fw.launchpad.server.sqlite_file import SqliteFile, Statement
from mlip_fw.launchpad.server.wire_protocol import CODEC

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
_ID_INDEX = {"_id_": {"key": {"_id": 1}, "unique": True}}


class Databases:
    """The databases of the server, by database and collection name.

    All changes are made inside :meth:`transaction`.
    """

    def __init__(self, journal: SqliteFile) -> None:
        self._journal = journal
        self._collections: dict[tuple[str, str], Collection] = {}
        self._statements: list[Statement] = []
        self._undo: list[Callable[[], None]] = []
        self._last_row = self._last_number = 0
        try:
            self._load()
        except (KeyError, ValueError, bson.errors.BSONError, CommandError) as error:
            raise journal.damaged(f"{type(error).__name__}: {error}") from error

    def _load(self) -> None:
        by_number = {}
        for number, database, name, indexes in self._journal.collections():
            collection = Collection(number, f"{database}.{name}", dict(bson.decode(indexes, CODEC)))
            self._collections[database, name] = by_number[number] = collection
            self._last_number = number
        for row, number, body in self._journal.documents():
            by_number[number].exchange(None, Stored(row, body, bson.decode(body, CODEC)))
            self._last_row = row

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the changes made inside at the end, or undo all of them if anything fails.

        Raises
        ------
        RefusedError
            With code 14031 if the disk is full or broken.
        """
        try:
            yield
            if self._statements:
                self._journal.commit(self._statements)
        except BaseException as error:
            for undo in reversed(self._undo):
                undo()
            if isinstance(error, sqlite3.Error):
                raise CommandError(14031, f"the change could not be written and was not made: {error}") from error
            raise
        finally:
            self._statements, self._undo = [], []

    def names(self, database: str) -> list[str]:
        """Return the names of the collections of a database."""
        return [name for owner, name in self._collections if owner == database]

    def databases(self) -> list[str]:
        """Return the names of all databases."""
        return sorted({database for database, _ in self._collections})

    def find(self, database: str, name: str) -> Collection:
        """Return a collection; if it does not exist an empty one, which is not kept."""
        found = self._collections.get((database, name))
        return Collection(0, f"{database}.{name}", {}) if found is None else found

    def require(self, database: str, name: str) -> Collection:
        """Return a collection; create it if it does not exist."""
        if (database, name) in self._collections:
            return self._collections[database, name]
        _require_valid(database, name)
        self._last_number += 1
        collection = Collection(self._last_number, f"{database}.{name}", _ID_INDEX)
        self._collections[database, name] = collection
        self._note(
            "INSERT INTO collections VALUES (?, ?, ?, ?)",
            (collection.number, database, name, bson.encode(collection.indexes)),
            undo=lambda: self._collections.pop((database, name)),
        )
        return collection

    def drop(self, database: str, name: str) -> bool:
        """Drop a collection and return whether it existed."""
        collection = self._collections.pop((database, name), None)
        if collection is None:
            return False

        def undo() -> None:
            self._collections[database, name] = collection

        self._note("DELETE FROM documents WHERE collection = ?", (collection.number,), undo=undo)
        self._note("DELETE FROM collections WHERE number = ?", (collection.number,))
        return True

    def rename(self, database: str, name: str, new_database: str, new_name: str) -> None:
        """Rename a collection to a name that is free."""
        _require_valid(new_database, new_name)
        collection = self._collections.pop((database, name))
        self._move(collection, new_database, new_name)

        def undo() -> None:
            del self._collections[new_database, new_name]
            self._move(collection, database, name)

        self._note(
            "UPDATE collections SET database = ?, name = ? WHERE number = ?",
            (new_database, new_name, collection.number),
            undo=undo,
        )

    def _move(self, collection: Collection, database: str, name: str) -> None:
        collection.full_name = f"{database}.{name}"
        self._collections[database, name] = collection

    def set_indexes(self, collection: Collection, indexes: Mapping[str, Fields]) -> None:
        """Replace the indexes of a collection."""
        before = collection.indexes
        collection.set_indexes(indexes)
        self._note(
            "UPDATE collections SET indexes = ? WHERE number = ?",
            (bson.encode(indexes), collection.number),
            undo=lambda: collection.set_indexes(before),
        )

    def insert(self, collection: Collection, fields: Fields) -> Stored:
        """Insert a document, which must have an ``_id``."""
        stored = self._checked(collection, fields, None)
        collection.exchange(None, stored)
        self._note(
            "INSERT INTO documents VALUES (?, ?, ?)",
            (stored.row, collection.number, stored.body),
            undo=lambda: collection.exchange(stored, None),
        )
        return stored

    def replace(self, collection: Collection, before: Stored, fields: Fields) -> Stored:
        """Replace the document ``before`` and return the new one; return ``before`` if they are equal."""
        after = self._checked(collection, fields, before.row)
        if after.body == before.body:
            return before
        collection.exchange(before, after)
        self._note(
            "UPDATE documents SET body = ? WHERE row = ?",
            (after.body, after.row),
            undo=lambda: collection.exchange(after, before),
        )
        return after

    def delete(self, collection: Collection, stored: Stored) -> None:
        """Delete a document."""
        collection.exchange(stored, None)
        self._note(
            "DELETE FROM documents WHERE row = ?",
            (stored.row,),
            undo=lambda: collection.exchange(None, stored),
        )

    def close(self) -> None:
        """Close the SQLite file."""
        self._journal.close()

    def _checked(self, collection: Collection, fields: Fields, row: int | None) -> Stored:
        body = bson.encode(fields)
        if len(body) > MAX_DOCUMENT_BYTES:
            raise CommandError(
                10334, f"a document of {len(body)} bytes for {collection.full_name}; at most {MAX_DOCUMENT_BYTES}"
            )
        collection.require_unique(fields, row)
        if row is None:
            self._last_row += 1
            row = self._last_row
        return Stored(row, body, fields)

    def _note(self, sql: str, values: tuple[Any, ...], undo: Callable[[], Any] | None = None) -> None:
        self._statements.append((sql, values))
        if undo is not None:
            self._undo.append(undo)


def _require_valid(database: str, name: str) -> None:
    if not database or not name or "\0" in database + name or "$" in name:
        raise CommandError(73, f"Invalid namespace specified '{database}.{name}'")
