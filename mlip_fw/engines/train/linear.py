"""Least squares whose cost grows with the new labels, not with the old ones.

The rows of a labelled structure never change while the basis doesn't. All that the solution needs of
the old rows is the triangular factor R of their QR decomposition, so R is kept and new rows are
folded in: the result is that of a fit from scratch, to rounding. Energy and force rows have an R
each, so that both errors over the whole dataset follow from R without a second look at the data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from mlip_fw.engines.ace import Design
from mlip_fw.engines.train.dimers import Rising
from mlip_fw.engines.train.folds import Fold, joint_rmse
from mlip_fw.engines.train.scaled import Scaled
from mlip_fw.engines.train.stresses import Stresses, stress_rmse, up_to_a_pressure
from mlip_fw.engines.train.triangles import joined, with_rows
from mlip_fw.engines.train.zeros import Zeros, constants_of, has_two_origins, without_zeros
from mlip_fw.models.campaign import ENERGY_WEIGHT
from mlip_fw.models.training import LabelErrors

_LEAST_WEIGHT, _MOST_WEIGHT = 1.0, 100.0
_UNSEEN = 1e-12
N_FOLDS = 5
"""Shares of the labels for cross-validation."""


@dataclass(frozen=True)
class LinearFit:
    """All that is kept of the labels for the next fit, dealt out to folds one structure after the other."""

    folds: tuple[Fold, ...]
    n_labels: int = 0
    has_stresses: bool = True
    """False if the labels were folded in without their stresses, as versions did that trained on none."""
    frees_zeros: bool = False
    """Whether energies count only up to constants of imported and of own labels."""
    apart: Fold | None = None
    """Labels that count less than others, and that no ridge is chosen for."""

    @classmethod
    def empty(cls, n_functions: int, n_elements: int = 0) -> LinearFit:
        """Return the fit of no labels; of ``n_elements`` it can free the zeros of energies."""
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
        weights
            How many times the squares of its energy count, and those of its forces and stress. If they are given, no
            ridge is chosen for it.
        origin
            (2 n_elements,) its composition, for a fit that can free the zeros of energies.
        known
            (n_atoms, 3) of bool: the force components that count; the energy counts all the same. None: all.
        """
        kept = np.ones(len(forces_ev_a), dtype=bool) if mask is None else mask
        counted = np.repeat(kept[:, None], 3, axis=1) if known is None else known & kept[:, None]
        label = (design, energy_ev, forces_ev_a, kept, counted, stress_ev_a3, weights or (1.0, 1.0), origin)
        if weights is not None:
            n_elements = self.zeros[0].n_elements if self.zeros else 0
            return replace(self, apart=(self.apart or Fold.empty(len(design.energy), n_elements)).with_label(*label))
        k = self.n_labels % N_FOLDS
        grown = self.folds[k].with_label(*label)
        return replace(self, folds=(*self.folds[:k], grown, *self.folds[k + 1 :]), n_labels=self.n_labels + 1)

    def errors(self, coefficients: np.ndarray) -> LabelErrors:
        """Return the errors over all labels that were folded in."""
        return LabelErrors(
            force_rms_ev_a=joint_rmse([fold.force for fold in self.shares], None),
            force_rmse_ev_a=joint_rmse([fold.force for fold in self.shares], coefficients),
            energy_rmse_ev_atom=self._energy_rmse(coefficients),
            stress_rmse_ev_a3=stress_rmse(self.stresses, coefficients),
        )

    def _energy_rmse(self, coefficients: np.ndarray | None) -> float:
        energies = [fold.energy for fold in self.shares]
        if (zeros := self._freed()) is None:
            return joint_rmse(energies, coefficients)
        known = np.zeros(len(energies[0].r) - 1) if coefficients is None else coefficients
        ends = np.append(known, -1.0)
        parts, common = without_zeros(zeros)
        n_rows = sum(energy.n_rows for energy in energies)
        squares = sum(float(np.sum((part @ ends) ** 2)) for part in [*parts, common])
        return float(np.sqrt(squares / n_rows)) if n_rows else 0.0

    def _freed(self) -> list[Zeros] | None:
        """Return the energies of each fold with compositions, if their zeros are free."""
        return self.zeros if self.frees_zeros and self.zeros else None

    @property
    def zeros(self) -> list[Zeros]:
        """Energies of each fold with compositions; empty if they were not kept."""
        return [fold.zeros for fold in self.shares if fold.zeros is not None]

    @property
    def has_two_origins(self) -> bool:
        """Whether there are energies of imported and of own labels."""
        return bool(self.zeros) and has_two_origins(self.zeros)

    def constants_ev(self, coefficients: np.ndarray) -> np.ndarray | None:
        """Return the (2, n_elements) constants per atom of imported and own labels; None if they are not free."""
        zeros = self._freed()
        return None if zeros is None else constants_of(zeros, coefficients)

    @property
    def shares(self) -> tuple[Fold, ...]:
        """All folds, and the labels apart if there are any."""
        return self.folds if self.apart is None else (*self.folds, self.apart)

    @property
    def stresses(self) -> list[Stresses]:
        """Those of each fold."""
        return [fold.stress for fold in self.shares]

    def solve(
        self,
        degrees: np.ndarray,
        prior: np.ndarray | None = None,
        rising: Rising | None = None,
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
            (n_functions,) growth of the penalty: rough functions cost more than smooth ones.
        prior
            Coefficients that the penalty pulls to; zero by default.
        rising
            Conditions that the coefficients have to meet; None: none.
        ridge
            Weight of the penalty; None: the one that predicts best.
        energy_weight
            Weight of an energy per atom (eV) against a force component (eV/Å), Å.
        stress_weight
            Weight of a stress component (eV/Å³) against a force component, Å².
        is_pressure_free
            Whether a constant pressure in all stresses is not to be learnt.

        Notes
        -----
        Columns are scaled to unit root mean square. The ridge is the one whose fits to all folds but
        one predict the left-out fold best, over all folds. Whole structures are left out: force
        components of one structure are not independent, and criteria that take them for it, such as
        generalised cross-validation, fit noise while labels are few.

        Conditions are met at the least cost in the penalised squares that the ridge leaves.
        """
        problem = self.scaled(degrees, energy_weight, stress_weight, is_pressure_free=is_pressure_free)
        start = np.zeros(len(degrees)) if prior is None else prior
        ridge = problem.best_ridge(start) if ridge is None else ridge
        whole, scale = problem.spectrum(problem.whole, start), problem.scale
        coefficients = start + whole.solve(ridge) / scale
        if rising is not None:
            misses = rising.least - rising.rows @ coefficients
            coefficients = coefficients + whole.shift(rising.rows / scale, misses, ridge) / scale
        return coefficients, ridge

    def scaled(
        self,
        degrees: np.ndarray,
        energy_weight: float,
        stress_weight: float = 0.0,
        *,
        is_pressure_free: bool = True,
    ) -> Scaled:
        """Return the problem with its columns' scale; ``degrees`` and weights as in :meth:`solve`."""
        n, zeros = len(degrees), self._freed()
        used = [*self.folds[: self.n_labels], *((self.apart,) if self.apart else ())]
        if zeros is None:
            parts, common = [fold.weighted(energy_weight) for fold in used], np.zeros((0, n + 1))
        else:
            energies, left = without_zeros(zeros)
            energies = [*energies[: min(self.n_labels, N_FOLDS)], *energies[N_FOLDS:]]
            parts = [fold.weighted(energy_weight, part) for fold, part in zip(used, energies, strict=True)]
            common = energy_weight * left
        if stress_weight and any(fold.stress.n_rows for fold in used):
            pairs = up_to_a_pressure([fold.stress for fold in used], is_free=is_pressure_free)
            parts = [joined(part, stress_weight * rest) for part, (_, rest) in zip(parts, pairs, strict=True)]
            common = np.vstack([common, *(stress_weight * row for row, _ in pairs)])
        whole = with_rows(reduce(joined, parts, np.zeros((n + 1, n + 1))), common)
        rms = np.sqrt((whole[:, :n] ** 2).sum(axis=0))
        seen = rms > _UNSEEN * rms.max(initial=0.0)
        apart = parts.pop() if self.apart else None
        return Scaled(parts, whole, np.where(seen, rms, 1.0) * degrees / degrees.mean(), apart)

    def natural_stress_weight(self) -> float | None:
        """Return the weight that makes stresses count as much as forces, by size: 1 to 100 Å²; None without any."""
        stress = stress_rmse(self.stresses, None)
        if stress is None:
            return None
        force = joint_rmse([fold.force for fold in self.shares], None)
        return float(np.clip(force / stress, _LEAST_WEIGHT, _MOST_WEIGHT)) if stress > 0 else _MOST_WEIGHT

    def natural_weight(self) -> float:
        """Return the weight that makes energies per atom count as much as forces, by their scatter: 1 to 100 Å.

        The energies of a few labels scatter hardly at all, since atomic energies were fitted to them: until every
        fold has a label it is 10 Å.
        """
        if self.n_labels < N_FOLDS:
            return ENERGY_WEIGHT
        force = joint_rmse([fold.force for fold in self.shares], None)
        energy = self._energy_rmse(None)
        return float(np.clip(force / energy, _LEAST_WEIGHT, _MOST_WEIGHT)) if energy > 0 else _MOST_WEIGHT
