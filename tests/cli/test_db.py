"""`mlip-fw db`, as it is typed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlip_fw.launchpad.server.control import server_status, stop_server
from mlip_fw.launchpad.server.data_directory import default_directory


@pytest.fixture
def folder(tmp_path):
    """Return a directory whose server, if one was started, is stopped at the end."""
    yield tmp_path / "db"
    stop_server(tmp_path / "db")


def typed(*words, **environment):
    """Return exit code, standard output and standard error of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "mlip_fw", "db", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_life_of_a_server(folder):
    code, out, err = typed("start", "--dir", folder)
    assert (code, err) == (0, "")
    assert "the LaunchPad server is running on 127.0.0.1:" in out
    assert f"lpad -l {folder}/my_launchpad.yaml" in out
    assert "on this machine only" in out
    assert "MongoDB" in out
    code, out, _ = typed("start", "--dir", folder)
    assert (code, "is already running" in out) == (0, True)
    code, out, _ = typed("status", "--dir", folder)
    assert (code, str(server_status(folder).pid) in out) == (0, True)
    assert typed("stop", "--dir", folder)[1] == f"stopped the server of {folder}\n"
    assert server_status(folder) is None
    assert typed("stop", "--dir", folder)[:2] == (0, "no server was running\n")
    assert typed("status", "--dir", folder)[:2] == (0, f"no server runs for {folder}\n")


def test_json(folder):
    assert json.loads(typed("status", "--dir", folder, "--json")[1]) == {"running": False}
    facts = json.loads(typed("start", "--dir", folder, "--json")[1])
    assert facts == json.loads(typed("status", "--dir", folder, "--json")[1])
    assert facts["directory"] == str(folder)
    assert Path(facts["launchpad_file"]).read_text().count(f"port: {facts['port']}\n") == 1
    assert json.loads(typed("stop", "--dir", folder, "--json")[1]) == {"stopped": True}
    assert json.loads(typed("stop", "--dir", folder, "--json")[1]) == {"stopped": False}


def test_port(folder):
    first = json.loads(typed("start", "--dir", folder, "--json")[1])["port"]
    stop_server(folder)
    assert json.loads(typed("start", "--dir", folder, "--json")[1])["port"] == first
    assert typed("start", "--dir", folder, "--port", first)[0] == 0
    code, out, err = typed("start", "--dir", folder, "--port", first + 1)
    assert (code, out) == (1, "")
    assert err == f"error: the server of {folder} runs on port {first}, not {first + 1}; stop it first\n"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_foreground(folder, how):
    command = [sys.executable, "-m", "mlip_fw", "db", "start", "--dir", folder, "--foreground", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    facts = json.loads(process.stdout.readline())
    assert server_status(folder).pid == facts["pid"]
    assert typed("start", "--dir", folder, "--foreground")[2].startswith(f"error: the server of {folder} runs already")
    process.send_signal(how)
    assert process.wait(120) == 0
    assert server_status(folder) is None


def test_foreground_ends_with_the_server(folder):
    command = [sys.executable, "-m", "mlip_fw", "db", "start", "--dir", folder, "--foreground", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.kill(json.loads(process.stdout.readline())["pid"], signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "ended by itself" in err


def test_default_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "mlip_fw" / "launchpad"
    assert str(tmp_path) in typed("status", XDG_DATA_HOME=str(tmp_path))[1]
    for unset in ("", "not/absolute"):
        monkeypatch.setenv("XDG_DATA_HOME", unset)
        assert default_directory() == Path.home() / ".local" / "share" / "mlip_fw" / "launchpad"


def test_errors_are_one_paragraph(folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("")
    for words in (["--dir", tmp_path / "mine"], ["--dir", tmp_path / "mine" / "notes"]):
        code, out, err = typed("start", *words)
        assert (code, out, len(err.splitlines())) == (1, "", 1)
        assert err.startswith("error: ")
    assert typed("start", "--dir", folder, "--port", "70000")[0] == 2
    assert typed("begin")[0] == 2


def test_server_outlives_the_shell_that_started_it(folder):
    command = f"{sys.executable} -m mlip_fw db start --dir {folder} --json; kill -HUP 0"
    subprocess.run(["bash", "-c", command], start_new_session=True, capture_output=True, check=False)
    time.sleep(0.3)
    assert server_status(folder) is not None
