"""The true error of a potential: its forces and energies against the oracle's on frames that it was not trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from ase.io import read
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.neighborlist import build_neighbor_list, natural_cutoffs
from material_list import Material, plain
from scipy.sparse.csgraph import connected_components

from mlip_fw import AceCalculator
from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.summary import md_results
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.oracle.answer import Labelled
from mlip_fw.engines.oracle.ase_answer import ask_calculator
from mlip_fw.engines.oracle.ase_child import calculator_class
from mlip_fw.engines.oracle.backend import backend_of
from mlip_fw.engines.structures.start import start_structures
from mlip_fw.errors import LabelError
from mlip_fw.io.structures import read_frame, with_labels, write_frames
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.stdout import stdout_on_stderr
from mlip_fw.validation.parity import Pair, errors_by_element, frame_errors
from mlip_fw.validation.sources import PotentialSource

_FRICTION_1_FS = 0.02
_EQUILIBRATION, _SPACING = 300, 25
_RUNAWAY = 10.0
"""MD ends when it is hotter than this multiple of what is asked for."""
_BOND = 1.25
"""Atoms are bonded up to this multiple of the sum of their covalent radii."""


@dataclass(frozen=True)
class Oracle:
    """What labels the frames: the campaign's oracle, with its settings."""

    campaign: Campaign
    calculator: BaseCalculator | None
    """None for a code that is no ASE calculator."""

    @classmethod
    def of(cls, campaign: Campaign) -> Oracle:
        """Return the oracle of a campaign, ready to be asked."""
        spec = backend_of(campaign.oracle).md_calculator(campaign.oracle)
        if spec is None:
            return cls(campaign, None)
        with stdout_on_stderr():
            return cls(campaign, calculator_class(spec.calculator)(**spec.parameters))

    def label(self, atoms: Atoms, folder: Path) -> Atoms:
        """Return a copy with energy, forces and stress; a code may leave its files in ``folder``.

        Raises
        ------
        LabelError
            If the structure can't be labelled.
        """
        if self.calculator is None:
            settings, elements = self.campaign.oracle, self.campaign.elements
            answer = backend_of(settings).label(atoms, settings, Worker(), elements, folder, [])
            assert isinstance(answer, Labelled)
            return answer.atoms
        asked = atoms.copy()
        asked.calc = self.calculator
        found = ask_calculator(asked)
        if not found.converged:
            raise LabelError("the calculation did not converge")
        return with_labels(atoms, found.energy_ev, found.forces_ev_a, found.stress_ev_a3)


def test_frames(material: Material, oracle: Oracle, potential: Path, folder: Path) -> list[Atoms]:
    """Return the labelled frames to test on: those in ``folder``, or new ones.

    Frames of the oracle's MD depend on the material alone, those of the potential's MD on the potential.
    """
    path, frames = folder / "frames.extxyz", list[Atoms]()
    if path.is_file():
        kept: list[Atoms] = read(path, index=":", format="extxyz")
        return kept
    for number, start in enumerate(material.starts()):
        for temperature_k in material.test_k:
            by_oracle = material.tested_on == "oracle"
            calculator = oracle.calculator if by_oracle else AceCalculator(potential, gamma=False)
            for index, frame in enumerate(md_frames(start, calculator, material, temperature_k)):
                try:
                    labelled = oracle.label(frame, folder / f"code-{number}-{temperature_k}-{index}")
                except LabelError:
                    continue
                labelled.info = {"temperature_k": temperature_k, "start": number}
                frames.append(labelled)
    if frames:
        write_frames(path, frames)
    return frames


def md_frames(start: Atoms, calculator: BaseCalculator, material: Material, temperature_k: int) -> Iterator[Atoms]:
    """Yield frames of Langevin dynamics at one temperature; fewer than asked for if it runs away."""
    atoms, rng = start.copy(), np.random.default_rng(temperature_k)
    atoms.calc = calculator
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature_k, rng=rng)
    step, friction = material.timestep_fs * units.fs, _FRICTION_1_FS / units.fs
    dynamics = Langevin(atoms, step, temperature_K=temperature_k, friction=friction, rng=rng)
    for index in range(material.frames_per_start):
        try:
            dynamics.run(_SPACING if index else _EQUILIBRATION)
        except (FloatingPointError, ValueError, IndexError):
            return
        if not atoms.get_temperature() < _RUNAWAY * temperature_k:
            return
        yield plain(atoms)


def true_errors(source: PotentialSource, frames: list[Atoms]) -> dict[str, Any]:
    """Return the errors over all frames, by element and by temperature, in eV and Å; none without frames."""
    if not frames:
        return {"frames": 0}
    pairs = [Pair(mine, theirs) for mine, theirs in zip(source.label(frames), frames, strict=True)]
    whole = frame_errors(pairs)
    by_temperature = {
        str(t): frame_errors([p for p in pairs if p.oracle.info["temperature_k"] == t]).force_rmse_ev_a
        for t in sorted({atoms.info["temperature_k"] for atoms in frames})
    }
    return {
        "frames": len(frames),
        "force_rmse_ev_a": whole.force_rmse_ev_a,
        "force_rms_ev_a": whole.force_rms_ev_a,
        "force_share": whole.force_rmse_ev_a / whole.force_rms_ev_a,
        "energy_rmse_ev_atom": whole.energy_rmse_ev_atom,
        "stress_rmse_gpa": whole.stress_rmse_gpa,
        "force_rmse_by_temperature_ev_a": by_temperature,
        "force_rmse_by_element_ev_a": errors_by_element(pairs),
    }


def final_potential(directory: CampaignDirectory) -> tuple[Path, PotentialSource]:
    """Return the newest generation of a campaign that is fit for MD: its file, and what gives its energies."""
    generations = Generations(directory.root)
    newest = generations.fit_for_md()
    record = None if newest is None else generations.record(newest)
    assert newest is not None and record is not None
    path = generations.potential(newest)
    return path, PotentialSource(AcePotential.from_files(path), dict(record.reference_energy_ev))


def changed_molecules(directory: CampaignDirectory) -> int:
    """Return how many molecules of the starts are not there, atom by atom, where the campaign's MD ended."""
    starts = start_structures(directory.read_campaign())
    last = {result.walker: result for result in md_results(directory)}
    ends = {walker: read_frame(Path(result.frame)) for walker, result in last.items() if result.frame is not None}
    return sum((molecules(starts[walker]) - molecules(atoms)).total() for walker, atoms in ends.items())


def molecules(atoms: Atoms) -> Counter[frozenset[int]]:
    """Return the sets of atoms that bonds hold together."""
    reach = natural_cutoffs(atoms, mult=_BOND)
    bonds = build_neighbor_list(atoms, reach, skin=0.0, self_interaction=False, bothways=True)
    _, labels = connected_components(bonds.get_connectivity_matrix())
    return Counter(frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist()))
