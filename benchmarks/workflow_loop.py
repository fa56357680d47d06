"""A campaign by `mlip-fw run` in a process of its own, and where the time between halt and resume goes.

Moments come from three places: ``events.jsonl`` (when a Firework said something), the modification
time of ``halt.restart`` (when LAMMPS had left its run), and ``gamma.dat`` (when LAMMPS had computed
forces again; a thread looks at that file every few milliseconds while the campaign runs). With
several walkers, what the others do between halt and resume counts as overhead: measure with one.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.engines.md.script import GAMMA_LOG
from mlip_fw.io.campaign_file import write_campaign
from mlip_fw.models.campaign import Campaign

_POLL_S = 0.01
_ENDS = (0, 3)
"""Exit codes of a campaign that ended by itself: converged, stopped with a reason."""
Event = dict[str, Any]
Cycle = tuple[int, int]


@dataclass(frozen=True)
class HaltTimes:
    """Seconds of one halt, from the end of LAMMPS' run to the end of its first step after it."""

    step: int
    whole: float
    halt_to_event: float
    """From LAMMPS' restart file to the event "halted": the frame is read, checked against pyace and stored."""
    candidates: float
    label: float
    train: float
    lammps_start: float
    """From the event "md_started" to the first MD step."""

    @property
    def overhead(self) -> float:
        """All but labels and training."""
        return self.whole - self.label - self.train

    @property
    def overhead_after_event(self) -> float:
        """The same, counted from the event "halted"."""
        return self.overhead - self.halt_to_event

    @property
    def fireworks(self) -> float:
        """What remains: FireWorks, its database, files, start of child processes."""
        return self.overhead_after_event - self.candidates - self.lammps_start


@dataclass(frozen=True)
class WorkflowResult:
    """What `mlip-fw run` came to."""

    wall_s: float
    cpu_s: float
    """Of all processes that it started."""
    summary: dict[str, Any]
    halts: list[HaltTimes]


class FirstSteps(threading.Thread):
    """Watches a campaign directory and remembers when each MD run made its first step.

    ``gamma.dat`` gets a line when forces are known at the start of a run, and one at every check.
    The end of the first step is interpolated between those two.
    """

    def __init__(self, directory: CampaignDirectory) -> None:
        super().__init__(daemon=True)
        self._directory, self._over = directory, threading.Event()
        self._starts: dict[Path, tuple[float, int]] = {}
        """When the last line of the start step was seen, and how many of those there were."""
        self._first: dict[Path, float] = {}

    def run(self) -> None:
        """Look until told to stop."""
        while not self._over.wait(_POLL_S):
            for folder in self._directory.cycles():
                if folder not in self._first:
                    self._look(folder)

    def stop(self) -> None:
        """End the watch."""
        self._over.set()
        self.join()

    def first_step(self, cycle: Cycle) -> float | None:
        """Return the time at which the run's first MD step was made, if it made one."""
        return self._first.get(self._directory.cycle(*cycle))

    def _look(self, folder: Path) -> None:
        now, steps = time.time(), _steps(folder / GAMMA_LOG)
        if not steps:
            return
        later = [step for step in steps if step > steps[0]]
        n_start = len(steps) - len(later)
        if later:
            began = self._starts.get(folder, (now, 0))[0]
            self._first[folder] = began + (now - began) / (later[0] - steps[0])
        elif n_start > self._starts.get(folder, (0.0, 0))[1]:
            # a run that checks its start first gives this line twice; MD begins at the second
            self._starts[folder] = (now, n_start)


def run_workflow(campaign: Campaign, folder: Path) -> WorkflowResult:
    """Run ``campaign`` below ``folder`` by the command line, start-up of Python included."""
    write_campaign(folder / "campaign.yaml", campaign)
    directory = CampaignDirectory(folder / "run")
    command = [sys.executable, "-m", "mlip_fw", "run", "campaign.yaml", "--dir", "run", "--json"]
    watch = FirstSteps(directory)
    watch.start()
    wall, cpu = time.perf_counter(), _cpu_of_children()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wall_s, cpu_s = time.perf_counter() - wall, _cpu_of_children() - cpu
    watch.stop()
    if done.returncode not in _ENDS:
        sys.exit(f"mlip-fw run ended with exit code {done.returncode}:\n{done.stderr}")
    return WorkflowResult(wall_s, cpu_s, json.loads(done.stdout), halt_times(directory, watch))


def halt_times(directory: CampaignDirectory, watch: FirstSteps) -> list[HaltTimes]:
    """Return the times of every halt that was followed by an MD step of the same walker."""
    events = directory.events()
    found = (_times_of(event, events, directory, watch) for event in events if event["event"] == "halted")
    return [times for times in found if times is not None]


def spread(values: list[float]) -> dict[str, float]:
    """Return median and maximum."""
    return {"median": statistics.median(values), "max": max(values)} if values else {}


def _times_of(halted: Event, events: list[Event], directory: CampaignDirectory, watch: FirstSteps) -> HaltTimes | None:
    walker, cycle = halted["walker"], halted["cycle"]
    resumed = watch.first_step((walker, cycle + 1))
    started = next((e for e in events if e["event"] == "md_started" and _is(e, walker, cycle + 1)), None)
    if resumed is None or started is None:
        return None
    between = [e for e in events if halted["time"] <= e["time"] <= started["time"]]
    left = (directory.cycle(walker, cycle) / "halt.restart").stat().st_mtime
    return HaltTimes(
        step=halted["step"],
        whole=resumed - left,
        halt_to_event=halted["time"] - left,
        candidates=_seconds(between, "selected"),
        label=_seconds(between, "labelled", "quarantined"),
        train=_seconds(between, "trained"),
        lammps_start=resumed - started["time"],
    )


def _is(event: Event, walker: int, cycle: int) -> bool:
    return bool(event["walker"] == walker and event["cycle"] == cycle)


def _seconds(events: list[Event], *kinds: str) -> float:
    return sum((float(e["seconds"]) for e in events if e["event"] in kinds), start=0.0)


def _steps(path: Path) -> list[int]:
    try:
        text = path.read_text()
    except OSError:
        return []
    whole = text[: text.rfind("\n") + 1].splitlines()
    return [int(line.split()[0]) for line in whole if not line.startswith("#")]


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
