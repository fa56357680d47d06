"""Uncertainty of a linear fit: its posterior covariance, as force spreads and as a committee of potentials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet

from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.basis import copy_of, require_linear
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.fit_io import read_fit
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.engines.train.ridge_cv import ScaledProblem
from mlip_fw.engines.train.ridge_fit import degrees_of
from mlip_fw.errors import TrainingError
from mlip_fw.models.campaign import ENERGY_WEIGHT


@dataclass(frozen=True)
class Committee:
    """The Gaussian posterior of the coefficients of one generation.

    Notes
    -----
    Ridge regression is Bayesian linear regression with a Gaussian prior (Rasmussen and Williams, Gaussian Processes
    for Machine Learning, section 2.1): the posterior of the coefficients is a Gaussian around the fit, and its
    covariance is the inverse Hessian times the variance of the residuals.
    """

    potential: AcePotential
    factor: np.ndarray
    """(n, n) square root of the posterior covariance, which is ``factor @ factor.T``."""
    noise: float = 0.0
    """Standard deviation that the fit leaves of a row, such as a force component (eV/Å)."""

    @classmethod
    def of_generation(cls, generations: Generations, number: int) -> Committee:
        """Compute the posterior of a generation from its stored fit.

        Raises
        ------
        TrainingError
            If it is not linear, was not fitted to any label, or its files are not whole.
        """
        record = generations.record(number)
        if record is None or not record.labels or record.ridge is None:
            raise TrainingError(f"{generations.folder(number)} was not fitted to labels linearly: it has no committee")
        potential = AcePotential.from_files(generations.potential(number))
        require_linear(potential.basis, str(generations.potential(number)))
        fit, _ = read_fit(generations.folder(number), record.n_folded)
        weight = record.energy_weight or ENERGY_WEIGHT
        problem = fit.scaled(
            degrees_of(potential.basis),
            weight,
            record.stress_weight or 0.0,
            is_pressure_free=record.is_pressure_free,
        )
        factor, noise = _factor(fit, problem, potential.basis, record.ridge, counts=bool(record.stress_weight))
        return cls(potential, factor, noise)

    def force_spread_ev_a(self, atoms: Atoms) -> np.ndarray:
        """Return (n_atoms,) posterior standard deviations of the forces (length of the vector), eV/Å."""
        spreads = self.potential.design(atoms).forces @ self.factor
        return np.asarray(np.sqrt((spreads**2).sum(axis=(1, 2))))

    def members(self, count: int, seed: int) -> list[ACEBBasisSet]:
        """Return ``count`` potentials with coefficients sampled from the posterior."""
        basis = self.potential.basis
        draws = np.random.default_rng(seed).normal(size=(count, self.factor.shape[1]))
        return [copy_of(basis, np.array(basis.basis_coeffs) + self.factor @ draw) for draw in draws]


def _factor(
    fit: LinearFit, problem: ScaledProblem, basis: ACEBBasisSet, ridge: float, *, counts: bool
) -> tuple[np.ndarray, float]:
    """Return a square root of the posterior covariance, and the standard deviation of the noise.

    ``counts`` says whether stress rows are among the data. The noise variance is estimated from the residuals and the
    effective number of parameters of the ridge fit.
    """
    coefficients = np.array(basis.basis_coeffs)
    spectrum = problem.spectrum(problem.whole, np.zeros_like(coefficients))
    residual = float(np.linalg.norm(problem.whole @ np.append(coefficients, -1.0)))
    used = float(np.sum(spectrum.values**2 / (spectrum.values**2 + ridge**2)))
    rows = sum(fold.force.n_rows + fold.energy.n_rows for fold in fit.all_folds)
    rows += sum(part.n_rows for part in fit.stresses) if counts else 0
    noise = residual / np.sqrt(max(rows - used, 1.0))
    return np.asarray(noise * spectrum.inverse_hessian_root(ridge) / problem.scale[:, None]), float(noise)
