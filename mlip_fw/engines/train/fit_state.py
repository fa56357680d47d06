"""State of the fit that one training hands to the next."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential, rows_within
from mlip_fw.engines.sampling.maxvol import ActiveSet
from mlip_fw.engines.train.basis_choice import MIN_LABELS, BasisForm, chosen_basis, usual_form
from mlip_fw.engines.train.design_rows import design_rows_of, in_training_order
from mlip_fw.engines.train.environment_rows import EnvironmentRows
from mlip_fw.engines.train.fit_io import read_fit
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.engines.train.references import is_free
from mlip_fw.errors import TrainingError
from mlip_fw.io.pace import read_active_set, read_basis
from mlip_fw.io.structures import known_forces
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import BasisRecord, LabelWeight

logger = logging.getLogger("mlip_fw")
_DOUBLED = 2.0
"""Bases are compared again when there are this many times the labels."""
_MORE, _SURPRISED = 1.25, 3.0
"""Or this many, if the error of new labels exceeds this multiple of the cross-validated one."""


@dataclass(frozen=True)
class FitState:
    """All that a training needs of the previous generation."""

    generation: int | None
    labels: tuple[str, ...]
    basis: ACEBBasisSet
    """The basis, with the coefficients of this generation."""
    fit: LinearFit
    prior: np.ndarray
    """(n_functions,) prior mean of the coefficients: zero, or those of an initial potential."""
    active: dict[str, ActiveSet] | None
    reference_energy_ev: dict[str, float]
    """For the elements that occurred in labels so far."""
    level_of_theory: str | None = None
    gamma_max: float = 0.0
    """Largest gamma of the labels' environments."""
    n_environments: dict[str, int] = field(default_factory=dict)
    replaced: ACEBBasisSet | None = None
    """The basis of the generation, if another was just chosen for all labels; the fit is then still empty."""
    choice: BasisRecord | None = None
    """What is known of the choice of the basis; None in generations of older versions."""
    cv_force_rmse_ev_a: float | None = None
    free_atoms: tuple[str, ...] = ()
    """Labels of free atoms: they set reference energies and are not in the fit."""
    weights: dict[str, LabelWeight] = field(default_factory=dict)
    with_imported_stress: bool = True
    warnings: tuple[str, ...] = ()
    fold_order: tuple[str, ...] | None = ()
    """Labels that count in full, in the order in which the folds got them; None: an older version did not say."""

    @property
    def learnt(self) -> list[str]:
        """Labels in the fit."""
        return [name for name in self.labels if name not in self.free_atoms]


def newest_state(generations: Generations, dataset: Dataset, campaign: Campaign) -> FitState:
    """Return the state of the newest linear generation; without one, an empty fit in a basis for the present labels."""
    newest = generations.newest_of("linear")
    if newest is None:
        return _blank(campaign, [dataset.read(name) for name in dataset.hashes()])
    record = generations.record(newest)
    if record is None:
        raise TrainingError(
            f"{generations.folder(newest)} has no whole training.json; remove that folder and run again"
        )
    basis = read_basis(generations.potential(newest))
    inverses = read_active_set(generations.potential(newest).with_suffix(".asi"), list(basis.elements_name))
    fit, prior = read_fit(generations.folder(newest), record.n_folded)
    return FitState(
        generation=newest,
        labels=tuple(record.labels),
        basis=basis,
        fit=fit,
        prior=prior,
        active={name: ActiveSet.from_inverse(inverse) for name, inverse in inverses.items()},
        reference_energy_ev=dict(record.folded_energy_ev or record.reference_energy_ev),
        level_of_theory=record.level_of_theory,
        gamma_max=record.gamma_max_dataset,
        n_environments=dict(record.n_environments),
        free_atoms=tuple(record.free_atoms),
        weights=dict(record.weights),
        with_imported_stress=not record.leaves_out_imported_stresses,
        warnings=tuple(record.warnings),
        choice=record.basis,
        cv_force_rmse_ev_a=record.cv_force_rmse_ev_a,
        fold_order=None if record.fold_order is None else tuple(record.fold_order),
    )


def first_basis(campaign: Campaign, frames: Sequence[Atoms]) -> ACEBBasisSet:
    """Return the basis before any are compared: that of a given potential, or the usual one for such structures."""
    if campaign.potential.initial is not None:
        return read_basis(Path(campaign.potential.initial))
    return usual_form(campaign, frames).basis(campaign.elements)


def _blank(campaign: Campaign, labelled: list[Atoms]) -> FitState:
    basis = first_basis(campaign, labelled)
    n = len(basis.basis_coeffs)
    return FitState(None, (), basis, empty_fit(basis, campaign), np.zeros(n), None, {})


def empty_fit(basis: ACEBBasisSet, campaign: Campaign) -> LinearFit:
    """Return the fit of no labels, with composition columns for energy offsets if the campaign imports labels."""
    n_elements = 0 if campaign.bootstrap.dataset is None else len(basis.elements_name)
    return LinearFit.empty(len(basis.basis_coeffs), n_elements)


def with_fitting_basis(known: FitState, dataset: Dataset, new: Mapping[str, Atoms], campaign: Campaign) -> FitState:
    """Compare bases if that is due, and return an empty fit in another basis if one is clearly better.

    Bases are compared as soon as there are enough labels, when their number has doubled since, and when the error of
    the new labels before training is three times that of the cross-validation, if there are a quarter more labels.
    Reference energies stay as they are. The present coefficients do not become the prior mean: they come from labels
    that are fitted again, which would then count twice.
    """
    usable = {name: atoms for name, atoms in new.items() if not is_free(atoms, known.basis.cutoffmax)}
    count = len(known.learnt) + len(usable)
    if not campaign.potential.compares_bases:
        why = "given by the campaign file" if campaign.potential.initial is None else "that of potential.initial"
        return replace(known, choice=_record(BasisForm.of(known.basis), 0, why))
    form, last = BasisForm.of(known.basis), known.choice.labels if known.choice is not None else 0
    if known.generation is not None and not _is_due(known, list(usable.values()), count, last):
        return replace(known, choice=_record(form, last, f"as chosen with {last} labels"))
    old = [dataset.read(name) for name in known.learnt if name not in known.weights]
    found = chosen_basis([*old, *usable.values()], campaign, None if known.generation is None else form)
    if not found.compared and (known.generation is None or found.form != form):
        logger.info("basis: %s (%s)", found.form, found.why)
    choice = _record(found.form, count, found.why).model_copy(update={"compared": list(found.compared)})
    if found.form == form:
        return replace(known, choice=choice)
    basis = found.form.basis(campaign.elements)
    fit = replace(empty_fit(basis, campaign), frees_offsets=known.fit.frees_offsets)
    blank = replace(known, basis=basis, fit=fit, prior=np.zeros(len(basis.basis_coeffs)), active=None, choice=choice)
    replaced = known.basis if known.generation is not None else None
    return replace(blank, replaced=replaced, gamma_max=0.0, n_environments={})


def _is_due(known: FitState, new: list[Atoms], count: int, last: int) -> bool:
    if count >= _DOUBLED * max(last, 1) or last < MIN_LABELS <= count:
        return True
    if count < _MORE * last or known.cv_force_rmse_ev_a is None:
        return False
    before = AcePotential(known.basis)
    misses = [(before.evaluate(a, gamma=False).forces_ev_a - a.get_forces())[known_forces(a)] for a in new]
    error = float(np.sqrt(np.mean(np.concatenate(misses) ** 2))) if misses else 0.0
    return error > _SURPRISED * known.cv_force_rmse_ev_a


def _record(form: BasisForm, labels: int, why: str) -> BasisRecord:
    radials = form.radials
    return BasisRecord(
        radial=radials.name,
        lambda_=radials.decay,
        cutoff_a=radials.cutoff_a,
        functions_per_element=form.functions,
        labels=labels,
        why=why,
    )


def fit_of_state(
    known: FitState,
    generations: Generations,
    dataset: Dataset,
    rows: EnvironmentRows,
    shape: AcePotential,
    campaign: Campaign,
) -> tuple[LinearFit, tuple[str, ...] | None]:
    """Return the fit of the labels so far, recomputed where the stored one can't be used, and its order of folds.

    That is so if an older version stored it without stresses or composition columns, or if another basis was chosen. In
    another basis all labels are new to the active set, too.
    """
    has_stresses = known.fit.has_stresses or not campaign.potential.stress_weight
    has_all = has_stresses and (bool(known.fit.offsets) or campaign.bootstrap.dataset is None)
    if known.generation is None or (has_all and known.replaced is None):
        return known.fit, known.fold_order
    if known.learnt:
        why = "in the new basis" if known.replaced is not None else "as an older version left out their stresses"
        why = (
            why
            if known.replaced is not None or not has_stresses
            else "as an older version did not keep origins of energies apart"
        )
        logger.info("learning %d labels once more %s", len(known.learnt), why)
    fit = replace(empty_fit(known.basis, campaign), frees_offsets=known.fit.frees_offsets)
    # any order will do in a new basis: by name, which is also known to machines without the earlier generations
    names = (
        known.learnt if known.replaced is not None else in_training_order(generations, known.generation, known.learnt)
    )
    for name in names:
        atoms = dataset.read(name)
        stress, weight = known.with_imported_stress, known.weights.get(name)
        label = design_rows_of(atoms, known.reference_energy_ev, shape, campaign, with_imported_stress=stress)
        fit = label.added_to(fit, (weight.energy, weight.forces) if weight else None)
        if known.replaced is not None:
            rows.add(name, rows_within(label.mask, label.design.projections, atoms))
    return fit, tuple(name for name in names if name not in known.weights)


def n_environments_of(known: FitState, rows: EnvironmentRows, names: list[str]) -> dict[str, int]:
    """Return the number of environments per element in the labels ``names``; recounted if a label was removed."""
    if not set(known.labels) <= set(names):
        return rows.counts(names)
    return {element: known.n_environments.get(element, 0) + len(new) for element, new in rows.added().items()}
