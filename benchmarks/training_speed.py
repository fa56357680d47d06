"""What one new label costs when 49 are known already, against pyace's own way from scratch."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from pyace.activelearning import compute_A_active_inverse, compute_active_set, compute_B_projections
from pyace.linearacefit import LinearACEDataset, LinearACEFit

from mlip_fw.campaign.dataset import Dataset, label_name
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.basis import linear_basis
from mlip_fw.engines.sampling.bootstrap import bootstrap_structures
from mlip_fw.engines.train.generation import train_generation
from mlip_fw.io.structures import with_labels
from mlip_fw.models.campaign import BootstrapSettings, Campaign

N_LABELS = 50
_REPEATS = 3


@dataclass(frozen=True)
class TrainingTimes:
    """Seconds for the same 50 labels."""

    one_more: list[float]
    """Train on one new label with 49 known: fit, rows, active set, all files of the generation."""
    from_scratch: dict[str, float]
    """pyace on all of them, by step."""
    force_rmse_ev_a: float


def labelled_copper(n_structures: int = N_LABELS) -> list[Atoms]:
    """Return rattled and strained 108-atom copper cells with EMT energies and forces."""
    start = bulk("Cu", cubic=True, a=3.61) * (3, 3, 3)
    settings = BootstrapSettings(n_structures=n_structures, rattle_a=0.12, strain=0.04)
    frames = bootstrap_structures(start, settings, np.random.default_rng(1))
    for atoms in frames:
        atoms.calc = EMT()
    return [with_labels(a, a.get_potential_energy(), a.get_forces(), a.get_stress()) for a in frames]


def teach(root: Path, campaign: Campaign, frames: list[Atoms]) -> Generations:
    """Add labels to the dataset in ``root`` and train the next generation on them."""
    dataset, generations = Dataset(root), Generations(root)
    for atoms in frames:
        dataset.add(label_name(atoms, {}), atoms, {})
    train_generation(generations, dataset, campaign)
    return generations


def measure_training(root: Path, campaign: Campaign, frames: list[Atoms]) -> TrainingTimes:
    """Train on all but the last label in ``root``, then time the step to all of them."""
    generations, dataset = teach(root, campaign, frames[:-1]), Dataset(root)
    newest = label_name(frames[-1], {})
    dataset.add(newest, frames[-1], {})
    one_more = []
    for attempt in range(_REPEATS):
        if attempt:
            shutil.rmtree(generations.folder(1))
            next(generations.rows("*").parent.glob(f"*/{newest}.npz")).unlink()
        one_more.append(_timed(lambda: train_generation(generations, dataset, campaign))[0])
    record = generations.record(1)
    assert record is not None and record.dataset is not None
    return TrainingTimes(one_more, pyace_from_scratch(campaign, frames), record.dataset.force_rmse_ev_a)


def median_s(times: TrainingTimes) -> float:
    """Return the seconds of the usual training."""
    return statistics.median(times.one_more)


def pyace_from_scratch(campaign: Campaign, frames: list[Atoms]) -> dict[str, float]:
    """Return the seconds of pyace's design matrix, Ridge fit, projections, MaxVol and inverse."""
    settings = campaign.potential
    basis = linear_basis(campaign.elements, settings.cutoff_a, settings.functions_per_element)
    energies = np.array([a.get_potential_energy() for a in frames])
    table = pd.DataFrame(
        {
            "ase_atoms": frames,
            "energy_corrected": energies - energies.mean(),
            "forces": [a.get_forces() for a in frames],
        }
    )
    dataset = LinearACEDataset(basis, table)
    fit = LinearACEFit(train_dataset=dataset)
    seconds = {}
    workers = os.cpu_count() or 1
    seconds["design"], _ = _timed(lambda: dataset.construct_design_matrix(max_workers=workers))
    seconds["fit"], _ = _timed(fit.fit)
    fitted = fit.get_bbasis()
    seconds["projections"], projections = _timed(lambda: compute_B_projections(fitted, frames))
    seconds["active_set"], active = _timed(lambda: compute_active_set(projections))
    seconds["inverse"], _ = _timed(lambda: compute_A_active_inverse(active))
    return seconds


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = call()
    return time.perf_counter() - started, answer
