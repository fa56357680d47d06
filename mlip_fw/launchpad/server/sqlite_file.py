"""The database on disk: one SQLite file with one row per document.

A change is on the disk (write-ahead log, ``synchronous=FULL``) before the client gets its reply. A changed document
replaces its row, so the file does not grow with the number of changes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mlip_fw.launchpad.server.system import ServerError

_VERSION = 1
_SCHEMA = """
CREATE TABLE collections (number INTEGER PRIMARY KEY, database TEXT, name TEXT, indexes BLOB, UNIQUE (database, name));
CREATE TABLE documents (row INTEGER PRIMARY KEY, collection INTEGER NOT NULL, body BLOB NOT NULL);
"""
_LARGEST_LOG_BYTES = 16_000_000
Statement = tuple[str, tuple[Any, ...]]


class SqliteFile:
    """The SQLite file of a database, opened by one process only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # exclusive: the server's lock keeps other processes out, and without shared memory WAL also works on network
        # file systems (SQLite documentation, "Write-Ahead Logging", section 8)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._pragma("locking_mode=EXCLUSIVE")

    @classmethod
    def open(cls, path: Path) -> SqliteFile:
        """Open the file, or create it.

        Raises
        ------
        ServerError
            If it is damaged, belongs to another program, or can't be written.
        """
        try:
            journal = cls(path)
            journal._prepare()
        except sqlite3.OperationalError as error:
            raise ServerError(f"can't write the database {path}: {error}; free space or fix its permissions") from error
        except sqlite3.DatabaseError as error:
            raise _damaged(path, str(error)) from error
        return journal

    def damaged(self, how: str) -> ServerError:
        """Return the error for content that can't be understood."""
        return _damaged(self._path, how)

    def _prepare(self) -> None:
        """Check the file before anything in it is changed, and set SQLite's modes."""
        version = self._pragma("user_version")
        is_new = version == 0 and not self._connection.execute("SELECT * FROM sqlite_schema").fetchall()
        if not is_new and version != _VERSION:
            raise ServerError(
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
        """Yield number, database, name and indexes of each collection."""
        yield from self._connection.execute("SELECT number, database, name, indexes FROM collections ORDER BY number")

    def documents(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield row, number of the collection and body of each document, the oldest first."""
        yield from self._connection.execute("SELECT row, collection, body FROM documents ORDER BY row")

    def commit(self, statements: Iterable[Statement]) -> None:
        """Execute all statements in one transaction, and return when they are on the disk.

        Raises
        ------
        sqlite3.Error
            If the disk is full or broken; the transaction is rolled back.
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
        """Close the file; SQLite folds its write-ahead log into it."""
        self._connection.close()


def _damaged(path: Path, how: str) -> ServerError:
    how = " ".join(how.split())
    return ServerError(
        f"{path} is damaged or no database of mlip-fw ({how}); put a backup in its place, or move it away for a new one"
    )
