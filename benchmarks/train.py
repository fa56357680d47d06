"""What training on one more label costs as labels grow in number: ours, pyace from scratch, and pacemaker.

::

    python benchmarks/train.py                                        up to 2,000 labels, about ten minutes
    python benchmarks/train.py --sizes 50,200 --scratch-up-to 50      only a glance

Labels are rattled and strained copper cells of 32 atoms with EMT energies and forces. Times are processor seconds of
this process and of those that it starts, so that other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from training_speed import pyace_from_scratch

from mlip_fw.dataset import Dataset
from mlip_fw.engines.bootstrap import bootstrap_structures
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.generations import Generations
from mlip_fw.io.structures import with_labels
from mlip_fw.models.campaign import BootstrapSettings, Campaign

N_FUNCTIONS = 200
_REPEATS = 3
_PACEMAKER_LIMIT_S = 1800
_CAMPAIGN = {
    "campaign": "train",
    "elements": ["Cu"],
    "structure": {"bulk": {"symbol": "Cu", "a": 3.61, "cubic": True, "repeat": [2, 2, 2]}},
    "md": {"stages": [{"ensemble": "nvt", "temperature_k": 900.0, "n_steps": 10}]},
    "oracle": {"kind": "ase", "calculator": "emt"},
    "potential": {"cutoff_a": 6.0, "functions_per_element": N_FUNCTIONS},
}


def labelled_copper(count: int) -> list[Atoms]:
    """Return rattled and strained copper cells of 32 atoms, with EMT energies and forces."""
    settings = BootstrapSettings(n_structures=count, rattle_a=0.12, strain=0.04)
    start = bulk("Cu", cubic=True, a=3.61) * (2, 2, 2)
    frames = bootstrap_structures(start, settings, np.random.default_rng(1))
    for atoms in frames:
        atoms.calc = EMT()
    return [with_labels(a, a.get_potential_energy(), a.get_forces(), None) for a in frames]


def one_more_s(root: Path, campaign: Campaign, known: list[Atoms], more: list[Atoms]) -> float:
    """Train on the ``known`` labels in ``root``; return the median seconds of training on each of ``more``."""
    generations, dataset = Generations(root), Dataset(root)
    for atoms in known:
        dataset.add(f"label{len(dataset.hashes()):05d}", atoms, {})
    train_generation(generations, dataset, campaign)
    seconds = []
    for atoms in more:
        dataset.add(f"label{len(dataset.hashes()):05d}", atoms, {})
        started = processor_s()
        train_generation(generations, dataset, campaign)
        seconds.append(processor_s() - started)
    return float(np.median(seconds))


def scratch_s(campaign: Campaign, frames: list[Atoms]) -> float:
    """Return the seconds of pyace's own fit and active set from scratch."""
    started = processor_s()
    pyace_from_scratch(campaign, frames)
    return processor_s() - started


def processor_s() -> float:
    """Return the processor seconds of this process and of its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def pacemaker_s(frames: list[Atoms], folder: Path) -> float | None:
    """Return the seconds of 100 BFGS steps of pacemaker; None where it or its evaluator is missing."""
    if importlib.util.find_spec("tensorpotential") is None:
        return None
    energies = [a.get_potential_energy() for a in frames]
    table = {"ase_atoms": frames, "energy_corrected": energies, "forces": [a.get_forces() for a in frames]}
    pd.DataFrame(table).to_pickle(folder / "data.pckl.gzip", compression="gzip")
    potential = {
        "deltaSplineBins": 0.001,
        "elements": ["Cu"],
        "embeddings": {"ALL": {"npot": "FinnisSinclairShiftedScaled", "fs_parameters": [1, 1], "ndensity": 1}},
        "bonds": {"ALL": {"radbase": "SBessel", "radparameters": [5.25], "rcut": 6.0, "dcut": 0.01}},
        "functions": {
            "number_of_functions_per_element": N_FUNCTIONS,
            "ALL": {"nradmax_by_orders": [15, 6, 4, 3, 2], "lmax_by_orders": [0, 4, 3, 2, 1]},
        },
    }
    settings = {
        "cutoff": 6.0,
        "data": {"filename": str(folder / "data.pckl.gzip")},
        "potential": potential,
        "fit": {"loss": {"kappa": 0.3}, "optimizer": "BFGS", "maxiter": 100},
        "backend": {"evaluator": "tensorpot", "batch_size": 100},
    }
    (folder / "input.yaml").write_text(json.dumps(settings))
    started = processor_s()
    command = [str(Path(sys.executable).parent / "pacemaker"), "input.yaml"]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, timeout=_PACEMAKER_LIMIT_S)
    return processor_s() - started if done.returncode == 0 else None


def peak_mb() -> float:
    """Return the most memory that this process has held so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="50,200,500,1000,2000", help="numbers of labels")
    parser.add_argument("--scratch-up-to", type=int, default=500, help="largest size for the others")
    options = parser.parse_args()
    sizes, campaign = [int(n) for n in options.sizes.split(",")], Campaign.model_validate(_CAMPAIGN)
    frames = labelled_copper(max(sizes) + _REPEATS)
    row = "{:>6} {:>10} {:>9} {:>12} {:>8} {:>13} {:>8}"
    print(row.format("labels", "ours s", "peak MB", "scratch s", "ratio", "pacemaker s", "ratio"), flush=True)
    with tempfile.TemporaryDirectory() as name:
        learnt = 0
        for size in sizes:
            ours = one_more_s(Path(name), campaign, frames[learnt:size], frames[size : size + _REPEATS])
            learnt, memory, cells = size + _REPEATS, peak_mb(), [f"{size}", f"{ours:.2f}"]
            others: list[float | None] = [None, None]
            if size <= options.scratch_up_to:
                folder = Path(name) / f"pacemaker-{size}"
                folder.mkdir()
                others = [
                    scratch_s(campaign, frames[:size]),
                    pacemaker_s(frames[:size], folder),
                ]
            texts = [text for s in others for text in (("-", "-") if s is None else (f"{s:.1f}", f"{s / ours:.0f}"))]
            print(row.format(*cells, f"{memory:.0f}", *texts), flush=True)


if __name__ == "__main__":
    main()
