"""Ridge fit of a generation: the smallest penalty, from the cross-validated one upwards, that is stable in MD."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet

from mlip_fw.engines.ace.basis import copy_of
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.dimers import RepulsionConstraints, cached_repulsion_constraints
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.engines.train.ridge_cv import ScaledProblem, edge_of_grid
from mlip_fw.engines.train.stability import check_stability
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import Stability

_RIDGE_FACTORS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4)
"""Multiples of the cross-validated ridge, tried in turn until the potential passes the stability test."""


@dataclass(frozen=True)
class RidgeFit:
    """Coefficients of a fit, with its weights and the result of the stability test."""

    coefficients: np.ndarray
    """(n_functions,)"""
    ridge: float
    energy_weight: float
    stress_weight: float | None
    """None: no stresses were fitted."""
    stability: Stability
    cv_force_rmse_ev_a: float | None = None
    """Of this ridge, by the folds; None with a single label."""
    ridge_at_edge: Literal["smallest", "largest"] | None = None
    """Whether the cross-validated ridge lies at an edge of those that were tried."""


@dataclass(frozen=True)
class FitTerms:
    """Weights, penalty and prior of a fit."""

    degrees: np.ndarray
    """(n_functions,) relative penalty of each coefficient."""
    prior: np.ndarray
    """(n_functions,) prior mean of the coefficients."""
    energy_weight: float
    stress_weight: float | None
    is_pressure_free: bool

    @classmethod
    def of(cls, fit: LinearFit, shape: AcePotential, prior: np.ndarray, campaign: Campaign) -> FitTerms:
        """Return the settings of a campaign for a fit; ``auto`` weights are computed."""
        wanted = campaign.potential.energy_weight
        weight = fit.auto_energy_weight() if wanted == "auto" else wanted
        free = campaign.oracle.has_pulay_stress
        return cls(degrees_of(shape.basis), prior, weight, _stress_weight(fit, campaign), free)

    def problem(self, fit: LinearFit) -> ScaledProblem:
        """Return the least-squares problem of a fit."""
        weights = (self.energy_weight, self.stress_weight or 0.0)
        return fit.scaled(self.degrees, *weights, is_pressure_free=self.is_pressure_free)

    def solve(
        self, fit: LinearFit, constraints: RepulsionConstraints | None = None, ridge: float | None = None
    ) -> np.ndarray:
        """Return the coefficients (n_functions,) of a fit; without ``ridge``, with the cross-validated one."""
        weights, free = (self.energy_weight, self.stress_weight or 0.0), self.is_pressure_free
        return fit.solve(self.degrees, self.prior, constraints, ridge, *weights, is_pressure_free=free)[0]


def best_stable_fit(
    fit: LinearFit, shape: AcePotential, prior: np.ndarray, folder: Path, frames: list[Atoms], campaign: Campaign
) -> RidgeFit:
    """Return the fit with the cross-validated ridge, or, if that is unstable in MD, with the next larger stable one.

    Parameters
    ----------
    fit
        The fit of all labels so far.
    shape
        A potential with the basis of the fit and all coefficients zero.
    prior
        (n_functions,) prior mean of the coefficients.
    folder
        Cache folder of this basis.
    frames
        Structures for the stability test.
    campaign
        Gives temperatures and time step of the stability test.

    Notes
    -----
    If no fit is stable the first is returned, with the reasons in its ``stability``.
    """
    constraints, tries = cached_repulsion_constraints(folder, shape), []
    terms = FitTerms.of(fit, shape, prior, campaign)
    problem = terms.problem(fit)
    best = problem.best_ridge(prior)
    for factor in _RIDGE_FACTORS:
        coefficients = terms.solve(fit, constraints, factor * best)
        stability = check_stability(AcePotential(copy_of(shape.basis, coefficients)), frames, campaign)
        tries.append(RidgeFit(coefficients, factor * best, terms.energy_weight, terms.stress_weight, stability))
        if stability.sound:
            break
    found = tries[-1] if tries[-1].stability.sound else tries[0]
    forces = [fold.force for fold in fit.folds[: fit.n_labels]]
    error = problem.left_out_rmse(prior, found.ridge, forces)
    return replace(found, cv_force_rmse_ev_a=error, ridge_at_edge=edge_of_grid(best))


def _stress_weight(fit: LinearFit, campaign: Campaign) -> float | None:
    natural, wanted = fit.auto_stress_weight(), campaign.potential.stress_weight
    return natural if natural is None or wanted == "auto" else wanted


def degrees_of(basis: ACEBBasisSet) -> np.ndarray:
    """Return the relative penalty of each function: the sum of its radial and angular indices (roughness)."""
    return np.array(
        [
            float(sum(function.ns) + sum(function.ls))
            for first, rest in zip(basis.basis_rank1, basis.basis, strict=True)
            for function in [*first, *rest]
        ]
    )
