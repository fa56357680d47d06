"""`mlip-fw web`, as it is typed."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from typer.testing import CliRunner

from mlip_fw.cli.main import app
from mlip_fw.errors import MlipError, WorkerError
from mlip_fw.views.web.app import create_app
from mlip_fw.views.web.server import open_server
from tests.helpers.web import make_finished


def environment():
    return {name: value for name, value in os.environ.items() if name != "MLIP_FW_WEB_PASSWORD"}


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Return a function that says why the command does not start in a new folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLIP_FW_WEB_PASSWORD", raising=False)
    monkeypatch.setattr("mlip_fw.cli.web.log_to_stderr", lambda: None)

    def say(*words):
        result = CliRunner().invoke(app, ["web", *map(str, words)])
        assert isinstance(result.exception, MlipError)
        return str(result.exception)

    return say


def test_it_serves_until_it_is_interrupted(tmp_path):
    make_finished(tmp_path / "cu-story")
    command = [sys.executable, "-m", "mlip_fw", "web", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
        with urllib.request.urlopen(f"{address}campaign/cu-story/", timeout=120) as answer:
            assert b"finished: the MD has reached its end" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120)[1] == ""
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "cluster.example"])
def test_others_may_not_look_without_a_password(refused, host):
    assert "--password-from" in refused("--host", host)


def test_password_is_long_enough(refused, tmp_path, monkeypatch, caplog):
    (tmp_path / "short").write_text("short\n")
    assert "5 characters; at least 8 are needed" in refused("--password-from", "short", "--host", "0.0.0.0")
    assert "chmod 600" in caplog.text
    assert "can't read the password file" in refused("--password-from", "none")
    monkeypatch.setenv("MLIP_FW_WEB_PASSWORD", "")
    assert "0 characters" in refused()


def test_folder_without_a_campaign_is_refused(refused, tmp_path):
    assert "is not a campaign directory" in refused(tmp_path / "nothing")


def test_taken_port_leads_to_the_next(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with open_server(create_app([tmp_path]), "127.0.0.1", port) as server:
            assert server.port > port


def test_address_of_another_machine_is_refused(tmp_path):
    with pytest.raises(WorkerError, match=r"can't listen on 192\.0\.2\.1"):
        open_server(create_app([tmp_path]), "192.0.2.1", 0)


@pytest.mark.parametrize("host", ["münchen..x", "a" * 400, "two words"])
def test_what_is_no_address_is_refused(tmp_path, host):
    with pytest.raises(WorkerError, match="can't listen on .*; give another --host"):
        open_server(create_app([tmp_path]), host, 0)


def test_brackets_are_part_of_no_address(refused, monkeypatch):
    def listen(app, host, port):
        raise WorkerError(f"would listen on {host}")

    monkeypatch.setattr("mlip_fw.views.web.server.open_server", listen)
    assert refused("--host", "[::1]") == "would listen on ::1"


def test_endless_password_file_is_not_read_to_its_end(refused, monkeypatch):
    monkeypatch.setattr("mlip_fw.cli.web._SHORTEST", 2000)
    assert "has 1000 characters" in refused("--password-from", "/dev/zero")
