"""The record of a process that works on a Firework."""

import subprocess
import sys

import pytest

from mlip_fw.io.files import write_json
from mlip_fw.runtime.worker_record import (
    clear_worker_record,
    current_process_record,
    is_alive,
    read_worker_record,
    recorded_queues,
    remove_dead_records,
    write_worker_record,
)


@pytest.fixture(autouse=True)
def no_note_left():
    yield
    clear_worker_record()


def test_the_note_lies_there_until_it_is_taken_back(tmp_path):
    write_worker_record(tmp_path, 7)
    assert read_worker_record(tmp_path, 7).pid == current_process_record().pid
    assert is_alive(read_worker_record(tmp_path, 7)) is True
    clear_worker_record()
    assert read_worker_record(tmp_path, 7) is None
    clear_worker_record()


def test_a_process_works_on_one_firework_at_a_time(tmp_path):
    write_worker_record(tmp_path, 7)
    write_worker_record(tmp_path, 8)
    assert (read_worker_record(tmp_path, 7), read_worker_record(tmp_path, 8).pid) == (
        None,
        current_process_record().pid,
    )
    write_worker_record(tmp_path, None)
    assert read_worker_record(tmp_path, 8) is None


def test_without_a_number_there_is_no_note(tmp_path):
    write_worker_record(tmp_path, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", '{"pid": 1}', "[]"])
def test_a_damaged_note_is_none(tmp_path, text):
    (tmp_path / ".running").mkdir()
    (tmp_path / ".running" / "7.json").write_text(text)
    assert read_worker_record(tmp_path, 7) is None


def test_a_killed_process_is_seen_to_be_gone(tmp_path):
    script = (
        "import os, pathlib, signal, mlip_fw.runtime.worker_record\n"
        f"mlip_fw.runtime.worker_record.write_worker_record(pathlib.Path({str(tmp_path)!r}), 7)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert is_alive(read_worker_record(tmp_path, 7)) is False


def test_another_process_with_the_same_number_is_another_process():
    note = current_process_record()
    assert is_alive(note.model_copy(update={"started": note.started - 1})) is False
    assert is_alive(note.model_copy(update={"boot": "another"})) is False


def test_of_another_host_nothing_is_known():
    assert is_alive(current_process_record().model_copy(update={"host": "elsewhere"})) is None


def test_of_a_container_of_this_host_nothing_is_known():
    assert is_alive(current_process_record().model_copy(update={"namespace": "pid:[1]", "started": 0})) is None


@pytest.mark.parametrize(("uid", "pid", "alive"), [(1, 2**22, None), (7, 2**22, False), (1, None, True)])
def test_what_is_not_seen_of_another_user_is_not_gone(monkeypatch, uid, pid, alive):
    monkeypatch.setattr("mlip_fw.runtime.worker_record.os.getuid", lambda: 7)
    note = current_process_record()
    assert is_alive(note.model_copy(update={"uid": uid, "pid": pid or note.pid})) is alive


def test_a_note_of_an_older_version_is_read(tmp_path):
    old = current_process_record().model_dump(exclude={"cluster", "uid", "namespace"})
    write_json(tmp_path / ".running" / "7.json", old)
    assert is_alive(read_worker_record(tmp_path, 7)) is True


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
    assert recorded_queues(tmp_path) == set()
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    write_worker_record(tmp_path, 7)
    assert read_worker_record(tmp_path, 7).cluster == name
    clear_worker_record()
    assert recorded_queues(tmp_path) == {name}


@pytest.mark.parametrize(
    ("variable", "queue"), [("SLURM_JOB_ID", "slurm"), ("PBS_JOBID", "pbs"), ("JOB_ID", "sge"), (None, None)]
)
def test_the_job_is_noted(monkeypatch, variable, queue):
    for name in ("SLURM_JOB_ID", "PBS_JOBID", "JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "42")
    note = current_process_record()
    assert (note.queue, note.job) == (queue, "42" if queue else None)


def test_only_notes_of_the_dead_are_removed(tmp_path):
    dead = current_process_record().model_copy(update={"started": 1})
    notes = {1: dead, 2: current_process_record(), 3: dead.model_copy(update={"host": "elsewhere"}), 4: dead}
    for fw_id, process in notes.items():
        write_json(tmp_path / ".running" / f"{fw_id}.json", process)
    (tmp_path / ".running" / "md-00-0000.lock").touch()
    (tmp_path / ".running" / "5.json").mkdir()
    remove_dead_records(tmp_path, keep={4})
    assert sorted(p.name for p in (tmp_path / ".running").iterdir()) == [
        "2.json",
        "3.json",
        "4.json",
        "5.json",
        "md-00-0000.lock",
    ]
