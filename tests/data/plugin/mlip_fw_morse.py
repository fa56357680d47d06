"""An oracle with physics of its own, a candidate strategy and a property, outside of mlip_fw."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms, units
from pydantic import Field

from mlip_fw.engines.oracle.answer import Answer, Labelled, facts_of
from mlip_fw.engines.oracle.backend import Citation, OracleBackend
from mlip_fw.errors import CampaignError, WorkerError
from mlip_fw.io.structures import with_labels
from mlip_fw.models.base import Positive
from mlip_fw.models.oracle import OracleSettings
from mlip_fw.models.worker import Worker, WorkerKeys

_SHEAR = 0.01


class MorseSettings(OracleSettings):
    """Labels from a Morse potential between all pairs of atoms."""

    kind: Literal["morse-crystal"] = Field(description="labels from the pair potential of mlip-fw-morse")
    depth_ev: Positive = Field(0.34, description="depth of the well, eV")
    distance_a: Positive = Field(2.87, description="distance at the bottom of the well, Å")
    width_1_a: Positive = Field(1.36, description="inverse width of the well, 1/Å")
    cutoff_a: Positive = Field(6.0, le=10.0, description="pairs further apart don't act on each other, Å")


class MorseKeys(WorkerKeys):
    """Keys of ``env`` in my_fworker.yaml."""

    morse_log: str | None = Field(None, pattern="^/", description="file that gets a line for each label")


class MorseOracle(OracleBackend[MorseSettings]):
    """The pair potential."""

    settings = MorseSettings
    worker_keys = MorseKeys
    title = "Morse"
    citations: ClassVar[dict[str, Citation]] = {
        "Girifalco1959": Citation(
            "L. A. Girifalco and V. G. Weizer",
            "Application of the Morse potential function to cubic metals",
            "Phys. Rev. 114, 687",
            1959,
            "10.1103/PhysRev.114.687",
        )
    }

    def require(self, settings: MorseSettings, worker: Worker, elements: list[str]) -> None:
        """Check the settings, and that the log can be written."""
        if settings.distance_a >= settings.cutoff_a:
            raise CampaignError("oracle.distance_a must be less than oracle.cutoff_a")
        log = worker.own_keys(MorseKeys).morse_log
        if log is not None and not Path(log).parent.is_dir():
            raise WorkerError(f"env.morse_log: there is no folder {Path(log).parent}; make it")

    def level_of_theory(self, settings: MorseSettings, worker: Worker, elements: list[str]) -> dict[str, Any]:
        """Return the parameters of the potential."""
        keys = ("kind", "depth_ev", "distance_a", "width_1_a", "cutoff_a")
        return {key: getattr(settings, key) for key in keys}

    def label(
        self,
        atoms: Atoms,
        settings: MorseSettings,
        worker: Worker,
        elements: list[str],
        folder: Path,
        peers: Sequence[Atoms],
    ) -> Answer:
        """Sum over all pairs."""
        started = time.perf_counter()
        energy, forces, stress = morse(atoms, settings)
        log = worker.own_keys(MorseKeys).morse_log
        if log is not None:
            with open(log, "a") as handle:
                handle.write(f"{len(atoms)} atoms {energy:.6f} eV\n")
        facts = facts_of(
            code="morse", version="1.0", seconds=time.perf_counter() - started, corrections=[], convergence={}
        )
        return Labelled(with_labels(atoms, energy, forces, stress), facts)

    def doctor(self, worker: Worker) -> str:
        """Say where the log is."""
        return f"log: {worker.own_keys(MorseKeys).morse_log or 'none'}"


ORACLE = MorseOracle()


def morse(atoms: Atoms, settings: MorseSettings) -> tuple[float, np.ndarray, np.ndarray]:
    """Return energy (eV), (n, 3) forces (eV/Å) and (6,) stress (eV/Å³)."""
    from vesin import NeighborList  # takes a moment to import

    pairs = NeighborList(cutoff=settings.cutoff_a, full_list=True)
    i, d, vectors = pairs.compute(points=atoms.positions, box=atoms.cell.array, periodic=True, quantities="idD")
    decay = np.exp(-settings.width_1_a * (d - settings.distance_a))
    at_cutoff = np.exp(-settings.width_1_a * (settings.cutoff_a - settings.distance_a))
    energy = 0.5 * settings.depth_ev * float(np.sum(decay**2 - 2 * decay - at_cutoff**2 + 2 * at_cutoff))
    slopes = 2 * settings.depth_ev * settings.width_1_a * (decay - decay**2)
    along = (slopes / d)[:, None] * vectors
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, along)
    virial = 0.5 * vectors.T @ along / atoms.get_volume()
    return energy, forces, virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def sheared(frame: Any, potential: Any, n: int, rng: np.random.Generator) -> list[Any]:
    """Return copies of the halted frame in a slightly sheared cell, as a candidate strategy."""
    from mlip_fw.engines.sampling.generate import CandidateTrial

    trials = []
    for _ in range(n):
        atoms = frame.atoms.copy()
        shear = np.triu(rng.normal(scale=_SHEAR, size=(3, 3)), 1)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + shear), scale_atoms=True)
        trials.append(CandidateTrial(atoms, len(atoms)))
    return trials


def cold_pressure(both: Any) -> list[tuple[str, str, float, float]]:
    """Return the pressure of the crystal compressed by 1 % in each direction, as a property of a validation."""
    cell = both.crystal.cell(0.99)
    mine, theirs = (-source.label([cell])[0].get_stress()[:3].mean() / units.GPa for source in both.sources.values())
    return [("pressure at 97 % of the volume", "GPa", float(mine), float(theirs))]
