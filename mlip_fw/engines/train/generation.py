"""The next generation of the potential, from the one before and the new labels."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet
from threadpoolctl import threadpool_limits

from mlip_fw.dataset import Dataset
from mlip_fw.engines.ace import AcePotential, rows_within
from mlip_fw.engines.maxvol import ActiveSet, exchange
from mlip_fw.engines.train.basis import copy_of, fingerprint, linear_basis
from mlip_fw.engines.train.linear import Fold, LinearFit, Triangle
from mlip_fw.errors import TrainingError
from mlip_fw.generations import Generations
from mlip_fw.io.files import read_arrays, write_arrays, write_json
from mlip_fw.io.pace import read_active_set, read_basis, write_active_set, write_basis, write_ctilde
from mlip_fw.io.structures import mask_of
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.training import TrainingRecord

_FIT = "fit.npz"


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
    reference_energy_ev: dict[str, float] | None
    level_of_theory: str | None = None


def knowledge(generations: Generations, campaign: Campaign) -> Knowledge:
    """Return what the newest linear generation knows, or a blank start."""
    newest = generations.newest_of("linear")
    if newest is None:
        return _blank(campaign)
    record = generations.record(newest)
    if record is None:
        raise TrainingError(
            f"{generations.folder(newest)} has no whole training.json; remove that folder and run again"
        )
    basis = read_basis(generations.potential(newest))
    inverses = read_active_set(generations.potential(newest).with_suffix(".asi"), list(basis.elements_name))
    kept = read_arrays(generations.folder(newest) / _FIT)
    if kept is None:
        raise TrainingError(f"{generations.folder(newest)} has no whole {_FIT}; remove that folder and run again")
    folds = tuple(
        Fold(Triangle(e, int(m)), Triangle(f, int(n)))
        for e, f, m, n in zip(kept["energy"], kept["force"], kept["n_energy"], kept["n_force"], strict=True)
    )
    fit = LinearFit(folds, len(record.labels))
    return Knowledge(
        generation=newest,
        labels=tuple(record.labels),
        basis=basis,
        fit=fit,
        prior=kept["prior"],
        active={name: ActiveSet.from_inverse(inverse) for name, inverse in inverses.items()},
        reference_energy_ev=dict(record.reference_energy_ev) or None,
        level_of_theory=record.level_of_theory,
    )


def _blank(campaign: Campaign) -> Knowledge:
    settings = campaign.potential
    basis = linear_basis(campaign.elements, settings.cutoff_a, settings.functions_per_element)
    n = len(basis.basis_coeffs)
    return Knowledge(None, (), basis, LinearFit.empty(n), np.zeros(n), None, None)


def import_initial(generations: Generations, source: Path) -> TrainingRecord:
    """Publish a user's potential and its active set as generation 0."""
    started = time.perf_counter()
    basis = read_basis(source)
    elements = [str(name) for name in basis.elements_name]
    inverses = read_active_set(source.with_suffix(".asi"), elements)
    coefficients = np.array(basis.basis_coeffs)
    empty = LinearFit.empty(len(coefficients))
    with generations.new() as (number, folder):
        record = TrainingRecord(
            generation=number,
            labels=[],
            new_labels=[],
            n_atoms=0,
            n_environments=dict.fromkeys(elements, 0),
            functions_per_element=AcePotential(basis).n_functions(),
            reference_energy_ev={},
            ridge=0.0,
            active_set_swaps=0,
            gamma_max_dataset=0.0,
            seconds=time.perf_counter() - started,
        )
        _write(folder, basis, inverses, empty, coefficients)
        write_json(folder / "training.json", record)
    return record


@threadpool_limits.wrap(limits=1, user_api="blas")
def train_generation(generations: Generations, dataset: Dataset, campaign: Campaign) -> TrainingRecord | None:
    """Make the next generation; None if the newest one has seen every label already.

    Only new labels are evaluated. The fit equals one from scratch, to rounding; the active set is
    exchanged with all environments at hand, starting from the one before. The matrices are small:
    more than one BLAS thread is slower, and much slower beside other work.

    Raises
    ------
    TrainingError
        If there is no label to learn from.
    """
    started = time.perf_counter()
    known = knowledge(generations, campaign)
    hashes = dataset.hashes()
    new = [name for name in hashes if name not in set(known.labels)]
    if not new:
        if known.generation is None:
            raise TrainingError("there is no label to train on")
        return None
    before = AcePotential(known.basis)
    frames = [dataset.read(name) for name in new]
    level = _common_level(new, frames, known.level_of_theory)
    energies = known.reference_energy_ev or _reference_energies(frames, before)
    shape = AcePotential(copy_of(known.basis, np.zeros_like(known.prior)))
    folder_of_rows = generations.rows(fingerprint(known.basis))
    fit, fresh = known.fit, LinearFit.empty(len(known.prior))
    for name, atoms in zip(new, frames, strict=True):
        design = shape.design(atoms)
        energy, forces = _targets(atoms, energies, shape)
        mask = mask_of(atoms)
        fit = fit.with_label(design, energy, forces, mask)
        fresh = fresh.with_label(design, energy, forces, mask)
        write_arrays(folder_of_rows / f"{name}.npz", rows_within(mask, design.projections, atoms))
    coefficients, ridge = fit.solve(_degrees(known.basis), known.prior)
    active, swaps, gamma_max, counts = _exchange_all(folder_of_rows, dataset, hashes, known.active, shape)
    with generations.new() as (number, folder):
        inverses = {name: found.inverse for name, found in active.items()}
        _write(folder, copy_of(known.basis, coefficients), inverses, fit, known.prior)
        record = TrainingRecord(
            generation=number,
            parent=known.generation,
            labels=hashes,
            new_labels=new,
            n_atoms=sum(counts.values()),
            n_environments=counts,
            functions_per_element=shape.n_functions(),
            dataset=fit.errors(coefficients),
            new_before=fresh.errors(np.array(known.basis.basis_coeffs)) if known.generation is not None else None,
            reference_energy_ev=energies,
            level_of_theory=level,
            ridge=ridge,
            active_set_swaps=swaps,
            gamma_max_dataset=gamma_max,
            seconds=time.perf_counter() - started,
        )
        write_json(folder / "training.json", record)
    return record


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


def _reference_energies(frames: list[Atoms], before: AcePotential) -> dict[str, float]:
    """Fit by composition what the potential so far (at first: nothing) leaves of the energies, once and for all.

    A cut-out's energy includes its boundary: it counts only where there is nothing else.
    """
    frames = [a for a in frames if mask_of(a).all()] or frames
    counts = np.array([[float(np.sum(a.symbols == e)) for e in before.elements] for a in frames])
    left = np.array([a.get_potential_energy() - before.evaluate(a, gamma=False).energy_ev for a in frames])
    solution = np.linalg.lstsq(counts, left, rcond=None)[0]
    return {name: float(value) for name, value in zip(before.elements, solution, strict=True)}


def _targets(atoms: Atoms, energies: dict[str, float], core: AcePotential) -> tuple[float, np.ndarray]:
    """Return energy and forces less those of free atoms and of the core repulsion."""
    repulsion = core.evaluate(atoms, gamma=False)
    free = sum(energies[symbol] for symbol in atoms.get_chemical_symbols())
    return float(atoms.get_potential_energy()) - free - repulsion.energy_ev, atoms.get_forces() - repulsion.forces_ev_a


def _degrees(basis: ACEBBasisSet) -> np.ndarray:
    """Return the roughness of each function: the sum of its radial and angular indices."""
    return np.array(
        [
            float(sum(function.ns) + sum(function.ls))
            for first, rest in zip(basis.basis_rank1, basis.basis, strict=True)
            for function in [*first, *rest]
        ]
    )


def _rows_of(name: str, folder: Path, dataset: Dataset, shape: AcePotential) -> dict[str, np.ndarray]:
    """Return the basis functions of a label's atoms, from its file or, if that is damaged, anew."""
    path = folder / f"{name}.npz"
    kept = read_arrays(path)
    if kept is not None and set(shape.elements) <= set(kept):
        return kept
    atoms = dataset.read(name)
    rows = rows_within(mask_of(atoms), shape.evaluate_with_projections(atoms)[1], atoms)
    write_arrays(path, rows)
    return rows


def _exchange_all(
    folder: Path,
    dataset: Dataset,
    hashes: list[str],
    active: dict[str, ActiveSet] | None,
    shape: AcePotential,
) -> tuple[dict[str, ActiveSet], int, float, dict[str, int]]:
    parts: dict[str, list[np.ndarray]] = {name: [] for name in shape.elements}
    for name in hashes:
        for element, rows in _rows_of(name, folder, dataset, shape).items():
            parts[element].append(rows)
    result, swaps, gamma_max, counts = {}, 0, 0.0, {}
    for element, width in shape.n_functions().items():
        rows = np.concatenate(parts[element]) if parts[element] else np.zeros((0, width))
        start = active[element] if active is not None else ActiveSet.empty(rows, width)
        outcome = exchange(start, rows)
        result[element] = outcome.active
        swaps += outcome.swaps
        gamma_max = max(gamma_max, float(outcome.active.gamma(rows).max(initial=0.0)))
        counts[element] = len(rows)
    return result, swaps, gamma_max, counts


def _write(
    folder: Path,
    basis: ACEBBasisSet,
    inverses: dict[str, np.ndarray],
    fit: LinearFit,
    prior: np.ndarray,
) -> None:
    write_basis(folder / "potential.yaml", basis)
    write_ctilde(folder / "potential.yace", basis)
    write_active_set(folder / "potential.asi", inverses)
    fitted = {
        "energy": np.array([fold.energy.r for fold in fit.folds]),
        "n_energy": np.array([fold.energy.n_rows for fold in fit.folds]),
        "force": np.array([fold.force.r for fold in fit.folds]),
        "n_force": np.array([fold.force.n_rows for fold in fit.folds]),
        "prior": prior,
    }
    write_arrays(folder / _FIT, fitted)
