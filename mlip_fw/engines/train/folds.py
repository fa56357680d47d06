"""What is kept of a share of the labels: triangular factors, of energies, forces and stresses apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlip_fw.engines.ace import Design
from mlip_fw.engines.train.stresses import Stresses
from mlip_fw.engines.train.triangles import joined, with_rows
from mlip_fw.engines.train.zeros import Zeros


@dataclass(frozen=True)
class Triangle:
    """R of the rows [X | y], with their number."""

    r: np.ndarray
    """(n + 1, n + 1) upper triangular."""
    n_rows: float
    """A row of a smaller weight counts as little."""

    @classmethod
    def empty(cls, n_functions: int) -> Triangle:
        """Return the triangle of no rows."""
        return cls(np.zeros((n_functions + 1, n_functions + 1)), 0)

    def with_rows(self, rows: np.ndarray, targets: np.ndarray, weight: float = 1.0) -> Triangle:
        """Fold in ``rows`` (m, n) and ``targets`` (m,), whose squares count ``weight`` times."""
        if not len(rows) or not weight:
            return self
        new = np.column_stack([rows, targets])
        new = new if weight == 1 else np.sqrt(weight) * new
        return Triangle(with_rows(self.r, new), self.n_rows + weight * len(rows))

    def rmse(self, coefficients: np.ndarray | None) -> float:
        """Return the root mean square residual of all rows; without coefficients, of the targets alone."""
        if not self.n_rows:
            return 0.0
        residual = self.r[:, -1] if coefficients is None else self.r @ np.append(coefficients, -1.0)
        return float(np.linalg.norm(residual) / np.sqrt(self.n_rows))


@dataclass(frozen=True)
class Fold:
    """A share of the labels: energies per atom, force components and stress components apart."""

    energy: Triangle
    force: Triangle
    stress: Stresses
    zeros: Zeros | None = None
    """The same energies with the composition of the labels; None if all labels are of one origin."""

    @classmethod
    def empty(cls, n_functions: int, n_elements: int = 0) -> Fold:
        """Return the share of no labels, of ``n_elements`` where zeros of energies may be free."""
        blank, zeros = Triangle.empty(n_functions), Zeros.empty(n_functions, n_elements) if n_elements else None
        return cls(blank, blank, Stresses.empty(n_functions), zeros)

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
        """Fold in one structure, as :meth:`LinearFit.with_label` says, with the force components ``counted``."""
        energy, force, stress, zeros = self.energy, self.force, self.stress, self.zeros
        n_atoms, (of_energy, of_forces) = len(forces_ev_a), weights
        if kept.all():
            energy = energy.with_rows(design.energy[None, :] / n_atoms, np.array([energy_ev / n_atoms]), of_energy)
            if zeros is not None and origin is not None and of_energy:
                root = np.sqrt(of_energy)
                zeros = zeros.with_energy(root * origin, root / n_atoms * design.energy, root * energy_ev / n_atoms)
        if stress_ev_a3 is not None:
            assert design.stress is not None
            stress = stress.with_stress(design.stress, stress_ev_a3, of_forces)
        force = force.with_rows(design.forces[counted], forces_ev_a[counted], of_forces)
        return Fold(energy, force, stress, zeros)

    def weighted(self, energy_weight: float, energies: np.ndarray | None = None) -> np.ndarray:
        """Return one triangle (n + 1, n + 1) of all rows, weighted for the fit; of other ``energies`` if given."""
        return joined(self.force.r, energy_weight * (self.energy.r if energies is None else energies))


def joint_rmse(triangles: Sequence[Triangle], coefficients: np.ndarray | None) -> float:
    """Return the root mean square residual of all rows of several triangles; without coefficients, of the targets."""
    n_rows = sum(t.n_rows for t in triangles)
    squares = sum(t.n_rows * t.rmse(coefficients) ** 2 for t in triangles)
    return float(np.sqrt(squares / n_rows)) if n_rows else 0.0
