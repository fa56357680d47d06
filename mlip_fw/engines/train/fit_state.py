"""State of the fit that one training hands to the next."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential, functions_of, rows_within
from mlip_fw.engines.sampling.maxvol import ActiveSet
from mlip_fw.engines.train.basis_size import (
    count_environments,
    first_basis,
    larger_basis,
    transfer_coefficients,
)
from mlip_fw.engines.train.design_rows import design_rows_of, in_training_order
from mlip_fw.engines.train.environment_rows import EnvironmentRows
from mlip_fw.engines.train.fit_io import read_fit
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.errors import TrainingError
from mlip_fw.io.pace import read_active_set, read_basis
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import LabelWeight

logger = logging.getLogger("mlip_fw")


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
    outgrown: dict[str, int] | None = None
    """Functions per element of the smaller basis that was just replaced; the fit is then still empty. Else None."""
    free_atoms: tuple[str, ...] = ()
    """Labels of free atoms: they set reference energies and are not in the fit."""
    weights: dict[str, LabelWeight] = field(default_factory=dict)
    with_imported_stress: bool = True
    warnings: tuple[str, ...] = ()

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
    )


def _blank(campaign: Campaign, labelled: list[Atoms]) -> FitState:
    basis = first_basis(campaign, labelled)
    n = len(basis.basis_coeffs)
    return FitState(None, (), basis, empty_fit(basis, campaign), np.zeros(n), None, {})


def empty_fit(basis: ACEBBasisSet, campaign: Campaign) -> LinearFit:
    """Return the fit of no labels, with composition columns for energy offsets if the campaign imports labels."""
    n_elements = 0 if campaign.bootstrap.dataset is None else len(basis.elements_name)
    return LinearFit.empty(len(basis.basis_coeffs), n_elements)


def with_larger_basis(known: FitState, frames: list[Atoms], campaign: Campaign) -> FitState:
    """Return an empty fit in a larger basis if, with these new labels, the present basis is too small.

    Reference energies and the prior mean stay as they are. The present coefficients do not become the prior mean: they
    come from labels that are fitted again, which would then count twice.
    """
    larger = None
    if known.generation is not None:
        larger = larger_basis(known.basis, count_environments(frames, known.n_environments), campaign)
    if larger is None:
        return known
    before, now = functions_of(known.basis), functions_of(larger)
    logger.info("the basis grows from %d to %d functions per element", max(before.values()), max(now.values()))
    prior = transfer_coefficients(known.prior, known.basis, larger)
    fit = replace(empty_fit(larger, campaign), frees_offsets=known.fit.frees_offsets)
    blank = replace(known, basis=larger, fit=fit, prior=prior, active=None, outgrown=before)
    return replace(blank, gamma_max=0.0, n_environments={})


def fit_of_state(
    known: FitState,
    generations: Generations,
    dataset: Dataset,
    rows: EnvironmentRows,
    shape: AcePotential,
    campaign: Campaign,
) -> LinearFit:
    """Return the fit of the labels so far, recomputed where the stored one can't be used.

    That is so if an older version stored it without stresses or composition columns, or if the basis was enlarged. In
    an enlarged basis all labels are new to the active set, too.
    """
    has_stresses = known.fit.has_stresses or not campaign.potential.stress_weight
    has_all = has_stresses and (bool(known.fit.offsets) or campaign.bootstrap.dataset is None)
    if known.generation is None or (has_all and not known.outgrown):
        return known.fit
    if known.learnt:
        why = "in the larger basis" if known.outgrown else "as an older version left out their stresses"
        why = (
            why if known.outgrown or not has_stresses else "as an older version did not keep origins of energies apart"
        )
        logger.info("learning %d labels once more %s", len(known.learnt), why)
    fit = replace(empty_fit(known.basis, campaign), frees_offsets=known.fit.frees_offsets)
    # any order will do in a new basis: by name, which is also known to machines without the earlier generations
    names = known.learnt if known.outgrown else in_training_order(generations, known.generation, known.learnt)
    for name in names:
        atoms = dataset.read(name)
        stress, weight = known.with_imported_stress, known.weights.get(name)
        label = design_rows_of(atoms, known.reference_energy_ev, shape, campaign, with_imported_stress=stress)
        fit = label.added_to(fit, (weight.energy, weight.forces) if weight else None)
        if known.outgrown:
            rows.add(name, rows_within(label.mask, label.design.projections, atoms))
    return fit


def n_environments_of(known: FitState, rows: EnvironmentRows, names: list[str]) -> dict[str, int]:
    """Return the number of environments per element in the labels ``names``; recounted if a label was removed."""
    if not set(known.labels) <= set(names):
        return rows.counts(names)
    return {element: known.n_environments.get(element, 0) + len(new) for element, new in rows.added().items()}
