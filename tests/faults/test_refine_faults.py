"""A campaign killed while pacemaker trains goes on from pacemaker's last step."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mlip_fw.campaign.generations import Generations
from tests.helpers.campaigns import SMALL, merged

STEPS = 40


@pytest.fixture
def start(tmp_path, lent_lmp):
    """Return a function that starts a campaign whose pacemaker takes its time."""
    env = {
        "lmp_cmd": f"{lent_lmp} --halt-at 1000",
        "pacemaker_cmd": f"{sys.executable} -m mlip_fw.testing.pacemaker --step-s 0.1",
    }
    data = merged(SMALL, {"potential": {"kind": "pacemaker", "pacemaker": {"iterations": STEPS}}})
    YAML(typ="safe").dump(data, tmp_path / "c.yaml")
    YAML(typ="safe").dump({"name": "w", "category": "", "query": "{}", "env": env}, tmp_path / "w.yaml")
    command = [sys.executable, "-m", "mlip_fw", "run", "c.yaml", "--dir", "c", "-w", "w.yaml", "--json"]

    def go():
        return subprocess.Popen(
            command, cwd=tmp_path, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return go


def wait_for_steps(folder, attempts, count, limit=240):
    """Wait until pacemaker has made so many steps, after so many attempts before."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        path = folder / "metrics.txt"
        if len(list(folder.glob("attempt_*"))) == attempts and path.is_file():
            if len(path.read_text().splitlines()) > count:
                return
        time.sleep(0.02)
    pytest.fail(f"pacemaker made no {count} steps within {limit} s")


def wait_until_nobody_works_in(folder, limit=120):
    deadline = time.monotonic() + limit
    while any(where == folder for where in map(_where, Path("/proc").glob("[0-9]*"))):
        assert time.monotonic() < deadline, "pacemaker outlived its campaign"
        time.sleep(0.05)


def _where(process):
    try:
        return (process / "cwd").readlink()
    except OSError:
        return None


def test_killed_in_mid_training_goes_on(start, tmp_path):
    folder = tmp_path / "c" / "polishing"
    for attempt, how in enumerate([signal.SIGTERM, signal.SIGKILL]):
        process = start()
        wait_for_steps(folder, attempt, 5)
        process.send_signal(how)
        process.communicate(timeout=240)
        wait_until_nobody_works_in(folder)
    again = start()
    out, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    assert json.loads(out)["outcome"] == "CONVERGED"
    # of its last step, or where that was killed while it was written, of the start of the last attempt
    left = re.search(r"from (?:the start of )?an unfinished fit; at most (\d+) steps", err)
    assert left and 0 < int(left.group(1)) <= STEPS - 8
    generations = Generations(tmp_path / "c")
    assert [generations.trainer(n) for n in generations.numbers()] == ["linear", "pacemaker"]
    assert generations.record(1).iterations == STEPS
    assert not folder.exists()
