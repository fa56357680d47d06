"""Least squares whose cost grows with the new labels, not with the old ones.

The rows of a labelled structure never change while the basis doesn't. All that the solution needs of
the old rows is the triangular factor R of their QR decomposition, so R is kept and new rows are
folded in: the result is that of a fit from scratch, to rounding. Energy and force rows have an R
each, so that both errors over the whole dataset follow from R without a second look at the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlip_fw.engines.ace import Design
from mlip_fw.models.training import Errors

ENERGY_WEIGHT = 10.0
"""Weight of an energy per atom (eV) against a force component (eV/Å)."""
_UNSEEN = 1e-12
_RIDGES = np.logspace(-6, -1, 11)


@dataclass(frozen=True)
class Triangle:
    """R of the rows [X | y], with their number."""

    r: np.ndarray
    """(n + 1, n + 1) upper triangular."""
    n_rows: int

    @classmethod
    def empty(cls, n_functions: int) -> Triangle:
        """Return the triangle of no rows."""
        return cls(np.zeros((n_functions + 1, n_functions + 1)), 0)

    def with_rows(self, rows: np.ndarray, targets: np.ndarray) -> Triangle:
        """Fold in ``rows`` (m, n) and ``targets`` (m,)."""
        if not len(rows):
            return self
        stacked = np.vstack([self.r, np.column_stack([rows, targets])])
        r = np.linalg.qr(stacked, mode="r")
        return Triangle(np.asarray(r), self.n_rows + len(rows))

    def rmse(self, coefficients: np.ndarray) -> float:
        """Return the root mean square residual of all rows."""
        if not self.n_rows:
            return 0.0
        return float(np.linalg.norm(self.r @ np.append(coefficients, -1.0)) / np.sqrt(self.n_rows))


@dataclass(frozen=True)
class LinearFit:
    """All that is kept of the labels for the next fit."""

    energy: Triangle
    """Rows are energies per atom."""
    force: Triangle

    @classmethod
    def empty(cls, n_functions: int) -> LinearFit:
        """Return the fit of no labels."""
        return cls(Triangle.empty(n_functions), Triangle.empty(n_functions))

    def with_label(self, design: Design, energy_ev: float, forces_ev_a: np.ndarray) -> LinearFit:
        """Fold in one structure.

        Parameters
        ----------
        design
            Its rows.
        energy_ev
            Its energy less the energies of free atoms and of core repulsion.
        forces_ev_a
            (n_atoms, 3), less those of core repulsion.
        """
        n_atoms = len(forces_ev_a)
        return LinearFit(
            self.energy.with_rows(design.energy[None, :] / n_atoms, np.array([energy_ev / n_atoms])),
            self.force.with_rows(design.forces.reshape(3 * n_atoms, -1), forces_ev_a.reshape(-1)),
        )

    def errors(self, coefficients: np.ndarray) -> Errors:
        """Return the errors over all labels that were folded in."""
        return Errors(force_rmse_ev_a=self.force.rmse(coefficients), energy_rmse_ev_atom=self.energy.rmse(coefficients))

    def solve(self, degrees: np.ndarray, prior: np.ndarray | None = None) -> tuple[np.ndarray, float]:
        """Return the coefficients (n_functions,) and the ridge that was chosen.

        Parameters
        ----------
        degrees
            (n_functions,) growth of the penalty: rough functions cost more than smooth ones.
        prior
            Coefficients that the penalty pulls to; zero by default.

        Notes
        -----
        Columns are scaled to unit root mean square; the ridge is the one of least generalised
        cross-validation error (Golub, Heath, Wahba, Technometrics 21, 215 (1979)).
        """
        n = len(self.force.r) - 1
        start = np.zeros(n) if prior is None else prior
        stacked = np.vstack([self.force.r, ENERGY_WEIGHT * self.energy.r])
        rows, targets = stacked[:, :n], stacked[:, n] - stacked[:, :n] @ start
        n_rows = self.force.n_rows + self.energy.n_rows
        rms = np.sqrt((rows**2).sum(axis=0) / max(n_rows, 1))
        seen = rms > _UNSEEN * rms.max(initial=0.0)
        scale = np.where(seen, rms, 1.0) * degrees / degrees.mean()
        u, s, vt = np.linalg.svd(rows / scale, full_matrices=False)
        along = u.T @ targets
        outside = float(targets @ targets - along @ along)

        def damping(ridge: float) -> np.ndarray:
            return np.asarray(s**2 / (s**2 + ridge**2 * n_rows))

        def score(ridge: float) -> float:
            kept = damping(ridge)
            residual = outside + float((((1 - kept) * along) ** 2).sum())
            return residual / max(n_rows - float(kept.sum()), 1.0) ** 2

        ridge = float(min(_RIDGES, key=score))
        safe = np.where(s > 0, s, 1.0)
        change = (vt.T @ (damping(ridge) * along / safe)) / scale
        return start + np.where(seen, change, 0.0), ridge
