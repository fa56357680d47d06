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
from mlip_fw.engines.train.growth import carried_over, environments_of, first_basis, larger_basis
from mlip_fw.engines.train.kept import read_fit, write_fit
from mlip_fw.engines.train.lessons import in_order, lesson_of
from mlip_fw.engines.train.linear import LinearFit
from mlip_fw.engines.train.rows import Rows
from mlip_fw.engines.train.size import most_atoms, sentence, size_of
from mlip_fw.engines.train.solution import best_sound
from mlip_fw.engines.train.stresses import pressure_offset
from mlip_fw.errors import TrainingError
from mlip_fw.generations import Generations
from mlip_fw.io.files import write_json
from mlip_fw.io.pace import read_active_set, read_basis, write_active_set, write_basis, write_ctilde
from mlip_fw.io.structures import mask_of
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import TrainingRecord

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
    fit, prior = read_fit(generations.folder(newest), len(record.labels))
    return Knowledge(
        generation=newest,
        labels=tuple(record.labels),
        basis=basis,
        fit=fit,
        prior=prior,
        active={name: ActiveSet.from_inverse(inverse) for name, inverse in inverses.items()},
        reference_energy_ev=dict(record.reference_energy_ev),
        level_of_theory=record.level_of_theory,
        gamma_max=record.gamma_max_dataset,
        n_environments=dict(record.n_environments),
    )


def _blank(campaign: Campaign, labelled: list[Atoms]) -> Knowledge:
    basis = first_basis(campaign, labelled)
    n = len(basis.basis_coeffs)
    return Knowledge(None, (), basis, LinearFit.empty(n), np.zeros(n), None, {})


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
    energies = _reference_energies(frames, start, known.reference_energy_ev)
    shape = AcePotential(copy_of(known.basis, np.zeros_like(known.prior)))
    folder_of_rows = generations.rows(fingerprint(known.basis))
    rows = Rows(folder_of_rows, dataset, shape)
    fit, fresh = _known_fit(known, generations, dataset, rows, shape, campaign), LinearFit.empty(len(known.prior))
    for name, atoms in zip(new, frames, strict=True):
        lesson = lesson_of(atoms, energies, shape, campaign)
        fit, fresh = lesson.taken_into(fit), lesson.taken_into(fresh)
        rows.add(name, rows_within(lesson.mask, lesson.design.projections, atoms))
    solution = best_sound(fit, shape, known.prior, folder_of_rows, frames, campaign)
    settled = settle(known.active, known.gamma_max, rows.added(), rows, hashes)
    counts = _environments(known, rows, hashes)
    rows.pack(hashes)
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
            new_before=fresh.errors(np.array(known.basis.basis_coeffs)) if known.generation is not None else None,
            reference_energy_ev=energies,
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
    blank = replace(known, basis=larger, fit=LinearFit.empty(len(prior)), prior=prior, active=None, outgrown=before)
    return replace(blank, gamma_max=0.0, n_environments={})


def _known_fit(
    known: Knowledge, generations: Generations, dataset: Dataset, rows: Rows, shape: AcePotential, campaign: Campaign
) -> LinearFit:
    """Return the fit of the labels so far, made anew if an old version left out their stresses or the basis grew.

    In a basis that grew all labels are new, to the active set as well.
    """
    has_all = known.fit.has_stresses or not campaign.potential.stress_weight
    if known.generation is None or (has_all and not known.outgrown):
        return known.fit
    if known.labels:
        why = "in the larger basis" if known.outgrown else "as an older version left out their stresses"
        logger.info("learning %d labels once more %s", len(known.labels), why)
    fit = LinearFit.empty(len(known.prior))
    # in a new basis their order is free: by name, which those have who don't have all earlier generations
    names = known.labels if known.outgrown else in_order(generations, known.generation, known.labels)
    for name in names:
        atoms = dataset.read(name)
        lesson = lesson_of(atoms, known.reference_energy_ev, shape, campaign)
        fit = lesson.taken_into(fit)
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


def _reference_energies(frames: list[Atoms], before: AcePotential, known: dict[str, float]) -> dict[str, float]:
    """Fit by composition what the potential so far (at first: nothing) leaves of the energies.

    The energy of an element is fixed once and for all by the first labels that have it. A cut-out's energy
    includes its boundary: it counts only where there is nothing else.
    """
    new = [name for name in before.elements if name not in known and any(name in a.symbols for a in frames)]
    frames = [a for a in frames if set(new) & set(a.symbols)]
    frames = [a for a in frames if mask_of(a).all()] or frames
    if not new:
        return known
    counts = np.array([[float(np.sum(a.symbols == name)) for name in new] for a in frames])
    fixed = [sum(known.get(symbol, 0.0) for symbol in a.symbols) for a in frames]
    left = [a.get_potential_energy() - before.evaluate(a, gamma=False).energy_ev for a in frames]
    solution = np.linalg.lstsq(counts, np.array(left) - np.array(fixed), rcond=None)[0]
    return {**known, **{name: float(value) for name, value in zip(new, solution, strict=True)}}


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
