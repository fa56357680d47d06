"""The ``espresso`` oracle: pw.x under custodian, repaired where it fails, its result checked before it is a label."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mlip_fw.engines.oracle.answer import Answer, Labelled, facts_of
from mlip_fw.engines.oracle.espresso.command import dry_run, find_command
from mlip_fw.engines.oracle.espresso.handlers import MAX_ATTEMPTS, repairs
from mlip_fw.engines.oracle.espresso.job import PwRun, remove
from mlip_fw.engines.oracle.espresso.pseudo import choose_pseudopotentials
from mlip_fw.engines.oracle.espresso.resume import leave_off, take_up
from mlip_fw.engines.oracle.espresso.settings import (
    CRASH,
    ERRORS,
    INPUT,
    OUTDIR,
    OUTPUT,
    PSEUDO_DIR,
    for_species,
    level_of_theory,
    require_own_keys_untouched,
)
from mlip_fw.engines.oracle.espresso.trouble import MACHINE_TROUBLES, PwTrouble
from mlip_fw.errors import CampaignError, LabelError, WorkerError
from mlip_fw.io.structures import with_labels
from mlip_fw.models.oracle import EspressoOracle
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.supervised_run import Failure, ResultCheck
from mlip_fw.runtime.walltime import OutOfTime


def require_espresso(oracle: EspressoOracle, worker: Worker, elements: list[str]) -> str:
    """Check that pw.x runs here with these settings and pseudopotentials, and return its version.

    A dry run with one atom of each element reads all files and stops before the first SCF step.

    Raises
    ------
    CampaignError
        If the settings don't fit, or pw.x refuses them.
    WorkerError
        If pw.x or a pseudopotential is missing or broken.
    """
    require_own_keys_untouched(oracle)
    for_species(oracle, elements, elements)
    command = find_command(worker)
    return dry_run(command, oracle, choose_pseudopotentials(oracle, worker, elements))


def espresso_level(oracle: EspressoOracle, worker: Worker, elements: list[str]) -> dict[str, Any]:
    """Return what decides a label's value: the settings, and the sha256 of every pseudopotential.

    The same on every machine that has the same files, wherever they are; time limits, mixing, number of
    SCF steps and the version of pw.x are no part of it.
    """
    return level_of_theory(oracle, choose_pseudopotentials(oracle, worker, elements))


def label_with_espresso(
    atoms: Atoms, oracle: EspressoOracle, worker: Worker, folder: Path, elements: list[str] | None = None
) -> Answer:
    """Label a structure with pw.x.

    The energy of a label is, with smearing, the free energy E − TS, of which forces and stress are the derivatives
    (eV, eV/Å and eV/Å³, the latter in ASE's order and sign).

    Parameters
    ----------
    folder
        Private to this label and kept between Fireworks: a run that stopped itself at the worker's walltime is
        continued from it.
    elements
        All elements of the campaign, for which the pseudopotentials are chosen together; None: those of ``atoms``.

    Raises
    ------
    LabelError
        If no trustworthy label came of it; says why and what was tried.
    WorkerError
        If the machine is at fault.
    CampaignError
        If pw.x refuses the campaign's settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    present = sorted(set(atoms.get_chemical_symbols()))
    chosen = choose_pseudopotentials(oracle, worker, elements or present)
    run = PwRun(
        atoms=atoms,
        oracle=for_species(oracle, elements or present, present),
        worker=worker,
        command=find_command(worker),
        folder=folder,
        scratch=_scratch(worker, folder),
        pseudopotentials={element: chosen[element] for element in present},
    )
    take_up(run)
    check = ResultCheck(run.examine)
    try:
        failure = run.repeat_until_sound(repairs(run), check, max_attempts=MAX_ATTEMPTS, otherwise=PwTrouble.OTHER)
    except OSError as error:
        failure = Failure(PwTrouble.DISK, str(error))
    finally:
        if run.is_out_of_time:
            leave_off(run)
        else:
            _remove_wave_functions(run)
    return _labelled(run) if failure is None else _give_up(run, failure)


def _scratch(worker: Worker, folder: Path) -> Path:
    if worker.scratch is None:
        return folder / OUTDIR
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    return Path(os.path.expandvars(worker.scratch)).expanduser() / f"mlip-fw-{folder.name[:40]}-{name}"


def _remove_wave_functions(run: PwRun) -> None:
    shutil.rmtree(run.scratch, ignore_errors=True)
    remove(run.folder / OUTDIR)
    remove(run.folder / PSEUDO_DIR)


def _labelled(run: PwRun) -> Labelled:
    output = run.output
    assert output is not None
    assert output.energy_ev is not None
    assert output.forces_ev_a is not None
    convergence = {
        "scf_steps": output.scf_steps,
        "accuracy_ry": output.accuracies_ry[-1] if output.accuracies_ry else None,
        "total_magnetization_mub": output.magnetization_mub,
        "negative_charge": output.negative_charge,
        "changes": run.changes,
    }
    facts = facts_of(
        code="Quantum ESPRESSO pw.x",
        version=output.version,
        seconds=run.seconds,
        corrections=run.corrections,
        convergence={key: value for key, value in convergence.items() if value not in (None, {})},
    )
    labelled = with_labels(run.atoms, output.energy_ev, np.asarray(output.forces_ev_a), output.stress_ev_a3)
    return Labelled(labelled, facts)


def _give_up(run: PwRun, failure: Failure) -> OutOfTime:
    """Return that the walltime is over, or raise the error that the failure is to the campaign."""
    if failure.trouble is PwTrouble.OUT_OF_TIME:
        return OutOfTime(run.seconds)
    reason = f"{failure.trouble}: {failure.brief}"
    if failure.trouble in MACHINE_TROUBLES:
        raise WorkerError(f"this machine can't label with {run.command!r}: {reason}; fix it and run again")
    if failure.trouble is PwTrouble.INPUT:
        raise CampaignError(f"pw.x refuses its input ({failure.brief}); see {run.folder / INPUT}")
    if failure.trouble is PwTrouble.HUNG:
        reason = _too_long(run)
    tried = [json.dumps(action) for c in run.corrections for action in c["actions"]]
    files = [run.folder / name for name in (INPUT, OUTPUT, ERRORS, CRASH)]
    files += sorted(run.folder.glob("attempt_*"))
    raise LabelError(
        f"{reason}; tried: {'; '.join(tried)}" if tried else reason,
        corrections=run.corrections,
        files=[path for path in files if path.is_file()],
    )


def _too_long(run: PwRun) -> str:
    limit_s = run.oracle.timeout_s
    if run.seconds >= limit_s:
        return f"{PwTrouble.HUNG}: more than timeout_s = {limit_s:g} s over all attempts; hung, or too large"
    return (
        f"{PwTrouble.HUNG}: did not stop itself within label_walltime_s = {run.worker.label_walltime_s:g} s; "
        "hung, or a k-point takes more than a tenth of that"
    )
