"""Standard output holds the answer of a command and nothing else, however much a calculator prints."""

import json
import os
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from tests.helpers.campaigns import SMALL, merged

NOISY = """
import atexit, ctypes, logging, os, subprocess, sys, threading, time
from ase.calculators.emt import EMT

def noise(where):
    print("print in", where)
    os.write(1, f"os.write in {where}\\n".encode())
    sys.__stdout__.write(f"sys.__stdout__ in {where}\\n")
    libc = ctypes.CDLL(None)
    libc.puts(f"puts in {where}".encode())
    libc.fflush(None)
    subprocess.run(["echo", "echo in", where], check=True)
    logging.getLogger("noisy").warning("handler in %s", where)

logging.getLogger("noisy").addHandler(logging.StreamHandler(sys.stdout))
noise("import")
atexit.register(noise, "atexit")

def forever():
    while True:
        print("print in a thread", flush=True)
        os.write(1, b"os.write in a thread\\n")
        time.sleep(0.02)

class Noisy(EMT):
    def __init__(self, **parameters):
        super().__init__(**parameters)
        noise("init")
        threading.Thread(target=forever, daemon=True).start()
    def calculate(self, *arguments, **keys):
        noise("calculate")
        super().calculate(*arguments, **keys)
"""


@pytest.fixture
def command(tmp_path, lent_lmp):
    """Return a function that runs a command on a campaign whose calculator is noisy."""
    (tmp_path / "noisy.py").write_text(NOISY)
    changes = {"oracle": {"calculator": "noisy:Noisy"}, "md": {"stages": [{"ensemble": "nve", "n_steps": 10}]}}
    YAML(typ="safe").dump(merged(SMALL, changes), tmp_path / "c.yaml")
    worker = {"name": "w", "category": "", "query": "{}", "env": {"lmp_cmd": lent_lmp}}
    YAML(typ="safe").dump(worker, tmp_path / "w.yaml")

    def go(*words):
        line = [sys.executable, "-P", "-m", "mlip_fw", *words, "-w", "w.yaml"]
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    return go


def test_answers_are_one_json_object_each(command):
    done = command("check", "c.yaml", "--json")
    assert json.loads(done.stdout)["oracle"] == "noisy:Noisy"
    for way in ("print", "os.write", "sys.__stdout__", "puts", "echo", "handler"):
        assert f"{way} in import" in done.stderr
        assert f"{way} in init" in done.stderr
    assert "print in a thread" in done.stderr
    done = command("run", "c.yaml", "--json")
    assert json.loads(done.stdout)["labels"] == 2
    assert done.returncode == 0, done.stderr


def test_text_is_free_of_it_too(command):
    done = command("check", "c.yaml")
    assert "what the campaign would run" in done.stdout
    assert " in import" not in done.stdout
    assert " in init" not in done.stdout


def test_doctor_answers_in_json(command):
    done = command("doctor", "--json")
    assert {"what", "ok", "found"} == set(json.loads(done.stdout)[0])
