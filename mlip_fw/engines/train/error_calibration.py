"""Calibration of expected force errors: a misfit-aware ensemble, and its factors by cross-validation.

A linear fit to nearly exact labels is wrong because of its basis, not because of noise, and its posterior is several
times too narrow. Pointwise optimal parameter sets (POPS; Swinburne and Perez, Mach. Learn.: Sci. Technol. 6, 015008
(2025), arXiv:2402.01810; Perez, Subramanyam, Maliyov and Swinburne, arXiv:2502.07104) take for each training row the
smallest change of the coefficients, as the loss measures it, with which the fit meets this row exactly. How these
changes scatter shows where the basis fails. The ensemble is a sample of their covariance.

The same is done for each fold of the cross-validation, with the labels outside of it; the errors on those inside,
divided by their scales (:func:`~mlip_fw.engines.ace.error_estimate.error_scales`), have quantiles, and these are the
factors. So what is stated is what was found for labels that were not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import numpy as np
from ase import Atoms

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.engines.ace.error_estimate import LEVELS, ErrorEstimate, error_scales
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.linear_fit import N_FOLDS
from mlip_fw.engines.train.qr_update import leave_one_out, merge
from mlip_fw.engines.train.ridge_cv import ScaledProblem
from mlip_fw.io.structures import known_forces

N_MEMBERS = 4
"""Members of the ensemble. MD at its check interval of 10 steps costs 1.4 times as much with them; more rank better."""
_MAX_LABELS, _MAX_ATOMS, _MAX_ROWS = 40, 2500, 3000
"""What is looked at: of more labels or atoms an even sample, of more rows a random one."""
_MIN_LEVERAGE = 1e-3
"""Leverages below this fraction of the median count as this: forces that symmetry makes zero say nothing."""
_MIN_COMPONENTS = 150
"""An element with fewer force components has the factors of all elements."""
_TINY = 1e-12
Item = TypeVar("Item")


@dataclass(frozen=True)
class LabelRows:
    """Force rows of a label, or of some of its atoms, and what they are compared with."""

    forces: np.ndarray
    """(n_atoms, 3, n_functions) design-matrix rows."""
    targets_ev_a: np.ndarray
    """(n_atoms, 3) forces less core repulsion."""
    cores_ev_a: np.ndarray
    """(n_atoms, 3) forces of core repulsion."""
    known: np.ndarray
    """(n_atoms, 3) of bool: force components that are trained on."""
    species: np.ndarray
    """(n_atoms,) element indices."""


def sample_of(
    names: Mapping[int, str], dataset: Dataset, shape: AcePotential, rng: np.random.Generator
) -> dict[int, LabelRows]:
    """Return the force rows of labels, by the same keys; of many atoms, of an even sample of labels and some atoms.

    ``shape`` is a potential with the basis of the fit and all coefficients zero.
    """
    frames = {place: dataset.read(name) for place, name in _spread_over(names, _MAX_LABELS).items()}
    per_label = sum(map(len, frames.values())) / max(len(frames), 1)
    frames = _spread_over(frames, max(2 * N_FOLDS, int(_MAX_ATOMS / max(per_label, 1))))
    return {place: _rows_of(atoms, shape, _MAX_ATOMS // len(frames), rng) for place, atoms in frames.items()}


def _rows_of(atoms: Atoms, shape: AcePotential, max_atoms: int, rng: np.random.Generator) -> LabelRows:
    few = len(atoms) <= max_atoms
    kept = np.arange(len(atoms)) if few else rng.choice(len(atoms), max_atoms, replace=False)
    cores = shape.evaluate(atoms, gamma=False).forces_ev_a
    return LabelRows(
        forces=shape.design(atoms).forces[kept],
        targets_ev_a=(atoms.get_forces(apply_constraint=False) - cores)[kept],
        cores_ev_a=cores[kept],
        known=known_forces(atoms)[kept],
        species=shape.species(atoms)[kept],
    )


def _spread_over(items: Mapping[int, Item], n: int) -> dict[int, Item]:
    """Return ``n`` of the items, or all, evenly spread, with the first and the last."""
    keys = list(items)
    places = np.unique(np.linspace(0, len(keys) - 1, min(n, len(keys))).round().astype(int))
    return {keys[k]: items[keys[k]] for k in places}


def calibrated_estimate(
    problem: ScaledProblem,
    prior: np.ndarray,
    ridge: float,
    coefficients: np.ndarray,
    labels: Mapping[int, LabelRows],
    n_elements: int,
    rng: np.random.Generator,
) -> ErrorEstimate | None:
    """Return the expected force errors of a fit; None with fewer than two folds, or if nothing is left to calibrate on.

    Parameters
    ----------
    problem, prior, ridge, coefficients
        The fit: its least-squares problem, the prior mean and the coefficients (n_functions,), and the ridge.
    labels
        Labels of the fit, or a sample of them, by their place in the order in which the folds got them.
    n_elements
        Of the potential.
    rng
        Draws the members.
    """
    if len(problem.folds) < 2 or not labels:
        return None
    always = [] if problem.down_weighted is None else [problem.down_weighted]
    known = np.concatenate([rows.targets_ev_a[rows.known.all(axis=1)] for rows in labels.values()])
    force_rms = float(np.sqrt((known**2).sum(axis=1).mean())) if len(known) else 0.0
    ratios: list[np.ndarray] = []
    species: list[np.ndarray] = []
    for fold, rest in enumerate(leave_one_out(problem.folds)):
        inside = [rows for place, rows in labels.items() if place % N_FOLDS == fold]
        outside = [rows for place, rows in labels.items() if place % N_FOLDS != fold]
        if not inside or not outside:
            continue
        solution, root = _solution(problem, reduce(merge, always, rest), prior, ridge)
        changes = ensemble_of(outside, solution, root, rng)
        for rows in inside:
            ratios.append(_ratios(rows, solution, changes, force_rms)[rows.known])
            species.append(np.repeat(rows.species[:, None], 3, axis=1)[rows.known])
    if not ratios or not sum(map(len, ratios)):
        return None
    factors = _factors(np.concatenate(ratios), np.concatenate(species), n_elements)
    _, root = _solution(problem, problem.whole, prior, ridge)
    changes = ensemble_of(list(labels.values()), coefficients, root, rng)
    return ErrorEstimate(coefficients + changes.T, force_rms, factors)


def ensemble_of(
    labels: Sequence[LabelRows], coefficients: np.ndarray, root: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return (n_functions, n_members) changes of the coefficients, sampled from the covariance of POPS.

    Parameters
    ----------
    labels
        Labels of the fit; of many rows, a random sample is taken.
    coefficients
        (n_functions,) of the fit.
    root
        (n_functions, k) square root of the inverse Hessian of its loss.
    rng
        Draws rows and members.

    Notes
    -----
    With the inverse Hessian B B', the change for row x with residual e is B z e / h, with z = B'x and the leverage
    h = z'z. A member is the sum of all changes, each times a standard normal number, over the root of their number.
    """
    rows = np.concatenate([label.forces[label.known] for label in labels])
    targets = np.concatenate([label.targets_ev_a[label.known] for label in labels])
    if len(rows) > _MAX_ROWS:
        some = rng.choice(len(rows), _MAX_ROWS, replace=False)
        rows, targets = rows[some], targets[some]
    whitened = rows @ root
    leverage = (whitened**2).sum(axis=1)
    leverage = np.maximum(leverage, max(_MIN_LEVERAGE * float(np.median(leverage)), _TINY))
    weights = (targets - rows @ coefficients) / leverage
    draws = rng.normal(size=(len(rows), N_MEMBERS)) / np.sqrt(len(rows))
    return np.asarray(root @ (whitened.T @ (weights[:, None] * draws)))


def _solution(
    problem: ScaledProblem, r_factor: np.ndarray, prior: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of a fit to these rows, and a square root of the inverse Hessian."""
    spectrum = problem.spectrum(r_factor, prior)
    root = spectrum.inverse_hessian_root(ridge) / problem.scale[:, None]
    return prior + spectrum.solve(ridge) / problem.scale, root


def _ratios(rows: LabelRows, coefficients: np.ndarray, changes: np.ndarray, force_rms_ev_a: float) -> np.ndarray:
    """Return (n_atoms, 3) absolute errors of the forces over the scales of their atoms."""
    predicted = rows.forces @ coefficients
    scales = error_scales(rows.forces @ changes, predicted + rows.cores_ev_a, force_rms_ev_a)
    return np.asarray(np.abs(predicted - rows.targets_ev_a) / np.maximum(scales, _TINY)[:, None])


def _factors(ratios: np.ndarray, species: np.ndarray, n_elements: int) -> np.ndarray:
    """Return the (n_elements, 2) quantiles of ratios (m,) of force components on atoms of ``species`` (m,)."""
    found = [ratios[species == element] for element in range(n_elements)]
    return np.array([np.quantile(own if len(own) >= _MIN_COMPONENTS else ratios, LEVELS) for own in found])
