"""The next generation of the potential, from the one before and the new labels."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet
from threadpoolctl import threadpool_limits

from mlip_fw.cores import cores_of
from mlip_fw.dataset import Dataset
from mlip_fw.engines.ace import AcePotential, functions_of, rows_within
from mlip_fw.engines.maxvol import ActiveSet
from mlip_fw.engines.train.active_set import settle
from mlip_fw.engines.train.basis import copy_of, fingerprint
from mlip_fw.engines.train.batch import Batch
from mlip_fw.engines.train.growth import carried_over, environments_of, first_basis, larger_basis
from mlip_fw.engines.train.kept import read_fit, write_fit
from mlip_fw.engines.train.learning import learn, require_agreement
from mlip_fw.engines.train.lessons import in_order, lesson_of
from mlip_fw.engines.train.linear import LinearFit
from mlip_fw.engines.train.references import fitted_references, free_atoms
from mlip_fw.engines.train.rows import Rows
from mlip_fw.engines.train.size import most_atoms, sentence, size_of
from mlip_fw.engines.train.solution import Terms, best_sound
from mlip_fw.engines.train.stresses import pressure_offset
from mlip_fw.errors import TrainingError
from mlip_fw.generations import Generations
from mlip_fw.io.files import write_json
from mlip_fw.io.pace import read_active_set, read_basis, write_active_set, write_basis, write_ctilde
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import LabelWeight, TrainingRecord

logger = logging.getLogger("mlip_fw")
_MOST_TRIED = 8
"""Old labels that the potential is tried on where no new one will do."""


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
    return Knowledge(None, (), basis, _nothing_learnt(basis, campaign), np.zeros(n), None, {})


def _nothing_learnt(basis: ACEBBasisSet, campaign: Campaign) -> LinearFit:
    """Return the fit of no labels; where some come with the campaign, energies of two origins are kept apart."""
    n_elements = 0 if campaign.bootstrap.dataset is None else len(basis.elements_name)
    return LinearFit.empty(len(basis.basis_coeffs), n_elements)


@threadpool_limits.wrap(limits=1, user_api="blas")
def train_generation(generations: Generations, dataset: Dataset, campaign: Campaign) -> TrainingRecord | None:
    """Make the next generation; None if the newest one has seen every label already.

    Only new labels are evaluated. The fit equals one from scratch, to rounding; of no label, old or new, is an
    environment outside of the active set. The matrices are small:
    more than one BLAS thread is slower, and much slower beside other work.

    Raises
    ------
    TrainingError
        If there is no label to learn from.
    """
    started = time.perf_counter()
    known = knowledge(generations, dataset, campaign)
    hashes = dataset.hashes()
    new = [name for name in hashes if name not in set(known.labels)]
    if not new:
        if known.generation is None:
            raise TrainingError("there is no label to train on")
        return None
    frames = [dataset.read(name) for name in new]
    level = _common_level(new, frames, known.level_of_theory)
    known = _grown(known, frames, campaign)
    if known.generation is None or known.outgrown:
        logger.info("%s", sentence(size_of(known.basis, most_atoms(map(dataset.read, hashes), campaign))))
    before = AcePotential(known.basis)
    start = before if known.labels else AcePotential(copy_of(known.basis, known.prior))
    free = free_atoms(new, frames, known.reference_energy_ev, known.basis.cutoffmax)
    taught = {name: atoms for name, atoms in zip(new, frames, strict=True) if name not in free.names}
    given = {**known.reference_energy_ev, **free.energies_ev}
    shape = AcePotential(copy_of(known.basis, np.zeros_like(known.prior)))
    folder_of_rows = generations.rows(fingerprint(known.basis))
    rows = Rows(folder_of_rows, dataset, shape)
    fit_before = _known_fit(known, generations, dataset, rows, shape, campaign)
    if not taught and not fit_before.n_labels:
        raise TrainingError("all labels are free atoms: there is nothing to learn forces from")

    def references(names: list[str]) -> dict[str, float]:
        return fitted_references([taught[name] for name in names], start, given)

    batch = Batch(taught, references(list(taught)), shape, campaign)
    batch.with_imported_stress = known.with_imported_stress
    contrary = require_agreement(batch, campaign)
    coefficients = np.array(known.basis.basis_coeffs)
    learnt = learn(
        batch, fit_before, lambda fit: Terms.of(fit, shape, known.prior, campaign), references, shape, coefficients
    )
    fit, fresh = learnt.fit, _nothing_learnt(known.basis, campaign)
    fresh = batch.taken_into(replace(fresh, frees_zeros=fit.frees_zeros), {})
    for name, lesson in batch.lessons():
        rows.add(name, rows_within(lesson.mask, lesson.design.projections, taught[name]))
    for remark in [*free.remarks, *contrary, *learnt.remarks]:
        logger.warning("%s", remark)
    weights = {**known.weights, **{name: _label_weight(both) for name, both in learnt.weights.items()}}
    outside = {*known.free_atoms, *free.names}
    inside = [name for name in hashes if name not in outside]
    calm = [atoms for name, atoms in taught.items() if name not in weights]
    calm = calm or [dataset.read(name) for name in known.learnt[:_MOST_TRIED] if name not in weights] or frames
    solution = best_sound(fit, shape, known.prior, folder_of_rows, calm, campaign)
    settled = settle(known.active, known.gamma_max, rows.added(), rows, inside)
    counts = _environments(known, rows, inside)
    rows.pack(inside)
    zeros = _zeros(fit, solution.coefficients, shape.elements, batch.energies_ev)
    with generations.new() as (number, folder):
        inverses = {name: found.inverse for name, found in settled.active.items()}
        write_generation(folder, copy_of(known.basis, solution.coefficients), inverses, fit, known.prior)
        record = TrainingRecord(
            generation=number,
            parent=known.generation,
            labels=hashes,
            new_labels=new,
            n_atoms=sum(counts.values()),
            n_environments=counts,
            functions_per_element=shape.n_functions(),
            outgrown_functions=known.outgrown,
            dataset=fit.errors(solution.coefficients),
            new_before=fresh.errors(coefficients) if known.generation is not None and taught else None,
            reference_energy_ev=zeros.reference_ev,
            folded_energy_ev=batch.energies_ev if fit.frees_zeros else None,
            imported_offset_ev=zeros.offset_ev,
            free_atoms=[name for name in hashes if name in outside],
            weights={name: weight for name, weight in sorted(weights.items()) if name in inside},
            leaves_out_imported_stresses=not batch.with_imported_stress,
            warnings=list(dict.fromkeys([*known.warnings, *contrary, *learnt.remarks])),
            level_of_theory=level,
            ridge=solution.ridge,
            energy_weight=solution.energy_weight,
            stress_weight=solution.stress_weight,
            is_pressure_free=campaign.oracle.has_pulay_stress,
            pressure_offset_ev_a3=pressure_offset(fit.stresses, solution.coefficients),
            active_set_swaps=settled.swaps,
            gamma_max_dataset=settled.gamma_max,
            stability=solution.stability,
            seconds=time.perf_counter() - started,
            cores=cores_of(),
        )
        write_json(folder / "training.json", record)
    return record


@dataclass(frozen=True)
class _Zeros:
    reference_ev: dict[str, float]
    offset_ev: dict[str, float] | None


def _zeros(fit: LinearFit, coefficients: np.ndarray, elements: list[str], folded_ev: dict[str, float]) -> _Zeros:
    """Return the energies of free atoms, and what imported labels have more of them if that was left free."""
    constants = fit.constants_ev(coefficients)
    if constants is None:
        return _Zeros(folded_ev, None)
    imported, own = (dict(zip(elements, row.tolist(), strict=True)) for row in constants)
    reference = {name: energy + own[name] for name, energy in folded_ev.items()}
    return _Zeros(reference, {name: imported[name] - own[name] for name in folded_ev})


def _label_weight(both: tuple[float, float]) -> LabelWeight:
    return LabelWeight(energy=both[0], forces=both[1])


def _grown(known: Knowledge, frames: list[Atoms], campaign: Campaign) -> Knowledge:
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
    fit = replace(_nothing_learnt(larger, campaign), frees_zeros=known.fit.frees_zeros)
    blank = replace(known, basis=larger, fit=fit, prior=prior, active=None, outgrown=before)
    return replace(blank, gamma_max=0.0, n_environments={})


def _known_fit(
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
    fit = replace(_nothing_learnt(known.basis, campaign), frees_zeros=known.fit.frees_zeros)
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


def _common_level(names: list[str], frames: list[Atoms], known: str | None) -> str | None:
    """Return the level of theory of all labels so far; those of a given dataset name none."""
    for name, atoms in zip(names, frames, strict=True):
        level = atoms.info.get("level_of_theory")
        if level is not None and known is not None and level != known:
            raise TrainingError(
                f"label {name} is of level of theory {level}, the others are of {known}; two levels don't mix in one "
                "training set: take it out of labels/"
            )
        known = level or known
    return known


def _environments(known: Knowledge, rows: Rows, names: list[str]) -> dict[str, int]:
    """Return how many environments of each element the labels ``names`` have; they are counted if any is gone."""
    if not set(known.labels) <= set(names):
        return rows.counts(names)
    return {element: known.n_environments.get(element, 0) + len(new) for element, new in rows.added().items()}


def write_generation(
    folder: Path,
    basis: ACEBBasisSet,
    inverses: dict[str, np.ndarray],
    fit: LinearFit,
    prior: np.ndarray,
) -> None:
    """Write the files of a generation, except its record."""
    write_basis(folder / "potential.yaml", basis)
    write_ctilde(folder / "potential.yace", basis)
    write_active_set(folder / "potential.asi", inverses)
    write_fit(folder, fit, prior)
