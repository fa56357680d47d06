"""What FireWorks and the LaunchPad cost: the loop's own Fireworks, with engines that do nothing.

::

    python benchmarks/farm.py                       all parts, about fifteen minutes
    python benchmarks/farm.py --workers             Fireworks per second with 1, 2, 4 and 8 workers
    python benchmarks/farm.py --fan --largest 100   cost of a label in a fan of 10 and 100
    python benchmarks/farm.py --chain --json        cost of a Firework as 200 cycles go by, as JSON

The LaunchPad is the server of one machine. Documents, actions and files are those of a real campaign;
only MD, selection, labels and training are replaced. Every label must run exactly once, or this fails.
On a machine that does other work, processor seconds (of the worker and the server) say more than wall seconds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import bson
from fireworks import FWAction, FWorker, LaunchPad, Workflow

from mlip_fw.firetasks.summary import Summarize
from mlip_fw.firetasks.train import TrainPotential
from mlip_fw.io.campaign_file import read_campaign
from mlip_fw.launcher.rockets import launch_one, raise_if_fizzled, silence_libraries
from mlip_fw.launchpad.server.control import ServerFacts, start_server, stop_server
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.handoff import CandidatesHandoff, Handoff, LabelHandoff, MDHandoff, TrainHandoff
from mlip_fw.models.label import LabelState
from mlip_fw.models.md import MDOutcome, MDResult
from mlip_fw.models.selection import Choice, Selection
from mlip_fw.steps.step import Step
from mlip_fw.workflows.build import md_firework, summary_firework

SIZES = (10, 100, 1000)
WORKERS = (1, 2, 4, 8)
_EXAMPLE = Path(__file__).with_name("cu-ramp.yaml")
_FAN_OF_WORKERS, _SAMPLE, _PER_CYCLE, _IDLE_S = 100, 20, 5, 0.1
_TICKS = os.sysconf("SC_CLK_TCK")
Part = dict[str, Any]


@dataclass(frozen=True)
class StandIns:
    """Engines that write down that they ran, and nothing else."""

    labels_per_halt: int
    halts: int

    def run_md(self, step: Step[MDHandoff], _: object) -> MDResult:
        """Return a halt one step further on, or the end."""
        handoff, folder = step.handoff, step.files.folder
        self._note(handoff, "md", str(handoff.cycle))
        return MDResult(
            outcome=MDOutcome.HALTED if handoff.cycle < self.halts else MDOutcome.FINISHED,
            engine="lammps",
            walker=handoff.walker,
            cycle=handoff.cycle,
            stage=0,
            generation=handoff.cycle,
            first_step=handoff.first_step,
            step=handoff.first_step + 10,
            start=str(folder / "start.data"),
            gamma_max=12.3,
            restart=str(folder / "halt.restart"),
            frame=str(folder / "halt.extxyz"),
        )

    def select(self, step: Step[CandidatesHandoff], _: object) -> Selection:
        """Return as many choices as are wanted."""
        handoff = step.handoff
        names = [f"{handoff.walker}-{handoff.cycle}-{index}" for index in range(self.labels_per_halt)]
        chosen = [
            Choice(hash=sha256(name.encode()).hexdigest()[:16], strategy="rattle", reason="stand-in") for name in names
        ]
        return Selection(
            walker=handoff.walker,
            cycle=handoff.cycle,
            generation=0,
            center=0,
            n_candidates=len(chosen),
            rejected={},
            chosen=chosen,
        )

    def label(self, step: Step[LabelHandoff], _: object) -> LabelState:
        """Note the label."""
        self._note(step.handoff, "label", step.handoff.hash)
        return LabelState.DONE

    def train(self, step: Step[TrainHandoff], _: object) -> FWAction:
        """Note the training."""
        self._note(step.handoff, "train", str(step.handoff.cycle))
        return FWAction(stored_data={"generation": step.handoff.cycle})

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the stand-ins where the engines are called."""
        with (
            patch("mlip_fw.steps.md._run", self.run_md),
            patch("mlip_fw.steps.select._select", self.select),
            patch("mlip_fw.steps.label.label_structure", self.label),
            patch.object(TrainPotential, "work", self.train),
            patch.object(Summarize, "work", lambda *_: FWAction()),
        ):
            yield

    def _note(self, handoff: Handoff, kind: str, name: str) -> None:
        with (Path(handoff.directory) / "ran").open("a") as notes:
            notes.write(f"{kind} {name} {time.time()}\n")


class Farm:
    """A LaunchPad server with one campaign."""

    def __init__(self, folder: Path, stand_ins: StandIns) -> None:
        self.stand_ins, self.root = stand_ins, folder / "campaign"
        self.root.mkdir()
        self.facts: ServerFacts = start_server(folder / "launchpad", with_this_process=True)
        self.pad = LaunchPad.from_file(str(self.facts.launchpad_file))
        self.pad.m_logger.disabled = True
        self.pad.add_wf(stand_in_campaign(read_campaign(_EXAMPLE), self.root))

    def launch(self) -> tuple[float, float] | None:
        """Run one Firework; returns wall and processor seconds, or None if none was ready."""
        wall, cpu = time.perf_counter(), self._cpu_s()
        if not launch_one(self.pad, FWorker()):
            return None
        return time.perf_counter() - wall, self._cpu_s() - cpu

    def ran(self) -> list[tuple[str, str, float]]:
        """Return kind, name and moment of all that ran."""
        lines = (self.root / "ran").read_text().split("\n")[:-1]
        return [(kind, name, float(moment)) for kind, name, moment in (line.split(" ") for line in lines)]

    def require_exactly_once(self) -> None:
        """Fail if something ran twice or not at all.

        Raises
        ------
        RuntimeError
            If so.
        """
        raise_if_fizzled(self.pad)
        counts = Counter((kind, name) for kind, name, _ in self.ran())
        wanted = {"label": self.stand_ins.labels_per_halt * self.stand_ins.halts, "md": self.stand_ins.halts + 1}
        for kind, number in wanted.items():
            found = Counter(count for (what, _), count in counts.items() if what == kind)
            if found != {1: number}:
                raise RuntimeError(f"of {number} {kind} Fireworks ran, by times: {dict(found)}; each must run once")

    def sizes(self) -> dict[str, int]:
        """Return the bytes of the largest document of each kind."""
        kinds = {"Firework": self.pad.fireworks, "Launch": self.pad.launches, "Workflow": self.pad.workflows}
        return {kind: max(len(bson.encode(d)) for d in documents.find()) for kind, documents in kinds.items()}

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self.facts.pid}/stat").read_text().rpartition(")")[2].split()
        return time.process_time() + (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def farm(stand_ins: StandIns) -> Iterator[Farm]:
    """Start a server, add a campaign, and take all away in the end."""
    folder = Path(tempfile.mkdtemp(prefix="farm-"))
    before = Path.cwd()
    try:
        os.chdir(folder)
        with stand_ins.in_place(), silence_libraries():
            yield Farm(folder, stand_ins)
    finally:
        stop_server(folder / "launchpad")
        os.chdir(before)
        shutil.rmtree(folder)


def stand_in_campaign(campaign: Campaign, root: Path) -> Workflow:
    """Return MD → Summary with a budget that never ends."""
    budget = campaign.budget.model_copy(update={"max_cycles": 100_000, "max_labels": 1_000_000})
    common = {"campaign": campaign.model_copy(update={"budget": budget}), "directory": str(root)}
    md = md_firework(MDHandoff(**common, walker=0))
    metadata = {"mlip_fw": True, "directory": str(root)}
    return Workflow([md, summary_firework(Handoff(**common), parents=[md])], name=campaign.campaign, metadata=metadata)


def workers_part(_: int) -> Part:
    """Count Fireworks per second of a fan of 100 labels with its join."""
    rates, waits = {}, {}
    spawn = multiprocessing.get_context("spawn")
    for workers in WORKERS:
        with farm(StandIns(_FAN_OF_WORKERS, 1)) as place:
            while not place.pad.get_fw_ids({"spec._category": "dft"}):
                place.launch()
            ready = spawn.Barrier(workers + 1)
            given = (str(place.facts.launchpad_file), place.stand_ins, ready)
            hands = [spawn.Process(target=_work, args=given, daemon=True) for _ in range(workers)]
            for hand in hands:
                hand.start()
            ready.wait()
            started = time.perf_counter()
            for hand in hands:
                hand.join()
            rates[workers] = (_FAN_OF_WORKERS + 3) / (time.perf_counter() - started)
            place.require_exactly_once()
            waits[workers] = _last_label_to_md(place.ran())
    return {"fireworks_per_s": rates, "last_label_to_md_s": waits}


def _work(launchpad_file: str, stand_ins: StandIns, ready: Any) -> None:
    pad = LaunchPad.from_file(launchpad_file)
    with stand_ins.in_place(), silence_libraries():
        ready.wait()
        while launch_one(pad, FWorker()) or pad.future_run_exists(FWorker()):
            time.sleep(0 if pad.run_exists(FWorker()) else _IDLE_S)


def _last_label_to_md(ran: list[tuple[str, str, float]]) -> float:
    return max(t for kind, _, t in ran if kind == "md") - max(t for kind, _, t in ran if kind == "label")


def fan_part(largest: int) -> Part:
    """Cost of the Candidates Firework and of a label in fans of 10, 100 and 1,000."""
    found: Part = {}
    for size in (s for s in SIZES if s <= largest):
        with farm(StandIns(size, 1)) as place:
            place.launch()
            candidates = place.launch()
            # the first label loads modules
            labels = [cost for _ in range(min(_SAMPLE, size)) if (cost := place.launch())][1:]
            if candidates is None or len(labels) < min(_SAMPLE, size) - 1:
                raise RuntimeError(f"the fan of {size} labels was not added; see the Fireworks of the campaign")
            found[str(size)] = {**_means(labels), "candidates_s": candidates[0], "bytes": place.sizes()}
    return _with_ratios(found)


def chain_part(largest: int) -> Part:
    """Cost of a Firework while a campaign of halts with two labels each grows to 1,000 Fireworks."""
    costs = []
    with farm(StandIns(2, largest // _PER_CYCLE)) as place:
        while cost := place.launch():
            costs.append(cost)
        place.require_exactly_once()
        sizes = place.sizes()
    windows = {size: _around(costs, size) for size in SIZES if size <= largest}
    return _with_ratios({str(s): _means(window) for s, window in windows.items()}) | {"bytes": sizes}


def _around(costs: list[tuple[float, float]], size: int) -> list[tuple[float, float]]:
    """Return the costs of whole cycles up to a size, so that all kinds weigh the same; the first loads modules."""
    first = max(1, size // _PER_CYCLE - 4)
    last = max(first + 2, size // _PER_CYCLE)
    return costs[first * _PER_CYCLE : last * _PER_CYCLE]


def _means(costs: list[tuple[float, float]]) -> dict[str, float]:
    wall, cpu = zip(*costs, strict=True)
    return {"wall_s": statistics.fmean(wall), "cpu_s": statistics.fmean(cpu)}


def _with_ratios(found: Part) -> Part:
    first = next(iter(found.values()))
    for row in found.values():
        row |= {"wall_ratio": row["wall_s"] / first["wall_s"], "cpu_ratio": row["cpu_s"] / first["cpu_s"]}
    return found


PARTS = {"workers": workers_part, "fan": fan_part, "chain": chain_part}


def main() -> None:
    """Run the wanted parts, or all, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="Fireworks in the largest workflow")
    for name, part in PARTS.items():
        parser.add_argument(f"--{name}", action="store_true", help=(part.__doc__ or "").rstrip("."))
    arguments = parser.parse_args()
    for name in [name for name in PARTS if getattr(arguments, name)] or list(PARTS):
        print(f"{name}: running (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
        found = PARTS[name](arguments.largest)
        print(json.dumps({name: found}) if arguments.json else _table(name, found), flush=True)


def _table(name: str, found: Part) -> str:
    return "\n".join([name, *(f"  {key:<20} {_line(value)}" for key, value in found.items())])


def _line(values: dict[Any, Any]) -> str:
    return "  ".join(f"{k} {v:.4g}" if isinstance(v, int | float) else f"{k}: {_line(v)}" for k, v in values.items())


if __name__ == "__main__":
    main()
