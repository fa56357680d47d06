"""Least squares whose cost grows with the new labels, not with the old ones.

The rows of a labelled structure never change while the basis doesn't. All that the solution needs of
the old rows is the triangular factor R of their QR decomposition, so R is kept and new rows are
folded in: the result is that of a fit from scratch, to rounding. Energy and force rows have an R
each, so that both errors over the whole dataset follow from R without a second look at the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlip_fw.engines.ace import Design
from mlip_fw.engines.train.dimers import Rising
from mlip_fw.engines.train.ridge import Spectrum
from mlip_fw.engines.train.stresses import Stresses, stress_rmse, up_to_a_pressure
from mlip_fw.models.campaign import ENERGY_WEIGHT
from mlip_fw.models.training import Errors

_LEAST_WEIGHT, _MOST_WEIGHT = 1.0, 100.0
_UNSEEN = 1e-12
N_FOLDS = 5
"""Shares of the labels for cross-validation."""
_RIDGES = np.logspace(-8, -1, 15)
_DEFAULT_RIDGE = 1e-4
"""For a single label, which nothing can be validated against."""


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

    def weighted(self, energy_weight: float) -> np.ndarray:
        """Return one triangle (n + 1, n + 1) of all rows, weighted for the fit."""
        return np.asarray(np.linalg.qr(np.vstack([self.force.r, energy_weight * self.energy.r]), mode="r"))


@dataclass(frozen=True)
class Scaled:
    """The least-squares problem of a fit, with columns to be divided by ``scale``."""

    triangles: list[np.ndarray]
    """(n + 1, n + 1) of each fold."""
    stacked: np.ndarray
    scale: np.ndarray
    """(n,) root of the squares of each column, times the growth of the penalty."""

    def spectrum(self, parts: list[np.ndarray], start: np.ndarray) -> Spectrum:
        """Return the problem of some triangles for the change of the coefficients from ``start``."""
        rows, n = np.vstack(parts), len(self.scale)
        return Spectrum.of(rows[:, :n] / self.scale, rows[:, n] - rows[:, :n] @ start)


@dataclass(frozen=True)
class LinearFit:
    """All that is kept of the labels for the next fit, dealt out to folds one structure after the other."""

    folds: tuple[Fold, ...]
    n_labels: int = 0
    has_stresses: bool = True
    """False if the labels were folded in without their stresses, as versions did that trained on none."""

    @classmethod
    def empty(cls, n_functions: int) -> LinearFit:
        """Return the fit of no labels."""
        blank = Triangle.empty(n_functions)
        return cls(tuple(Fold(blank, blank, Stresses.empty(n_functions)) for _ in range(N_FOLDS)))

    def with_label(
        self,
        design: Design,
        energy_ev: float,
        forces_ev_a: np.ndarray,
        mask: np.ndarray | None = None,
        stress_ev_a3: np.ndarray | None = None,
    ) -> LinearFit:
        """Fold in one structure.

        Parameters
        ----------
        design
            Its rows.
        energy_ev
            Its energy less the energies of free atoms and of core repulsion.
        forces_ev_a
            (n_atoms, 3), less those of core repulsion.
        mask
            (n_atoms,) of bool: the atoms whose forces count; the energy counts only if all do. None: all.
        stress_ev_a3
            (6,), less that of core repulsion; None: unknown. ``design`` has its rows then.
        """
        n_atoms, k = len(forces_ev_a), self.n_labels % N_FOLDS
        kept = np.ones(n_atoms, dtype=bool) if mask is None else mask
        old, energy, stress = self.folds[k], self.folds[k].energy, self.folds[k].stress
        if kept.all():
            energy = energy.with_rows(design.energy[None, :] / n_atoms, np.array([energy_ev / n_atoms]))
        if stress_ev_a3 is not None:
            assert design.stress is not None
            stress = stress.with_stress(design.stress, stress_ev_a3)
        rows = design.forces[kept].reshape(3 * int(kept.sum()), -1)
        grown = Fold(energy, old.force.with_rows(rows, forces_ev_a[kept].reshape(-1)), stress)
        return replace(self, folds=(*self.folds[:k], grown, *self.folds[k + 1 :]), n_labels=self.n_labels + 1)

    def errors(self, coefficients: np.ndarray) -> Errors:
        """Return the errors over all labels that were folded in."""
        return Errors(
            force_rmse_ev_a=_joint_rmse([fold.force for fold in self.folds], coefficients),
            energy_rmse_ev_atom=_joint_rmse([fold.energy for fold in self.folds], coefficients),
            stress_rmse_ev_a3=stress_rmse(self.stresses, coefficients),
        )

    @property
    def stresses(self) -> list[Stresses]:
        """Those of each fold."""
        return [fold.stress for fold in self.folds]

    def solve(
        self,
        degrees: np.ndarray,
        prior: np.ndarray | None = None,
        rising: Rising | None = None,
        firmness: float = 1.0,
        energy_weight: float = ENERGY_WEIGHT,
        stress_weight: float = 0.0,
    ) -> tuple[np.ndarray, float]:
        """Return the coefficients (n_functions,) and the ridge that was chosen.

        Parameters
        ----------
        degrees
            (n_functions,) growth of the penalty: rough functions cost more than smooth ones.
        prior
            Coefficients that the penalty pulls to; zero by default.
        rising
            Conditions that the coefficients have to meet; None: none.
        firmness
            Multiplies the ridge that was chosen.
        energy_weight
            Weight of an energy per atom (eV) against a force component (eV/Å), Å.
        stress_weight
            Weight of a stress component (eV/Å³) against a force component, Å².

        Notes
        -----
        Columns are scaled to unit root mean square. The ridge is the one whose fits to all folds but
        one predict the left-out fold best, over all folds. Whole structures are left out: force
        components of one structure are not independent, and criteria that take them for it, such as
        generalised cross-validation, fit noise while labels are few.

        Conditions are met at the least cost in the penalised squares that the ridge leaves.
        """
        problem = self.scaled(degrees, energy_weight, stress_weight)
        triangles, scale = problem.triangles, problem.scale
        start = np.zeros(len(degrees)) if prior is None else prior

        def score(ridge: float) -> float:
            losses = []
            for k, rest in enumerate(others):
                change = rest.solve(ridge) / scale
                losses.append(float(np.sum((triangles[k] @ np.append(start + change, -1.0)) ** 2)))
            return sum(losses)

        ridge = _DEFAULT_RIDGE
        if len(triangles) > 1:
            rests = [triangles[:k] + triangles[k + 1 :] for k in range(len(triangles))]
            others = [problem.spectrum(rest, start) for rest in rests]
            ridge = float(min(_RIDGES, key=score))
        ridge *= firmness
        whole = problem.spectrum([problem.stacked], start)
        coefficients = start + whole.solve(ridge) / scale
        if rising is not None:
            misses = rising.least - rising.rows @ coefficients
            coefficients = coefficients + whole.shift(rising.rows / scale, misses, ridge) / scale
        return coefficients, ridge

    def scaled(self, degrees: np.ndarray, energy_weight: float, stress_weight: float = 0.0) -> Scaled:
        """Return the problem with its columns' scale; ``degrees`` and weights as in :meth:`solve`."""
        triangles, n = self._weighted(energy_weight, stress_weight), len(degrees)
        stacked = np.vstack(triangles) if triangles else np.zeros((1, n + 1))
        rms = np.sqrt((stacked[:, :n] ** 2).sum(axis=0))
        seen = rms > _UNSEEN * rms.max(initial=0.0)
        return Scaled(triangles, stacked, np.where(seen, rms, 1.0) * degrees / degrees.mean())

    def _weighted(self, energy_weight: float, stress_weight: float) -> list[np.ndarray]:
        """Return one triangle (n + 1, n + 1) of all rows of each fold, weighted for the fit."""
        folds = self.folds[: self.n_labels]
        triangles = [fold.weighted(energy_weight) for fold in folds]
        if not (stress_weight and any(fold.stress.n_rows for fold in folds)):
            return triangles
        parts = up_to_a_pressure([fold.stress for fold in folds])
        stacks = [
            (t, stress_weight * row, stress_weight * rest) for t, (row, rest) in zip(triangles, parts, strict=True)
        ]
        return [np.asarray(np.linalg.qr(np.vstack(stack), mode="r")) for stack in stacks]

    def natural_stress_weight(self) -> float | None:
        """Return the weight that makes stresses count as much as forces, by size: 1 to 100 Å²; None without any."""
        stress = stress_rmse(self.stresses, None)
        if stress is None:
            return None
        force = _joint_rmse([fold.force for fold in self.folds], None)
        return float(np.clip(force / stress, _LEAST_WEIGHT, _MOST_WEIGHT)) if stress > 0 else _MOST_WEIGHT

    def natural_weight(self) -> float:
        """Return the weight that makes energies per atom count as much as forces, by their scatter: 1 to 100 Å.

        The energies of a few labels scatter hardly at all, since atomic energies were fitted to them: until every
        fold has a label it is 10 Å.
        """
        if self.n_labels < N_FOLDS:
            return ENERGY_WEIGHT
        force = _joint_rmse([fold.force for fold in self.folds], None)
        energy = _joint_rmse([fold.energy for fold in self.folds], None)
        return float(np.clip(force / energy, _LEAST_WEIGHT, _MOST_WEIGHT)) if energy > 0 else _MOST_WEIGHT


def _joint_rmse(triangles: Sequence[Triangle], coefficients: np.ndarray | None) -> float:
    n_rows = sum(t.n_rows for t in triangles)
    squares = sum(t.n_rows * t.rmse(coefficients) ** 2 for t in triangles)
    return float(np.sqrt(squares / n_rows)) if n_rows else 0.0
