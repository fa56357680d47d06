"""A campaign on a Slurm of our own: what ``mlip-fw init`` writes, a LaunchPad, and ``qlaunch`` for each category."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from fireworks import LaunchPad
from ruamel.yaml import YAML

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.launchpad.server.control import ServerFacts, start_server, stop_server
from tests.helpers.slurm import CATEGORIES, Slurm

SAME = ("outcome", "halts", "labels", "generations", "md_steps", "dataset_force_rmse_ev_a", "atoms_labelled")
"""What the summary of a campaign says whoever ran it, and whatever went wrong meanwhile."""
_BIN = Path(sys.executable).parent
_LIMIT_S = 600
_STUCK_S = 60
_LOOK_S = 0.2
_SOON_S, _FEW = 2.0, 2
"""When ``mlip-fw recover`` comes by again: soon a few times, then whenever no job is left: it costs a second of a core.
"""
_SETTINGS = {"QUEUE_UPDATE_INTERVAL": 0.2, "PING_TIME_SECS": 5, "RAPIDFIRE_SLEEP_SECS": 1}


class SlurmFarm:
    """A project folder as a user has it, with jobs that are small enough for one node.

    Parameters
    ----------
    slurm
        The batch system.
    folder
        Where the project, its database and the campaign go.
    campaign
        Content of the campaign file.
    env
        ``env`` of every worker.
    changes
        Lines of the queue adapters to replace: pattern and replacement.
    """

    def __init__(self, slurm: Slurm, folder: Path, campaign: dict, env: dict | None = None, changes=()):
        self.slurm, self.project = slurm, folder / "project"
        self.directory = CampaignDirectory(folder / "campaign")
        self.configs = self.project / "fw_configs"
        self.environment = {
            **slurm.environment,
            "OMP_NUM_THREADS": "1",
            "FW_CONFIG_FILE": str(self.configs / "FW_config.yaml"),
            "PYTHONUNBUFFERED": "1",
        }
        self.run("mlip-fw", "init", self.project, folder=folder)
        YAML(typ="safe").dump(campaign, self.project / "campaign.yaml")
        (self.project / "queue").mkdir()
        YAML(typ="safe").dump(_SETTINGS, self.configs / "FW_config.yaml")
        for category in CATEGORIES:
            self._fit_to_this_node(category, env or {}, changes)
        self._idle_since: float | None = None
        self.database = folder / "database"
        self.start_database()

    def start_database(self) -> ServerFacts:
        """Start the LaunchPad server, or start it again."""
        facts = start_server(self.database, with_this_process=True)
        shutil.copy(facts.launchpad_file, self.project / "my_launchpad.yaml")
        self.pad = LaunchPad.from_file(str(self.project / "my_launchpad.yaml"))
        return facts

    def kill_database(self) -> None:
        """Kill the LaunchPad server as a power cut would."""
        os.kill(start_server(self.database).pid, signal.SIGKILL)

    def close(self) -> None:
        """Cancel all jobs and stop the LaunchPad server."""
        self.slurm.cancel_all()
        stop_server(self.database)

    def run(self, command: str, *arguments, folder: Path | None = None, code: int = 0) -> str:
        """Return what a command of this installation prints."""
        done = subprocess.run(
            [_BIN / command, *map(str, arguments)],
            cwd=folder or self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def add(self) -> None:
        """Put the campaign on the LaunchPad."""
        self.run("mlip-fw", "add", "campaign.yaml", "--dir", self.directory.root, "-l", "my_launchpad.yaml")

    def qlaunch(self, category: str, *arguments: str, reserve: bool = True) -> list[str]:
        """Return the command that submits jobs of one category."""
        worker, adapter = (f"fw_configs/my_{kind}_{category}.yaml" for kind in ("fworker", "qadapter"))
        files = ["-l", "my_launchpad.yaml", "-w", worker, "-q", adapter, "--launch_dir", "queue"]
        return ["qlaunch", *(["-r"] if reserve else []), *files, *arguments]

    @contextmanager
    def launching(self, *, reserve: bool = True):
        """Let three ``qlaunch rapidfire`` submit jobs while the block runs."""
        loop = ["rapidfire", "--nlaunches", "infinite", "--sleep", "1", *([] if reserve else ["-m", "1"])]
        with (self.project / "qlaunch.log").open("ab") as log:
            launchers = [
                subprocess.Popen(
                    [_BIN / "qlaunch", *self.qlaunch(category, *loop, reserve=reserve)[1:]],
                    cwd=self.project,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                )
                for category in CATEGORIES
            ]
            try:
                yield
            finally:
                for launcher in launchers:
                    launcher.terminate()
                    launcher.wait()

    @property
    def summary_file(self) -> Path:
        """What a campaign writes at its end."""
        return self.directory.root / "summary.json"

    def wait_for_end(self) -> dict:
        """Return the summary of the campaign, once there is one and no job is left."""
        self.wait("the summary", lambda: self.summary_file.is_file() or self._is_stuck())
        assert self.summary_file.is_file(), self.said()
        self.wait("the last job", lambda: not self.slurm.jobs())
        return json.loads(self.summary_file.read_text())

    def recover(self) -> str:
        """Return what ``mlip-fw recover`` says."""
        return self.run("mlip-fw", "recover", "-l", "my_launchpad.yaml")

    def recover_to_the_end(self) -> dict:
        """Return the summary of the campaign; ``mlip-fw recover`` comes by now and then, as from cron."""
        self.recover_until("the summary", self.summary_file.is_file)
        return self.wait_for_end()

    def recover_until(self, what: str, condition) -> None:
        """Wait until a condition holds; ``mlip-fw recover`` comes by, beside the workers and when none is left."""
        turns, due = 0, time.monotonic()

        def comes_about() -> bool:
            nonlocal turns, due
            idle_s = self._idle_s(not self.slurm.jobs())
            if not condition() and time.monotonic() > due and (turns < _FEW or idle_s > _SOON_S):
                self.recover()
                turns, due = turns + 1, time.monotonic() + _SOON_S
            return condition()

        self.wait(what, comes_about)

    def wait_for_event(self, kind: str, count: int = 1) -> None:
        """Wait until an event has been written ``count`` times."""
        self.wait(f"{count} {kind}", lambda: self.events().count(kind) >= count or self._is_stuck())
        assert self.events().count(kind) >= count, self.said()

    def wait(self, what: str, condition, limit: float = _LIMIT_S) -> None:
        """Wait until a condition holds, and say all there is to know if it never does."""
        deadline = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < deadline, f"waited {limit} s for {what}\n{self.said()}"
            time.sleep(_LOOK_S)

    def events(self) -> list[str]:
        """Return the kinds of all events, oldest first."""
        return [event["event"] for event in self.directory.events()]

    def states(self) -> dict[str, str]:
        """Return the state of each Firework by its short name."""
        found = self.pad.fireworks.find({}, {"name": 1, "state": 1})
        return {firework["name"].split(": ")[1]: firework["state"] for firework in found}

    def job_of(self, name: str) -> int:
        """Return the job that runs the Firework whose short name begins with ``name``, once it runs."""
        found: list[int] = []

        def look() -> bool:
            found[:] = [job for job, of in self.slurm.jobs("R").items() if name.replace(" ", "_") in of]
            return bool(found)

        self.wait(f"a job of {name}", look)
        return found[0]

    def labels(self) -> set[str]:
        """Return the names of all labels."""
        return set(Dataset(self.directory.root).hashes())

    def said(self) -> str:
        """Return states, events and the ends of what jobs and launchers printed."""
        outputs = [*self.directory.root.rglob("*.out"), *self.directory.root.rglob("*.error")]
        outputs += [*self.project.rglob("*.out"), *self.project.rglob("*.error"), self.project / "qlaunch.log"]
        texts = [f"--- {path}\n{path.read_text(errors='replace')[-1500:]}" for path in outputs if path.is_file()]
        return "\n".join([str(self.states()), str(self.slurm.jobs()), str(self.events()), *texts])

    def _is_stuck(self) -> bool:
        """Return whether for long a Firework could not end, as it failed or its job is over."""
        waits = bool({"FIZZLED", "RUNNING", "RESERVED"} & set(self.states().values()))
        return self._idle_s(waits and not self.slurm.jobs()) > _STUCK_S

    def _idle_s(self, idle: bool) -> float:
        """Return for how long nothing has moved."""
        now = time.monotonic()
        self._idle_since = (self._idle_since or now) if idle else None
        return now - (self._idle_since or now)

    def _fit_to_this_node(self, category: str, env: dict, changes) -> None:
        worker, adapter = (self.configs / f"my_{kind}_{category}.yaml" for kind in ("fworker", "qadapter"))
        content = YAML(typ="safe").load(worker)
        YAML(typ="safe").dump({**content, "env": env}, worker)
        text = adapter.read_text()
        for pattern, replacement in (
            (r"ntasks: \d+", "ntasks: 1"),
            (r"walltime: .*", "walltime: '00:20:00'"),
            *changes,
        ):
            text = re.sub(pattern, replacement, text)
        adapter.write_text(text)
