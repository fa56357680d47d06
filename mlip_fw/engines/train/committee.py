"""What the labels leave open: the posterior of a linear fit, as spreads and as a committee of potentials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet

from mlip_fw.engines.ace import AcePotential
from mlip_fw.engines.train.basis import copy_of, require_linear
from mlip_fw.engines.train.kept import read_fit
from mlip_fw.engines.train.linear import LinearFit
from mlip_fw.engines.train.scaled import Scaled
from mlip_fw.engines.train.solution import degrees_of
from mlip_fw.errors import TrainingError
from mlip_fw.generations import Generations
from mlip_fw.models.campaign import ENERGY_WEIGHT


@dataclass(frozen=True)
class Committee:
    """A generation and all the potentials that its labels allow.

    Notes
    -----
    Least squares with a penalty is Bayesian regression with a normal prior (Rasmussen and Williams,
    Gaussian Processes for Machine Learning, section 2.1): the coefficients are distributed normally about
    the fit, with the inverse Hessian times the variance of the residuals as covariance.
    """

    potential: AcePotential
    factor: np.ndarray
    """(n, n): the covariance of the coefficients is ``factor @ factor.T``."""

    @classmethod
    def of_generation(cls, generations: Generations, number: int) -> Committee:
        """Return the committee of a generation.

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
        return cls(potential, _factor(fit, problem, potential.basis, record.ridge, counts=bool(record.stress_weight)))

    def force_spread_ev_a(self, atoms: Atoms) -> np.ndarray:
        """Return the (n_atoms,) root mean square length of the deviation of each force over the committee, eV/Å."""
        spreads = self.potential.design(atoms).forces @ self.factor
        return np.asarray(np.sqrt((spreads**2).sum(axis=(1, 2))))

    def members(self, count: int, seed: int) -> list[ACEBBasisSet]:
        """Return ``count`` potentials drawn at random, to be written or run like any other."""
        basis = self.potential.basis
        draws = np.random.default_rng(seed).normal(size=(count, self.factor.shape[1]))
        return [copy_of(basis, np.array(basis.basis_coeffs) + self.factor @ draw) for draw in draws]


def _factor(fit: LinearFit, problem: Scaled, basis: ACEBBasisSet, ridge: float, *, counts: bool) -> np.ndarray:
    """Return a root of the covariance; ``counts`` says whether stresses do."""
    coefficients = np.array(basis.basis_coeffs)
    spectrum = problem.spectrum(problem.whole, np.zeros_like(coefficients))
    residual = float(np.linalg.norm(problem.whole @ np.append(coefficients, -1.0)))
    used = float(np.sum(spectrum.values**2 / (spectrum.values**2 + ridge**2)))
    rows = sum(fold.force.n_rows + fold.energy.n_rows for fold in fit.shares)
    rows += sum(part.n_rows for part in fit.stresses) if counts else 0
    noise = residual / np.sqrt(max(rows - used, 1.0))
    return np.asarray(noise * spectrum.cheapest(ridge) / problem.scale[:, None])
