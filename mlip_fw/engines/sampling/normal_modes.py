"""Displacements along the soft vibrations of the atoms around the worst one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms, units

from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.sampling.generate import CandidateTrial, HaltedFrame
from mlip_fw.engines.structures.geometry import distances_from

_MAX_ATOMS = 40
_STEP_A = 0.01
_SOFT_FRACTION = 1 / 3
_FLOOR = 0.2
_CAP_FRACTION = 0.15


def normal_modes(frame: HaltedFrame, potential: AcePotential, n: int, rng: np.random.Generator) -> list[CandidateTrial]:
    """Return copies displaced along the soft vibrations around the centre, as a candidate strategy."""
    modes = LocalModes.around(frame.atoms, frame.center, potential)
    moved = [modes.displaced(frame.atoms, frame.temperature_k, rng) for _ in range(n)]
    return [CandidateTrial(atoms, modes.n_soft / 3) for atoms in moved]


@dataclass(frozen=True)
class LocalModes:
    """Vibrations of the atoms around a centre in the field of all others, which stay where they are.

    The structure need not be a minimum: in a hot crystal or a liquid some curvatures are negative
    ("unstable modes"), and those are where the atoms will go next.
    """

    local: np.ndarray
    """(m,) indices of the atoms that vibrate, the centre first."""
    masses_u: np.ndarray
    """(m,)"""
    curvatures: np.ndarray
    """(3m,) ω², the softest first, eV/Å²/u; negative: unstable."""
    vectors: np.ndarray
    """(3m, 3m) mass-weighted and orthonormal: one mode in each column."""
    reach_a: float
    """The most that one atom may move, Å."""

    @classmethod
    def around(cls, atoms: Atoms, center: int, potential: AcePotential) -> LocalModes:
        """Return the modes of the (at most 40) nearest atoms within the cutoff of ``center``."""
        distances = distances_from(atoms, center)
        order = np.argsort(distances, kind="stable")[:_MAX_ATOMS]
        local = order[distances[order] <= potential.cutoff_a]
        masses = atoms.get_masses()[local]
        weights = np.repeat(masses, 3) ** -0.5
        curvatures, vectors = np.linalg.eigh(_hessian(atoms, local, potential) * np.outer(weights, weights))
        nearest = float(distances[order[1]]) if len(order) > 1 else potential.cutoff_a
        return cls(local, masses, curvatures, vectors, _CAP_FRACTION * nearest)

    @property
    def n_soft(self) -> int:
        """How many modes displacements are drawn from: the softest third."""
        return max(1, round(_SOFT_FRACTION * len(self.curvatures)))

    def frequencies_thz(self) -> np.ndarray:
        """Return the (3m,) frequencies, THz; those of unstable modes are given as negative numbers."""
        omega = np.sign(self.curvatures) * np.sqrt(np.abs(self.curvatures))
        return np.asarray(omega * 1e3 * units.fs / (2 * np.pi))

    def displacements(self, temperature_k: float, rng: np.random.Generator) -> np.ndarray:
        """Return (m, 3) displacements along the soft modes as in a classical system at ``temperature_k``, Å.

        Notes
        -----
        A mode's amplitude is normal with variance kT/ω². For an unstable mode ω² is taken without its
        sign: on that length it gains kT/2, to either side. No ω is taken smaller than a fifth of the
        root mean square of all, where the harmonic picture says nothing. If an atom would move more
        than 15 % of the nearest neighbour distance, all displacements are scaled down.
        """
        squares = np.abs(self.curvatures)
        floor = max(_FLOOR**2 * float(squares.mean()), np.finfo(float).tiny)
        soft = slice(0, self.n_soft)
        sizes = np.sqrt(units.kB * temperature_k / np.maximum(squares[soft], floor))
        along = self.vectors[:, soft] @ (rng.normal(size=self.n_soft) * sizes)
        moves = along.reshape(-1, 3) / np.sqrt(self.masses_u)[:, None]
        largest = float(np.linalg.norm(moves, axis=1).max())
        return np.asarray(moves * min(1.0, self.reach_a / largest)) if largest > 0 else moves

    def displaced(self, atoms: Atoms, temperature_k: float, rng: np.random.Generator) -> Atoms:
        """Return a copy of the structure with displacements along the soft modes."""
        copy = atoms.copy()
        copy.positions[self.local] += self.displacements(temperature_k, rng)
        return copy


def _hessian(atoms: Atoms, local: np.ndarray, potential: AcePotential) -> np.ndarray:
    """Return the (3m, 3m) second derivatives by central differences of forces, eV/Å²."""
    neighbours, cell = potential.neighbours(atoms, skin_a=10 * _STEP_A), atoms.cell.array

    def forces(atom: int, axis: int, step: float) -> np.ndarray:
        positions = atoms.positions.copy()
        positions[atom, axis] += step
        answer = potential.evaluate_moving(neighbours, positions, cell, gamma=False)
        return np.asarray(answer.forces_ev_a[local]).reshape(-1)

    moves = [(atom, axis) for atom in local for axis in range(3)]
    columns = [(forces(i, a, -_STEP_A) - forces(i, a, _STEP_A)) / (2 * _STEP_A) for i, a in moves]
    hessian = np.array(columns)
    return np.asarray(0.5 * (hessian + hessian.T))
