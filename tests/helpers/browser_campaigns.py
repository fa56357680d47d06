"""Campaigns to look at: one that really ran, and what time, damage and bad will can make of it."""

import json
import shutil
from pathlib import Path

from fireworks import Firework, FWorker, LaunchPad, ScriptTask, Workflow

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.io.campaign_file import parse_campaign
from mlip_fw.launcher.rockets import launch_one, raise_if_fizzled, silence_libraries
from mlip_fw.launchpad.server.control import start_server, stop_server
from mlip_fw.workflows.campaign import campaign_workflow

SCRIPT = "<script>alert('taken')</script>"
IMAGE = '"><img src=x onerror="alert(\'taken\')">'
LONG = "long" * 75

FINISHED = {
    "campaign": "finished",
    "seed": 5,
    "elements": ["Al"],
    "structure": {"bulk": {"symbol": "Al", "crystal": "fcc", "a": 4.0, "cubic": True, "repeat": [3, 3, 3]}},
    "md": {
        "engine": "embedded",
        "walkers": 2,
        "timestep_fs": 2.0,
        "stages": [{"ensemble": "nvt", "temperature_k": [300, 1200], "n_steps": 200}],
    },
    "uncertainty": {"gamma_select": 2.0, "gamma_halt": 4.0, "check_interval": 10},
    "candidates": {"n_candidates": 8, "max_labels_per_halt": 2, "cutout": {"max_atoms": 60}},
    "oracle": {"kind": "ase", "calculator": "emt"},
    "potential": {"kind": "linear", "basis": "SBessel", "cutoff_a": 4.0, "functions_per_element": 30},
}


def run_finished(root: Path) -> None:
    """Run a campaign of two walkers, three halts and cut-outs to its end on a LaunchPad."""
    pad = launchpad_in(root / "database")
    campaign = parse_campaign(FINISHED, "test")
    pad.add_wf(campaign_workflow(campaign, root / "campaigns" / "finished"))
    with silence_libraries():
        while launch_one(pad, FWorker()):
            pass
    raise_if_fizzled(pad)
    pad.connection.close()
    stop_server(root / "database")


def launchpad_in(folder: Path) -> LaunchPad:
    """Return the LaunchPad of a database in a folder, whose server ends with this process."""
    pad = LaunchPad.from_file(str(start_server(folder, with_this_process=True).launchpad_file))
    pad.m_logger.setLevel("ERROR")
    return pad


def copy_of(source: Path, target: Path, ignore=None) -> None:
    """Copy a campaign; the copy is called like its folder."""
    shutil.copytree(source, target, ignore=ignore)
    file = target / "campaign.yaml"
    file.write_text(file.read_text().replace(source.name, target.name))


class Replay:
    """A copy of a campaign as it was before its last halt; it can go on."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source, self._target = source, target
        events = CampaignDirectory(source).events()
        self._last = max(k for k, event in enumerate(events) if event["event"] == "halted")
        self._time = events[self._last]["time"] - events[self._last]["seconds"]
        copy_of(source, target, self._is_later)
        self._write_journal(self._last)

    def halt(self) -> None:
        """Let the last halt happen."""
        others = shutil.ignore_patterns("events.jsonl", "campaign.yaml")
        shutil.copytree(self._source, self._target, dirs_exist_ok=True, ignore=others)
        self._write_journal(self._last + 1)

    def _is_later(self, folder: str, names: list[str]) -> list[str]:
        paths = (Path(folder) / name for name in names)
        return [path.name for path in paths if path.is_file() and path.stat().st_mtime > self._time]

    def _write_journal(self, n_lines: int) -> None:
        lines = (self._source / "events.jsonl").read_text().splitlines(keepends=True)
        (self._target / "events.jsonl").write_text("".join(lines[:n_lines]))


def make_damaged(source: Path, target: Path) -> None:
    """Make a campaign whose files a full disk has cut short, and whose potentials somebody has deleted."""
    copy_of(source, target)
    (target / "walkers" / "00" / "cycle_0000" / "result.json").write_text('{"outcome": "hal')
    (target / "walkers" / "01" / "cycle_0000" / "halt.extxyz").write_text("108\nLattice=")
    (target / "walkers" / "01" / "cycle_0000" / "gamma.dat").write_bytes(b"\x00\xff not numbers")
    shutil.rmtree(target / "potentials" / "gen_0001")
    with (target / "events.jsonl").open("a") as journal:
        journal.write('{"time": 17953')


def make_empty(source: Path, target: Path) -> None:
    """Make a campaign that was claimed a moment ago."""
    copy_of(source, target, lambda folder, names: [name for name in names if name != "campaign.yaml"])
    (target / "events.jsonl").touch()


def make_hostile(source: Path, target: Path) -> None:
    """Make a campaign in whose files somebody has written what a browser would run."""
    copy_of(source, target)
    record = {"hash": "0123456789abcdef", "reason": SCRIPT + IMAGE + LONG, "level_of_theory": {}, "n_atoms": 3}
    quarantine = target / "quarantine"
    quarantine.mkdir()
    (quarantine / "0123456789abcdef.json").write_text(json.dumps(record))
    selection = target / "walkers" / "00" / "cycle_0000" / "selection.json"
    written = json.loads(selection.read_text())
    written["chosen"][0]["reason"] = SCRIPT + IMAGE + LONG
    selection.write_text(json.dumps(written))
    with (target / "events.jsonl").open("a") as journal:
        told = {"time": 2e9, "event": "finished", "outcome": "STOPPED", "reason": SCRIPT + IMAGE + LONG}
        journal.write(json.dumps(told) + "\n")


def add_hostile(pad: LaunchPad) -> int:
    """Add Fireworks whose names a browser would run; return the number of one."""
    for name in (SCRIPT, IMAGE, LONG):
        spec = {"campaign": name, "_category": name, "directory": f"/nowhere/{name}"}
        firework = Firework([ScriptTask.from_str("true")], spec=spec, name=f"{name} label {name}")
        pad.add_wf(Workflow([firework], name=name, metadata={"mlip_fw": True, "directory": f"/nowhere/{name}"}))
    return pad.get_fw_ids({"spec.campaign": SCRIPT})[0]
