"""Candidates around the atom with the largest gamma."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from ase import Atoms, units

from mlip_fw.engines.ace import AcePotential
from mlip_fw.engines.geometry import distances_from, too_close
from mlip_fw.io.structures import canonical
from mlip_fw.models.selection import Strategy

_THERMAL_TIME_FS = 12.0
_CAP_FRACTION = 0.05
_ENERGY_WINDOW = 5.0
_GAMMA_CEILING = 3.0


@dataclass(frozen=True)
class Candidate:
    """A structure that may be labelled."""

    atoms: Atoms
    strategy: Strategy
    projections: dict[str, np.ndarray] = field(repr=False)
    gamma_max: float


@dataclass(frozen=True)
class HaltedFrame:
    """Where MD stopped."""

    atoms: Atoms
    center: int
    """The atom with the largest gamma."""
    temperature_k: float
    gamma_halt: float


def rattled(frame: HaltedFrame, cutoff_a: float, rng: np.random.Generator) -> tuple[Atoms, float]:
    """Return a copy with thermal displacements around the centre, and how many atoms that moved.

    The amplitude of an atom is what its thermal velocity covers in 12 fs, at most 5 % of the nearest
    neighbour distance, under a Gaussian envelope of width cutoff/2. The second value is the sum of
    the squared envelope, an effective number of atoms.
    """
    atoms = frame.atoms.copy()
    distances = distances_from(atoms, frame.center)
    nearest = float(np.partition(distances, 1)[1]) if len(atoms) > 1 else cutoff_a
    speeds = np.sqrt(units.kB * frame.temperature_k / atoms.get_masses())
    sizes = np.minimum(speeds * _THERMAL_TIME_FS * units.fs, _CAP_FRACTION * nearest)
    envelope = np.exp(-0.5 * (distances / (0.5 * cutoff_a)) ** 2)
    atoms.positions += rng.normal(size=(len(atoms), 3)) * (sizes * envelope)[:, None]
    return atoms, float((envelope**2).sum())


def generate(
    frame: HaltedFrame, potential: AcePotential, strategies: list[str], n_candidates: int, rng: np.random.Generator
) -> tuple[list[Candidate], dict[str, int]]:
    """Return plausible candidates, the halted frame first, and how many were refused by reason.

    A rattled copy is plausible if no atoms are too close, its energy under the current potential is
    within what the temperature allows, and its gamma is below a ceiling: far-off structures enlarge
    the active set without making the potential better where the MD goes.
    """
    rejected: dict[str, int] = {}
    kept: list[Candidate] = []
    if "halt_frame" in strategies:
        _keep(kept, rejected, canonical(frame.atoms), "halt_frame", potential, None)
    if "rattle" not in strategies:
        return kept, rejected
    base = potential.evaluate(frame.atoms)
    assert base.gamma is not None
    ceiling = _GAMMA_CEILING * max(float(base.gamma.max()), frame.gamma_halt)
    for _ in range(n_candidates - ("halt_frame" in strategies)):
        atoms, n_moved = rattled(frame, potential.cutoff_a, rng)
        allowed = base.energy_ev + _ENERGY_WINDOW * 1.5 * units.kB * frame.temperature_k * n_moved
        _keep(kept, rejected, canonical(atoms), "rattle", potential, (allowed, ceiling))
    return kept, rejected


def _keep(
    kept: list[Candidate],
    rejected: dict[str, int],
    atoms: Atoms,
    strategy: Strategy,
    potential: AcePotential,
    window: tuple[float, float] | None,
) -> None:
    def refuse(reason: str) -> None:
        rejected[reason] = rejected.get(reason, 0) + 1

    if too_close(atoms):
        return refuse("atoms too close")
    answer, projections = potential.evaluate_with_projections(atoms)
    assert answer.gamma is not None
    gamma_max = float(answer.gamma.max())
    if window is not None and not answer.energy_ev <= window[0]:
        return refuse("energy beyond the temperature")
    if window is not None and gamma_max > window[1]:
        return refuse("gamma above the ceiling")
    if any(np.allclose(atoms.positions, other.atoms.positions, atol=1e-3) for other in kept):
        return refuse("duplicate")
    kept.append(Candidate(atoms, strategy, projections, gamma_max))
    return None
