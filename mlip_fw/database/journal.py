"""The database on disk: one SQLite file with one row a document.

A change is on the disk (write-ahead log, ``synchronous=FULL``) before anybody hears of it. A changed
document replaces its row, so the file does not grow with the number of changes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mlip_fw.errors import DirectoryError

_VERSION = 1
_SCHEMA = """
CREATE TABLE collections (number INTEGER PRIMARY KEY, database TEXT, name TEXT, indexes BLOB, UNIQUE (database, name));
CREATE TABLE documents (row INTEGER PRIMARY KEY, collection INTEGER NOT NULL, body BLOB NOT NULL);
"""
_LARGEST_LOG_BYTES = 16_000_000
Statement = tuple[str, tuple[Any, ...]]


class Journal:
    """The file of a database, opened by this process alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # the server's lock keeps others out; without shared memory it also works on network file systems
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._pragma("locking_mode=EXCLUSIVE")

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Open the file, or make it.

        Raises
        ------
        DirectoryError
            If it is damaged, of another program, or can't be written.
        """
        try:
            journal = cls(path)
            journal._prepare()
        except sqlite3.OperationalError as error:
            raise DirectoryError(
                f"can't write the database {path}: {error}; free space or fix its permissions"
            ) from error
        except sqlite3.DatabaseError as error:
            raise _damaged(path, str(error)) from error
        return journal

    def damaged(self, how: str) -> DirectoryError:
        """Return the error that says that the content makes no sense."""
        return _damaged(self._path, how)

    def _prepare(self) -> None:
        """Check the file before anything in it is touched."""
        version = self._pragma("user_version")
        is_new = version == 0 and not self._connection.execute("SELECT * FROM sqlite_schema").fetchall()
        if not is_new and version != _VERSION:
            raise DirectoryError(
                f"{self._path} has version {version} and this mlip-fw reads {_VERSION}; use the mlip-fw that wrote it"
            )
        verdict = self._pragma("quick_check(1)")
        if verdict != "ok":
            raise self.damaged(verdict)
        if is_new:
            self._pragma("auto_vacuum=INCREMENTAL")
        self._pragma("journal_mode=WAL")
        self._pragma("synchronous=FULL")
        self._pragma(f"journal_size_limit={_LARGEST_LOG_BYTES}")
        if is_new:
            self._connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={_VERSION};COMMIT;")
        self._pragma("incremental_vacuum")

    def _pragma(self, what: str) -> Any:
        rows = self._connection.execute(f"PRAGMA {what}").fetchall()
        return rows[0][0] if rows else None

    def collections(self) -> Iterator[tuple[int, str, str, bytes]]:
        """Give number, database, name and indexes of each collection."""
        yield from self._connection.execute("SELECT number, database, name, indexes FROM collections ORDER BY number")

    def documents(self) -> Iterator[tuple[int, int, bytes]]:
        """Give row, number of the collection and body of each document, the oldest first."""
        yield from self._connection.execute("SELECT row, collection, body FROM documents ORDER BY row")

    def commit(self, statements: Iterable[Statement]) -> None:
        """Do all of the statements or none, and return when they are on the disk.

        Raises
        ------
        sqlite3.Error
            If the disk is full or broken; nothing has changed then.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for sql, values in statements:
                self._connection.execute(sql, values)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Fold the log into the file and close it."""
        self._connection.close()


def _damaged(path: Path, how: str) -> DirectoryError:
    how = " ".join(how.split())
    return DirectoryError(
        f"{path} is damaged or no database of mlip-fw ({how}); put a backup in its place, or move it away for a new one"
    )
