"""What training on one more label costs as labels grow in number: ours, pyace from scratch, and pacemaker.

::

    python benchmarks/train.py                                        up to 2,000 labels, about ten minutes
    python benchmarks/train.py --sizes 50,200 --scratch-up-to 50      a short look
    python benchmarks/train.py --elements Cu,Ag,Au,Ni --sizes 50      800 coefficients

Labels are rattled and strained cells of 32 atoms, of an alloy at random, with EMT energies and forces. Times are
processor seconds of a process for each measurement and of those that it starts, so that other work on the machine
matters little; memory is the most that the largest of them held. ``solve`` and ``old`` are parts of ``one more``, as a
profiler sees them: the solution, and what grows with the labels known. ``beyond`` is one more label whose atoms are
displaced so far that the potential extrapolates, as after a halt: the active set changes.

pacemaker is the command in ``MLIP_FW_PACEMAKER`` (what ``env.pacemaker_cmd`` is to a worker), or the one beside Python.
It fits the same functions to the same labels from zero, for as many steps as ``--steps`` says: a fit takes hundreds.
"""

from __future__ import annotations

import argparse
import cProfile
import logging
import multiprocessing
import os
import pstats
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.data import atomic_numbers, reference_states
from training_speed import pyace_from_scratch

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.basis import linear_basis
from mlip_fw.engines.sampling.bootstrap import bootstrap_structures
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.engines.train.pacemaker.command import command_of
from mlip_fw.engines.train.pacemaker.form import without_cores
from mlip_fw.engines.train.pacemaker.frame import kappa_of, rows_of
from mlip_fw.engines.train.pacemaker.inputs import settings_of
from mlip_fw.engines.train.pacemaker.job import FitRun
from mlip_fw.engines.train.pacemaker.template import Template
from mlip_fw.errors import WorkerError
from mlip_fw.io.structures import with_labels
from mlip_fw.models.campaign import ENERGY_WEIGHT, BootstrapSettings, Campaign
from mlip_fw.models.worker import Worker

N_FUNCTIONS = 200
_REPEATS = 3
_RATTLE_A, _BEYOND_A = 0.12, 0.2
_AT_ONCE = 250
"""Labels that are learnt in one training while the dataset is made."""
_OLD = [("active_set", "settle"), ("generation", "_environments"), ("rows", "pack"), ("dataset", "hashes")]


@dataclass(frozen=True)
class Cost:
    """What one measurement took."""

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class OneMore:
    """What a training on one more label took, and the shares of its parts as a profiler sees them."""

    seconds: float
    solve: float
    """Choice of the ridge, solution and conditions."""
    old: float
    """What grows with the labels known: their list, their rows and the active set."""


def campaign_of(elements: list[str]) -> Campaign:
    """Return a campaign with the largest basis that ``auto`` takes."""
    return Campaign.model_validate(
        {
            "campaign": "train",
            "elements": elements,
            "structure": {"bulk": {"symbol": elements[0], "a": 3.61, "cubic": True, "repeat": [2, 2, 2]}},
            "md": {"stages": [{"ensemble": "nvt", "temperature_k": 900.0, "n_steps": 10}]},
            "oracle": {"kind": "ase", "calculator": "emt"},
            "potential": {"basis": "SBessel", "cutoff_a": 6.0, "functions_per_element": N_FUNCTIONS},
        }
    )


def labelled(elements: list[str], count: int, rattle_a: float = _RATTLE_A) -> list[Atoms]:
    """Return rattled and strained fcc cells of 32 atoms, with EMT energies and forces."""
    settings = BootstrapSettings(n_structures=count, rattle_a=rattle_a, strain=0.04)
    a, rng = float(np.mean([reference_states[atomic_numbers[e]]["a"] for e in elements])), np.random.default_rng(1)
    frames = bootstrap_structures(bulk("Cu", cubic=True, a=a) * (2, 2, 2), settings, rng)
    for atoms in frames:
        atoms.set_chemical_symbols(rng.choice(elements, len(atoms)))
        atoms.calc = EMT()
    return [with_labels(a, a.get_potential_energy(), a.get_forces(), a.get_stress()) for a in frames]


def learn(campaign: Campaign, root: Path, frames: list[Atoms]) -> None:
    """Train on all ``frames`` and the labels in ``root``."""
    dataset = Dataset(root)
    for atoms in frames:
        dataset.add(f"label{len(dataset.hashes()):05d}", atoms, {})
    train_generation(Generations(root), dataset, campaign)


def one_more(campaign: Campaign, root: Path, more: list[Atoms]) -> OneMore:
    """Train on each of ``more``: the median seconds, and the shares in the last one, under a profiler."""
    *timed, profiled = more
    seconds = [_seconds_of(learn, campaign, root, [atoms]) for atoms in timed]
    profile = cProfile.Profile(time.process_time)
    profile.runcall(learn, campaign, root, [profiled])
    spent = {(Path(file).stem, name): s[3] for (file, _, name), s in pstats.Stats(profile).stats.items()}
    whole = spent["generation", "train_generation"]
    old = sum(spent[part] for part in _OLD)
    solve = spent["solution", "best_sound"] - spent["stability", "examine"]
    return OneMore(float(np.median(seconds)), solve / whole, old / whole)


def pacemaker(campaign: Campaign, frames: list[Atoms], worker: Worker, steps: int) -> None:
    """Have pacemaker fit the same functions to ``frames``, from zero."""
    linear = linear_basis(campaign.elements, campaign.potential.cutoff_a, N_FUNCTIONS).to_BBasisConfiguration()
    energy = float(np.mean([a.get_potential_energy() / len(a) for a in frames]))
    rows, form = rows_of(frames, dict.fromkeys(campaign.elements, energy), linear), without_cores(linear)
    settings = settings_of(campaign, Template(), kappa_of(rows, ENERGY_WEIGHT))
    with tempfile.TemporaryDirectory() as name:
        fit = FitRun(
            campaign=campaign,
            worker=worker,
            folder=Path(name),
            labels=[],
            rows=rows,
            form=form,
            begin=form,
            settings=settings,
            iterations=steps,
        )
        fit.prepare()
        failure = fit.attempt()
    if failure is not None:
        raise RuntimeError(f"pacemaker: {failure.trouble}: {failure.message}")


def here() -> Worker | None:
    """Return a worker that can run pacemaker; None if none is installed."""
    worker = Worker(pacemaker_cmd=os.environ.get("MLIP_FW_PACEMAKER"))
    try:
        command_of(worker)
    except WorkerError:
        return None
    return worker


def processor_s() -> float:
    """Return the processor seconds of this process and of its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def apart(call: Callable[..., Any], *arguments: Any) -> tuple[Any, Cost]:
    """Return what a function gives in a process of its own, and what that took."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, call, arguments).result()


def _measured(call: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Cost]:
    logging.disable(logging.INFO)
    started = processor_s()
    answer = call(*arguments)
    # not ru_maxrss of this process, which begins with what its parent held
    own = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return answer, Cost(processor_s() - started, max(own, children) / 1024)


def _seconds_of(call: Callable[..., Any], *arguments: Any) -> float:
    started = processor_s()
    call(*arguments)
    return processor_s() - started


def _cells(cost: Cost | None, ours: OneMore) -> list[str]:
    if cost is None:
        return ["-", "-", "-"]
    return [f"{cost.seconds:.0f}", f"{cost.seconds / ours.seconds:.0f}", f"{cost.megabytes:.0f}"]


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", default="Cu", help="fcc metals that EMT knows")
    parser.add_argument("--sizes", default="50,200,500,1000,2000", help="numbers of labels")
    parser.add_argument("--scratch-up-to", type=int, default=500, help="largest size for pyace from scratch")
    parser.add_argument("--pacemaker-up-to", type=int, default=50, help="largest size for pacemaker")
    parser.add_argument("--steps", type=int, default=10, help="steps of pacemaker's optimiser")
    options = parser.parse_args()
    sizes, worker, learnt = [int(n) for n in options.sizes.split(",")], here(), 0
    elements, extra = options.elements.split(","), _REPEATS + 1
    campaign, frames = campaign_of(elements), labelled(elements, max(sizes) + extra)
    wilder = labelled(elements, extra, _BEYOND_A)
    row = "{:>6} | {:>10} {:>8} {:>6} {:>8} | {:>8} {:>6} | {:>9} {:>6} {:>6} | {:>11} {:>6} {:>6}"
    ours_titles = ["one more s", "solve s", "old s", "MB", "beyond s", "old s"]
    print(row.format("labels", *ours_titles, "scratch s", "ratio", "MB", "pacemaker s", "ratio", "MB"), flush=True)
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as other:
        for size in sizes:
            for first in range(learnt, size, _AT_ONCE):
                apart(learn, campaign, Path(name), frames[first : min(first + _AT_ONCE, size)])
            shutil.copytree(name, copied := Path(other) / f"{size}")
            beyond = apart(one_more, campaign, copied, wilder)[0]
            ours, cost = apart(one_more, campaign, Path(name), frames[size : size + extra])
            learnt, known = size + extra, frames[:size]
            scratch = apart(pyace_from_scratch, campaign, known)[1] if size <= options.scratch_up_to else None
            asked = worker is not None and size <= options.pacemaker_up_to
            polished = apart(pacemaker, campaign, known, worker, options.steps)[1] if asked else None
            parts = [f"{ours.seconds * share:.2f}" for share in (1.0, ours.solve, ours.old)]
            parts += [f"{cost.megabytes:.0f}", *(f"{beyond.seconds * share:.2f}" for share in (1.0, beyond.old))]
            cells = [*parts, *_cells(scratch, ours), *_cells(polished, ours)]
            print(row.format(f"{size}", *cells), flush=True)


if __name__ == "__main__":
    main()
