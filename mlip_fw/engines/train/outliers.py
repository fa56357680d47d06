"""Labels that the potential can't represent as it does the others, and how much these may count.

Squares let one such label outweigh thirty others: it ruins their forces, and has the ridge chosen for itself. Whether
it does is tried. Labels far from the others are left out of a fit and taken in again; if the others are predicted as
well with them as without, when they are left out themselves, all count as they are. Only what harms the others counts
less: a structure unlike all before, which is just what a campaign labels, does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlip_fw.dataset import is_imported
from mlip_fw.engines.ace import AcePotential
from mlip_fw.engines.train.basis import copy_of
from mlip_fw.engines.train.batch import Batch
from mlip_fw.engines.train.lessons import Lesson
from mlip_fw.engines.train.linear import LinearFit
from mlip_fw.engines.train.scaled import Scaled
from mlip_fw.engines.train.solution import Terms
from mlip_fw.engines.train.triangles import with_rows
from mlip_fw.io.structures import known_forces, mask_of

_FAR = 8.0
"""Residuals of so many times the usual one make a label suspect."""
_LEAST_ENERGY_EV, _LEAST_FORCE_EV_A = 2e-3, 1e-3
"""No residual below is suspect."""
_INNER = 0.6
"""Share of first labels that are taken for plain at first."""
_FEWEST = 6
"""Of fewer labels nothing can be said."""
_AS_GOOD = 1.2
"""Error of the others, in units of that without a label, up to which it does no harm."""
_CAPS = (3.0, 1.0, 0.3, 0.1)
"""Residuals, in units of the usual one, at which a harmful label begins to count less."""
_NOTHING = 1e-3
"""Weights below are 0."""
_MOST_GROUPS = 16


@dataclass(frozen=True)
class Part:
    """The energy of a label, or its forces with its stress."""

    name: str
    is_energy: bool
    excess: float
    """Its residual in units of the usual one."""
    usual: float
    """eV per atom or eV/Å"""


@dataclass(frozen=True)
class Usual:
    """Residuals that are usual, root mean squares."""

    energy_ev_atom: float
    force_ev_a: float


Weighted = dict[str, tuple[float, float]]


def suspects(
    batch: Batch, fit: LinearFit, before: LinearFit, terms: Terms, shape: AcePotential, usual: Usual | None
) -> list[Part]:
    """Return the parts of new labels that are far from what the others make of them, the nearest first.

    Parameters
    ----------
    batch
        The new labels.
    fit
        All labels.
    before
        The old ones.
    usual
        Residuals of the old ones; None: there are too few.

    Notes
    -----
    Suspect is what the fit to everything does not represent. Among first labels, many of which may be odd, it is what
    is far from a fit to those whose energies are nearest to a line in composition, if the fit to everything does not
    represent all of it.
    """
    if fit.n_labels < _FEWEST or not len(batch):
        return []
    found = _residuals(batch, shape, terms.solve(fit), fit)
    near = None
    if usual is None:
        inner = _nearest_in_energy(batch, shape.elements)
        core = batch.taken_into(before, {name: (0.0, 0.0) for name in batch.frames if name not in inner})
        near = _residuals(batch, shape, terms.solve(core), fit)
        usual = Usual(*(float(np.nanmedian(each)) for each in near))
    units = np.array([[max(usual.energy_ev_atom, _LEAST_ENERGY_EV)], [max(usual.force_ev_a, _LEAST_FORCE_EV_A)]])
    excess = np.nan_to_num(found / units)
    if near is None:
        far = (excess > _FAR).any(axis=0)
    else:
        far = (np.nan_to_num(near / units) > _FAR).any(axis=0)
        far &= bool((excess[:, far] > _FAR).any())
    parts = [
        Part(name, is_energy, float(excess[row, k]), float(units[row, 0]))
        for k, name in enumerate(batch.frames)
        for row, is_energy in ((0, True), (1, False))
        if far[k]
    ]
    return sorted(parts, key=lambda part: part.excess)


def _nearest_in_energy(batch: Batch, elements: list[str]) -> set[str]:
    """Return the labels, more than half, whose energies per atom are nearest to a line in composition."""
    frames = list(batch.frames.values())
    fractions = np.array([[np.mean(atoms.symbols == name) for name in elements] for atoms in frames])
    energies = np.array([a.get_potential_energy() / len(a) if mask_of(a).all() else np.nan for a in frames])
    off = np.abs(_up_to_constants(energies, fractions))
    order = np.argsort(np.where(np.isfinite(off), off, np.inf), kind="stable")
    return {list(batch.frames)[k] for k in order[: int(_INNER * len(order)) + 1]}


def _residuals(batch: Batch, shape: AcePotential, coefficients: np.ndarray, fit: LinearFit) -> np.ndarray:
    """Return (2, n_labels) residuals: of energies per atom up to constants of elements, and of forces.

    Those of forces are relative to the forces where these are larger than usual.
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
    """Return energies less a constant for each element, by least absolute deviations."""
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
class _Trial:
    """The fit of all that is not suspect, and what suspects do to it."""

    problem: Scaled
    prior: np.ndarray
    least: float
    """Squares that it leaves of what it did not see."""

    def harm(self, rows: np.ndarray) -> float:
        """Return the error of the others when ``rows`` (m, n + 1) are taken in, in units of that without them."""
        size = len(self.prior) + 1
        more = with_rows(np.zeros((size, size)), rows)
        return float(np.sqrt(self.problem.losses(self.prior, more).min() / self.least))

    def coefficients(self, rows: np.ndarray) -> np.ndarray:
        """Return the coefficients (n,) of a fit to the others and ``rows``."""
        ridge, whole = self.problem.best_ridge(self.prior), with_rows(self.problem.whole, rows)
        return np.asarray(self.prior + self.problem.spectrum(whole, self.prior).solve(ridge) / self.problem.scale)


def weights_of(parts: list[Part], batch: Batch, core: LinearFit, terms: Terms) -> Weighted:
    """Return how much each label with a suspect part may count.

    Parameters
    ----------
    parts
        What is suspect, the nearest first.
    core
        All labels without these parts.
    """
    if core.n_labels < _FEWEST:
        return {}
    problem = terms.problem(core)
    trial = _Trial(problem, terms.prior, float(problem.losses(terms.prior).min()))
    rows = [_rows(batch.lesson(part.name), part, terms) for part in parts]
    if not trial.least or trial.harm(np.vstack(rows)) <= _AS_GOOD:
        return {part.name: (1.0, 1.0) for part in parts}
    inside = _harmless(trial, rows)
    scales = np.array([part.usual * (terms.energy_weight if part.is_energy else 1.0) for part in parts])
    weights: Weighted = {}
    for part, weight in zip(parts, _lowered(trial, inside, rows, scales), strict=True):
        of_energy, of_forces = weights.get(part.name, (1.0, 1.0))
        weights[part.name] = (weight, of_forces) if part.is_energy else (of_energy, weight)
    return weights


def _harmless(trial: _Trial, rows: list[np.ndarray]) -> np.ndarray:
    """Return the rows (m, n + 1) that do no harm, taken in one group after the other."""
    inside = np.zeros((0, rows[0].shape[1]))
    for group in np.array_split(np.arange(len(rows)), min(_MOST_GROUPS, len(rows))):
        more = np.vstack([inside, *(rows[k] for k in group)])
        if trial.harm(more) <= _AS_GOOD:
            inside = more
    return inside


def _lowered(trial: _Trial, inside: np.ndarray, rows: list[np.ndarray], scales: np.ndarray) -> list[float]:
    """Return the largest weights that can be borne; 0 for all if none can."""
    ends = np.append(trial.coefficients(inside), -1.0)
    excess = np.array([float(np.sqrt(np.mean((part @ ends) ** 2))) for part in rows]) / scales
    for cap in _CAPS:
        weights = np.minimum(1.0, (cap / np.maximum(excess, cap)) ** 2)
        lowered = [np.sqrt(weight) * part for weight, part in zip(weights, rows, strict=True)]
        if trial.harm(np.vstack(lowered)) <= _AS_GOOD:
            return [float(f"{weight:.2g}") if weight >= _NOTHING else 0.0 for weight in weights]
    return [0.0] * len(rows)


def _rows(lesson: Lesson, part: Part, terms: Terms) -> np.ndarray:
    """Return the rows (m, n + 1) of a part, weighted as in the fit."""
    if part.is_energy:
        n = len(lesson.mask)
        return terms.energy_weight / n * np.append(lesson.design.energy, lesson.energy_ev)[None]
    forces, targets = lesson.design.forces[lesson.mask], lesson.forces_ev_a[lesson.mask]
    rows = np.column_stack([forces.reshape(-1, forces.shape[-1]), targets.reshape(-1)])
    if lesson.stress_ev_a3 is None or lesson.design.stress is None or not terms.stress_weight:
        return rows
    stress = np.column_stack([lesson.design.stress, lesson.stress_ev_a3])
    return np.vstack([rows, terms.stress_weight * stress])
