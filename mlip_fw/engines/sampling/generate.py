"""Candidates around the atom with the largest gamma: how they are made, and which are plausible."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from ase import Atoms, units

from mlip_fw.engines.ace.potential import AcePotential, rows_within
from mlip_fw.engines.structures.geometry import distances_from, too_close
from mlip_fw.io.structures import MASK, canonical
from mlip_fw.plugins import STRATEGIES

_THERMAL_TIME_FS = 12.0
_CAP_FRACTION = 0.05
_ENERGY_WINDOW = 5.0
_GAMMA_CEILING = 3.0
HALT_FRAME = "halt_frame"
"""The strategy that gives the halted frame itself, as it is."""
_ORDER = ("md_burst", "normal_modes", "rattle")
"""Built-in strategies that move atoms, in the order in which they are asked: a burst may give less than its share."""
MaskRule = Callable[[Atoms, np.ndarray], np.ndarray]
"""From a structure and the gamma of its atoms (n,) to the (n,) mask of those that are trained on."""


@dataclass(frozen=True)
class Candidate:
    """A structure that may be labelled."""

    atoms: Atoms
    strategy: str
    projections: dict[str, np.ndarray] = field(repr=False)
    """Basis functions by element, of the atoms that would be trained on."""
    gamma_max: float
    """The largest of the atoms that would be trained on."""
    mask: np.ndarray | None = None
    """(n_atoms,) True for the atoms that would be trained on; None: all."""

    def structure(self) -> Atoms:
        """Return the structure to be labelled, with its mask."""
        copy = self.atoms.copy()
        if self.mask is not None:
            copy.arrays[MASK] = self.mask
        return copy


@dataclass(frozen=True)
class HaltedFrame:
    """Where MD stopped, or a cell that was cut out of it."""

    atoms: Atoms
    center: int
    """The atom with the largest gamma."""
    temperature_k: float
    gamma_halt: dict[str, float]
    """By element."""
    gamma_select: float = 0.0
    """What none of the atoms exceeds is not worth a look."""
    mask: np.ndarray | None = None
    """(n_atoms,) the atoms that would be trained on; None: all."""
    mask_of: MaskRule | None = None
    """How the mask of a moved copy is found; None: it is that of the frame."""

    @property
    def thresholds(self) -> np.ndarray:
        """(n_atoms,) gamma_halt of each atom's element."""
        return np.array([self.gamma_halt[symbol] for symbol in self.atoms.get_chemical_symbols()])

    def watched(self) -> np.ndarray:
        """Return the (n_atoms,) atoms whose gamma counts."""
        return np.ones(len(self.atoms), dtype=bool) if self.mask is None else self.mask

    def mask_for(self, strategy: str, atoms: Atoms, gamma: np.ndarray) -> np.ndarray | None:
        """Return the mask of the frame itself or of a moved copy ``atoms`` with the grades ``gamma`` (n_atoms,)."""
        given = strategy == HALT_FRAME and self.mask is not None
        return self.mask if given or self.mask_of is None else self.mask_of(atoms, gamma)

    def ceilings(self, gamma: np.ndarray) -> np.ndarray:
        """Return the (n_atoms,) grades that no plausible copy exceeds, if the frame's own are ``gamma`` (n_atoms,)."""
        relative = (gamma / self.thresholds)[self.watched()]
        return np.asarray(_GAMMA_CEILING * max(1.0, float(relative.max(initial=0.0))) * self.thresholds)


@dataclass(frozen=True)
class CandidateTrial:
    """A structure that becomes a candidate if it is plausible."""

    atoms: Atoms
    """Same atoms in the same order as those of the halted frame."""
    n_moved: float
    """Number of atoms that the move has displaced: the energy may rise by 5 × 3/2 kT for each of them."""


class CandidateStrategy(Protocol):
    """A function that makes structures like the halted frame, from which labels are chosen.

    Entries of :data:`mlip_fw.plugins.STRATEGIES` are such functions.
    """

    def __call__(
        self, frame: HaltedFrame, potential: AcePotential, n: int, rng: np.random.Generator
    ) -> list[CandidateTrial]:
        """Return at most ``n`` structures.

        Parameters
        ----------
        frame
            Where MD halted; ``frame.center`` is the atom with the largest gamma. Must not be changed.
        potential
            The newest potential, with its active set.
        n
            The strategy's share of ``candidates.n_candidates``.
        rng
            The only source of randomness, so that a campaign can be repeated.
        """
        ...


def generate(
    frame: HaltedFrame, potential: AcePotential, strategies: list[str], n_candidates: int, rng: np.random.Generator
) -> tuple[list[Candidate], dict[str, int]]:
    """Return plausible candidates, the halted frame first, and how many were refused by reason.

    The strategies share ``n_candidates``; what one leaves goes to those after it. A moved copy is
    plausible if no atoms are too close, its energy under the current potential is within what the
    temperature allows, and its gamma is below a ceiling: far-off structures enlarge the active set
    without making the potential better where the MD goes.
    """
    sieve, left = _Sieve(frame, potential), n_candidates
    window_ev = _ENERGY_WINDOW * 1.5 * units.kB * frame.temperature_k
    if HALT_FRAME in strategies:
        sieve.take(frame.atoms, HALT_FRAME, np.inf)
        left -= 1
    moved = _in_order(strategies)
    for k, name in enumerate(moved):
        share = -(-left // (len(moved) - k))
        make: CandidateStrategy = STRATEGIES.get(name)
        trials = make(frame, potential, share, rng)[:share] if share > 0 else []
        for trial in trials:
            sieve.take(trial.atoms, name, window_ev * trial.n_moved)
        left -= len(trials)
    return sieve.kept, sieve.rejected


def _in_order(strategies: list[str]) -> list[str]:
    """Return the strategies that move atoms in the order in which they are asked, those of plug-ins first."""
    others = [name for name in dict.fromkeys(strategies) if name not in (*_ORDER, HALT_FRAME)]
    return [*others, *(name for name in _ORDER if name in strategies)]


def halt_frame(frame: HaltedFrame, potential: AcePotential, n: int, rng: np.random.Generator) -> list[CandidateTrial]:
    """Return the halted frame itself."""
    return [CandidateTrial(frame.atoms, math.inf)]


def rattle(frame: HaltedFrame, potential: AcePotential, n: int, rng: np.random.Generator) -> list[CandidateTrial]:
    """Return copies with thermal displacements around the centre."""
    return [CandidateTrial(*rattled(frame, potential.cutoff_a, rng)) for _ in range(n)]


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


class _Sieve:
    """Keeps what is plausible, and counts by reason what is not."""

    def __init__(self, frame: HaltedFrame, potential: AcePotential) -> None:
        self.kept: list[Candidate] = []
        self.rejected: dict[str, int] = {}
        self._frame, self._potential = frame, potential
        base = potential.evaluate(frame.atoms)
        assert base.gamma is not None
        self._energy_ev, self._ceilings = base.energy_ev, frame.ceilings(base.gamma)

    def take(self, atoms: Atoms, strategy: str, allowed_ev: float) -> None:
        """Keep a structure if it is plausible and at most ``allowed_ev`` above the halted frame."""
        atoms = canonical(atoms)
        fault = "atoms too close" if too_close(atoms) else self._weigh(atoms, strategy, allowed_ev)
        if fault is not None:
            self.rejected[fault] = self.rejected.get(fault, 0) + 1

    def _weigh(self, atoms: Atoms, strategy: str, allowed_ev: float) -> str | None:
        """Evaluate a structure and keep it, or return what is wrong with it."""
        answer, projections = self._potential.evaluate_with_projections(atoms)
        assert answer.gamma is not None
        mask = self._frame.mask_for(strategy, atoms, answer.gamma)
        gamma = answer.gamma if mask is None else np.where(mask, answer.gamma, 0.0)
        if not answer.energy_ev - self._energy_ev <= allowed_ev:
            return "energy beyond the temperature"
        if (gamma > self._ceilings).any():
            return "gamma above the ceiling"
        if any(np.allclose(atoms.positions, other.atoms.positions, atol=1e-3) for other in self.kept):
            return "duplicate"
        rows = projections if mask is None else rows_within(mask, projections, atoms)
        self.kept.append(Candidate(atoms, strategy, rows, float(gamma.max()), mask))
        return None
