"""The note that a worker leaves while it works."""

import subprocess
import sys

import pytest

from mlip_fw.attendance import attend, attendant, dismiss, is_alive, queues, remove_notes_of_the_dead, this_process
from mlip_fw.io.files import write_json


@pytest.fixture(autouse=True)
def no_note_left():
    yield
    dismiss()


def test_the_note_lies_there_until_it_is_taken_back(tmp_path):
    attend(tmp_path, 7)
    assert attendant(tmp_path, 7).pid == this_process().pid
    assert is_alive(attendant(tmp_path, 7)) is True
    dismiss()
    assert attendant(tmp_path, 7) is None
    dismiss()


def test_a_process_works_on_one_firework_at_a_time(tmp_path):
    attend(tmp_path, 7)
    attend(tmp_path, 8)
    assert (attendant(tmp_path, 7), attendant(tmp_path, 8).pid) == (None, this_process().pid)
    attend(tmp_path, None)
    assert attendant(tmp_path, 8) is None


def test_without_a_number_there_is_no_note(tmp_path):
    attend(tmp_path, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", '{"pid": 1}', "[]"])
def test_a_damaged_note_is_none(tmp_path, text):
    (tmp_path / ".running").mkdir()
    (tmp_path / ".running" / "7.json").write_text(text)
    assert attendant(tmp_path, 7) is None


def test_a_killed_process_is_seen_to_be_gone(tmp_path):
    script = (
        "import os, pathlib, signal, mlip_fw.attendance\n"
        f"mlip_fw.attendance.attend(pathlib.Path({str(tmp_path)!r}), 7)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert is_alive(attendant(tmp_path, 7)) is False


def test_another_process_with_the_same_number_is_another_process():
    note = this_process()
    assert is_alive(note.model_copy(update={"started": note.started - 1})) is False
    assert is_alive(note.model_copy(update={"boot": "another"})) is False


def test_of_another_host_nothing_is_known():
    assert is_alive(this_process().model_copy(update={"host": "elsewhere"})) is None


def test_of_a_container_of_this_host_nothing_is_known():
    assert is_alive(this_process().model_copy(update={"namespace": "pid:[1]", "started": 0})) is None


@pytest.mark.parametrize(("uid", "pid", "alive"), [(1, 2**22, None), (7, 2**22, False), (1, None, True)])
def test_what_is_not_seen_of_another_user_is_not_gone(monkeypatch, uid, pid, alive):
    monkeypatch.setattr("mlip_fw.attendance.os.getuid", lambda: 7)
    note = this_process()
    assert is_alive(note.model_copy(update={"uid": uid, "pid": pid or note.pid})) is alive


def test_a_note_of_an_older_version_is_read(tmp_path):
    old = this_process().model_dump(exclude={"cluster", "uid", "namespace"})
    write_json(tmp_path / ".running" / "7.json", old)
    assert is_alive(attendant(tmp_path, 7)) is True


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"SLURM_JOB_ID": "4", "SLURM_CLUSTER_NAME": "Big/Iron"}, "slurm-big-iron"),
        ({"SLURM_JOB_ID": "4"}, "slurm"),
        ({"PBS_JOBID": "4", "SLURM_CLUSTER_NAME": "big"}, "pbs"),
    ],
)
def test_the_queues_that_worked_are_remembered(monkeypatch, tmp_path, variables, name):
    for variable in ("SLURM_JOB_ID", "PBS_JOBID", "JOB_ID", "SLURM_CLUSTER_NAME"):
        monkeypatch.delenv(variable, raising=False)
    assert queues(tmp_path) == set()
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    attend(tmp_path, 7)
    assert attendant(tmp_path, 7).cluster == name
    dismiss()
    assert queues(tmp_path) == {name}


@pytest.mark.parametrize(
    ("variable", "queue"), [("SLURM_JOB_ID", "slurm"), ("PBS_JOBID", "pbs"), ("JOB_ID", "sge"), (None, None)]
)
def test_the_job_is_noted(monkeypatch, variable, queue):
    for name in ("SLURM_JOB_ID", "PBS_JOBID", "JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "42")
    note = this_process()
    assert (note.queue, note.job) == (queue, "42" if queue else None)


def test_only_notes_of_the_dead_are_removed(tmp_path):
    dead = this_process().model_copy(update={"started": 1})
    notes = {1: dead, 2: this_process(), 3: dead.model_copy(update={"host": "elsewhere"}), 4: dead}
    for fw_id, process in notes.items():
        write_json(tmp_path / ".running" / f"{fw_id}.json", process)
    (tmp_path / ".running" / "md-00-0000.lock").touch()
    (tmp_path / ".running" / "5.json").mkdir()
    remove_notes_of_the_dead(tmp_path, keep={4})
    assert sorted(p.name for p in (tmp_path / ".running").iterdir()) == [
        "2.json",
        "3.json",
        "4.json",
        "5.json",
        "md-00-0000.lock",
    ]
