"""The series that figures show, from the campaign directory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlip_fw.engines.md.script import GAMMA_LOG
from mlip_fw.generations import Generations
from mlip_fw.io.lammps import read_gamma_log
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.md import MDOutcome
from mlip_fw.models.training import TrainingRecord
from mlip_fw.summary import md_results


@dataclass(frozen=True)
class Trajectory:
    """Gamma along one walker."""

    walker: int
    segments: list[tuple[int, np.ndarray]]
    """(generation, (n, 2) step and largest gamma) of each MD run."""
    halts: np.ndarray
    """(m, 2) step and gamma."""


def trajectories(directory: CampaignDirectory) -> list[Trajectory]:
    """Return gamma against step for every walker."""
    results = md_results(directory)
    found = []
    for walker in sorted({r.walker for r in results}):
        mine = [r for r in results if r.walker == walker]
        segments = [(r.generation, read_gamma_log(directory.cycle(walker, r.cycle) / GAMMA_LOG)) for r in mine]
        halts = [(r.step, r.gamma_max) for r in mine if r.outcome is MDOutcome.HALTED]
        found.append(Trajectory(walker, segments, np.array(halts, dtype=float).reshape(-1, 2)))
    return found


def training_records(directory: CampaignDirectory) -> list[TrainingRecord]:
    """Return how every generation was made, in order."""
    generations = Generations(directory.root)
    return [r for r in (generations.record(n) for n in generations.numbers()) if r is not None]
