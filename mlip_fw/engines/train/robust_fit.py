"""Robust fit: new labels are added, and those that contradict the others are down-weighted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from mlip_fw.campaign.dataset import is_imported
from mlip_fw.engines.ace.potential import AcePotential
from mlip_fw.engines.train.batch import Batch
from mlip_fw.engines.train.consistency import REMEDY, contradictions
from mlip_fw.engines.train.energy_offsets import origin_of
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.engines.train.outliers import TypicalResiduals, WeightsByLabel, find_suspects, weights_of
from mlip_fw.engines.train.ridge_fit import FitTerms
from mlip_fw.errors import TrainingError
from mlip_fw.models.campaign import Campaign

_MIN_SHIFT_EV_ATOM = 0.02
_CLEARLY = 5.0
"""An offset of energies has to be this many times their error to count as another energy zero."""
_MUCH_WORSE = 1.5
"""Minimum ratio of cross-validated losses with one energy zero and with two."""
_MAX_NAMED = 5
TermsOf = Callable[[LinearFit], FitTerms]
References = Callable[[list[str]], dict[str, float]]


@dataclass(frozen=True)
class RobustFit:
    """A fit with the new labels, and what was found about them."""

    fit: LinearFit
    weights: WeightsByLabel = field(default_factory=dict)
    """Weights of new labels that are down-weighted."""
    remarks: list[str] = field(default_factory=list)
    """Sentences for the log and the report about odd labels."""


def fit_new_labels(
    batch: Batch,
    before: LinearFit,
    terms_of: TermsOf,
    references: References,
    shape: AcePotential,
    coefficients: np.ndarray,
) -> RobustFit:
    """Return the fit of all labels, old and new.

    Parameters
    ----------
    batch
        The new labels. If some are odd, reference energies are fitted again without them.
    before
        The fit of the old labels.
    terms_of
        Returns weights, penalty and prior for a fit.
    references
        Returns reference energies fitted to the new labels of these names.
    shape
        A potential with the basis of the fit and all coefficients zero.
    coefficients
        (n_functions,) of the previous generation.
    """
    fit, remarks = batch.added_to(before, {}), []
    shift = None if fit.frees_offsets else own_shift_ev_atom(batch, fit, terms_of(fit), shape.elements)
    if shift is not None:
        before, fit = replace(before, frees_offsets=True), replace(fit, frees_offsets=True)
        remarks.append(
            f"own labels lie {abs(shift):.2f} eV per atom {'above' if shift > 0 else 'below'} those of "
            "bootstrap.dataset: another level of theory? One energy offset per element is learnt for the imported "
            "labels; energies of the potential are those of the oracle"
        )
    errors = before.errors(coefficients)
    usual = TypicalResiduals(errors.energy_rmse_ev_atom, errors.force_rmse_ev_a) if before.n_labels else None
    odd = find_suspects(batch, fit, before, terms_of(fit), shape, usual)
    if not odd:
        return RobustFit(fit, {}, remarks)
    plain, left_out = batch.energies_ev, {part.name: (0.0, 0.0) for part in odd}
    batch.relative_to({**plain, **references([name for name in batch.frames if name not in left_out])})
    core = batch.added_to(before, left_out)
    weights = weights_of(odd, batch, core, terms_of(core))
    lowered = {name: both for name, both in weights.items() if both != (1.0, 1.0)}
    if not lowered and (usual or not weights):
        batch.relative_to(plain)
        return RobustFit(fit, {}, remarks)
    return RobustFit(batch.added_to(before, weights), weights, [*remarks, *([_named(lowered)] if lowered else [])])


def resolve_contradictions(batch: Batch, campaign: Campaign) -> list[str]:
    """Check imported labels for contradictions; leave out stresses that contradict energies and forces.

    Returns sentences for the log.

    Raises
    ------
    TrainingError
        If imported energies and forces are in different systems of units.
    """
    imported = [atoms for atoms in batch.frames.values() if is_imported(atoms)]
    remarks = []
    for found in contradictions(imported, campaign):
        if found.is_refused:
            raise TrainingError(f"bootstrap.dataset: {found.sentence}, {REMEDY}, and start in another directory")
        if found.of == "energy":
            remarks.append(f"bootstrap.dataset: {found.sentence}")
            continue
        where = f"bootstrap.dataset: {{file: …, stress_factor: {found.factor:.6g}}}"
        if campaign.potential.stress_weight == "auto":
            batch.leave_out_imported_stress()
            what = f"they are not trained on; {where} in the campaign file applies the factor, a number as "
            what += "potential.stress_weight trains on them as they are"
        else:
            what = f"they are trained on, as potential.stress_weight is given; {where} applies the factor"
        remarks.append(f"bootstrap.dataset: {found.sentence}; {what}")
    return remarks


def own_shift_ev_atom(batch: Batch, fit: LinearFit, terms: FitTerms, elements: list[str]) -> float | None:
    """Return the energy offset of own labels from imported ones, eV per atom; None if it is not significant."""
    own = [atoms for atoms in batch.frames.values() if not is_imported(atoms)]
    if not (own and fit.has_two_origins and fit.n_labels > 1):
        return None
    free = replace(fit, frees_offsets=True)
    coefficients = terms.solve(free)
    constants = free.constants_ev(coefficients)
    assert constants is not None
    fractions = np.mean([origin_of(atoms, elements, is_imported=True)[: len(elements)] for atoms in own], axis=0)
    shift = float(fractions @ (constants[1] - constants[0]))
    error = free.errors(coefficients).energy_rmse_ev_atom
    if abs(shift) < max(_MIN_SHIFT_EV_ATOM, _CLEARLY * error):
        return None
    one, two = (float(terms.problem(each).losses(terms.prior).min()) for each in (fit, free))
    return shift if one > _MUCH_WORSE * two else None


def _named(weights: WeightsByLabel) -> str:
    named = [f"{name} (energy {energy:g}, forces {forces:g})" for name, (energy, forces) in weights.items()]
    more = f" and {len(named) - _MAX_NAMED} more" if len(named) > _MAX_NAMED else ""
    number = f"{len(named)} labels" if len(named) > 1 else "one label"
    return (
        f"{number} can't be fitted together with the others without spoiling their forces, and "
        f"{'count' if len(named) > 1 else 'counts'} less: {', '.join(named[:_MAX_NAMED])}{more}"
    )
