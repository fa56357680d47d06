"""pw.x on a broken machine: hung, killed, full, missing, foreign; with a real pw.x where it matters."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ase.build import bulk

from mlip_fw.engines.oracle.espresso.oracle import label_with_espresso, require_espresso
from mlip_fw.errors import LabelError, WorkerError
from mlip_fw.models.oracle import EspressoOracle
from mlip_fw.models.worker import Worker
from tests.helpers.programs import require


@pytest.fixture(autouse=True)
def pw():
    require("qe", shutil.which("pw.x") and Path("/usr/share/espresso/pseudo/Si.pz-vbc.UPF").is_file())


def oracle(**settings):
    defaults = {"kind": "espresso", "ecutwfc_ry": 16.0, "pseudopotentials": {"Si": "Si.pz-vbc.UPF"}}
    return EspressoOracle(**{**defaults, **settings})


def processes_in(folder):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd").startswith(str(folder)):
                found.append(int(pid))
        except OSError:
            continue
    return found


def gone(folder):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and processes_in(folder):
        time.sleep(0.05)
    return not processes_in(folder)


def test_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True)
    require("tmpfs", mounted.returncode == 0)
    try:
        worker, cell = Worker(scratch=str(disk)), bulk("Si", cubic=True)
        with pytest.raises(WorkerError, match="disk full"):
            label_with_espresso(cell, oracle(kpoint_spacing_1_a=1.0), worker, tmp_path / "label")
        assert list(disk.iterdir()) == []
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        label_with_espresso(cell, oracle(kpoint_spacing_1_a=1.0), worker, tmp_path / "label")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_hung_pw_and_its_children_are_gone(tmp_path):
    wrapper = tmp_path / "pw.sh"
    wrapper.write_text('#!/bin/sh\nsleep 1000 &\npw.x "$@" > /dev/null\nsleep 1000\n')
    wrapper.chmod(0o755)
    folder = tmp_path / "label"
    with pytest.raises(LabelError, match="took too long: more than timeout_s = 3 s"):
        label_with_espresso(bulk("Si"), oracle(timeout_s=3.0), Worker(pw_cmd=str(wrapper)), folder)
    assert gone(folder)
    assert not (folder / "tmp").exists()


def test_killed_pw_is_tried_again(tmp_path):
    """Something kills pw.x in the middle, once: the label is made, and says what happened."""
    folder = tmp_path / "label"

    def kill_soon():
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if (folder / "pw.out").exists() and "iteration #" in (folder / "pw.out").read_text():
                for pid in processes_in(folder):
                    os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_soon)
    killer.start()
    slow = oracle(kpoint_spacing_1_a=0.6)
    answer = label_with_espresso(bulk("Si", cubic=True) * (2, 1, 1), slow, Worker(), folder)
    killer.join()
    assert "killed: by SIGKILL" in answer.facts["corrections_made"]


def test_dead_parent_takes_pw_along(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "from pathlib import Path\nfrom ase.build import bulk\n"
        "from mlip_fw.engines.oracle.espresso.oracle import label_with_espresso\n"
        "from mlip_fw.models.oracle import EspressoOracle\nfrom mlip_fw.models.worker import Worker\n"
        "oracle = EspressoOracle(kind='espresso', ecutwfc_ry=30.0, pseudopotentials={'Si': 'Si.pz-vbc.UPF'})\n"
        f"label_with_espresso(bulk('Si', cubic=True) * 3, oracle, Worker(), Path({str(tmp_path / 'label')!r}))\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], cwd="/")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not processes_in(tmp_path / "label"):
        time.sleep(0.05)
    assert processes_in(tmp_path / "label")
    parent.kill()
    parent.wait()
    assert gone(tmp_path / "label")


def test_corrupt_pseudopotential(tmp_path):
    """The header is read by us, the rest by pw.x, which speaks on stderr alone."""
    from tests.helpers.espresso import UPF

    (tmp_path / "Si.UPF").write_text(UPF.format(element="Si", charge="4.0", functional="PZ"))
    worker = Worker(pseudo_dir=str(tmp_path))
    with pytest.raises(WorkerError, match="pseudopotential|did not start|does not run here"):
        require_espresso(oracle(pseudopotentials={}), worker, ["Si"])


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\x7fELF\x02\x01\x01" + bytes(57), "Exec format error"), (b"#!/no/such/shell\n", "No such file")],
    ids=["architecture", "interpreter"],
)
def test_foreign_binary(tmp_path, content, said):
    binary = tmp_path / "pw.x"
    binary.write_bytes(content)
    binary.chmod(0o755)
    with pytest.raises(WorkerError, match=f"{said}.*correct env.pw_cmd"):
        label_with_espresso(bulk("Si"), oracle(), Worker(pw_cmd=str(binary)), tmp_path / "label")


def test_mpirun_as_root(tmp_path, monkeypatch):
    mpirun = shutil.which("mpirun.openmpi") or shutil.which("mpirun")
    require("mpirun", mpirun and os.geteuid() == 0)
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(WorkerError, match="env OMPI_ALLOW_RUN_AS_ROOT=1"):
        require_espresso(oracle(), Worker(pw_cmd=f"{mpirun} -np 1 pw.x"), ["Si"])
    allowed = "env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 " + f"{mpirun} -np 2 pw.x"
    answer = label_with_espresso(bulk("Si"), oracle(), Worker(pw_cmd=allowed), tmp_path / "label")
    assert answer.facts["corrections"] == 0
