"""`mlip-fw recover` and `mlip-fw rlaunch`, as they are typed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fireworks import Firework, LaunchPad, ScriptTask
from ruamel.yaml import YAML

from mlip_fw.firetasks.summary import Summarize
from mlip_fw.launchpad.server.control import start_server, stop_server

NAME = "label 1"


@pytest.fixture
def project(tmp_path):
    """Return a folder with the my_launchpad.yaml of a server that runs."""
    facts = start_server(tmp_path / "db", with_this_process=True)
    (tmp_path / "my_launchpad.yaml").symlink_to(facts.launchpad_file)
    yield tmp_path
    stop_server(tmp_path / "db")


@pytest.fixture
def pad(project):
    """Return the LaunchPad of the project."""
    return LaunchPad.from_file(str(project / "my_launchpad.yaml"))


MLIP_FW = [sys.executable, "-m", "mlip_fw"]


def typed(folder, *words):
    """Return exit code, standard output and standard error of a command."""
    done = subprocess.run([*MLIP_FW, *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def add(pad, script="echo hello > said", *more):
    """Add a Firework of a campaign and return its number."""
    tasks = [ScriptTask.from_str(script), *more]
    (fw_id,) = pad.add_wf(Firework(tasks, {"campaign": "c"}, name=NAME)).values()
    return fw_id


def lose(pad, fw_id, folder):
    """Kill the worker of a Firework while it runs."""
    command = [*MLIP_FW, "rlaunch", "singleshot"]
    worker = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (folder / "began").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    assert state(pad, fw_id) == "RUNNING"


def state(pad, fw_id):
    """Return the state of a Firework."""
    return pad.fireworks.find_one({"fw_id": fw_id})["state"]


def test_nothing_to_recover(project):
    assert typed(project, "recover") == (0, "nothing to recover\n", "")
    assert typed(project, "recover", "-l", "my_launchpad.yaml", "--dry-run") == (0, "nothing to recover\n", "")
    assert typed(project, "recover", "--json")[:2] == (0, "[]\n")


def test_lost_run_is_told_and_then_mended(project, pad):
    fw_id = add(pad, "touch began; sleep 60", Summarize(handoff={}))
    lose(pad, fw_id, project)
    assert typed(project, "recover") == (0, "nothing to recover\n", "")
    code, out, _ = typed(project, "recover", "--silent", "0", "--dry-run")
    assert (code, state(pad, fw_id)) == (0, "RUNNING")
    assert NAME in out
    assert out.endswith("1 can be recovered, 0 need attention\n")
    (found,) = json.loads(typed(project, "recover", "--silent", "0", "--json")[1])
    assert found.pop("what").startswith("nothing was heard of it for ")
    assert found == {"kind": "lost run", "fw_id": fw_id, "name": NAME, "mended": True}
    assert state(pad, fw_id) == "READY"
    assert typed(project, "recover", "--silent", "0")[1] == "nothing to recover\n"


def test_what_needs_a_person_is_left(project, pad):
    fw_id = add(pad, "exit 3", Summarize(handoff={}))
    assert typed(project, "rlaunch", "singleshot")[0] == 0
    code, out, _ = typed(project, "recover")
    assert (code, state(pad, fw_id)) == (0, "FIZZLED")
    assert out.endswith("0 recovered, 1 need attention\n")
    (found,) = json.loads(typed(project, "recover", "--json")[1])
    assert (found["kind"], found["mended"]) == ("needs you", False)
    assert found["what"].endswith(f"fix it, then: lpad rerun_fws -i {fw_id}")


def test_database_of_different_moments(project, pad):
    """The counter is that of an older backup, and one workflow is of a later moment than its Fireworks."""
    ids = [add(pad), add(pad)]
    pad.fw_id_assigner.update_one({}, {"$set": {"next_fw_id": ids[0]}})
    pad.workflows.update_one({"nodes": ids[1]}, {"$push": {"nodes": 7}})
    words = ("recover", "--patience", "0")
    code, out, _ = typed(project, *words, "--dry-run")
    assert (code, pad.fw_id_assigner.find_one()["next_fw_id"]) == (0, ids[0])
    assert out.endswith("1 can be recovered, 1 need attention\n")
    behind, missing = json.loads(typed(project, *words, "--json")[1])
    assert behind == {
        "kind": "next number",
        "fw_id": 0,
        "name": "next_fw_id of the LaunchPad",
        "what": "number 1 would be given out next, but Firework 7 exists: what is added would take the place of what "
        "is there",
        "mended": True,
    }
    assert (missing["kind"], missing["fw_id"], missing["mended"]) == ("missing Firework", 7, False)
    assert "lpad delete_wflows -i 2, then add its campaign again with the same directory" in missing["what"]
    assert pad.fw_id_assigner.find_one()["next_fw_id"] == 8
    assert add(pad) == 8
    assert sorted(pad.get_fw_ids()) == [*ids, 8]
    lpad = [str(Path(sys.executable).parent / "lpad"), "-l", "my_launchpad.yaml", "delete_wflows", "-i", "2"]
    subprocess.run(lpad, cwd=project, check=True, capture_output=True, timeout=120)
    assert typed(project, *words) == (0, "nothing to recover\n", "")
    assert sorted(pad.get_fw_ids()) == [ids[0], 8]


def test_database_that_does_not_answer_is_one_paragraph(tmp_path):
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        host = f"mongodb://me:secret@127.0.0.1:{unheard.getsockname()[1]}/"
        there = {"host": host, "uri_mode": True, "name": "x", "mongoclient_kwargs": {"serverSelectionTimeoutMS": 200}}
        YAML(typ="safe").dump(there, tmp_path / "my_launchpad.yaml")
        (tmp_path / "my_launchpad.yaml").chmod(0o600)
        code, out, err = typed(tmp_path, "recover")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith("error: the LaunchPad database at 127.0.0.1:")
    assert "secret" not in err


def test_second_recovery_is_refused(project, pad):
    pad.db["mlip_fw_locks"].insert_one({"_id": "recover", "until": time.time() + 60})
    code, _, err = typed(project, "recover")
    assert code == 1
    assert err.startswith("error: another mlip-fw recover works on this LaunchPad")


def test_rlaunch_shows_the_help_of_fireworks(tmp_path):
    code, out, _ = typed(tmp_path, "rlaunch", "--help")
    assert code == 0
    assert out.startswith("usage: rlaunch")
    assert "{singleshot,rapidfire,multi}" in out
    assert typed(tmp_path, "rlaunch", "sixshot")[0] == 2


def test_rlaunch_runs_one_firework_on_the_server(project, pad):
    ids = [add(pad), add(pad)]
    assert typed(project, "rlaunch", "-l", "my_launchpad.yaml", "singleshot")[0] == 0
    assert sorted(state(pad, fw_id) for fw_id in ids) == ["COMPLETED", "READY"]
    assert (project / "said").read_text() == "hello\n"
    only_dft = {"name": "w", "category": "dft", "query": "{}"}
    YAML(typ="safe").dump(only_dft, project / "w.yaml")
    assert typed(project, "rlaunch", "-l", "my_launchpad.yaml", "-w", "w.yaml", "singleshot")[0] == 0
    assert sorted(state(pad, fw_id) for fw_id in ids) == ["COMPLETED", "READY"]
