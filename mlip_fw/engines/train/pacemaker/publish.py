"""Write pacemaker's potential as a generation: errors by the evaluator that MD uses, and a new active set."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from pyace import ACEBBasisSet, BBasisConfiguration

from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.ace.potential import AcePotential, rows_within
from mlip_fw.engines.sampling.maxvol import ActiveSet, exchange
from mlip_fw.engines.train.pacemaker.frame import rmse_of
from mlip_fw.engines.train.pacemaker.inputs import INPUT
from mlip_fw.engines.train.pacemaker.job import FitRun
from mlip_fw.engines.train.pacemaker.metrics import METRICS, read_metrics
from mlip_fw.engines.train.stability import check_stability
from mlip_fw.errors import NumberTakenError, TrainingError
from mlip_fw.io.files import write_json
from mlip_fw.io.pace import write_active_set, write_basis, write_ctilde
from mlip_fw.io.structures import known_forces, mask_of, stress_of
from mlip_fw.models.training import LabelErrors, TrainingRecord
from mlip_fw.runtime.cores import cores_of

logger = logging.getLogger("mlip_fw")
_AGREES_REL, _AGREES_EV_A = 1e-3, 1e-5
_VERSIONS = {"pacemaker": "pacemaker_version", "tensorpotential": "tensorpot_version"}


@dataclass(frozen=True)
class _Judgement:
    """Errors of a potential on the labels, and its basis functions there."""

    errors: LabelErrors
    rows: dict[str, np.ndarray]
    """Basis functions by element, (n_atoms, n_functions), of the atoms within the masks."""


def publish(
    generations: Generations,
    source: TrainingRecord,
    run: FitRun,
    frames: list[Atoms],
    finished: BBasisConfiguration,
    whole: BBasisConfiguration,
) -> TrainingRecord:
    """Write a fitted potential as the next generation, which MD takes unless it is unfit for it.

    Parameters
    ----------
    source
        The linear generation whose labels were trained on.
    finished, whole
        The fitted potential without and with its cores.

    Raises
    ------
    TrainingError
        If pyace, which MD uses, does not find the errors that pacemaker reports.
    """
    _require_agreement(run, finished)
    basis = ACEBBasisSet(whole)
    potential = AcePotential(basis)
    judged = _judged(potential, frames, dict(source.reference_energy_ev))
    active, swaps, gamma_max = _active_sets(judged.rows)
    stability = check_stability(potential, frames, run.campaign)
    while True:
        try:
            with generations.new() as (number, folder):
                write_basis(folder / "potential.yaml", basis)
                write_ctilde(folder / "potential.yace", basis)
                write_active_set(folder / "potential.asi", {name: found.inverse for name, found in active.items()})
                shutil.copy(run.folder / INPUT, folder / "pacemaker.yaml")
                shutil.copy(run.folder / METRICS, folder / "pacemaker.txt")
                record = TrainingRecord(
                    generation=number,
                    trainer="pacemaker",
                    versions={ours: str(finished.metadata[theirs]) for ours, theirs in _VERSIONS.items()},
                    parent=source.generation,
                    labels=source.labels,
                    new_labels=[],
                    n_atoms=sum(map(len, judged.rows.values())),
                    n_environments={name: len(rows) for name, rows in judged.rows.items()},
                    functions_per_element=potential.n_functions(),
                    dataset=judged.errors,
                    reference_energy_ev=source.reference_energy_ev,
                    warnings=source.warnings,
                    level_of_theory=source.level_of_theory,
                    iterations=run.steps,
                    corrections=run.corrections,
                    active_set_swaps=swaps,
                    gamma_max_dataset=gamma_max,
                    stability=stability,
                    seconds=run.seconds,
                    cores=cores_of(),
                )
                write_json(folder / "training.json", record)
        except NumberTakenError:
            logger.info("another training has taken the number; taking the next")
        else:
            return record


def _require_agreement(run: FitRun, finished: BBasisConfiguration) -> None:
    """Compare pacemaker's last force error with that of pyace for the same potential and labels."""
    reported = read_metrics(run.folder)[-1].force_rmse_ev_a
    found = rmse_of(AcePotential(ACEBBasisSet(finished)), run.rows)
    if abs(found - reported) > _AGREES_REL * reported + _AGREES_EV_A:
        raise TrainingError(
            f"pacemaker reports a force error of {1000 * reported:.3f} meV/Å, pyace finds {1000 * found:.3f} for the "
            f"same potential: the versions of python-ace and tensorpotential don't fit; see {run.folder}"
        )


def _judged(potential: AcePotential, frames: list[Atoms], energies_ev: dict[str, float]) -> _Judgement:
    energies: list[float] = []
    forces: list[np.ndarray] = []
    stresses: list[np.ndarray] = []
    parts: dict[str, list[np.ndarray]] = {name: [] for name in potential.elements}
    for atoms in frames:
        answer, projections = potential.evaluate_with_projections(atoms)
        mask = mask_of(atoms)
        forces.append((answer.forces_ev_a - atoms.get_forces(apply_constraint=False))[known_forces(atoms)])
        if mask.all():
            free = sum(energies_ev[symbol] for symbol in atoms.get_chemical_symbols())
            energies.append((answer.energy_ev + free - atoms.get_potential_energy()) / len(atoms))
        if (stress := stress_of(atoms)) is not None:
            stresses.append(answer.stress_ev_a3(atoms.get_volume()) - stress)
        for name, rows in rows_within(mask, projections, atoms).items():
            parts[name].append(rows)
    errors = LabelErrors(
        force_rmse_ev_a=_rms(np.concatenate(forces)),
        energy_rmse_ev_atom=_rms(np.array(energies)),
        stress_rmse_ev_a3=_rms(np.concatenate(stresses)) if stresses else None,
    )
    return _Judgement(errors, {name: np.concatenate(rows) for name, rows in parts.items()})


def _active_sets(rows: dict[str, np.ndarray]) -> tuple[dict[str, ActiveSet], int, float]:
    """Return new active sets: the fit changes the radial functions, so rows of earlier sets are of no use."""
    found = {name: exchange(ActiveSet.empty(these, these.shape[1]), these) for name, these in rows.items()}
    gammas = [float(found[name].active.gamma(these).max(initial=0.0)) for name, these in rows.items()]
    return {name: one.active for name, one in found.items()}, sum(one.swaps for one in found.values()), max(gammas)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0
