"""The database on disk: every statement of a change or none, and on the disk before anybody hears of it."""

import sqlite3

import bson
import pytest

from mlip_fw.launchpad.server.command_error import CommandError
from mlip_fw.launchpad.server.databases import Databases
from mlip_fw.launchpad.server.sqlite_file import SqliteFile
from mlip_fw.launchpad.server.system import ServerError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "launchpad.sqlite"


def body(**fields):
    return bson.encode(fields)


def test_a_power_cut_loses_nothing(path):
    journal = SqliteFile.open(path)
    assert journal._pragma("synchronous") == 2
    assert journal._pragma("journal_mode") == "wal"
    assert journal._pragma("auto_vacuum") == 2
    journal.close()


def test_all_statements_or_none(path):
    journal = SqliteFile.open(path)
    insert = "INSERT INTO documents VALUES (?, ?, ?)"
    journal.commit([(insert, (1, 1, body(x=1)))])
    with pytest.raises(sqlite3.Error):
        journal.commit([(insert, (2, 1, body(x=2))), (insert, (1, 1, body(x=3)))])
    journal.commit([(insert, (3, 1, body(x=4)))])
    assert [row for row, _, _ in journal.documents()] == [1, 3]
    journal.close()
    assert [row for row, _, _ in SqliteFile.open(path).documents()] == [1, 3]


def test_store_is_the_same_when_read_again(path):
    store = Databases(SqliteFile.open(path))
    with store.transaction():
        kept, dropped = store.require("t", "kept"), store.require("t", "dropped")
        store.set_indexes(kept, {**kept.indexes, "x": {"key": {"x": 1}, "unique": True}})
        first, second = (store.insert(kept, {"_id": i, "x": i}) for i in (2, 1))
        store.insert(dropped, {"_id": 1})
        store.replace(kept, first, {"_id": 2, "x": 9})
        store.delete(kept, second)
        store.insert(kept, {"_id": 0, "x": 3})
        store.drop("t", "dropped")
        store.require("t", "empty")
    store.close()
    again = Databases(SqliteFile.open(path))
    assert (again.databases(), again.names("t")) == (["t"], ["kept", "empty"])
    found = again.find("t", "kept")
    assert [stored.fields for stored in found] == [{"_id": 2, "x": 9}, {"_id": 0, "x": 3}]
    with pytest.raises(CommandError), again.transaction():
        again.insert(found, {"_id": 5, "x": 9})
    with again.transaction():
        assert again.insert(found, {"_id": 5, "x": 1}).row > max(stored.row for stored in list(found)[:2])


def test_failing_transaction_leaves_the_store_as_it_was(path, monkeypatch):
    store = Databases(SqliteFile.open(path))
    with store.transaction():
        kept = store.require("t", "a")
        first = store.insert(kept, {"_id": 1, "x": 1})
        store.insert(kept, {"_id": 2, "x": 2})
        store.require("t", "b")

    def full(statements):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store._journal, "commit", full)
    with pytest.raises(CommandError) as caught, store.transaction():
        store.set_indexes(kept, {**kept.indexes, "x": {"key": {"x": 1}}})
        store.replace(kept, first, {"_id": 1, "x": 7})
        store.delete(kept, next(iter(kept)))
        store.insert(kept, {"_id": 3})
        store.drop("t", "b")
        store.rename("t", "a", "u", "c")
        store.require("t", "d")
    assert caught.value.code == 14031
    assert (store.databases(), sorted(store.names("t"))) == (["t"], ["a", "b"])
    assert [stored.fields for stored in kept] == [{"_id": 1, "x": 1}, {"_id": 2, "x": 2}]
    assert (list(kept.indexes), kept.full_name) == (["_id_"], "t.a")
    monkeypatch.undo()
    with store.transaction():
        store.insert(kept, {"_id": 3})
    store.close()
    assert len(Databases(SqliteFile.open(path)).find("t", "a")) == 3


@pytest.mark.parametrize("broken", [(2, 99, body(x=1)), (2, 1, b"no document")], ids=["no collection", "no document"])
def test_content_that_makes_no_sense(path, broken):
    store = Databases(SqliteFile.open(path))
    with store.transaction():
        store.insert(store.require("t", "a"), {"_id": 5})
    store.close()
    database = sqlite3.connect(path)
    database.execute("INSERT INTO documents VALUES (?, ?, ?)", broken)
    database.commit()
    database.close()
    with pytest.raises(ServerError, match="damaged"):
        Databases(SqliteFile.open(path))
