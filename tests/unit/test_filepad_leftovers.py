"""Files in the database that are replaced, removed or left by killed processes: nothing stays that nobody can use."""

import hashlib
import os
import time
from pathlib import Path

import pytest
from bson import ObjectId
from gridfs import GridFS
from pymongo.errors import DuplicateKeyError
from typer.testing import CliRunner

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.cli.main import app
from mlip_fw.errors import DirectoryError, FilePadError
from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.launcher.recover import recover
from mlip_fw.launchpad.filepad.campaign_files import open_copy, publish_campaign
from mlip_fw.launchpad.filepad.file_store import FileStore
from mlip_fw.launchpad.filepad.leftovers import MIN_AGE_S, Leftovers
from mlip_fw.launchpad.filepad.published_files import filepad_key
from mlip_fw.launchpad.filepad.pull import find_published, pull_campaign, remove_published
from mlip_fw.launchpad.filepad.staging import QUARANTINE_RECORDS, StagingSpec
from mlip_fw.models.handoff import Handoff
from mlip_fw.models.worker import Worker
from mlip_fw.workflows.campaign import campaign_workflow

THERE = "/there/small"
LATER_S = MIN_AGE_S + 60


@pytest.fixture
def pad():
    """Return an empty LaunchPad in memory."""
    return embedded_launchpad()


@pytest.fixture
def store(pad):
    """Return a store of one campaign."""
    return FileStore(pad.db, "small-0123456789ab")


def content(pad):
    """Return what is stored: the identifiers of the FilePad, the number of files, and that of chunks without one."""
    names = sorted(document["identifier"].partition("/")[2] for document in pad.db["filepad"].find())
    files = {one["_id"] for one in pad.db["filepad_gfs.files"].find()}
    return names, len(files), len(set(pad.db["filepad_gfs.chunks"].distinct("files_id")) - files)


def unnamed(pad, later_s=LATER_S):
    """Return the leftovers of a day later, and what nobody names of them."""
    leftovers = Leftovers(pad.db, time.time() + later_s)
    return leftovers, leftovers.unnamed()


def place(part, text):
    """Return where a part lies in the FilePad."""
    return f"parts/{hashlib.sha256(text).hexdigest()}/{part}"


class TestReplacing:
    def test_leaves_nothing_of_what_was_there(self, store, pad):
        for text in (b"1", b"2", b"3"):
            store.replace("summary.json", text)
        assert content(pad) == (["summary.json"], 1, 0)

    def test_leaves_no_part_that_the_new_file_does_not_have(self, store, pad):
        store.replace("quarantine/x.json", b"1", {"quarantine/x/a": b"a", "quarantine/x/b": b"b"})
        store.replace("quarantine/x.json", b"2", {"quarantine/x/b": b"b", "quarantine/x/c": b"c"})
        expected = [place("quarantine/x/b", b"b"), place("quarantine/x/c", b"c"), "quarantine/x.json"]
        assert content(pad) == (sorted(expected), 3, 0)
        [marker] = store.below("quarantine/")
        assert {part.path: store.read(part, marker) for part in marker.parts} == {
            "quarantine/x/b": b"b",
            "quarantine/x/c": b"c",
        }

    def test_of_two_that_make_it_at_once_one_stays(self, store, pad):
        """Both find nothing, and both insert: the index refuses the second one, which then replaces the first."""
        other, find_one_and_replace = FileStore(pad.db, store.key), store._documents.find_one_and_replace

        def after_the_other(*words, **options):
            store._documents.find_one_and_replace = find_one_and_replace
            other.replace("summary.json", b"theirs", {"s/part": b"theirs"})
            raise DuplicateKeyError("E11000")

        store._documents.find_one_and_replace = after_the_other
        store.replace("summary.json", b"ours", {"s/part": b"ours"})
        [marker] = store.below("s")
        [also] = other.below("s")
        assert marker == also
        assert store.read(marker, marker) == b"ours"
        assert content(pad) == (sorted([place("s/part", b"ours"), "summary.json"]), 2, 0)

    def test_a_race_without_end_is_an_error_and_leaves_nothing(self, store, pad, monkeypatch):
        def refuse(*_, **__):
            raise DuplicateKeyError("E11000")

        monkeypatch.setattr(store._documents, "find_one_and_replace", refuse)
        with pytest.raises(FilePadError, match="can't be replaced"):
            store.replace("summary.json", b"x")
        assert content(pad) == ([], 0, 0)

    def test_parts_that_somebody_removes_meanwhile_are_stored_again(self, store, pad):
        """They were there, of an older file that another one replaces just now."""
        store.replace("q.json", b"1", {"q/a": b"a"})
        put = store._put_in_place

        def after_the_other(document):
            store._put_in_place = put
            FileStore(pad.db, store.key).replace("q.json", b"2", {"q/b": b"b"})
            return put(document)

        store._put_in_place = after_the_other
        store.replace("q.json", b"3", {"q/a": b"a"})
        [marker] = store.below("q")
        assert [store.read(part, marker) for part in marker.parts] == [b"a"]
        assert content(pad) == (sorted([place("q/a", b"a"), "q.json"]), 2, 0)

    def test_who_was_second_to_publish_leaves_no_parts(self, store, pad, monkeypatch):
        named, answers = store.named, iter([{}])
        monkeypatch.setattr(store, "named", lambda paths: next(answers, None) or named(paths))
        FileStore(pad.db, store.key).publish("g/training.json", b"theirs", {"g/potential.yaml": b"1"})
        store.publish("g/training.json", b"ours", {"g/potential.yaml": b"2"})
        assert content(pad) == (sorted(["g/training.json", place("g/potential.yaml", b"1")]), 2, 0)

    def test_what_is_removed_takes_its_parts_along(self, store, pad):
        store.publish("quarantine/x.json", b"1", {"quarantine/x/a": b"a"})
        store.remove(["quarantine/x.json"])
        assert content(pad) == ([], 0, 0)

    def test_a_reader_gets_the_new_one(self, small, pad, tmp_path, monkeypatch):
        """Its file is replaced between its look and its reading."""
        handoff = Handoff(campaign=small(files="filepad"), directory=THERE)
        copy = open_copy(handoff, Worker(campaigns_dir=str(tmp_path / "a")), pad)
        copy.store.replace("quarantine/x.json", b"1", {"quarantine/x/a": b"a"})
        read = copy.store.read

        def after_another(filed, of):
            monkeypatch.setattr(copy.store, "read", read)
            FileStore(pad.db, copy.store.key).replace("quarantine/x.json", b"2", {"quarantine/x/b": b"b"})
            return read(filed, of)

        monkeypatch.setattr(copy.store, "read", after_another)
        copy._download(next(copy.store.below("quarantine/")))
        assert (copy.root / "quarantine/x.json").read_bytes() == b"2"
        assert (copy.root / "quarantine/x/b").read_bytes() == b"b"

    def test_what_is_damaged_is_still_an_error(self, small, pad, tmp_path):
        handoff = Handoff(campaign=small(files="filepad"), directory=THERE)
        copy = open_copy(handoff, Worker(campaigns_dir=str(tmp_path / "a")), pad)
        copy.store.publish("quarantine/x.json", b"1")
        pad.db["filepad_gfs.chunks"].delete_many({})
        with pytest.raises(FilePadError, match="is damaged"):
            copy.fetch(StagingSpec((QUARANTINE_RECORDS,)))

    def test_who_only_reads_builds_no_index(self, store, pad):
        assert store.named(["x"]) == {}
        assert "filepad" not in pad.db.list_collection_names()


class TestKilled:
    def killed(self, store, monkeypatch, where):
        def die(*_, **__):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(store, where, die)
            store.replace("q.json", b"2", {"q/b": b"b"})

    @pytest.mark.parametrize(("where", "now"), [("_put_in_place", b"1"), ("_drop_contents", b"2"), ("_settle", b"2")])
    def test_leftovers_of_a_killed_writer_are_removed_a_day_later(self, store, pad, monkeypatch, where, now):
        store.replace("q.json", b"1", {"q/a": b"a"})
        self.killed(store, monkeypatch, where)
        assert unnamed(pad, later_s=-60)[1] == []
        leftovers, found = unnamed(pad)
        assert len(found) == {"_put_in_place": 2, "_drop_contents": 2, "_settle": 0}[where]
        leftovers.remove(found)
        assert unnamed(pad)[1] == []
        [marker] = store.below("q.json")
        assert store.read(marker, marker) == now
        assert [store.read(part, marker) for part in marker.parts] == [{b"1": b"a", b"2": b"b"}[now]]
        assert content(pad)[1:] == (2, 0)

    def test_chunks_without_a_file_too(self, store, pad):
        store.publish("a", b"1")
        store.publish("b", b"2")
        gfs_id = ObjectId(pad.db["filepad"].find_one({"identifier": f"{store.key}/a"})["gfs_id"])
        pad.db["filepad"].delete_one({"gfs_id": str(gfs_id)})
        pad.db["filepad_gfs.files"].delete_one({"_id": gfs_id})
        leftovers, found = unnamed(pad)
        assert found == [gfs_id]
        leftovers.remove(found)
        assert content(pad) == (["b"], 1, 0)

    def test_files_of_others_stay(self, store, pad):
        GridFS(pad.db, "filepad_gfs").put(b"theirs")
        pad.db["filepad"].insert_one({"identifier": "theirs", "gfs_id": "x"})
        pad.db["filepad"].insert_one({"identifier": "others/parts/y", "metadata": "z"})
        assert unnamed(pad)[1] == []

    def test_recover_does_it(self, store, pad, monkeypatch):
        store.replace("q.json", b"1")
        self.killed(store, monkeypatch, "_drop_contents")
        assert list(recover(pad, timeout_s=0.0)) == []
        monkeypatch.setattr("mlip_fw.launchpad.recovery.faults.server_time", lambda _: time.time() + LATER_S)
        kinds = [(finding.kind, finding.repair is not None) for finding in recover(pad, timeout_s=0.0, dry_run=True)]
        assert kinds == [("unused files", True), ("files without workflow", False)]
        assert content(pad)[1] == 3
        list(recover(pad, timeout_s=0.0))
        assert content(pad) == (sorted(["q.json", place("q/b", b"b")]), 2, 0)


class TestDeletedWorkflow:
    @pytest.fixture
    def campaign(self, small, pad):
        """Return a campaign whose files are there, and whose workflow was deleted."""
        campaign = small(files="filepad")
        publish_campaign(campaign, THERE, pad)
        pad.add_wf(campaign_workflow(campaign, Path(THERE)))
        pad.delete_wf(1)
        return campaign

    def test_recover_names_its_files_and_leaves_them(self, campaign, pad, monkeypatch):
        assert list(recover(pad, timeout_s=0.0)) == []
        monkeypatch.setattr("mlip_fw.launchpad.recovery.faults.server_time", lambda _: time.time() + LATER_S)
        before = content(pad)
        [finding] = recover(pad, timeout_s=0.0)
        assert (finding.kind, finding.name, finding.repair) == (
            "files without workflow",
            filepad_key("small", THERE),
            None,
        )
        assert finding.what.startswith("1 files, 0.0 MB") and f"mlip-fw pull {THERE} --remove" in finding.what
        assert content(pad) == before

    @pytest.mark.parametrize("name", ["small", THERE, filepad_key("small", THERE)])
    def test_pull_fetches_and_removes_them(self, campaign, pad, tmp_path, name):
        copy = pull_campaign(pad, name, tmp_path / "here")
        assert CampaignDirectory(tmp_path / "here").read_campaign().campaign == "small"
        remove_published(pad, copy)
        assert content(pad) == ([], 0, 0)

    def test_as_it_is_typed(self, campaign, pad, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("mlip_fw.cli.pull.load_launchpad", lambda _: pad)
        done = CliRunner().invoke(app, ["pull", THERE, "--remove"])
        assert done.exit_code == 0, done.output
        assert content(pad) == ([], 0, 0)
        assert os.listdir(tmp_path) == ["small"]

    def test_it_is_not_taken_without_a_name(self, campaign, pad):
        with pytest.raises(DirectoryError, match="found none"):
            find_published(pad, None)

    def test_files_of_an_older_version_need_the_directory(self, campaign, pad):
        pad.db["filepad"].update_many({}, {"$unset": {"metadata.directory": ""}})
        assert find_published(pad, THERE)[1] == THERE
        with pytest.raises(DirectoryError, match="name that directory"):
            find_published(pad, "small")
