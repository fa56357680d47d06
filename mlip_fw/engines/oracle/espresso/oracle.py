"""The ``espresso`` oracle: pw.x run by custodian, repaired where it fails, believed only after validation."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from custodian import Custodian
from custodian.custodian import CustodianError

from mlip_fw.engines.oracle.answer import Answer, Labelled, OutOfTime, facts_of
from mlip_fw.engines.oracle.espresso import resume
from mlip_fw.engines.oracle.espresso.command import find_command
from mlip_fw.engines.oracle.espresso.handlers import MOST_ATTEMPTS, repairs
from mlip_fw.engines.oracle.espresso.job import CRASH, ERRORS, INPUT, OUTPUT, Calculation, PwJob, remove
from mlip_fw.engines.oracle.espresso.probe import dry_run
from mlip_fw.engines.oracle.espresso.pseudo import choose_pseudopotentials
from mlip_fw.engines.oracle.espresso.settings import (
    OUTDIR,
    PSEUDO_DIR,
    for_species,
    level_of_theory,
    require_own_keys_untouched,
)
from mlip_fw.engines.oracle.espresso.trouble import FAULTS_OF_THE_MACHINE, Found, Trouble
from mlip_fw.engines.oracle.espresso.validators import LabelIsWhole
from mlip_fw.engines.process import quietly
from mlip_fw.errors import CampaignError, LabelError, WorkerError
from mlip_fw.io.structures import with_labels
from mlip_fw.models.oracle import EspressoOracle
from mlip_fw.models.worker import Worker

_MOST_TEXT = 300


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
    calculation = Calculation(
        atoms=atoms,
        oracle=for_species(oracle, elements or present, present),
        worker=worker,
        command=find_command(worker),
        folder=folder,
        scratch=_scratch(worker, folder),
        pseudopotentials={element: chosen[element] for element in present},
    )
    resume.take_up(calculation)
    try:
        found = _run_custodian(calculation)
    except OSError as error:
        found = Found(Trouble.DISK, str(error))
    finally:
        if not resume.is_to_be_continued(calculation):
            _remove_wave_functions(calculation)
    return _labelled(calculation) if found is None else _gave_up(calculation, found)


def _scratch(worker: Worker, folder: Path) -> Path:
    if worker.scratch is None:
        return folder / OUTDIR
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    return Path(os.path.expandvars(worker.scratch)).expanduser() / f"mlip-fw-{folder.name[:40]}-{name}"


def _run_custodian(calculation: Calculation) -> Found | None:
    """Return None for a label that can be believed, else the trouble that was left in the end."""
    validator = LabelIsWhole(calculation)
    custodian = Custodian(
        handlers=repairs(calculation),
        jobs=[PwJob(calculation)],
        validators=[validator],
        max_errors=MOST_ATTEMPTS,
        directory=str(calculation.folder),
        polling_time_step=1,
    )
    try:
        with quietly("custodian"):
            custodian.run()
    except CustodianError as error:
        return validator.complaint or calculation.found or Found(Trouble.OTHER, f"custodian: {error}")
    return None


def _remove_wave_functions(calculation: Calculation) -> None:
    shutil.rmtree(calculation.scratch, ignore_errors=True)
    remove(calculation.folder / OUTDIR)
    remove(calculation.folder / PSEUDO_DIR)


def _labelled(calculation: Calculation) -> Labelled:
    output = calculation.output
    assert output is not None
    assert output.energy_ev is not None
    assert output.forces_ev_a is not None
    convergence = {
        "scf_steps": output.scf_steps,
        "accuracy_ry": output.accuracies_ry[-1] if output.accuracies_ry else None,
        "total_magnetization_mub": output.magnetization_mub,
        "negative_charge": output.negative_charge,
        "changes": calculation.changes,
    }
    facts = facts_of(
        code="Quantum ESPRESSO pw.x",
        version=output.version,
        seconds=calculation.seconds,
        corrections=calculation.corrections,
        convergence={key: value for key, value in convergence.items() if value not in (None, {})},
    )
    labelled = with_labels(calculation.atoms, output.energy_ev, np.asarray(output.forces_ev_a), output.stress_ev_a3)
    return Labelled(labelled, facts)


def _gave_up(calculation: Calculation, found: Found) -> OutOfTime:
    """Say that the time is over, or raise what the trouble is to the campaign."""
    if found.trouble is Trouble.OUT_OF_TIME:
        return OutOfTime(calculation.seconds)
    reason = f"{found.trouble}: {found.said[:_MOST_TEXT]}"
    if found.trouble in FAULTS_OF_THE_MACHINE:
        raise WorkerError(f"this machine can't label with {calculation.command!r}: {reason}; fix it and run again")
    if found.trouble is Trouble.INPUT:
        raise CampaignError(f"pw.x refuses its input ({found.said[:_MOST_TEXT]}); see {calculation.folder / INPUT}")
    if found.trouble is Trouble.HUNG:
        reason = _too_long(calculation)
    tried = [json.dumps(action) for c in calculation.corrections for action in c["actions"]]
    files = [calculation.folder / name for name in (INPUT, OUTPUT, ERRORS, CRASH)]
    files += sorted(calculation.folder.glob("attempt_*"))
    raise LabelError(
        f"{reason}; tried: {'; '.join(tried)}" if tried else reason,
        corrections=calculation.corrections,
        files=[path for path in files if path.is_file()],
    )


def _too_long(calculation: Calculation) -> str:
    limit_s = calculation.oracle.timeout_s
    if calculation.seconds >= limit_s:
        return f"{Trouble.HUNG}: more than timeout_s = {limit_s:g} s over all attempts; hung, or too large"
    return (
        f"{Trouble.HUNG}: did not stop itself within label_walltime_s = {calculation.worker.label_walltime_s:g} s; "
        "hung, or a k-point takes more than a tenth of that"
    )
