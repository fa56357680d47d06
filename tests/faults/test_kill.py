"""Kill, interrupt, fill and tear: the same command goes on, and no label is computed twice."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from ruamel.yaml import YAML

from tests.helpers.campaigns import SLOW_ORACLE, SMALL, merged

CAMPAIGN = merged(SMALL, {"md": {"stages": [{"ensemble": "nvt", "temperature_k": [300, 1200], "n_steps": 400}]}})
LIMIT_S = 240
"""How long anything may take on a busy machine."""


@pytest.fixture
def campaign(tmp_path, lent_lmp):
    """Return (command, environment, campaign directory) of a campaign whose labels are counted."""
    worker = {"name": "w", "category": "", "query": "{}", "env": {}}
    worker["env"]["lmp_cmd"] = f"{lent_lmp} --halt-at 100,200,300"
    (tmp_path / "slow_emt.py").write_text(SLOW_ORACLE)
    data = merged(CAMPAIGN, {"oracle": {"calculator": "slow_emt:Slow"}})
    YAML(typ="safe").dump(data, tmp_path / "c.yaml")
    YAML(typ="safe").dump(worker, tmp_path / "w.yaml")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "LABEL_LOG": str(tmp_path / "labels.log")}
    environment["LABEL_HOLD"] = str(tmp_path / "hold")
    (tmp_path / "labels.log").touch()
    command = [sys.executable, "-m", "mlip_fw", "run", "c.yaml", "--dir", "c", "-w", "w.yaml", "--json"]
    return command, environment, tmp_path


def start(campaign):
    command, environment, folder = campaign
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(campaign):
    process = start(campaign)
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    return json.loads(out)


def wait_for(process, folder, kind, count=1, limit=LIMIT_S):
    """Wait until an event of some kind has been written ``count`` times."""
    deadline = time.monotonic() + limit
    path = folder / "c" / "events.jsonl"
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.read_text().count(f'"event": "{kind}"') >= count:
            return
        time.sleep(0.01)
    pytest.fail(f"no {kind} within {limit} s; exit code {process.poll()}")


def holds_contract(folder, summary):
    """Check what a finished campaign must look like, by the project's own reading of its files."""
    from mlip_fw.campaign.dataset import Dataset
    from mlip_fw.campaign.generations import Generations

    root = folder / "c"
    assert (summary["outcome"], summary["halts"], summary["generations"]) == ("CONVERGED", 3, 4)
    assert len(Dataset(root).hashes()) == summary["labels"]
    assert all(Generations(root).record(n) for n in Generations(root).numbers())
    assert [json.loads(line) for line in (root / "events.jsonl").read_text().splitlines()]
    assert not list(root.rglob(".writing-*"))
    assert not list((root / "potentials").glob(".draft-*"))


MOMENTS = [("run_started", 1), ("labelled", 1), ("trained", 1), ("md_started", 2), ("halted", 1), ("selected", 2)]


@pytest.mark.parametrize(("kind", "count"), MOMENTS)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_killed_campaign_goes_on(campaign, kind, count, how):
    folder = campaign[2]
    process = start(campaign)
    wait_for(process, folder, kind, count)
    process.send_signal(how)
    _, err = process.communicate(timeout=LIMIT_S)
    if how == signal.SIGTERM:
        assert process.returncode == 1, err
        assert "Run the same command to resume" in err
    computed = (folder / "labels.log").read_text().count("label")
    kept = {p.name for p in (folder / "c" / "labels").glob("*.extxyz")} if (folder / "c" / "labels").exists() else set()
    summary = finish(campaign)
    holds_contract(folder, summary)
    again = (folder / "labels.log").read_text().count("label") - computed
    assert again == summary["labels"] - len(kept)


SIGNAL_BETWEEN_HEARTBEAT_AND_TASK = """
import os, signal
from fireworks.core.rocket import Rocket
plain = Rocket.update_checkpoint
def hit(*args):
    Rocket.update_checkpoint = staticmethod(plain)
    os.kill(os.getpid(), signal.SIGTERM)
    plain(*args)
Rocket.update_checkpoint = staticmethod(hit)
from mlip_fw.cli.main import main
main()
"""


def test_a_signal_before_the_task_leaves_no_thread_that_keeps_the_process_alive(campaign):
    """FireWorks' heartbeat of a launch ends with the launch only."""
    command, environment, folder = campaign
    command = [command[0], "-c", SIGNAL_BETWEEN_HEARTBEAT_AND_TASK, *command[3:]]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    assert ended.returncode == 1, ended.stderr
    assert "Run the same command to resume" in ended.stderr


def test_campaign_killed_in_its_rehearsal_goes_on(campaign):
    folder = campaign[2]
    alloy = {"bulk": {"symbol": "Cu", "a": 3.8, "cubic": True, "repeat": [4, 4, 4], "substitute": {"Au": 0.5}}}
    changes = {"elements": ["Cu", "Au"], "structure": alloy}
    changes["candidates"] = {"max_labels_per_halt": 1, "cutout": {"max_atoms": 90}}
    changes["md"] = {"stages": [{"ensemble": "nvt", "temperature_k": 300, "n_steps": 150}]}
    YAML(typ="safe").dump(merged(YAML(typ="safe").load(folder / "c.yaml"), changes), folder / "c.yaml")
    process = start(campaign)
    wait_for(process, folder, "halted")
    process.kill()
    process.communicate(timeout=LIMIT_S)
    assert not (folder / "c" / "walkers" / "00").exists(), "the large cell waits for the rehearsal"
    summary = finish(campaign)
    assert (summary["outcome"], summary["halts"], summary["md_steps"]) == ("CONVERGED", 2, 150)
    assert (folder / "labels.log").read_text().count("label") == summary["labels"]
    events = [json.loads(line) for line in (folder / "c" / "events.jsonl").read_text().splitlines()]
    walkers = [e["walker"] for e in events if e["event"] == "md_started"]
    assert walkers == sorted(walkers, reverse=True), "first the rehearsal, to its end"


def test_interrupt_leaves_no_process_behind(campaign):
    folder = campaign[2]
    process = start(campaign)
    wait_for(process, folder, "md_started")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    assert len(err.strip().splitlines()[-1]) < 400
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline and (left := _processes_in(folder)):
        time.sleep(0.1)
    assert not left


def test_kill_9_takes_the_children_along(campaign):
    folder = campaign[2]
    process = start(campaign)
    wait_for(process, folder, "labelled")
    process.kill()
    process.communicate(timeout=LIMIT_S)
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline and (left := _processes_in(folder)):
        time.sleep(0.1)
    assert not left


def _processes_in(folder):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd").startswith(str(folder)):
                found.append((pid, open(f"/proc/{pid}/cmdline").read()))  # noqa: SIM115
        except OSError:
            continue
    return found


def test_two_runs_at_once(campaign):
    folder = campaign[2]
    (folder / "hold").touch()
    first = start(campaign)
    wait_for(first, folder, "run_started")
    second = start(campaign)
    _, err = second.communicate(timeout=LIMIT_S)
    (folder / "hold").unlink()
    assert second.returncode == 1
    assert "another mlip-fw run" in err
    out, err = first.communicate(timeout=LIMIT_S)
    assert first.returncode == 0, err
    holds_contract(folder, json.loads(out))


DAMAGE = {
    "half a result": ("walkers/00/cycle_0001/result.json", "half"),
    "empty result": ("walkers/00/cycle_0000/result.json", "empty"),
    "no selection": ("walkers/00/cycle_0002/selection.json", "gone"),
    "half a selection": ("walkers/00/cycle_0000/selection.json", "half"),
    "no rows": ("potentials/rows", "gone"),
    "torn journal": ("events.jsonl", "half"),
    "no summary": ("summary.json", "gone"),
}


@pytest.mark.parametrize(("path", "how"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_file_of_a_finished_campaign(campaign, path, how):
    folder = campaign[2]
    before = finish(campaign)
    target = folder / "c" / path
    if how == "gone":
        import shutil

        shutil.rmtree(target) if target.is_dir() else target.unlink()
    else:
        content = target.read_bytes()
        target.write_bytes(content[: len(content) // 2] if how == "half" else b"")
    after = finish(campaign)
    holds_contract(folder, after)
    for key in ("labels", "halts", "generations", "md_steps", "dataset_force_rmse_ev_a"):
        assert after[key] == before[key], key


def test_killed_label_is_tried_again(campaign):
    """A label whose process is killed is not a failed label: the machine failed, not the calculation."""
    folder = campaign[2]
    (folder / "hold").touch()
    process = start(campaign)
    deadline = time.monotonic() + LIMIT_S
    while not (folder / "labels.log").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    killed = False
    for pid, command in _label_children(folder):
        if "mlip_fw.runtime.fork_server" in command:
            os.kill(pid, signal.SIGKILL)
            killed = True
    (folder / "hold").unlink()
    assert killed
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    assert json.loads(out)["labels_failed"] == 0


def _label_children(folder):
    """Find the children that label for this campaign, and no other that is tested at the same time."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            ours = str(folder).encode() in open(f"/proc/{pid}/environ", "rb").read()
            if ours and "mlip-fw-label-" in os.readlink(f"/proc/{pid}/cwd"):
                yield int(pid), open(f"/proc/{pid}/cmdline").read()  # noqa: SIM115
        except OSError:
            continue


def test_full_disk(campaign, tmp_path):
    """A file system of a few megabytes fills up in the middle; with room again the campaign goes on."""
    from tests.helpers.programs import require

    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True)
    require("tmpfs", mounted.returncode == 0)
    try:
        command, environment, folder = campaign
        command[command.index("c", command.index("--dir"))] = "disk/c"
        process = start(campaign)
        _, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 1, err
        assert "No space left on device" in err
        assert "Traceback" not in err
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        summary = finish(campaign)
        assert (summary["outcome"], summary["halts"]) == ("CONVERGED", 3)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_interrupt_that_a_finalizer_swallows_is_heard_again(tmp_path):
    """Python ignores what is raised inside a finalizer, and with it an interrupt that falls there."""
    from mlip_fw.errors import MlipError
    from mlip_fw.launcher.runner import interruptible

    with pytest.raises(MlipError, match="interrupted"), interruptible(tmp_path) as signals:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            pass
        assert signals == [signal.SIGTERM]
        time.sleep(LIMIT_S)
        pytest.fail("the interrupt never came again")
