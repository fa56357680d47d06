"""The LaunchPad server: killed, damaged, full, attacked, started twice."""

import fcntl
import json
import os
import signal
import socket
import sqlite3
import stat
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import bson
import pymongo
import pytest
from pymongo.errors import AutoReconnect, ConnectionFailure, DuplicateKeyError, OperationFailure
from ruamel.yaml import YAML

from mlip_fw.launchpad.server.control import server_status, start_server, stop_server
from mlip_fw.launchpad.server.system import ServerError
from mlip_fw.runtime.process_info import start_ticks
from tests.helpers.database import ScramClient, message, op_msg
from tests.helpers.programs import require

LIMIT_S = 120
"""How long anything may take on a busy machine."""


@pytest.fixture
def folder(tmp_path):
    """Return a directory whose server, if one was started, is stopped at the end."""
    path = tmp_path / "db"
    yield path
    if path.exists():
        stop_server(path)


@pytest.fixture
def connect():
    """Return a function that connects to a server as FireWorks does."""
    clients = []

    def open_client(facts, **changes):
        given = YAML(typ="safe").load(facts.launchpad_file)
        options = {
            **{"username": given["username"], "password": given["password"], "authSource": given["authsource"]},
            **{"serverSelectionTimeoutMS": 120_000, "socketTimeoutMS": 120_000},
            **changes,
        }
        clients.append(pymongo.MongoClient(given["host"], given["port"], **options))
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()


@pytest.fixture
def server(folder):
    """Return a server that runs."""
    return start_server(folder, with_this_process=True)


class RawClient:
    """A client without a driver, which may send what drivers don't."""

    def __init__(self, facts):
        self.socket = socket.create_connection(("127.0.0.1", facts.port), timeout=LIMIT_S)
        scram = ScramClient(secret=(facts.directory / "secret").read_text().strip())
        start = {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": scram.first, "$db": "admin"}
        final = scram.final(self.ask(start)["payload"])
        assert self.ask({"saslContinue": 1, "payload": final, "$db": "admin"})["payload"] == scram.expected

    def ask(self, command):
        self.socket.sendall(message(op_msg(command)))
        (length,) = struct.unpack("<i", self.socket.recv(4, socket.MSG_WAITALL))
        return bson.decode(self.socket.recv(length - 4, socket.MSG_WAITALL)[17:])


def kill(facts):
    """End a server at once, as a power cut would, and wait until it is gone."""
    os.kill(facts.pid, signal.SIGKILL)
    deadline = time.monotonic() + LIMIT_S
    while server_status(facts.directory) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server_status(facts.directory) is None


class TestKilled:
    def test_no_acknowledged_write_is_lost(self, folder, connect):
        facts = start_server(folder, with_this_process=True)
        acknowledged = []
        for turn in range(3):
            collections = [connect(facts).t.a for _ in range(3)]
            threads = [
                threading.Thread(target=write_until_it_fails, args=(collection, acknowledged, (turn, i)))
                for i, collection in enumerate(collections)
            ]
            for thread in threads:
                thread.start()
            while len(acknowledged) < 100 * (turn + 1):
                time.sleep(0.01)
            kill(facts)
            for thread in threads:
                thread.join(LIMIT_S)
            before, facts = facts, start_server(folder, with_this_process=True)
            assert facts.port == before.port
            found = {tuple(document["key"]): document["n"] for document in connect(facts).t.a.find()}
            assert set(acknowledged) <= set(found)
            assert len(found) - len(acknowledged) <= 3 * (turn + 1)
            assert all(n in (1, 2) for n in found.values())

    def test_client_goes_on_by_itself(self, folder, server, connect):
        client = connect(server)
        client.t.a.insert_one({"_id": 1})
        kill(server)
        with pytest.raises(AutoReconnect):
            client.t.a.insert_one({"_id": 2})
        start_server(folder, with_this_process=True)
        client.t.a.insert_one({"_id": 3})
        assert 1 in client.t.a.distinct("_id")

    @pytest.mark.parametrize("damage", ["cut", "garbled"])
    def test_torn_journal_is_taken_up(self, folder, server, connect, damage):
        collection = connect(server).t.a
        for i in range(20):
            collection.insert_one({"_id": i, "x": "0" * 5000})
        kill(server)
        log = folder / "launchpad.sqlite-wal"
        size = log.stat().st_size
        with log.open("r+b") as handle:
            if damage == "cut":
                handle.truncate(size - 7000)
            else:
                handle.seek(size - 7000)
                handle.write(os.urandom(7000))
        found = connect(start_server(folder, with_this_process=True)).t.a.distinct("_id")
        assert found == list(range(len(found)))
        assert 15 <= len(found) < 20

    def test_damaged_file_is_one_paragraph(self, folder, server, connect):
        connect(server).t.a.insert_many([{"x": "0" * 5000} for _ in range(20)])
        stop_server(folder)
        path = folder / "launchpad.sqlite"
        content = bytearray(path.read_bytes())
        for position in range(4096, len(content), 4096):
            content[position : position + 200] = b"\xff" * 200
        path.write_bytes(content)
        with pytest.raises(ServerError, match="damaged or no database of mlip-fw.*backup"):
            start_server(folder)
        assert path.read_bytes() == content
        assert server_status(folder) is None

    @pytest.mark.parametrize("kind", ["text", "other program", "later version"])
    def test_file_that_is_not_ours(self, folder, server, kind):
        stop_server(folder)
        path = folder / "launchpad.sqlite"
        if kind == "text":
            path.write_text("my notes\n" * 100)
        else:
            path.unlink() if kind == "other program" else None
            database = sqlite3.connect(path)
            database.execute("CREATE TABLE notes (x)")
            database.execute("PRAGMA user_version = 99") if kind == "later version" else None
            database.commit()
            database.close()
        with pytest.raises(ServerError, match="launchpad.sqlite"):
            start_server(folder)

    def test_file_does_not_grow_with_the_changes(self, folder, server, connect):
        collection = connect(server).t.a
        collection.insert_one({"_id": 1, "n": 0})
        for _ in range(300):
            collection.update_one({"_id": 1}, {"$inc": {"n": 1}, "$set": {"x": os.urandom(100_000)}})
        assert sum(path.stat().st_size for path in folder.glob("launchpad.sqlite*")) < 25_000_000
        stop_server(folder)
        assert sum(path.stat().st_size for path in folder.glob("launchpad.sqlite*")) < 1_000_000

    def test_starts_quickly_with_many_documents(self, folder, server, connect):
        collection = connect(server).t.a
        collection.create_index("state")
        spec = {"tasks": [{"name": str(i), "x": list(range(10))} for i in range(3)]}
        collection.insert_many([{"_id": i, "state": "READY", "spec": spec} for i in range(10_000)])
        kill(server)
        again = start_server(folder, with_this_process=True)
        assert connect(again).t.a.count_documents({"state": "READY"}) == 10_000


def write_until_it_fails(collection, acknowledged, key):
    """Insert and change documents until the server is gone; note each that was acknowledged."""
    number = 0
    try:
        while True:
            whole = (*key, number)
            collection.insert_one({"key": whole, "n": 1})
            acknowledged.append(whole)
            collection.update_one({"key": whole}, {"$inc": {"n": 1}})
            number += 1
    except ConnectionFailure:
        return


class TestStarts:
    def test_twice(self, folder, server):
        assert start_server(folder) == server
        with pytest.raises(ServerError, match="runs on port"):
            start_server(folder, port=server.port + 1)

    def test_lock_that_outlives_its_server_for_a_moment(self, folder):
        """The kernel gives a lock back when the last thread of a killed process is gone, not the first."""
        facts = start_server(folder, with_this_process=True)
        stop_server(folder)
        while start_ticks(facts.pid) is not None:
            time.sleep(0.01)
        lock = folder / "lock"
        lock.write_text(json.dumps({**json.loads(lock.read_text()), "ready": True}))
        with lock.open("r") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            threading.Timer(1.0, fcntl.flock, (handle, fcntl.LOCK_UN)).start()
            again = start_server(folder, with_this_process=True)
        assert again.pid != facts.pid
        assert server_status(folder) == again

    def test_start_that_was_killed_halfway(self, folder, server, connect):
        """The server runs, but nobody has made its database ready."""
        connect(server).drop_database("fireworks")
        assert start_server(folder) == server
        assert connect(server).fireworks.fw_id_assigner.count_documents({}) == 1

    def test_many_at_once_make_one_server(self, folder):
        command = [sys.executable, "-m", "mlip_fw", "db", "start", "--dir", str(folder), "--json"]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        said = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
        assert len({facts["pid"] for facts in said}) == 1

    def test_a_process_number_that_was_left_behind(self, folder, server):
        kill(server)
        facts = {"pid": os.getpid(), "machine": socket.gethostname(), "port": server.port, "ready": True}
        (folder / "lock").write_text(json.dumps(facts))
        assert server_status(folder) is None
        assert stop_server(folder) is None
        assert start_server(folder, with_this_process=True).port == server.port

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"port": 1}', '{"port": "x", "pid": -1}', "\x00" * 90])
    def test_torn_lock_file(self, folder, server, content):
        stop_server(folder)
        (folder / "lock").write_text(content)
        assert start_server(folder, with_this_process=True).port > 0

    @pytest.mark.parametrize("call", [start_server, server_status, stop_server])
    def test_server_on_another_machine_is_left_alone(self, folder, server, call):
        text = (folder / "lock").read_text()
        (folder / "lock").write_text(text.replace(socket.gethostname(), "elsewhere"))
        with pytest.raises(ServerError, match="runs on the machine elsewhere"):
            call(folder)
        (folder / "lock").write_text(text)

    def test_taken_port(self, folder, server, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ServerError, match=f"port {port} is taken"):
                start_server(tmp_path / "other", port=port)
        stop_server(folder)
        with socket.create_server(("127.0.0.1", server.port)):
            moved = start_server(folder, with_this_process=True)
        assert moved.port != server.port
        assert YAML(typ="safe").load(moved.launchpad_file)["port"] == moved.port

    def test_foreign_directory(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(ServerError, match="not empty and no database"):
            start_server(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_directory_that_is_a_file(self, tmp_path):
        (tmp_path / "db").write_text("")
        with pytest.raises(ServerError, match="can't use the database directory"):
            start_server(tmp_path / "db")

    def test_ends_with_the_process_that_started_it(self, folder):
        code = (
            "import sys, time; from pathlib import Path; from mlip_fw.launchpad.server.control import start_server; "
            "start_server(Path(sys.argv[1]), with_this_process=True); print('up', flush=True); time.sleep(60)"
        )
        starter = subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True)
        assert starter.stdout.readline() == "up\n"
        facts = server_status(folder)
        starter.kill()
        starter.communicate()
        deadline = time.monotonic() + LIMIT_S
        while server_status(folder) is not None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server_status(folder) is None
        assert not (folder / "launchpad.sqlite-wal").exists()
        assert facts.port > 0

    def test_stops_cleanly_with_clients(self, folder, server, connect):
        client = connect(server)
        client.t.a.insert_one({"_id": 1})
        deadline = time.monotonic() + LIMIT_S
        while server_status(folder) is not None and time.monotonic() < deadline:
            os.kill(server.pid, signal.SIGTERM)
        assert not (folder / "launchpad.sqlite-wal").exists()
        assert "stopped" in (folder / "server.log").read_text()
        assert "Traceback" not in (folder / "server.log").read_text()

    def test_new_database_is_ready_and_an_old_one_is_left_alone(self, folder, server):
        from fireworks import Firework, LaunchPad, ScriptTask

        pad = LaunchPad.from_file(str(server.launchpad_file))
        assert list(pad.add_wf(Firework([ScriptTask.from_str("true")])).values()) == [1]
        assert "fw_id_1" in pad.fireworks.index_information()
        kill(server)
        again = LaunchPad.from_file(str(start_server(folder, with_this_process=True).launchpad_file))
        assert again.get_fw_ids() == [1]


class TestStrangers:
    def test_listens_on_the_loopback_interface_only(self, server):
        listening = []
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with open(table) as lines:
                rows = [line.split() for line in list(lines)[1:]]
            listening += [row[1] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == server.port]
        assert listening == [f"0100007F:{server.port:04X}"]

    def test_other_address_of_this_machine_is_refused(self, server):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))
                address = probe.getsockname()[0]
            except OSError:
                address = "127.0.0.2"
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((address, server.port), timeout=5)

    @pytest.mark.parametrize("credentials", [{"password": "wrong"}, {"username": "root"}, {"password": "x" * 5000}])
    def test_wrong_secret(self, server, connect, credentials):
        with pytest.raises(OperationFailure) as caught:
            connect(server, **credentials).fireworks.fireworks.find_one()
        assert caught.value.code == 18

    @pytest.mark.parametrize("source", ["admin", "fireworks"])
    def test_right_secret(self, server, connect, source):
        client = connect(server, authSource=source)
        assert client.fireworks.fw_id_assigner.find_one()["next_fw_id"] == 1

    def test_no_secret(self, server, connect):
        client = pymongo.MongoClient("127.0.0.1", server.port)
        for work in (client.t.a.find_one, lambda: client.t.a.insert_one({}), client.list_database_names):
            with pytest.raises(OperationFailure) as caught:
                work()
            assert caught.value.code == 13
        client.close()
        assert connect(server).list_database_names() == ["fireworks"]

    def test_nobody_else_reads_the_files(self, folder, server, connect):
        connect(server).t.a.insert_one({})
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        assert {"secret", "my_launchpad.yaml", "launchpad.sqlite", "launchpad.sqlite-wal", "server.log"} <= set(modes)
        assert set(modes.values()) == {0o600}

    def test_directory_that_was_open_is_closed(self, folder):
        folder.mkdir(mode=0o755)
        start_server(folder, with_this_process=True)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_secret_is_nowhere_but_in_its_files(self, folder, server, connect):
        secret = (folder / "secret").read_text().strip()
        assert len(secret) > 40
        with pytest.raises(OperationFailure):
            connect(server, password="wrong").t.a.find_one()
        connect(server).t.a.insert_one({})
        holding = {path.name for path in folder.iterdir() if secret.encode() in path.read_bytes()}
        assert holding == {"secret", "my_launchpad.yaml"}
        for name in ("cmdline", "environ"):
            with open(f"/proc/{server.pid}/{name}", "rb") as handle:
                assert secret.encode() not in handle.read()
        assert "Authentication failed" in (folder / "server.log").read_text()

    def test_each_database_has_its_own_secret(self, server, tmp_path):
        other = start_server(tmp_path / "other", with_this_process=True)
        try:
            texts = {facts.directory.joinpath("secret").read_text() for facts in (server, other)}
            assert len(texts) == 2
        finally:
            stop_server(other.directory)

    GARBAGE = {
        "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "noise": bytes(range(256)) * 40,
        "oversize": struct.pack("<iiii", 2**31 - 1, 1, 0, 2013),
        "too much for a stranger": struct.pack("<iiii", 100_000, 1, 0, 2013) + b"\0" * 99_984,
        "bad document": struct.pack("<iiiiIB", 30, 1, 0, 2013, 0, 0) + b"\xff" * 9,
        "compressed": struct.pack("<iiii", 25, 1, 0, 2012) + b"\0" * 9,
    }

    @pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
    def test_garbage_ends_its_connection_only(self, folder, server, connect, data):
        with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S) as stranger:
            try:
                stranger.sendall(data)
                assert stranger.recv(100) == b""
            except ConnectionError:
                pass
        said = (folder / "server.log").read_text()
        assert "dropped: " in said
        assert "Traceback" not in said
        assert connect(server).admin.command("ping")["ok"] == 1.0

    def test_message_that_is_too_large(self, server, connect):
        known = RawClient(server)
        assert known.ask({"count": "a", "$db": "t"})["n"] == 0
        known.socket.sendall(struct.pack("<iiii", 48_000_001, 1, 0, 2013))
        assert known.socket.recv(1) == b""
        assert connect(server).admin.command("ping")["ok"] == 1.0

    def test_idle_and_half_open_connections_are_in_nobody_s_way(self, server, connect):
        strangers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
        try:
            for stranger in strangers[::2]:
                stranger.sendall(b"\x50\0\0\0half a header"[:10])
            client = connect(server)
            for i in range(20):
                client.t.a.insert_one({"_id": i})
        finally:
            for stranger in strangers:
                stranger.close()
        assert client.t.a.count_documents({}) == 20

    def test_strangers_can_not_keep_the_owner_out(self, server, connect):
        first = connect(server)
        first.t.a.insert_one({"_id": 1})
        strangers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(700)]
        try:
            assert strangers[0].recv(1) == b""
            assert first.t.a.find_one() == connect(server).t.a.find_one() == {"_id": 1}
        finally:
            for stranger in strangers:
                stranger.close()

    def test_client_that_reads_nothing_is_in_nobody_s_way(self, server, connect):
        client = connect(server)
        client.t.a.insert_many([{"x": b"0" * 1_000_000} for _ in range(15)])
        code = (
            "import sys, os, pymongo\n"
            "c = pymongo.MongoClient(sys.argv[1]); c.admin.command('ping'); print('up', flush=True)\n"
            "os.kill(os.getpid(), 19) if len(sys.argv) > 2 else None\n"
            "list(c.t.a.find())\n"
        )
        given = YAML(typ="safe").load(server.launchpad_file)
        uri = f"mongodb://{given['username']}:{given['password']}@127.0.0.1:{server.port}/?authSource=admin"
        lazy = subprocess.Popen([sys.executable, "-c", code, uri, "stop"], stdout=subprocess.PIPE, text=True)
        try:
            lazy.stdout.readline()
            assert len(list(client.t.a.find())) == 15
        finally:
            lazy.kill()
            lazy.communicate()

    def test_deep_document(self, server, connect):
        client = connect(server)
        deep = {}
        for _ in range(98):
            deep = {"a": deep}
        client.t.a.insert_one({"_id": 1, "deep": deep})
        body = b"\x05\0\0\0\0"
        for _ in range(20_000):
            body = struct.pack("<i", len(body) + 8) + b"\x03a\0" + body + b"\0"
        try:
            client.t.a.insert_one(bson.raw_bson.RawBSONDocument(body))
        except (OperationFailure, ConnectionFailure, bson.errors.InvalidBSON, RecursionError):
            pass
        assert client.t.a.find_one({"_id": 1})["deep"] == deep


class TestManyClients:
    def test_each_document_is_claimed_once(self, server, connect):
        client = connect(server)
        client.t.a.insert_many([{"_id": i, "state": "READY"} for i in range(100)])

        def claim(number):
            mine = []
            collection = connect(server).t.a
            while found := collection.find_one_and_update({"state": "READY"}, {"$set": {"state": number}}):
                mine.append(found["_id"])
            return mine

        with ThreadPoolExecutor(8) as pool:
            claimed = [identity for mine in pool.map(claim, range(8)) for identity in mine]
        assert sorted(claimed) == list(range(100))

    def test_numbers_are_given_out_once(self, server, connect):
        def take(_):
            assigner = connect(server).fireworks.fw_id_assigner
            return [assigner.find_one_and_update({}, {"$inc": {"next_fw_id": 1}})["next_fw_id"] for _ in range(50)]

        with ThreadPoolExecutor(4) as pool:
            taken = [number for numbers in pool.map(take, range(4)) for number in numbers]
        assert sorted(taken) == list(range(1, 201))

    def test_large_file_through_gridfs(self, folder, server, connect):
        import gridfs

        content = os.urandom(20_000_000)
        identity = gridfs.GridFS(connect(server).t).put(content)
        kill(server)
        again = start_server(folder, with_this_process=True)
        files = gridfs.GridFS(connect(again).t)
        assert files.get(identity).read() == content
        files.delete(identity)
        assert connect(again).t["fs.chunks"].count_documents({}) == 0


@pytest.fixture
def small_disk(tmp_path):
    """Return a file system of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True)
    require("tmpfs", mounted.returncode == 0)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


class TestFullDisk:
    def test_nothing_is_half_written_and_the_server_lives(self, small_disk, connect):
        facts = start_server(small_disk / "db", with_this_process=True)
        try:
            collection = connect(facts).t.a
            collection.create_index("x", unique=True)
            collection.insert_one({"_id": "few", "x": -1})
            stored = fill(collection)
            assert collection.count_documents({}) == stored + 1
            with pytest.raises(OperationFailure) as caught:
                collection.update_many({}, {"$set": {"more": "0" * 150_000}})
            assert caught.value.code == 14031
            assert "was not made" in str(caught.value)
            assert collection.count_documents({"more": {"$exists": True}}) == 0
            with pytest.raises(DuplicateKeyError):
                collection.insert_one({"x": -1})
            subprocess.run(["mount", "-o", "remount,size=30m", str(small_disk)], check=True)
            collection.insert_one({"_id": "later", "x": stored})
            kill(facts)
            facts = start_server(small_disk / "db", with_this_process=True)
            assert connect(facts).t.a.count_documents({}) == stored + 2
        finally:
            stop_server(small_disk / "db")

    @pytest.mark.parametrize("left", [0, 4096, 8192, 20_000, 40_000, 80_000])
    def test_full_from_the_start(self, small_disk, left):
        (small_disk / "other").write_bytes(b"0" * (3 * 2**20 - left))
        with pytest.raises(
            ServerError, match="(can't write|can't serve|can't be made ready).*(full|No space)"
        ) as caught:
            start_server(small_disk / "db", with_this_process=True)
        assert "\n" not in str(caught.value)
        assert str(small_disk / "db") in str(caught.value)
        (small_disk / "other").unlink()
        assert start_server(small_disk / "db", with_this_process=True).port
        stop_server(small_disk / "db")

    def test_read_only(self, small_disk):
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        with pytest.raises(ServerError, match="Read-only file system; check its permissions or choose another"):
            start_server(small_disk / "db")


def fill(collection):
    """Insert until the disk is full and return how many documents were taken."""
    for number in range(100):
        try:
            collection.insert_one({"x": number, "fill": "0" * 100_000})
        except OperationFailure as error:
            assert error.code == 14031
            return number
    raise AssertionError("the disk is larger than it should be")
