"""What a training takes over from the one before."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet

from mlip_fw.dataset import Dataset
from mlip_fw.engines.ace import AcePotential, functions_of, rows_within
from mlip_fw.engines.maxvol import ActiveSet
from mlip_fw.engines.train.growth import carried_over, environments_of, first_basis, larger_basis
from mlip_fw.engines.train.kept import read_fit
from mlip_fw.engines.train.lessons import in_order, lesson_of
from mlip_fw.engines.train.linear import LinearFit
from mlip_fw.engines.train.rows import Rows
from mlip_fw.errors import TrainingError
from mlip_fw.generations import Generations
from mlip_fw.io.pace import read_active_set, read_basis
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import LabelWeight

logger = logging.getLogger("mlip_fw")


@dataclass(frozen=True)
class Knowledge:
    """All that a training keeps for the next one."""

    generation: int | None
    labels: tuple[str, ...]
    basis: ACEBBasisSet
    """The form of the potential; its coefficients are those of this generation."""
    fit: LinearFit
    prior: np.ndarray
    """(n_functions,) what the penalty pulls to: zero, or an initial potential."""
    active: dict[str, ActiveSet] | None
    reference_energy_ev: dict[str, float]
    """Of the elements that a label had so far."""
    level_of_theory: str | None = None
    gamma_max: float = 0.0
    """Largest of the labels' environments."""
    n_environments: dict[str, int] = field(default_factory=dict)
    outgrown: dict[str, int] | None = None
    """Functions of the basis that this one has just replaced: all labels are still to be learnt."""
    free_atoms: tuple[str, ...] = ()
    """Labels that are not in the fit."""
    weights: dict[str, LabelWeight] = field(default_factory=dict)
    with_imported_stress: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def learnt(self) -> list[str]:
        """Labels that are in the fit."""
        return [name for name in self.labels if name not in self.free_atoms]


def knowledge(generations: Generations, dataset: Dataset, campaign: Campaign) -> Knowledge:
    """Return what the newest linear generation knows, or a blank start for the labels that there are."""
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
    return Knowledge(
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


def _blank(campaign: Campaign, labelled: list[Atoms]) -> Knowledge:
    basis = first_basis(campaign, labelled)
    n = len(basis.basis_coeffs)
    return Knowledge(None, (), basis, nothing_learnt(basis, campaign), np.zeros(n), None, {})


def nothing_learnt(basis: ACEBBasisSet, campaign: Campaign) -> LinearFit:
    """Return the fit of no labels; where some come with the campaign, energies of two origins are kept apart."""
    n_elements = 0 if campaign.bootstrap.dataset is None else len(basis.elements_name)
    return LinearFit.empty(len(basis.basis_coeffs), n_elements)


def grown(known: Knowledge, frames: list[Atoms], campaign: Campaign) -> Knowledge:
    """Return what is known in a larger basis, of no label yet, if with these new labels the present one is too small.

    The energies of free atoms stay. So does what the penalty pulls to: the coefficients so far are made of labels that
    are learnt again, and would count twice.
    """
    larger = None
    if known.generation is not None:
        larger = larger_basis(known.basis, environments_of(frames, known.n_environments), campaign)
    if larger is None:
        return known
    before, now = functions_of(known.basis), functions_of(larger)
    logger.info("the basis grows from %d to %d functions per element", max(before.values()), max(now.values()))
    prior = carried_over(known.prior, known.basis, larger)
    fit = replace(nothing_learnt(larger, campaign), frees_zeros=known.fit.frees_zeros)
    blank = replace(known, basis=larger, fit=fit, prior=prior, active=None, outgrown=before)
    return replace(blank, gamma_max=0.0, n_environments={})


def known_fit(
    known: Knowledge, generations: Generations, dataset: Dataset, rows: Rows, shape: AcePotential, campaign: Campaign
) -> LinearFit:
    """Return the fit of the labels so far, made anew if an old version left out their stresses or the basis grew.

    In a basis that grew all labels are new, to the active set as well.
    """
    has_stresses = known.fit.has_stresses or not campaign.potential.stress_weight
    has_all = has_stresses and (bool(known.fit.zeros) or campaign.bootstrap.dataset is None)
    if known.generation is None or (has_all and not known.outgrown):
        return known.fit
    if known.learnt:
        why = "in the larger basis" if known.outgrown else "as an older version left out their stresses"
        why = (
            why if known.outgrown or not has_stresses else "as an older version did not keep origins of energies apart"
        )
        logger.info("learning %d labels once more %s", len(known.learnt), why)
    fit = replace(nothing_learnt(known.basis, campaign), frees_zeros=known.fit.frees_zeros)
    # in a new basis their order is free: by name, which those have who don't have all earlier generations
    names = known.learnt if known.outgrown else in_order(generations, known.generation, known.learnt)
    for name in names:
        atoms = dataset.read(name)
        stress, weight = known.with_imported_stress, known.weights.get(name)
        lesson = lesson_of(atoms, known.reference_energy_ev, shape, campaign, with_imported_stress=stress)
        fit = lesson.taken_into(fit, (weight.energy, weight.forces) if weight else None)
        if known.outgrown:
            rows.add(name, rows_within(lesson.mask, lesson.design.projections, atoms))
    return fit


def environments_in(known: Knowledge, rows: Rows, names: list[str]) -> dict[str, int]:
    """Return how many environments of each element the labels ``names`` have; they are counted if any is gone."""
    if not set(known.labels) <= set(names):
        return rows.counts(names)
    return {element: known.n_environments.get(element, 0) + len(new) for element, new in rows.added().items()}
