"""Files in the FilePad: what is stored is what comes out, the first one stays, and nothing leads out of a copy."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from bson import ObjectId
from fireworks.utilities.filepad import FilePad

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.errors import CampaignError, DirectoryError, FilePadError, NumberTakenError, WorkerError
from mlip_fw.firetasks.md import RunMD
from mlip_fw.io.files import write_json
from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.launcher.retry import retry_workflow
from mlip_fw.launchpad.filepad.campaign_files import open_copy, publish_campaign, require_inputs
from mlip_fw.launchpad.filepad.event_log import publish_journal
from mlip_fw.launchpad.filepad.file_store import FileStore
from mlip_fw.launchpad.filepad.path_map import PathMap
from mlip_fw.launchpad.filepad.published_files import filepad_key
from mlip_fw.launchpad.filepad.pull import find_published, pull_campaign, remove_published
from mlip_fw.launchpad.filepad.staging import (
    LABEL_FILES,
    NEWEST_GENERATION,
    POTENTIAL_TO_RUN,
    QUARANTINE_RECORDS,
    FileSet,
    StagingSpec,
)
from mlip_fw.models.handoff import Handoff, LabelHandoff, MDHandoff
from mlip_fw.models.label import QuarantineRecord
from mlip_fw.models.training import TrainingRecord
from mlip_fw.models.worker import Worker
from mlip_fw.steps.step import Step
from mlip_fw.workflows.campaign import campaign_workflow

THERE = "/there/small"
NAME = "0123456789abcdef"


@pytest.fixture
def pad():
    """Return an empty LaunchPad in memory."""
    return embedded_launchpad()


@pytest.fixture
def store(pad):
    """Return a store of one campaign."""
    return FileStore(pad.db, "small-1")


@pytest.fixture
def machine(small, pad, tmp_path):
    """Return a function that gives the copy of a machine."""

    def make(name):
        handoff = Handoff(campaign=small(files="filepad"), directory=THERE)
        return open_copy(handoff, Worker(campaigns_dir=str(tmp_path / name)), pad)

    return make


def put(copy, path, text):
    """Write a file of a copy."""
    (copy.root / path).parent.mkdir(parents=True, exist_ok=True)
    (copy.root / path).write_text(text)


def training(number, labels=()):
    """Return the record of a generation."""
    return TrainingRecord(
        generation=number,
        labels=list(labels),
        new_labels=list(labels),
        n_atoms=1,
        n_environments={},
        functions_per_element={},
        reference_energy_ev={},
        ridge=0.0,
        active_set_swaps=0,
        gamma_max_dataset=0.0,
        seconds=0.0,
    )


def train(copy, text="pot"):
    """Publish a generation that has learnt from all labels."""
    with copy.generations().new() as (number, folder):
        (folder / "potential.yaml").write_text(text)
        (folder / "fit.npz").write_text("fit")
        write_json(folder / "training.json", training(number, Dataset(copy.root).hashes()))
    return number


class TestStore:
    def test_what_comes_out_is_what_went_in(self, store):
        parts = {"a/x.bin": b"\x00\xff" * 1000, "a/empty": b""}
        marker = store.publish("a/result.json", b"{}", parts)
        assert store.read(marker, marker) == b"{}"
        assert {part.path: store.read(part, marker) for part in marker.parts} == parts

    @pytest.mark.parametrize("text", [b"text" * 1000, np.random.default_rng(0).bytes(4000)])
    def test_fireworks_own_filepad_reads_it(self, store, text):
        """Whether it was worth compressing or not."""
        marker = store.publish("labels/x.extxyz", text)
        assert marker.compressed == text.startswith(b"text")
        theirs = FilePad.__new__(FilePad)
        theirs.filepad, theirs.gridfs = store._documents, store._contents
        content, document = theirs.get_file("small-1/labels/x.extxyz")
        assert (content, document["original_file_name"]) == (text, "x.extxyz")

    def test_first_one_stays(self, store):
        store.publish("labels/x.extxyz", b"first")
        again = store.publish("labels/x.extxyz", b"second")
        assert store.read(again, again) == b"first"

    def test_one_that_comes_between_look_and_insert_stays(self, store, pad, monkeypatch):
        other, named = FileStore(pad.db, "small-1"), store.named
        answers = iter([{}])
        monkeypatch.setattr(store, "named", lambda paths: next(answers, None) or named(paths))
        other.publish("potentials/gen_0007/training.json", b"theirs", {"potentials/gen_0007/potential.yaml": b"1"})
        got = store.publish("potentials/gen_0007/training.json", b"ours", {"potentials/gen_0007/potential.yaml": b"2"})
        assert got.holds(b"theirs")
        assert store.read(got.parts[0], got) == b"1"
        assert len(list(store._documents.find({"identifier": "small-1/potentials/gen_0007/training.json"}))) == 1

    def test_last_one_decides_where_it_shall(self, store):
        for text in (b"1", b"2"):
            store.replace("summary.json", text)
        [marker] = store.below("")
        assert store.read(marker, marker) == b"2"

    def test_campaigns_are_apart(self, store, pad):
        store.publish("labels/x", b"")
        assert list(FileStore(pad.db, "small-2").below("")) == []
        assert filepad_key("small", "/a") != filepad_key("small", "/b")

    def test_listing(self, store):
        for number in (9, 10, 11):
            store.publish(f"potentials/gen_{number:04d}/training.json", b"", {"potentials/part": b"p"})
        names = [f"potentials/gen_{number:04d}/training.json" for number in (9, 10, 11)]
        assert [marker.path for marker in store.below("potentials/")] == store.names_below("potentials/") == names
        assert [marker.path for marker in store.below("potentials/", newest=True)] == names[-1:]
        assert [marker.path for marker in store.below("potentials/", limit=2)] == names[:2]

    def test_what_is_removed_is_gone(self, store):
        store.publish("quarantine/x.json", b"")
        store.remove(["quarantine/x.json", "quarantine/y.json"])
        assert store.names_below("") == []

    @pytest.mark.parametrize("damage", ["other bytes", "cut", "gone", "bomb", "no chunk"])
    def test_damaged_contents_are_named(self, store, damage):
        marker = store.publish("labels/x", b"text" * 100)
        chunks, stored = store._contents._collection.chunks, ObjectId(marker.gfs_id)
        if damage == "gone":
            store._contents.delete(stored)
        elif damage == "no chunk":
            chunks.delete_many({"files_id": stored})
        else:
            packed = chunks.find_one({"files_id": stored})["data"]
            made = {
                "other bytes": packed[:-1] + bytes([packed[-1] ^ 1]),
                "cut": packed[:5],
                "bomb": zlib.compress(b"0" * 10_000_000),
            }
            chunks.update_one({"files_id": stored}, {"$set": {"data": made[damage]}})
            store._contents._collection.files.update_one({"_id": stored}, {"$set": {"length": len(made[damage])}})
        with pytest.raises(FilePadError, match=r"labels/x of small-1 .* is damaged .* put back a backup"):
            store.read(marker, marker)

    def test_what_the_database_spoils_is_not_published(self, store, monkeypatch):
        monkeypatch.setattr(store, "_contents_of", lambda document, size: b"other")
        with pytest.raises(FilePadError, match="otherwise than it went in"):
            store.publish("labels/x", b"text")
        assert store.names_below("") == []

    @pytest.mark.parametrize(
        "metadata", [None, {"path": "labels/x"}, {"path": "y", "sha256": "0" * 64, "size": 0}, {"size": -1}]
    )
    def test_foreign_documents_are_refused(self, store, metadata):
        store._documents.insert_one({"identifier": "small-1/labels/x", "gfs_id": "1", "metadata": metadata})
        with pytest.raises(FilePadError, match="small-1/labels/x"):
            list(store.below("labels/"))

    def test_large_one_in_place_of_a_small_one(self, store):
        """What was not compressed is not read beyond its size either."""
        marker = store.publish("labels/x", np.random.default_rng(0).bytes(100))
        store._contents._collection.chunks.update_one({}, {"$set": {"data": b"0" * 200}})
        store._contents._collection.files.update_one({}, {"$set": {"length": 200}})
        with pytest.raises(FilePadError, match="its sha256 is another"):
            store.read(marker, marker)

    def test_too_large_file(self, store, monkeypatch):
        monkeypatch.setattr("mlip_fw.launchpad.filepad.published_files._MAX_BYTES", 3)
        with pytest.raises(FilePadError, match=r"labels/x has 4 bytes, more than the 3"):
            store.publish("labels/x", b"text")


class TestPlaces:
    @pytest.fixture
    def places(self, small, tmp_path):
        campaign = small(
            structure={"file": "/home/me/start.extxyz", "bulk": None}, potential={"initial": "/home/me/p.yaml"}
        )
        return PathMap(campaign, THERE, tmp_path / "copy")

    def test_there_and_back(self, places, tmp_path):
        there = {
            "directory": THERE,
            "start": f"{THERE}/walkers/x",
            "n": 1,
            "list": [f"{THERE}2", "/home/me/start.extxyz"],
        }
        here = places.here(there)
        assert here["start"] == str(tmp_path / "copy/walkers/x")
        assert here["list"] == [f"{THERE}2", str(tmp_path / "copy/inputs/structure.file/start.extxyz")]
        assert places.there(here) == there

    def test_active_set_of_a_given_potential_goes_along(self, places, tmp_path):
        assert places.here("/home/me/p.asi") == str(tmp_path / "copy/inputs/potential.initial/p.asi")

    def test_only_results_are_rewritten(self, places, tmp_path):
        content = json.dumps({"start": f"{THERE}/x", "f": 0.1}, indent=1).encode() + b"\n"
        arrived = places.content_here("walkers/00/cycle_0000/result.json", content)
        assert json.loads(arrived) == {"start": str(tmp_path / "copy/x"), "f": 0.1}
        assert places.content_there("walkers/00/cycle_0000/result.json", arrived) == content
        assert places.content_here("labels/x.extxyz", content) == content

    @pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "a//b", "./x", "a/\x1b[1m", "link/x"])
    def test_nothing_leads_out(self, places, tmp_path, path):
        places.root.mkdir()
        (places.root / "link").symlink_to(tmp_path)
        with pytest.raises(FilePadError, match="outside"):
            places.path_here(path)

    def test_where_it_was_added_inputs_stay(self, small):
        campaign = small(structure={"file": "/home/me/start.extxyz", "bulk": None})
        assert PathMap(campaign, THERE, Path(THERE)).here("/home/me/start.extxyz") == "/home/me/start.extxyz"


class TestCopy:
    def test_what_one_machine_makes_another_gets(self, machine):
        a, b = machine("a"), machine("b")
        put(a, "walkers/00/cycle_0000/halt.restart", "restart")
        put(a, "walkers/00/cycle_0000/dump.lammpstrj", "large")
        put(a, "walkers/00/cycle_0000/result.json", json.dumps({"start": f"{a.root}/x"}))
        assert a.publish(["walkers/00/cycle_0000/result.json"])
        b.fetch(StagingSpec((FileSet("walkers/00/"),)))
        assert (b.root / "walkers/00/cycle_0000/halt.restart").read_text() == "restart"
        assert json.loads((b.root / "walkers/00/cycle_0000/result.json").read_text()) == {"start": f"{b.root}/x"}
        assert not (b.root / "walkers/00/cycle_0000/dump.lammpstrj").exists()

    def test_only_what_is_wanted(self, machine):
        a, b = machine("a"), machine("b")
        put(a, "walkers/00/cycle_0000/halt.restart", "restart")
        put(a, "walkers/00/cycle_0000/result.json", "{}")
        a.publish(["walkers/*/*/result.json"])
        b.fetch(StagingSpec((FileSet("walkers/", only=("result.json",)),)))
        assert [filed.path for filed in b.fetched] == ["walkers/00/cycle_0000/result.json"]
        b.fetch(StagingSpec((FileSet("walkers/"),)))
        assert [filed.path for filed in b.fetched[1:]] == ["walkers/00/cycle_0000/halt.restart"]

    def test_corrupted_copy_is_fetched_again(self, machine, caplog):
        a, b = machine("a"), machine("b")
        put(a, f"labels/{NAME}.extxyz", "label")
        a.publish(["labels/*"])
        b.fetch(StagingSpec((LABEL_FILES,)))
        put(b, f"labels/{NAME}.extxyz", "lavel")
        b.fetch(StagingSpec((LABEL_FILES,)))
        assert (b.root / f"labels/{NAME}.extxyz").read_text() == "label"
        assert "is not what was published" in caplog.text

    def test_second_publisher_gets_what_the_first_has_made(self, machine):
        a, b = machine("a"), machine("b")
        for copy, text in ((a, "first"), (b, "second")):
            put(copy, "walkers/00/cycle_0000/selection.json", json.dumps(text))
            put(copy, "walkers/00/cycle_0000/selected.extxyz", text)
        assert a.publish(["walkers/*/*/selection.json"])
        assert not b.publish(["walkers/*/*/selection.json"])
        assert (b.root / "walkers/00/cycle_0000/selected.extxyz").read_text() == "first"
        assert b.publish(["walkers/*/*/selection.json"])

    def test_names_of_labels_without_the_labels(self, machine):
        a, b = machine("a"), machine("b")
        put(a, f"labels/{NAME}.extxyz", "label")
        a.publish(["labels/*"])
        b.fetch(StagingSpec(all_label_names=True))
        dataset = Dataset(b.root)
        assert (dataset.has(NAME), dataset.has_anywhere(NAME), dataset.n_computed()) == (False, True, 1)
        assert dataset.hashes() == []

    def test_label_ends_the_quarantine_everywhere(self, machine):
        a, b = machine("a"), machine("b")
        record = QuarantineRecord(hash=NAME, reason="no", level_of_theory={})
        write_json(a.root / f"quarantine/{NAME}.json", record)
        put(a, f"quarantine/{NAME}.extxyz", "structure")
        put(a, f"quarantine/{NAME}/pw.out", "output")
        a.publish([f"quarantine/{NAME}.json"])
        b.fetch(StagingSpec((FileSet("quarantine/"),)))
        assert (b.root / f"quarantine/{NAME}/pw.out").read_text() == "output"
        put(a, f"labels/{NAME}.extxyz", "label")
        a.publish([f"labels/{NAME}.extxyz"])
        b.fetch(StagingSpec((QUARANTINE_RECORDS,), all_label_names=True))
        assert Dataset(b.root).quarantined() == []
        assert a.store.names_below("quarantine/") == []

    def test_failure_of_a_second_try_takes_the_place_of_the_first(self, machine):
        a, b = machine("a"), machine("b")
        for copy, reason in ((a, "first"), (b, "second")):
            write_json(
                copy.root / f"quarantine/{NAME}.json", QuarantineRecord(hash=NAME, reason=reason, level_of_theory={})
            )
            assert copy.publish([f"quarantine/{NAME}.json"])
        a.fetch(StagingSpec((QUARANTINE_RECORDS,)))
        assert [record.reason for record in Dataset(a.root).quarantined()] == ["second"]

    def test_path_from_the_database_that_leads_out(self, machine, tmp_path):
        copy = machine("a")
        copy.store.publish("labels/../../../x", b"evil")
        with pytest.raises(FilePadError, match="outside"):
            copy.fetch(StagingSpec((LABEL_FILES,)))
        copy.store.publish("quarantine/x.json", b"", {"../../x": b"evil"})
        with pytest.raises(FilePadError, match="outside"):
            copy.fetch(StagingSpec((QUARANTINE_RECORDS, FileSet("quarantine/"))))
        assert not (tmp_path / "x").exists()


class TestGenerations:
    def test_is_published_before_it_appears(self, machine, monkeypatch):
        a = machine("a")
        seen = []
        publish = a.store.publish
        monkeypatch.setattr(
            a.store, "publish", lambda *args: (seen.append(Generations(a.root).numbers()), publish(*args))[1]
        )
        assert train(a) == 0
        assert seen == [[]]
        assert Generations(a.root).numbers() == a.generations().numbers() == [0]

    def test_number_is_claimed_in_the_database(self, machine):
        a, b = machine("a"), machine("b")
        train(a, "theirs")
        with pytest.raises(NumberTakenError, match="published generation 0 meanwhile"):
            train(b, "ours")
        assert Generations(b.root).numbers() == []
        b.fetch(StagingSpec((NEWEST_GENERATION,)))
        assert Generations(b.root).potential(0).read_text() == "theirs"
        assert train(b) == 1

    def test_labels_it_has_learnt_from_are_published_with_it(self, machine):
        a, b = machine("a"), machine("b")
        put(a, f"labels/{NAME}.extxyz", "label")
        train(a)
        b.fetch(StagingSpec((NEWEST_GENERATION, LABEL_FILES)))
        assert Dataset(b.root).hashes() == [NAME]

    def test_label_that_another_machine_had_first_is_learnt_anew(self, machine):
        a, b = machine("a"), machine("b")
        for copy, text in ((a, "first"), (b, "second")):
            put(copy, f"labels/{NAME}.extxyz", text)
        a.publish(["labels/*"])
        with pytest.raises(NumberTakenError, match="published labels"):
            train(b)
        assert Dataset(b.root).path(NAME).read_text() == "first"

    def test_training_goes_on_from_what_it_fetched(self, machine):
        """Another process of the machine may bring a newer generation without what a training needs."""
        a, b = machine("a"), machine("b")
        train(a)
        b.fetch(StagingSpec((NEWEST_GENERATION,)))
        a.fetch(StagingSpec((NEWEST_GENERATION,)))
        train(a)
        machine("b").fetch(StagingSpec((POTENTIAL_TO_RUN,)))
        assert Generations(b.root).numbers() == [0, 1]
        assert b.generations().newest() == 0
        b.fetch(StagingSpec((NEWEST_GENERATION,)))
        assert (Generations(b.root).folder(1) / "fit.npz").is_file()

    def test_md_has_the_generation_before_a_refused_one(self, small, machine):
        a, b = machine("a"), machine("b")
        for _ in range(2):
            a.fetch(StagingSpec((NEWEST_GENERATION,)))
            train(a)
        handoff = MDHandoff(campaign=small(files="filepad"), directory=str(b.root), walker=0)
        b.fetch(RunMD(handoff=handoff.plain()).staging(Step(handoff)))
        assert Generations(b.root).numbers() == [0, 1]
        assert Generations(b.root).potential(0).is_file()

    def test_own_generation_that_another_process_has_fetched_already(self, machine, monkeypatch):
        a = machine("a")
        claim = a._claim

        def claim_and_fetch(number, draft):
            claim(number, draft)
            machine("a").fetch(StagingSpec((POTENTIAL_TO_RUN,)))

        monkeypatch.setattr(a, "_claim", claim_and_fetch)
        train(a)
        assert (Generations(a.root).folder(0) / "fit.npz").read_text() == "fit"
        assert not list((a.root / "potentials").glob(".draft-*"))

    def test_one_that_two_processes_fetch(self, machine, monkeypatch):
        a, b = machine("a"), machine("b")
        train(a)
        read, again = b.store.read, machine("b")
        monkeypatch.setattr(
            b.store, "read", lambda *args: (again.fetch(StagingSpec((POTENTIAL_TO_RUN,))), read(*args))[1]
        )
        b.fetch(StagingSpec((NEWEST_GENERATION,)))
        assert sorted(path.name for path in Generations(b.root).folder(0).iterdir()) == [
            "fit.npz",
            "potential.yaml",
            "training.json",
        ]


class TestJournal:
    def test_parts_of_two_machines_make_one(self, machine):
        a, b = machine("a"), machine("b")
        for number, copy in enumerate([a, b, b, a]):
            CampaignDirectory(copy.root).log_event("selected", number=number)
            copy.publish([])
        b.fetch(StagingSpec((FileSet("events/"),)))
        assert [event["number"] for event in CampaignDirectory(b.root).events()] == [0, 1, 2, 3]

    def test_nothing_is_published_twice(self, machine):
        a = machine("a")
        CampaignDirectory(a.root).log_event("selected")
        for _ in range(2):
            a.publish([])
        assert len(a.store.names_below("events/")) == 1

    def test_killed_after_publishing(self, machine):
        a = machine("a")
        note = a.root / ".running/journal.json"
        CampaignDirectory(a.root).log_event("selected", number=0)
        a.publish([])
        kept = json.loads(note.read_text())
        write_json(note, {**kept, "n_bytes": 0})
        CampaignDirectory(a.root).log_event("selected", number=1)
        a.publish([])
        parts = list(a.store.below("events/"))
        text = b"".join(a.store.read(part, part) for part in parts)
        assert text == CampaignDirectory(a.root).journal.read_bytes()

    def test_torn_line_waits(self, machine):
        a = machine("a")
        put(a, "events.jsonl", '{"time": 1, "event": "x"}\n{"time"')
        a.publish([])
        [part] = a.store.below("events/")
        assert part.size == 26

    def test_part_that_is_another_one(self, machine):
        a = machine("a")
        CampaignDirectory(a.root).log_event("selected")
        write_json(a.root / ".running/journal.json", {"copy_id": "x", "n_bytes": 0})
        a.store.publish("events/x-000000000000.jsonl", b"")
        with pytest.raises(FilePadError, match="is not from"):
            publish_journal(a.root, a.store)


class TestStart:
    def test_worker_without_a_place(self, small, pad):
        handoff = Handoff(campaign=small(files="filepad"), directory=THERE)
        with pytest.raises(WorkerError, match=r"no env.campaigns_dir"):
            open_copy(handoff, Worker(), pad)
        with pytest.raises(WorkerError, match="--offline"):
            open_copy(handoff, Worker(campaigns_dir="/x"), None)

    def test_inputs_travel(self, small, pad, tmp_path):
        start = tmp_path / "start.extxyz"
        start.write_text("atoms")
        campaign = small(files="filepad", structure={"file": str(start), "bulk": None})
        publish_campaign(campaign, THERE, pad)
        copy = open_copy(Handoff(campaign=campaign, directory=THERE), Worker(campaigns_dir=str(tmp_path / "a")), pad)
        with pytest.raises(CampaignError, match=r"start\.extxyz.*add the campaign with `mlip-fw add`"):
            require_inputs(copy, campaign)
        copy.fetch(StagingSpec((FileSet("inputs/"),)))
        require_inputs(copy, campaign)
        here = CampaignDirectory(copy.root)
        assert Path(here.read_campaign().structure.file).read_text() == "atoms"
        here.claim(here.read_campaign())
        start.write_text("other")
        with pytest.raises(CampaignError, match=r"start\.extxyz has changed since small was added"):
            publish_campaign(campaign, THERE, pad)

    def test_other_campaign_of_the_same_name_and_place(self, small, pad, tmp_path):
        publish_campaign(small(files="filepad"), THERE, pad)
        publish_campaign(small(files="filepad", budget={"max_labels": 7}), THERE, pad)
        other = small(files="filepad", seed=6)
        with pytest.raises(CampaignError, match="another campaign called small .* seed differ"):
            publish_campaign(other, THERE, pad)
        with pytest.raises(CampaignError, match="another campaign called small .* seed differ"):
            open_copy(Handoff(campaign=other, directory=THERE), Worker(campaigns_dir=str(tmp_path)), pad)

    def test_published_campaign_that_is_damaged(self, small, pad):
        FileStore(pad.db, filepad_key("small", THERE)).publish("campaign.yaml", b"{")
        with pytest.raises(FilePadError, match="not valid YAML"):
            publish_campaign(small(files="filepad"), THERE, pad)


class TestPull:
    def test_brings_what_is_new(self, machine, small, pad, tmp_path):
        a = machine("a")
        pad.add_wf(campaign_workflow(small(files="filepad"), Path(THERE)))
        put(a, "walkers/00/cycle_0000/result.json", json.dumps({"start": f"{a.root}/x"}))
        CampaignDirectory(a.root).log_event("selected", number=0)
        a.publish(["walkers/*/*/result.json"])
        for n_files in (2, 0):
            copy = pull_campaign(pad, None, tmp_path / "here")
            assert len(copy.fetched) == n_files
        here = CampaignDirectory(tmp_path / "here")
        assert json.loads((here.root / "walkers/00/cycle_0000/result.json").read_text()) == {"start": f"{here.root}/x"}
        assert [json.loads(line)["number"] for line in here.journal.read_text().splitlines()] == [0]
        assert here.read_campaign() == small(files="filepad")

    def test_which(self, small, pad):
        with pytest.raises(Exception, match=r"one campaign whose files travel .* found none"):
            find_published(pad, None)
        for directory in ("/x/small", "/y/small"):
            campaign = small(files="filepad")
            publish_campaign(campaign, directory, pad)
            pad.add_wf(campaign_workflow(campaign, Path(directory)))
        pad.add_wf(campaign_workflow(small(campaign="other"), Path("/z")))
        with pytest.raises(Exception, match=r"one campaign small .* found small \(/x/small\), small \(/y/small\)"):
            find_published(pad, "small")
        assert find_published(pad, "/y/small")[1] == "/y/small"

    def test_labels_made_again_are_no_other_campaign_and_keep_its_files(self, machine, small, pad, tmp_path):
        campaign = small(files="filepad")
        machine("a")
        again = LabelHandoff(
            campaign=campaign, directory=THERE, hash="0" * 16, structures=f"{THERE}/q", index=0, retry=True
        )
        pad.add_wf(retry_workflow([again]))
        assert find_published(pad, None) == (campaign, THERE), "also if the campaign's own workflow is gone"
        pad.add_wf(campaign_workflow(campaign, Path(THERE)))
        assert find_published(pad, "small")[1] == THERE
        copy = pull_campaign(pad, None, tmp_path / "here")
        pad.workflows.update_many({"name": "small"}, {"$set": {"state": "COMPLETED"}})
        with pytest.raises(DirectoryError, match="not all COMPLETED"):
            remove_published(pad, copy)
        pad.workflows.update_many({}, {"$set": {"state": "COMPLETED"}})
        remove_published(pad, copy)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"validation": {"n_frames": 2}}, "validation needs one campaign directory"),
        ({"oracle": {"kind": "espresso", "ecutwfc_ry": 30.0, "pseudo_dir": "/here"}}, "file or folder of one machine"),
    ],
)
def test_what_needs_one_machine_is_refused(small, changes, said):
    with pytest.raises(CampaignError, match=said):
        small(files="filepad", **changes)
