"""Folds for cross-validation: triangular factors of energy, force and stress rows of a share of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlip_fw.engines.ace.potential import Design
from mlip_fw.engines.train.energy_offsets import EnergyOffsets
from mlip_fw.engines.train.qr_update import add_rows, merge
from mlip_fw.engines.train.stresses import StressFactor


@dataclass(frozen=True)
class TriangularFactor:
    """Triangular factor R of the QR decomposition of rows [X | y], with their number."""

    r: np.ndarray
    """(n + 1, n + 1) upper triangular."""
    n_rows: float
    """Sum of the weights of the rows."""

    @classmethod
    def empty(cls, n_functions: int) -> TriangularFactor:
        """Return the factor of no rows."""
        return cls(np.zeros((n_functions + 1, n_functions + 1)), 0)

    def with_rows(self, rows: np.ndarray, targets: np.ndarray, weight: float = 1.0) -> TriangularFactor:
        """Return the factor updated with ``rows`` (m, n) and ``targets`` (m,); their squares count ``weight`` times."""
        if not len(rows) or not weight:
            return self
        new = np.column_stack([rows, targets])
        new = new if weight == 1 else np.sqrt(weight) * new
        return TriangularFactor(add_rows(self.r, new), self.n_rows + weight * len(rows))

    def rmse(self, coefficients: np.ndarray | None) -> float:
        """Return the root mean square residual of all rows; without coefficients, that of the targets."""
        if not self.n_rows:
            return 0.0
        residual = self.r[:, -1] if coefficients is None else self.r @ np.append(coefficients, -1.0)
        return float(np.linalg.norm(residual) / np.sqrt(self.n_rows))


@dataclass(frozen=True)
class Fold:
    """One fold: factors of energies per atom, of force components and of stress components."""

    energy: TriangularFactor
    force: TriangularFactor
    stress: StressFactor
    offsets: EnergyOffsets | None = None
    """The energy rows with composition columns; None if all labels are of one origin."""

    @classmethod
    def empty(cls, n_functions: int, n_elements: int = 0) -> Fold:
        """Return the fold of no labels; ``n_elements`` > 0: with composition columns for energy offsets."""
        blank, offsets = (
            TriangularFactor.empty(n_functions),
            EnergyOffsets.empty(n_functions, n_elements) if n_elements else None,
        )
        return cls(blank, blank, StressFactor.empty(n_functions), offsets)

    def with_label(
        self,
        design: Design,
        energy_ev: float,
        forces_ev_a: np.ndarray,
        kept: np.ndarray,
        counted: np.ndarray,
        stress_ev_a3: np.ndarray | None,
        weights: tuple[float, float],
        origin: np.ndarray | None,
    ) -> Fold:
        """Return the fold updated with one structure; arguments as in :meth:`LinearFit.with_label`.

        ``kept`` (n_atoms,) are the atoms inside the mask, ``counted`` (n_atoms, 3) the force components to train on.
        """
        energy, force, stress, offsets = self.energy, self.force, self.stress, self.offsets
        n_atoms, (of_energy, of_forces) = len(forces_ev_a), weights
        if kept.all():
            energy = energy.with_rows(design.energy[None, :] / n_atoms, np.array([energy_ev / n_atoms]), of_energy)
            if offsets is not None and origin is not None and of_energy:
                root = np.sqrt(of_energy)
                offsets = offsets.with_energy(root * origin, root / n_atoms * design.energy, root * energy_ev / n_atoms)
        if stress_ev_a3 is not None:
            assert design.stress is not None
            stress = stress.with_stress(design.stress, stress_ev_a3, of_forces)
        force = force.with_rows(design.forces[counted], forces_ev_a[counted], of_forces)
        return Fold(energy, force, stress, offsets)

    def weighted(self, energy_weight: float, energies: np.ndarray | None = None) -> np.ndarray:
        """Return the factor (n + 1, n + 1) of force and weighted energy rows, or of the given ``energies``."""
        return merge(self.force.r, energy_weight * (self.energy.r if energies is None else energies))


def joint_rmse(r_factors: Sequence[TriangularFactor], coefficients: np.ndarray | None) -> float:
    """Return the root mean square residual over several factors; without coefficients, that of the targets."""
    n_rows = sum(t.n_rows for t in r_factors)
    squares = sum(t.n_rows * t.rmse(coefficients) ** 2 for t in r_factors)
    return float(np.sqrt(squares / n_rows)) if n_rows else 0.0
