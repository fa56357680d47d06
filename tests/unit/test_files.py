"""Files are whole or not there; directories are claimed once; journals survive torn lines."""

import errno
import json
import multiprocessing
import os
from pathlib import Path

import pytest
from ase.build import bulk

from mlip_fw import doctor
from mlip_fw.campaign.dataset import Dataset, label_name
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.journal import read_event
from mlip_fw.campaign.seeds import derived_seed
from mlip_fw.errors import CampaignError, DirectoryError, NumberTakenError
from mlip_fw.io.files import atomic_file, read_model, read_or_create, remove_half_written, write_json
from mlip_fw.io.structures import canonical, structure_hash, with_labels
from mlip_fw.models.label import LabelBalance, QuarantineRecord

LEVEL = {"kind": "ase", "calculator": "emt", "parameters": {}}


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_readers_see_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with path.open() as reader:
        write_json(path, {"x": 2})
        assert json.loads(reader.read()) == {"x": 1}
    assert json.loads(path.read_text()) == {"x": 2}


def test_full_disk_is_one_paragraph(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DirectoryError, match="No space left on device; free space"):
        write_json(tmp_path / "a.json", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content", ["", "{", '{"done": 1}', '{"done": [], "failed": -1, "max_failed_fraction": 0.3}', "null"]
)
def test_half_written_model_is_made_again(tmp_path, content):
    path = tmp_path / "m.json"
    path.write_text(content)
    assert read_model(path, LabelBalance) is None
    made = read_or_create(path, LabelBalance, lambda: LabelBalance(done=2, failed=0, max_failed_fraction=0.3))
    assert read_model(path, LabelBalance) == made


def test_what_is_there_is_not_made_again(tmp_path):
    balance = LabelBalance(done=2, failed=0, max_failed_fraction=0.3)
    write_json(tmp_path / "m.json", balance)
    assert read_or_create(tmp_path / "m.json", LabelBalance, lambda: pytest.fail("made again")) == balance


def test_leftovers_are_removed(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".writing-abc-x.json").write_text("")
    assert remove_half_written(tmp_path) == 1
    assert not list((tmp_path / "deep").iterdir())


def test_claim_twice_is_fine_and_budget_may_change(small, tmp_path):
    directory = CampaignDirectory(tmp_path / "c")
    directory.claim(small())
    directory.claim(small(budget={"max_cycles": 5}))
    assert directory.read_campaign().budget.max_cycles == 5


def test_foreign_directory_is_refused_and_untouched(small, tmp_path):
    directory = CampaignDirectory(tmp_path / "c")
    directory.claim(small())
    before = directory.campaign_file.read_text()
    with pytest.raises(CampaignError, match=r"another campaign: md\.timestep_fs, seed differ"):
        directory.claim(small(seed=99, md={"timestep_fs": 1.0}))
    assert directory.campaign_file.read_text() == before


def test_directory_with_other_things_is_refused(small, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(CampaignError, match="not empty"):
        CampaignDirectory(tmp_path).claim(small())
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_directory_that_can_not_be_made(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryError, match="can't write in the campaign directory"):
        CampaignDirectory(tmp_path / "file" / "c").claim(small())


def test_second_run_is_kept_out(small, tmp_path):
    directory = CampaignDirectory(tmp_path / "c")
    directory.claim(small())
    with directory.locked(), pytest.raises(DirectoryError, match=f"process {os.getpid()}"):
        CampaignDirectory(tmp_path / "c").locked().__enter__()
    with directory.locked():
        pass


def test_a_new_name_is_made_lasting(tmp_path, monkeypatch):
    """The folder is written out after the file was renamed, so that a power cut takes neither."""
    synced, real = [], os.fsync

    def fsync(descriptor):
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((place.name.startswith(".writing-"), place == tmp_path, (tmp_path / "a.json").exists()))
        real(descriptor)

    monkeypatch.setattr("mlip_fw.io.files.os.fsync", fsync)
    write_json(tmp_path / "a.json", 1)
    assert synced == [(True, False, False), (False, True, True)]


@pytest.mark.parametrize("which", ["locked", "turn_locked"])
def test_file_system_without_locks(small, tmp_path, monkeypatch, which):
    def refuse(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    directory = CampaignDirectory(tmp_path / "c")
    directory.claim(small())
    monkeypatch.setattr("mlip_fw.io.locks.fcntl.flock", refuse)
    with pytest.raises(DirectoryError, match=r"does not know flock .*-o flock"):
        (directory.locked() if which == "locked" else directory.work_locked("x")).__enter__()
    assert not directory.is_locked()


def test_doctor_sees_that_there_are_no_locks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctor._look("file locks", doctor._locks).ok
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("mlip_fw.io.locks._flock", lambda *_: (_ for _ in ()).throw(DirectoryError("no flock")))
    assert not doctor._look("file locks", doctor._locks).ok


def _log_many(root, writer):
    for k in range(100):
        CampaignDirectory(root).log_event("tick", writer=writer, k=k)


def test_journal_with_many_writers(tmp_path):
    processes = [multiprocessing.Process(target=_log_many, args=(tmp_path, w)) for w in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    events = CampaignDirectory(tmp_path).events()
    assert sorted((e["writer"], e["k"]) for e in events) == [(w, k) for w in range(4) for k in range(100)]


def test_torn_last_line_is_dropped(tmp_path):
    directory = CampaignDirectory(tmp_path)
    directory.log_event("one")
    with (tmp_path / "events.jsonl").open("a") as handle:
        handle.write('{"time": 1, "ev')
    assert [e["event"] for e in directory.events()] == ["one"]
    directory.repair_journal()
    directory.log_event("two")
    assert [json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text().splitlines()] == [
        "one",
        "two",
    ]


def test_event_after_a_torn_line_starts_a_line_of_its_own(tmp_path):
    (tmp_path / "events.jsonl").write_text('{"time": 1, "ev')
    CampaignDirectory(tmp_path).log_event("two")
    assert [e["event"] for e in CampaignDirectory(tmp_path).events()] == ["two"]


def test_label_name_depends_on_structure_and_level():
    atoms = bulk("Cu", cubic=True)
    moved = atoms.copy()
    moved.positions[0, 0] += 1e-3
    names = {
        structure_hash(atoms, LEVEL),
        structure_hash(moved, LEVEL),
        structure_hash(atoms, {**LEVEL, "calculator": "lj"}),
    }
    assert len(names) == 3


def test_label_name_survives_a_file(tmp_path):
    from mlip_fw.io.structures import read_frame, write_frames

    atoms = canonical(bulk("Cu", cubic=True) * (2, 2, 2))
    atoms.rattle(0.1, seed=3)
    atoms = canonical(atoms)
    write_frames(tmp_path / "a.extxyz", [atoms])
    assert label_name(read_frame(tmp_path / "a.extxyz"), LEVEL) == label_name(atoms, LEVEL)


def test_dataset_keeps_labels_and_quarantine(tmp_path):
    dataset, atoms = Dataset(tmp_path), bulk("Cu", cubic=True)
    labelled = with_labels(atoms, -1.5, atoms.positions * 0 + 0.25, [1, 2, 3, 4, 5, 6])
    dataset.add("aa", labelled, {"code": "x", "label_seconds": 0.5})
    dataset.add_to_quarantine(atoms, QuarantineRecord(hash="bb", reason="no", level_of_theory=LEVEL))
    assert dataset.hashes() == ["aa"]
    assert dataset.has("aa")
    assert not dataset.has("bb")
    assert dataset.is_quarantined("bb")
    read = dataset.read("aa")
    assert read.get_potential_energy() == -1.5
    assert (read.get_forces() == 0.25).all()
    assert read.get_stress().tolist() == [1, 2, 3, 4, 5, 6]
    assert dataset.read("aa").info["label_seconds"] == 0.5
    assert [q.reason for q in dataset.quarantined()] == ["no"]


def test_generation_appears_whole_or_not_at_all(tmp_path):
    generations = Generations(tmp_path)
    with pytest.raises(RuntimeError), generations.new() as (number, folder):
        (folder / "potential.yaml").write_text("half")
        raise RuntimeError
    assert generations.newest() is None
    with generations.new() as (number, folder):
        (folder / "potential.yaml").write_text("whole")
    assert number == generations.newest() == 0
    assert generations.potential(0).read_text() == "whole"


def test_two_trainings_never_share_a_number(tmp_path):
    generations = Generations(tmp_path)
    with pytest.raises(NumberTakenError), generations.new() as (_, first):
        (first / "a").write_text("1")
        with Generations(tmp_path).new() as (_, second):
            (second / "a").write_text("2")
    assert generations.numbers() == [0]
    assert (generations.folder(0) / "a").read_text() == "2"


def test_seeds_differ_by_purpose():
    seeds = {derived_seed(7, purpose, k) for purpose in ("velocities", "candidates") for k in range(100)}
    assert len(seeds) == 200
    assert all(0 < seed <= 2**30 for seed in seeds)


@pytest.mark.parametrize("keep", [0, 10, 60])
def test_a_cut_structure_file_is_named(tmp_path, keep):
    from ase.build import bulk

    from mlip_fw.io.structures import read_frame, write_frames

    path = tmp_path / "cut.extxyz"
    write_frames(path, [bulk("Cu", cubic=True)])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DirectoryError, match=r"structure 0 of .*cut\.extxyz"):
        read_frame(path)
    path.unlink()
    with pytest.raises(DirectoryError, match=r"cut\.extxyz"):
        read_frame(path)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("file/x.json", "File exists"),
        ("file/y/x.json", "Not a directory"),
        ("n" * 300, "File name too long"),
        ("folder", "a folder is there; name a file"),
    ],
)
def test_place_where_no_file_can_be(tmp_path, place, said):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DirectoryError, match=said):
        write_json(tmp_path / place, {})


def test_longest_name_can_be_written(tmp_path):
    write_json(tmp_path / ("n" * 250), {})
    assert [len(path.name) for path in tmp_path.iterdir()] == [250]


def test_what_is_no_file_holds_no_model(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert read_model(tmp_path / "pipe", LabelBalance) is None
    assert read_model(tmp_path, LabelBalance) is None


def test_model_that_can_not_be_read_is_told(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "m.json").write_text("{}")
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(DirectoryError, match="m.json: Permission denied; check its permissions"):
        read_model(tmp_path / "m.json", LabelBalance)


@pytest.mark.parametrize(
    "facts",
    [
        {"time": float("nan")},
        {"time": True},
        {"time": 1e300},
        {"walker": [1]},
        {"cycle": -1},
        {"generation": "1"},
        {"label": {}},
        {"seconds": float("inf")},
        {"event": "finished", "outcome": "PERHAPS", "reason": None},
        {"event": "finished", "outcome": "STOPPED"},
    ],
)
def test_event_that_can_not_be_is_none(facts):
    assert read_event(json.dumps({"time": 1.0, "event": "halted"})) is not None
    assert read_event(json.dumps({"time": 1.0, "event": "halted", **facts})) is None


def test_event_that_is_nested_without_end_is_none():
    assert read_event("[" * 100_000) is None
