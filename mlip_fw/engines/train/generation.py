"""Training of the next generation from the previous one and the new labels."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet
from threadpoolctl import threadpool_limits

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.seeds import derived_seed
from mlip_fw.engines.ace.basis import copy_of, fingerprint
from mlip_fw.engines.ace.error_estimate import ErrorEstimate
from mlip_fw.engines.ace.potential import AcePotential, functions_of, rows_within
from mlip_fw.engines.train.active_set import update_active_sets
from mlip_fw.engines.train.batch import Batch
from mlip_fw.engines.train.environment_rows import EnvironmentRows
from mlip_fw.engines.train.error_calibration import calibrated_estimate, sample_of
from mlip_fw.engines.train.fit_io import write_fit
from mlip_fw.engines.train.fit_state import (
    FitState,
    empty_fit,
    fit_of_state,
    n_environments_of,
    newest_state,
    with_fitting_basis,
)
from mlip_fw.engines.train.linear_fit import LinearFit
from mlip_fw.engines.train.memory import max_atoms_in_memory, size_in_words, size_of
from mlip_fw.engines.train.references import fitted_references, free_atoms
from mlip_fw.engines.train.ridge_fit import FitTerms, RidgeFit, best_stable_fit
from mlip_fw.engines.train.robust_fit import fit_new_labels, resolve_contradictions
from mlip_fw.engines.train.stresses import pressure_offset
from mlip_fw.errors import TrainingError
from mlip_fw.io.files import write_json
from mlip_fw.io.pace import write_active_set, write_basis, write_ctilde
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import LabelErrors, LabelWeight, TrainingRecord
from mlip_fw.runtime.cores import cores_of

logger = logging.getLogger("mlip_fw")
_MAX_TRIED = 8
"""Number of old labels for the stability test if no new label is suitable."""


@threadpool_limits.wrap(limits=1, user_api="blas")
def train_generation(generations: Generations, dataset: Dataset, campaign: Campaign) -> TrainingRecord | None:
    """Train the next generation; return None if the newest one was trained on all labels already.

    Only new labels are evaluated, besides a sample of all for the expected errors, yet the fit equals one from scratch
    up to rounding, and no environment of any label, old or new, extrapolates from the new active set. BLAS uses one
    thread, because the matrices are small: more threads are slower, and much slower beside other work.

    Raises
    ------
    TrainingError
        If there is no label, all labels are free atoms, or levels of theory are mixed.
    """
    started = time.perf_counter()
    known = newest_state(generations, dataset, campaign)
    hashes = dataset.hashes()
    new = [name for name in hashes if name not in set(known.labels)]
    if not new:
        if known.generation is None:
            raise TrainingError("there is no label to train on")
        return None
    frames = [dataset.read(name) for name in new]
    level = _common_level(new, frames, known.level_of_theory)
    known = with_fitting_basis(known, dataset, dict(zip(new, frames, strict=True)), campaign)
    _tell_size(known, dataset, campaign)
    before = AcePotential(known.basis if known.replaced is None else known.replaced)
    start = before if known.labels else AcePotential(copy_of(known.basis, known.prior))
    free = free_atoms(new, frames, known.reference_energy_ev, known.basis.cutoffmax)
    taught = {name: atoms for name, atoms in zip(new, frames, strict=True) if name not in free.names}
    given = {**known.reference_energy_ev, **free.energies_ev}
    shape = AcePotential(copy_of(known.basis, np.zeros_like(known.prior)))
    folder_of_rows = generations.rows(fingerprint(known.basis))
    rows = EnvironmentRows(folder_of_rows, dataset, shape)
    fit_before, order_before = fit_of_state(known, generations, dataset, rows, shape, campaign)
    if not taught and not fit_before.n_labels:
        raise TrainingError("all labels are free atoms: there is nothing to learn forces from")

    def references(names: list[str]) -> dict[str, float]:
        return fitted_references([taught[name] for name in names], start, given)

    batch = Batch(taught, references(list(taught)), shape, campaign)
    batch.with_imported_stress = known.with_imported_stress
    contrary = resolve_contradictions(batch, campaign)

    def terms_of(fit: LinearFit) -> FitTerms:
        return FitTerms.of(fit, shape, known.prior, campaign)

    refitted = known.replaced is not None and fit_before.n_labels
    coefficients = terms_of(fit_before).solve(fit_before) if refitted else np.array(known.basis.basis_coeffs)
    learnt = fit_new_labels(batch, fit_before, terms_of, references, shape, coefficients)
    fit = learnt.fit
    for name, label in batch.design_rows():
        rows.add(name, rows_within(label.mask, label.design.projections, taught[name]))
    for remark in [*free.remarks, *contrary, *learnt.remarks]:
        logger.warning("%s", remark)
    weights = {**known.weights, **{name: _label_weight(both) for name, both in learnt.weights.items()}}
    outside = {*known.free_atoms, *free.names}
    inside = [name for name in hashes if name not in outside]
    calm = [atoms for name, atoms in taught.items() if name not in weights] or [
        *(dataset.read(name) for name in known.learnt[:_MAX_TRIED] if name not in weights)
    ]
    solution = best_stable_fit(fit, shape, known.prior, folder_of_rows, calm or frames, campaign)
    settled = update_active_sets(known.active, known.gamma_max, rows.added(), rows, inside)
    counts = n_environments_of(known, rows, inside)
    rows.pack(inside)
    zeros = _zeros(fit, solution.coefficients, shape.elements, batch.energies_ev)
    order = None if order_before is None else [*order_before, *(name for name in taught if name not in learnt.weights)]
    estimate = _error_estimate(fit, terms_of(fit), solution, order, dataset, shape, campaign)
    with generations.new() as (number, folder):
        inverses = {name: found.inverse for name, found in settled.active.items()}
        write_generation(folder, copy_of(known.basis, solution.coefficients), inverses, fit, known.prior, estimate)
        record = TrainingRecord(
            generation=number,
            parent=known.generation,
            labels=hashes,
            new_labels=new,
            n_atoms=sum(counts.values()),
            n_environments=counts,
            functions_per_element=shape.n_functions(),
            outgrown_functions=None if known.replaced is None else functions_of(known.replaced),
            basis=known.choice,
            cv_force_rmse_ev_a=solution.cv_force_rmse_ev_a,
            ridge_at_edge=solution.ridge_at_edge,
            dataset=fit.errors(solution.coefficients),
            new_before=_errors_before(before, batch, fit, campaign)
            if known.generation is not None and taught
            else None,
            reference_energy_ev=zeros.reference_ev,
            folded_energy_ev=batch.energies_ev if fit.frees_offsets else None,
            imported_offset_ev=zeros.offset_ev,
            free_atoms=[name for name in hashes if name in outside],
            fold_order=order,
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


def _tell_size(known: FitState, dataset: Dataset, campaign: Campaign) -> None:
    """Log the size of a basis that is new."""
    if known.generation is None or known.replaced is not None:
        largest = max_atoms_in_memory(map(dataset.read, dataset.hashes()), campaign, known.basis.cutoffmax)
        logger.info("%s", size_in_words(size_of(known.basis, largest)))


def _error_estimate(
    fit: LinearFit,
    terms: FitTerms,
    solution: RidgeFit,
    order: list[str] | None,
    dataset: Dataset,
    shape: AcePotential,
    campaign: Campaign,
) -> ErrorEstimate | None:
    """Return the expected force errors of a fit; None if it is not known which fold each of its labels is in."""
    if order is None or len(order) != fit.n_labels:
        return None
    rng = np.random.default_rng(derived_seed(campaign.seed, "error estimate", fit.n_labels))
    sample = sample_of({place: name for place, name in enumerate(order) if dataset.has(name)}, dataset, shape, rng)
    problem, n_elements = terms.problem(fit), len(shape.elements)
    return calibrated_estimate(problem, terms.prior, solution.ridge, solution.coefficients, sample, n_elements, rng)


def _errors_before(before: AcePotential, batch: Batch, fit: LinearFit, campaign: Campaign) -> LabelErrors:
    """Return the errors of the generation ``before``, whose basis may be another one, on new labels."""
    coefficients = np.array(before.basis.basis_coeffs)
    shape = AcePotential(copy_of(before.basis, np.zeros_like(coefficients)))
    if fingerprint(before.basis) != fingerprint(batch.shape.basis):
        other = Batch(batch.frames, batch.energies_ev, shape, campaign)
        other.with_imported_stress = batch.with_imported_stress
        batch = other
    fresh = replace(empty_fit(before.basis, campaign), frees_offsets=fit.frees_offsets)
    return batch.added_to(fresh, {}).errors(coefficients)


@dataclass(frozen=True)
class _Zeros:
    reference_ev: dict[str, float]
    offset_ev: dict[str, float] | None


def _zeros(fit: LinearFit, coefficients: np.ndarray, elements: list[str], folded_ev: dict[str, float]) -> _Zeros:
    """Return the reference energies of the elements, and the energy offsets of imported labels if these were fitted."""
    constants = fit.constants_ev(coefficients)
    if constants is None:
        return _Zeros(folded_ev, None)
    imported, own = (dict(zip(elements, row.tolist(), strict=True)) for row in constants)
    reference = {name: energy + own[name] for name, energy in folded_ev.items()}
    return _Zeros(reference, {name: imported[name] - own[name] for name in folded_ev})


def _label_weight(both: tuple[float, float]) -> LabelWeight:
    return LabelWeight(energy=both[0], forces=both[1])


def _common_level(names: list[str], frames: list[Atoms], known: str | None) -> str | None:
    """Return the common level of theory of all labels; labels of ``bootstrap.dataset`` have none."""
    for name, atoms in zip(names, frames, strict=True):
        level = atoms.info.get("level_of_theory")
        if level is not None and known is not None and level != known:
            raise TrainingError(
                f"label {name} is of level of theory {level}, the others are of {known}; two levels don't mix in one "
                "training set: take it out of labels/"
            )
        known = level or known
    return known


def write_generation(
    folder: Path,
    basis: ACEBBasisSet,
    inverses: dict[str, np.ndarray],
    fit: LinearFit,
    prior: np.ndarray,
    estimate: ErrorEstimate | None = None,
) -> None:
    """Write the files of a generation, except its record."""
    write_basis(folder / "potential.yaml", basis)
    write_ctilde(folder / "potential.yace", basis)
    write_active_set(folder / "potential.asi", inverses)
    write_fit(folder, fit, prior)
    if estimate is not None:
        estimate.write_beside(folder / "potential.yaml")
