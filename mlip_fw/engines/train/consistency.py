"""Consistency check of units and signs: whether energies, forces and stresses of the same labels agree.

A file may have stresses of the other sign or in GPa, energies per atom, or forces in Ry/bohr; each number is plausible
by itself. But forces determine energy differences, and both determine stresses. So a small potential is fitted to the
ones and predicts the others: the slope of given against predicted values is the missing conversion factor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from mlip_fw.engines.ace.basis import linear_basis
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.structures.reach import usual_cutoff_a
from mlip_fw.engines.train.design_rows import DesignRows, design_rows_of
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.engines.train.references import is_free
from mlip_fw.engines.train.ridge_fit import degrees_of
from mlip_fw.io.structures import mask_of
from mlip_fw.models.campaign import ENERGY_WEIGHT, Campaign

_FUNCTIONS = 40
_MAX_LABELS = 40
_MIN = 4
"""With fewer labels no check is made."""
_SPARE = 2
"""Minimum number of degrees of freedom left by the regression of the slope."""
_TINY = 1e-3
"""Relative differences of volume below this count as equal volumes."""
_EXPLAINED = 0.7
"""Fraction of the median absolute deviation that a slope has to explain to be significant."""
_RIGHT = (0.6, 1.7)
"""Slopes in this range are compatible with 1, given the errors of a small potential."""
_CLOSE = 1.15
"""A slope within this factor of that of a known unit is taken for it."""
_GPA, _KBAR, _RY_BOHR3, _HARTREE_BOHR3 = 1 / 160.21766, 1 / 1602.1766, 91.8158, 183.6315
_STRESS_UNITS = {1.0: "", _GPA: "be in GPa", _KBAR: "be in kbar", _RY_BOHR3: "be in Ry/bohr³"} | {
    _HARTREE_BOHR3: "be in hartree/bohr³"
}
_ENERGY_UNITS = {
    -1.0: "forces seem to have the other sign (gradients); multiply them by -1",
    13.605693: "energies seem to be in Ry; multiply them by 13.6057",
    27.211386: "energies seem to be in hartree; multiply them by 27.2114",
    0.0433641: "energies seem to be in kcal/mol; multiply them by 0.0433641",
    0.0103643: "energies seem to be in kJ/mol; multiply them by 0.0103643",
    1 / 25.71104: "forces seem to be in Ry/bohr; multiply them by 25.711",
    1 / 51.42207: "forces seem to be in hartree/bohr; multiply them by 51.422",
    1 / 0.0433641: "forces seem to be in kcal/mol/Å; multiply them by 0.0433641",
    0.529177: "both seem to be in atomic units; multiply energies by 27.2114 and forces by 51.422 if these are hartree "
    "and hartree/bohr, by 13.6057 and 25.711 if they are Ry and Ry/bohr",
}


@dataclass(frozen=True)
class Contradiction:
    """A quantity of the labels that disagrees with the others."""

    of: str
    """``stress`` or ``energy``."""
    factor: float
    """Factor by which the given values have to be multiplied to agree with the others."""
    is_known: bool
    """Whether a unit, a sign or the number of atoms explains the factor."""
    sentence: str

    @property
    def is_refused(self) -> bool:
        """Whether training is refused: stresses can be left out, energies and forces can't."""
        return self.of == "energy" and self.is_known


REMEDY = "in the file, or give its unit (bootstrap.dataset: {file: …, energy_unit: …, force_unit: …})"
"""Advice for energies and forces that are refused."""


def contradictions(frames: Sequence[Atoms], campaign: Campaign) -> list[Contradiction]:
    """Return the contradictions among energies, forces and stresses; stresses are checked if the others agree.

    Parameters
    ----------
    frames
        Labels of one origin; of many, an evenly spaced sample is checked.
    campaign
        Gives elements and cutoff of the small potential.

    Notes
    -----
    A constant energy per element and a constant pressure (the Pulay stress of a plane-wave cutoff) are no
    contradiction. Slopes are fitted by least absolute deviations and judged by medians, so that single odd labels do
    not matter.
    """
    if not frames:
        return []
    cutoff_a = usual_cutoff_a(frames, campaign)
    chosen = [atoms for atoms in frames if mask_of(atoms).all() and not is_free(atoms, cutoff_a)]
    if len(chosen) < _MIN:
        return []
    shape = AcePotential(linear_basis(campaign.elements, cutoff_a, _FUNCTIONS))
    places = np.unique(np.linspace(0, len(chosen) - 1, _MAX_LABELS).round().astype(int))
    chosen = [chosen[k] for k in places]
    nothing = dict.fromkeys(campaign.elements, 0.0)
    labels = [design_rows_of(atoms, nothing, shape, campaign) for atoms in chosen]
    fractions = np.array([[np.mean(atoms.symbols == name) for name in campaign.elements] for atoms in chosen])
    volumes = np.array([atoms.get_volume() / len(atoms) for atoms in chosen])
    swelling = volumes / volumes.mean() - 1
    aside = np.column_stack([fractions, swelling, swelling**2]) if np.ptp(swelling) > _TINY else fractions
    found = [_of_energies(labels, aside, degrees_of(shape.basis))]
    if found[0] is None:
        found.append(_of_stresses(labels, chosen, fractions, degrees_of(shape.basis)))
    return [one for one in found if one is not None]


def _of_energies(labels: Sequence[DesignRows], aside: np.ndarray, degrees: np.ndarray) -> Contradiction | None:
    """Compare given energies with those of a fit to the forces alone.

    ``aside`` (n_labels, k) are columns that forces hardly determine (composition, volume), for the regression.
    """
    coefficients = _fitted(labels, None, degrees, 0.0)
    sizes = np.array([len(label.mask) for label in labels], dtype=float)
    said = np.array([label.design.energy @ coefficients for label in labels]) / sizes
    given = np.array([label.energy_ev for label in labels])
    slope = _slope(given / sizes, said, aside)
    if slope is None or _RIGHT[0] <= slope <= _RIGHT[1]:
        return None
    factor, what = _known(1 / slope, _ENERGY_UNITS)
    per_atom = _slope(given, said, aside)
    nearer = _distance(1 / slope, factor) if what else float("inf")
    if per_atom is not None and _is_close(per_atom, 1.0) and _distance(per_atom, 1.0) <= nearer:
        factor, what = float(np.median(sizes)), "energies seem to be per atom; multiply them by the number of atoms"
    is_known = bool(what)
    what = what or f"energies are {slope:.3g} times what the forces say"
    return Contradiction("energy", factor, is_known, f"energies and forces contradict each other: {what}")


def _of_stresses(
    labels: Sequence[DesignRows], frames: Sequence[Atoms], fractions: np.ndarray, degrees: np.ndarray
) -> Contradiction | None:
    """Compare given stresses with those of a fit to energies and forces."""
    told = [k for k, label in enumerate(labels) if label.stress_ev_a3 is not None]
    if len(told) < _MIN:
        return None
    coefficients = _fitted(labels, fractions, degrees, ENERGY_WEIGHT)
    rows = [labels[k].design.stress for k in told]
    said = np.concatenate([row @ coefficients for row in rows if row is not None])
    given = np.concatenate([labels[k].stress_ev_a3 for k in told])
    diagonal = np.tile([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], len(told))[:, None]
    slope = _slope(given, said, diagonal)
    if slope is None or _RIGHT[0] <= slope <= _RIGHT[1]:
        return None
    volume = float(np.median([frames[k].get_volume() for k in told]))
    units = {**_STRESS_UNITS, 1 / volume: "be virials, in eV"}
    factor, what = _known(1 / abs(slope), units)
    parts = [what] if what else []
    if not what and not _is_close(abs(slope), 1.0):
        factor = 1 / abs(slope)
        parts = [f"be {abs(slope):.3g} times too large"]
    parts += ["have the other sign"] if slope < 0 else []
    factor = float(np.copysign(factor, slope))
    sentence = f"stresses contradict energies and forces: they seem to {' and to '.join(parts)} (factor {factor:.6g})"
    return Contradiction("stress", factor, is_known=True, sentence=sentence)


def _fitted(
    labels: Sequence[DesignRows], fractions: np.ndarray | None, degrees: np.ndarray, energy_weight: float
) -> np.ndarray:
    """Return the coefficients of a fit to forces and, with ``fractions``, to energies up to a constant per element."""
    fit = LinearFit.empty(len(degrees), 0 if fractions is None else fractions.shape[1])
    for k, label in enumerate(labels):
        origin = None if fractions is None else np.concatenate([fractions[k], 0 * fractions[k]])
        fit = fit.with_label(
            label.design, label.energy_ev, label.forces_ev_a, label.mask, origin=origin, known=label.known
        )
    return replace(fit, frees_offsets=fractions is not None).solve(degrees, energy_weight=energy_weight)[0]


def _slope(given: np.ndarray, said: np.ndarray, constants: np.ndarray) -> float | None:
    """Return the slope of ``given`` against ``said`` beside the columns ``constants``; None if not significant."""
    if len(given) < constants.shape[1] + 1 + _SPARE:
        return None
    without = _least_absolute_deviation(constants, given)[1]
    found, left = _least_absolute_deviation(np.column_stack([said, constants]), given)
    spread = float(np.median(np.abs(without)))
    is_believed = spread > 0 and float(np.median(np.abs(left))) <= (1 - _EXPLAINED) * spread and found[0] != 0
    return float(found[0]) if is_believed else None


def _least_absolute_deviation(columns: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and residuals of a regression by least absolute deviations (iteratively reweighted)."""
    weights, lower_limit = np.ones(len(targets)), 1e-6 * float(np.abs(targets).max(initial=0.0)) + 1e-12
    found, left = np.zeros(columns.shape[1]), targets
    for _ in range(50):
        roots = np.sqrt(weights)
        found = np.linalg.lstsq(roots[:, None] * columns, roots * targets, rcond=None)[0]
        left = targets - columns @ found
        weights = 1 / np.maximum(np.abs(left), lower_limit)
    return found, left


def _known(factor: float, units: Mapping[float, str]) -> tuple[float, str]:
    """Return the nearest known factor with its description; the factor itself and no text if none is close."""
    nearest = min(units, key=lambda unit: _distance(factor, unit))
    return (nearest, units[nearest]) if _is_close(factor, nearest) else (factor, "")


def _is_close(factor: float, other: float) -> bool:
    return _distance(factor, other) <= float(np.log(_CLOSE))


def _distance(factor: float, other: float) -> float:
    return abs(float(np.log(factor / other))) if factor * other > 0 else float("inf")
