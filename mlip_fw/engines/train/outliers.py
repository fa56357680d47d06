"""Outliers: labels that harm the fit of all others, and the weights at which they no longer do.

In least squares one label that the potential can't represent outweighs thirty others: it spoils their forces and
dominates the choice of the ridge. A large residual alone proves nothing, because a structure unlike all before is just
what a campaign labels. So it is tested by cross-validation: labels with large residuals (suspects) are left out of the
fit and added again, and they are down-weighted only if the other labels are predicted worse with them than without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlip_fw.campaign.dataset import is_imported
from mlip_fw.engines.ace.basis import copy_of
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.batch import Batch
from mlip_fw.engines.train.design_rows import DesignRows
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.engines.train.qr_update import add_rows
from mlip_fw.engines.train.ridge_cv import ScaledProblem
from mlip_fw.engines.train.ridge_fit import FitTerms
from mlip_fw.io.structures import known_forces, mask_of

_FAR = 8.0
"""A label is suspect if its residual is this many times the typical one."""
_MIN_ENERGY_EV, _MIN_FORCE_EV_A = 2e-3, 1e-3
"""Lower limits of the typical residuals."""
_INNER = 0.6
"""Fraction of the first labels that is assumed to be sound."""
_MIN = 6
"""With fewer labels nothing is suspected."""
_AS_GOOD = 1.2
"""A label is harmless if the cross-validation error of the others grows by at most this factor."""
_CAPS = (3.0, 1.0, 0.3, 0.1)
"""Huber-like caps tried in turn, in units of the typical residual: larger residuals are down-weighted to the cap."""
_NOTHING = 1e-3
"""Smaller weights are set to 0."""
_MAX_GROUPS = 16


@dataclass(frozen=True)
class SuspectPart:
    """The energy of a label, or its forces with its stress."""

    name: str
    is_energy: bool
    excess: float
    """Its residual in units of the typical one."""
    usual: float
    """Typical residual, eV per atom or eV/Å."""


@dataclass(frozen=True)
class TypicalResiduals:
    """Typical residuals (root mean square)."""

    energy_ev_atom: float
    force_ev_a: float


WeightsByLabel = dict[str, tuple[float, float]]


def find_suspects(
    batch: Batch,
    fit: LinearFit,
    before: LinearFit,
    terms: FitTerms,
    shape: AcePotential,
    usual: TypicalResiduals | None,
) -> list[SuspectPart]:
    """Return the parts of new labels with residuals far above the typical one, in ascending order.

    Parameters
    ----------
    batch
        The new labels.
    fit
        The fit of all labels.
    before
        The fit of the old labels.
    usual
        Typical residuals of the old labels; None: there are no old labels.

    Notes
    -----
    With old labels, suspects are the new labels with large residuals in the fit to everything. Among first labels, many
    of which may be odd, a fit is made to those whose energies are closest to linear in composition; suspects are the
    labels far from it, provided that the fit to everything does not represent all of them.
    """
    if fit.n_labels < _MIN or not len(batch):
        return []
    found = _residuals(batch, shape, terms.solve(fit), fit)
    near = None
    if usual is None:
        inner = _nearest_in_energy(batch, shape.elements)
        core = batch.added_to(before, {name: (0.0, 0.0) for name in batch.frames if name not in inner})
        near = _residuals(batch, shape, terms.solve(core), fit)
        usual = TypicalResiduals(*(float(np.nanmedian(each)) for each in near))
    units = np.array([[max(usual.energy_ev_atom, _MIN_ENERGY_EV)], [max(usual.force_ev_a, _MIN_FORCE_EV_A)]])
    excess = np.nan_to_num(found / units)
    if near is None:
        far = (excess > _FAR).any(axis=0)
    else:
        far = (np.nan_to_num(near / units) > _FAR).any(axis=0)
        far &= bool((excess[:, far] > _FAR).any())
    parts = [
        SuspectPart(name, is_energy, float(excess[row, k]), float(units[row, 0]))
        for k, name in enumerate(batch.frames)
        for row, is_energy in ((0, True), (1, False))
        if far[k]
    ]
    return sorted(parts, key=lambda part: part.excess)


def _nearest_in_energy(batch: Batch, elements: list[str]) -> set[str]:
    """Return the 60 % of the labels whose energies per atom are closest to linear in composition."""
    frames = list(batch.frames.values())
    fractions = np.array([[np.mean(atoms.symbols == name) for name in elements] for atoms in frames])
    energies = np.array([a.get_potential_energy() / len(a) if mask_of(a).all() else np.nan for a in frames])
    off = np.abs(_up_to_constants(energies, fractions))
    order = np.argsort(np.where(np.isfinite(off), off, np.inf), kind="stable")
    return {list(batch.frames)[k] for k in order[: int(_INNER * len(order)) + 1]}


def _residuals(batch: Batch, shape: AcePotential, coefficients: np.ndarray, fit: LinearFit) -> np.ndarray:
    """Return (2, n_labels) residuals of energies per atom (up to a constant per element) and of forces.

    Force residuals of labels with larger forces than the average are scaled down in proportion.
    """
    constants_ev = fit.constants_ev(coefficients)
    potential = AcePotential(copy_of(shape.basis, coefficients))
    energies, forces, sizes, fractions = [], [], [], []
    for atoms in batch.frames.values():
        answer, mask = potential.evaluate(atoms, gamma=False), mask_of(atoms)
        free = sum(batch.energies_ev[symbol] for symbol in atoms.get_chemical_symbols())
        off = (atoms.get_potential_energy() - free - answer.energy_ev) / len(atoms)
        energies.append(off if mask.all() else np.nan)
        misses = (answer.forces_ev_a - atoms.get_forces(apply_constraint=False))[known_forces(atoms)]
        forces.append(float(np.sqrt(np.mean(misses**2))) if len(misses) else 0.0)
        sizes.append(float(np.sqrt(np.mean(atoms.get_forces() ** 2))))
        fractions.append([np.mean(atoms.symbols == name) for name in potential.elements])
        if constants_ev is not None:
            energies[-1] -= float(constants_ev[0 if is_imported(atoms) else 1] @ fractions[-1])
    larger = np.maximum(1.0, np.array(sizes) / fit.errors(coefficients).force_rms_ev_a)
    return np.array([np.abs(_up_to_constants(np.array(energies), np.array(fractions))), forces / larger])


def _up_to_constants(energies: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Subtract a constant for each element, fitted by least absolute deviations (iteratively reweighted)."""
    known = np.isfinite(energies)
    left, weights = energies.copy(), np.ones(int(known.sum()))
    if known.sum() <= fractions.shape[1] + 1:
        return left
    for _ in range(30):
        roots = np.sqrt(weights)
        constants = np.linalg.lstsq(roots[:, None] * fractions[known], roots * energies[known], rcond=None)[0]
        left = energies - fractions @ constants
        weights = 1 / np.maximum(np.abs(left[known]), 1e-6)
    return left


@dataclass(frozen=True)
class _CoreFit:
    """The fit without suspects, and how rows of suspects change its cross-validation error."""

    problem: ScaledProblem
    prior: np.ndarray
    loss: float
    """Its cross-validation loss (sum of squares over left-out folds)."""

    def harm(self, rows: np.ndarray) -> float:
        """Return the cross-validation error of the others with ``rows`` (m, n + 1) added, relative to that without."""
        size = len(self.prior) + 1
        more = add_rows(np.zeros((size, size)), rows)
        return float(np.sqrt(self.problem.losses(self.prior, more).min() / self.loss))

    def coefficients(self, rows: np.ndarray) -> np.ndarray:
        """Return the coefficients (n,) of the fit with ``rows`` added."""
        ridge, whole = self.problem.best_ridge(self.prior), add_rows(self.problem.whole, rows)
        return np.asarray(self.prior + self.problem.spectrum(whole, self.prior).solve(ridge) / self.problem.scale)


def weights_of(parts: list[SuspectPart], batch: Batch, core: LinearFit, terms: FitTerms) -> WeightsByLabel:
    """Return the weight of each label with a suspect part: 1 if harmless, else the largest that is harmless.

    Parameters
    ----------
    parts
        The suspects, in ascending order of their residuals.
    core
        The fit of all labels without the suspects.
    """
    if core.n_labels < _MIN:
        return {}
    problem = terms.problem(core)
    core_fit = _CoreFit(problem, terms.prior, float(problem.losses(terms.prior).min()))
    rows = [_rows(batch.rows_of(part.name), part, terms) for part in parts]
    if not core_fit.loss or core_fit.harm(np.vstack(rows)) <= _AS_GOOD:
        return {part.name: (1.0, 1.0) for part in parts}
    inside = _consistent_rows(core_fit, rows)
    scales = np.array([part.usual * (terms.energy_weight if part.is_energy else 1.0) for part in parts])
    weights: WeightsByLabel = {}
    for part, weight in zip(parts, _lowered(core_fit, inside, rows, scales), strict=True):
        of_energy, of_forces = weights.get(part.name, (1.0, 1.0))
        weights[part.name] = (weight, of_forces) if part.is_energy else (of_energy, weight)
    return weights


def _consistent_rows(core_fit: _CoreFit, rows: list[np.ndarray]) -> np.ndarray:
    """Add suspects group by group and return the rows (m, n + 1) of the harmless groups."""
    inside = np.zeros((0, rows[0].shape[1]))
    for group in np.array_split(np.arange(len(rows)), min(_MAX_GROUPS, len(rows))):
        more = np.vstack([inside, *(rows[k] for k in group)])
        if core_fit.harm(more) <= _AS_GOOD:
            inside = more
    return inside


def _lowered(core_fit: _CoreFit, inside: np.ndarray, rows: list[np.ndarray], scales: np.ndarray) -> list[float]:
    """Return the weights for the largest cap at which all suspects together are harmless; 0 for all if none is."""
    ends = np.append(core_fit.coefficients(inside), -1.0)
    excess = np.array([float(np.sqrt(np.mean((part @ ends) ** 2))) for part in rows]) / scales
    for cap in _CAPS:
        weights = np.minimum(1.0, (cap / np.maximum(excess, cap)) ** 2)
        lowered = [np.sqrt(weight) * part for weight, part in zip(weights, rows, strict=True)]
        if core_fit.harm(np.vstack(lowered)) <= _AS_GOOD:
            return [float(f"{weight:.2g}") if weight >= _NOTHING else 0.0 for weight in weights]
    return [0.0] * len(rows)


def _rows(label: DesignRows, part: SuspectPart, terms: FitTerms) -> np.ndarray:
    """Return the rows [X | y] (m, n + 1) of a part, weighted as in the fit."""
    if part.is_energy:
        n = len(label.mask)
        return terms.energy_weight / n * np.append(label.design.energy, label.energy_ev)[None]
    forces, targets = label.design.forces[label.mask], label.forces_ev_a[label.mask]
    rows = np.column_stack([forces.reshape(-1, forces.shape[-1]), targets.reshape(-1)])
    if label.stress_ev_a3 is None or label.design.stress is None or not terms.stress_weight:
        return rows
    stress = np.column_stack([label.design.stress, label.stress_ev_a3])
    return np.vstack([rows, terms.stress_weight * stress])
