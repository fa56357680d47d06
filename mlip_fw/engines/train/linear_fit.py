"""Incremental ridge regression by QR updates: the cost of a fit grows with the new labels only.

Design-matrix rows of a label do not change while the basis stays the same. The solution depends on the old rows only
through the triangular factor R of their QR decomposition. So R is stored and updated with new rows, and the result
equals a fit from scratch up to rounding. Energies, forces and stresses have factors of their own, so that their errors
over the whole dataset can be computed from R without reading the data again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from mlip_fw.engines.ace.potential import Design
from mlip_fw.engines.train.dimers import RepulsionConstraints
from mlip_fw.engines.train.energy_offsets import (
    EnergyOffsets,
    has_two_origins,
    offsets_of,
    project_out_offsets,
)
from mlip_fw.engines.train.folds import Fold, joint_rmse
from mlip_fw.engines.train.qr_update import add_rows, merge
from mlip_fw.engines.train.ridge_cv import ScaledProblem
from mlip_fw.engines.train.stresses import StressFactor, project_out_pressure, stress_rmse
from mlip_fw.models.campaign import ENERGY_WEIGHT
from mlip_fw.models.training import LabelErrors

_MIN_WEIGHT, _MAX_WEIGHT = 1.0, 100.0
_UNSEEN = 1e-12
N_FOLDS = 5
"""Number of folds of the cross-validation that chooses the ridge."""


@dataclass(frozen=True)
class LinearFit:
    """Triangular factors of all labels; structures are assigned to cross-validation folds in turn."""

    folds: tuple[Fold, ...]
    n_labels: int = 0
    has_stresses: bool = True
    """False in fits of older versions, which had no stress rows."""
    frees_offsets: bool = False
    """Whether constant energy offsets per element, of imported and of own labels, are projected out."""
    down_weighted: Fold | None = None
    """Down-weighted labels: in every training fold, and never predicted in the cross-validation."""

    @classmethod
    def empty(cls, n_functions: int, n_elements: int = 0) -> LinearFit:
        """Return the fit of no labels; ``n_elements`` > 0: with composition columns for energy offsets."""
        return cls(tuple(Fold.empty(n_functions, n_elements) for _ in range(N_FOLDS)))

    def with_label(
        self,
        design: Design,
        energy_ev: float,
        forces_ev_a: np.ndarray,
        mask: np.ndarray | None = None,
        stress_ev_a3: np.ndarray | None = None,
        weights: tuple[float, float] | None = None,
        origin: np.ndarray | None = None,
        known: np.ndarray | None = None,
    ) -> LinearFit:
        """Return the fit updated with one structure.

        Parameters
        ----------
        design
            Its design-matrix rows.
        energy_ev
            Its energy minus the reference energies of its atoms and the core repulsion.
        forces_ev_a
            (n_atoms, 3) forces minus those of core repulsion.
        mask
            (n_atoms,) of bool: atoms whose forces are fitted; the energy is fitted only if all are. None: all.
        stress_ev_a3
            (6,) stress minus that of core repulsion, if ``design`` has stress rows; None: not fitted.
        weights
            Weights of the squares of its energy, and of its forces and stress, if the label is down-weighted.
        origin
            (2 n_elements,) composition columns, for a fit that can project out energy offsets.
        known
            (n_atoms, 3) of bool: force components to fit; does not affect the energy. None: all.
        """
        kept = np.ones(len(forces_ev_a), dtype=bool) if mask is None else mask
        counted = np.repeat(kept[:, None], 3, axis=1) if known is None else known & kept[:, None]
        label = (design, energy_ev, forces_ev_a, kept, counted, stress_ev_a3, weights or (1.0, 1.0), origin)
        if weights is not None:
            n_elements = self.offsets[0].n_elements if self.offsets else 0
            return replace(
                self,
                down_weighted=(self.down_weighted or Fold.empty(len(design.energy), n_elements)).with_label(*label),
            )
        k = self.n_labels % N_FOLDS
        grown = self.folds[k].with_label(*label)
        return replace(self, folds=(*self.folds[:k], grown, *self.folds[k + 1 :]), n_labels=self.n_labels + 1)

    def errors(self, coefficients: np.ndarray) -> LabelErrors:
        """Return the errors over all labels of the fit."""
        return LabelErrors(
            force_rms_ev_a=joint_rmse([fold.force for fold in self.all_folds], None),
            force_rmse_ev_a=joint_rmse([fold.force for fold in self.all_folds], coefficients),
            energy_rmse_ev_atom=self._energy_rmse(coefficients),
            stress_rmse_ev_a3=stress_rmse(self.stresses, coefficients),
        )

    def _energy_rmse(self, coefficients: np.ndarray | None) -> float:
        energies = [fold.energy for fold in self.all_folds]
        if (offsets := self._freed_offsets()) is None:
            return joint_rmse(energies, coefficients)
        known = np.zeros(len(energies[0].r) - 1) if coefficients is None else coefficients
        ends = np.append(known, -1.0)
        parts, common = project_out_offsets(offsets)
        n_rows = sum(energy.n_rows for energy in energies)
        squares = sum(float(np.sum((part @ ends) ** 2)) for part in [*parts, common])
        return float(np.sqrt(squares / n_rows)) if n_rows else 0.0

    def _freed_offsets(self) -> list[EnergyOffsets] | None:
        """Return the energy factors with composition columns, if offsets are projected out; else None."""
        return self.offsets if self.frees_offsets and self.offsets else None

    @property
    def offsets(self) -> list[EnergyOffsets]:
        """Energy factors with composition columns of each fold; empty if they were not stored."""
        return [fold.offsets for fold in self.all_folds if fold.offsets is not None]

    @property
    def has_two_origins(self) -> bool:
        """Whether there are energies of imported and of own labels."""
        return bool(self.offsets) and has_two_origins(self.offsets)

    def constants_ev(self, coefficients: np.ndarray) -> np.ndarray | None:
        """Return (2, n_elements) energy offsets of imported and own labels, eV/atom; None if not projected out."""
        offsets = self._freed_offsets()
        return None if offsets is None else offsets_of(offsets, coefficients)

    @property
    def all_folds(self) -> tuple[Fold, ...]:
        """All folds, and the down-weighted labels if there are any."""
        return self.folds if self.down_weighted is None else (*self.folds, self.down_weighted)

    @property
    def stresses(self) -> list[StressFactor]:
        """Stress factors of each fold."""
        return [fold.stress for fold in self.all_folds]

    def solve(
        self,
        degrees: np.ndarray,
        prior: np.ndarray | None = None,
        constraints: RepulsionConstraints | None = None,
        ridge: float | None = None,
        energy_weight: float = ENERGY_WEIGHT,
        stress_weight: float = 0.0,
        *,
        is_pressure_free: bool = True,
    ) -> tuple[np.ndarray, float]:
        """Return the coefficients (n_functions,) and the ridge.

        Parameters
        ----------
        degrees
            (n_functions,) scale of the penalty of each coefficient: rough functions cost more than smooth ones.
        prior
            Coefficients that the penalty shrinks to (prior mean); zero by default.
        constraints
            Inequality constraints on the coefficients; None: none.
        ridge
            Square root of the penalty weight; None: chosen by cross-validation.
        energy_weight
            Weight of an energy per atom (eV) against a force component (eV/Å), Å.
        stress_weight
            Weight of a stress component (eV/Å³) against a force component, Å².
        is_pressure_free
            Whether a constant pressure offset of all stresses is projected out.

        Notes
        -----
        Columns are scaled to unit norm. The ridge is chosen by k-fold cross-validation
        (:meth:`ScaledProblem.best_ridge`) that leaves out whole structures: force components of one structure are not
        independent, and criteria that assume independence, such as generalised cross-validation, choose too small a
        ridge and fit noise while labels are few.

        Constraints are met by the change of coefficients that increases the penalised loss least.
        """
        problem = self.scaled(degrees, energy_weight, stress_weight, is_pressure_free=is_pressure_free)
        start = np.zeros(len(degrees)) if prior is None else prior
        ridge = problem.best_ridge(start) if ridge is None else ridge
        whole, scale = problem.spectrum(problem.whole, start), problem.scale
        coefficients = start + whole.solve(ridge) / scale
        if constraints is not None:
            misses = constraints.min_slopes - constraints.rows @ coefficients
            coefficients = coefficients + whole.constrained_change(constraints.rows / scale, misses, ridge) / scale
        return coefficients, ridge

    def scaled(
        self,
        degrees: np.ndarray,
        energy_weight: float,
        stress_weight: float = 0.0,
        *,
        is_pressure_free: bool = True,
    ) -> ScaledProblem:
        """Return the weighted least-squares problem with column scales; ``degrees`` and weights as in :meth:`solve`."""
        n, offsets = len(degrees), self._freed_offsets()
        used = [*self.folds[: self.n_labels], *((self.down_weighted,) if self.down_weighted else ())]
        if offsets is None:
            parts, common = [fold.weighted(energy_weight) for fold in used], np.zeros((0, n + 1))
        else:
            energies, left = project_out_offsets(offsets)
            energies = [*energies[: min(self.n_labels, N_FOLDS)], *energies[N_FOLDS:]]
            parts = [fold.weighted(energy_weight, part) for fold, part in zip(used, energies, strict=True)]
            common = energy_weight * left
        if stress_weight and any(fold.stress.n_rows for fold in used):
            pairs = project_out_pressure([fold.stress for fold in used], is_free=is_pressure_free)
            parts = [merge(part, stress_weight * rest) for part, (_, rest) in zip(parts, pairs, strict=True)]
            common = np.vstack([common, *(stress_weight * row for row, _ in pairs)])
        whole = add_rows(reduce(merge, parts, np.zeros((n + 1, n + 1))), common)
        rms = np.sqrt((whole[:, :n] ** 2).sum(axis=0))
        seen = rms > _UNSEEN * rms.max(initial=0.0)
        down_weighted = parts.pop() if self.down_weighted else None
        return ScaledProblem(parts, whole, np.where(seen, rms, 1.0) * degrees / degrees.mean(), down_weighted)

    def auto_stress_weight(self) -> float | None:
        """Return the stress weight ``auto``, ratio of the RMS of forces and stresses, 1 to 100 Å²; None without any."""
        stress = stress_rmse(self.stresses, None)
        if stress is None:
            return None
        force = joint_rmse([fold.force for fold in self.all_folds], None)
        return float(np.clip(force / stress, _MIN_WEIGHT, _MAX_WEIGHT)) if stress > 0 else _MAX_WEIGHT

    def auto_energy_weight(self) -> float:
        """Return the energy weight ``auto``, ratio of the RMS of forces and energies per atom: 1 to 100 Å.

        It is 10 Å until every fold has a label: reference energies were fitted to the first few labels, whose energies
        therefore hardly scatter.
        """
        if self.n_labels < N_FOLDS:
            return ENERGY_WEIGHT
        force = joint_rmse([fold.force for fold in self.all_folds], None)
        energy = self._energy_rmse(None)
        return float(np.clip(force / energy, _MIN_WEIGHT, _MAX_WEIGHT)) if energy > 0 else _MAX_WEIGHT
