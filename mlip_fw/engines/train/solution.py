"""The coefficients of a generation: the best fit that is also fit for MD."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet

from mlip_fw.engines.ace import AcePotential
from mlip_fw.engines.train.basis import copy_of
from mlip_fw.engines.train.dimers import Rising, rising_dimers
from mlip_fw.engines.train.linear import LinearFit
from mlip_fw.engines.train.scaled import Scaled
from mlip_fw.engines.train.stability import examine
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import Stability

_FIRMNESS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4)
"""Multiples of the ridge that are tried, one after the other, until the potential is fit for MD."""


@dataclass(frozen=True)
class Solution:
    """Coefficients, and what is known of them."""

    coefficients: np.ndarray
    """(n_functions,)"""
    ridge: float
    energy_weight: float
    stress_weight: float | None
    """None: there is no stress."""
    stability: Stability


@dataclass(frozen=True)
class Terms:
    """What a fit is asked to make small."""

    degrees: np.ndarray
    """(n_functions,) growth of the penalty."""
    prior: np.ndarray
    """(n_functions,) what the penalty pulls to."""
    energy_weight: float
    stress_weight: float | None
    is_pressure_free: bool

    @classmethod
    def of(cls, fit: LinearFit, shape: AcePotential, prior: np.ndarray, campaign: Campaign) -> Terms:
        """Return those that a campaign asks of a fit."""
        wanted = campaign.potential.energy_weight
        weight = fit.natural_weight() if wanted == "auto" else wanted
        free = campaign.oracle.has_pulay_stress
        return cls(degrees_of(shape.basis), prior, weight, _stress_weight(fit, campaign), free)

    def problem(self, fit: LinearFit) -> Scaled:
        """Return the least-squares problem."""
        weights = (self.energy_weight, self.stress_weight or 0.0)
        return fit.scaled(self.degrees, *weights, is_pressure_free=self.is_pressure_free)

    def solve(self, fit: LinearFit, rising: Rising | None = None, ridge: float | None = None) -> np.ndarray:
        """Return the coefficients (n_functions,) of a fit; without a ``ridge``, with the one that predicts best."""
        weights, free = (self.energy_weight, self.stress_weight or 0.0), self.is_pressure_free
        return fit.solve(self.degrees, self.prior, rising, ridge, *weights, is_pressure_free=free)[0]


def best_sound(
    fit: LinearFit, shape: AcePotential, prior: np.ndarray, folder: Path, frames: list[Atoms], campaign: Campaign
) -> Solution:
    """Return the fit that predicts best; where it is unfit for MD, the first of stiffer penalty that is fit.

    Parameters
    ----------
    fit
        All labels so far.
    shape
        The form of the potential, with coefficients zero.
    prior
        (n_functions,) what the penalty pulls to.
    folder
        Where rows of this basis are kept.
    frames
        Structures to try the potential on.
    campaign
        Gives the conditions of the trial.
    """
    rising, tries = rising_dimers(folder, shape), []
    terms = Terms.of(fit, shape, prior, campaign)
    best = terms.problem(fit).best_ridge(prior)
    for firmness in _FIRMNESS:
        coefficients = terms.solve(fit, rising, firmness * best)
        stability = examine(AcePotential(copy_of(shape.basis, coefficients)), frames, campaign)
        tries.append(Solution(coefficients, firmness * best, terms.energy_weight, terms.stress_weight, stability))
        if stability.sound:
            return tries[-1]
    return tries[0]


def _stress_weight(fit: LinearFit, campaign: Campaign) -> float | None:
    natural, wanted = fit.natural_stress_weight(), campaign.potential.stress_weight
    return natural if natural is None or wanted == "auto" else wanted


def degrees_of(basis: ACEBBasisSet) -> np.ndarray:
    """Return the roughness of each function: the sum of its radial and angular indices."""
    return np.array(
        [
            float(sum(function.ns) + sum(function.ls))
            for first, rest in zip(basis.basis_rank1, basis.basis, strict=True)
            for function in [*first, *rest]
        ]
    )
