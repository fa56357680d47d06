"""The next generation of the potential, polished by pacemaker on the labels of the newest linear one."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms
from custodian import Custodian
from custodian.custodian import CustodianError
from pyace import BBasisConfiguration

from mlip_fw.dataset import Dataset
from mlip_fw.engines.process import quietly
from mlip_fw.engines.train.pacemaker import resume
from mlip_fw.engines.train.pacemaker.form import form_of, with_cores_of, without_cores
from mlip_fw.engines.train.pacemaker.frame import kappa_of, rows_of
from mlip_fw.engines.train.pacemaker.handlers import MOST_ATTEMPTS, repairs
from mlip_fw.engines.train.pacemaker.inputs import iterations_of, settings_of
from mlip_fw.engines.train.pacemaker.job import OUT, Fit, FitIsSound, PacemakerJob, command_of
from mlip_fw.engines.train.pacemaker.output import finished_potential
from mlip_fw.engines.train.pacemaker.publish import publish
from mlip_fw.engines.train.pacemaker.schedule import is_behind
from mlip_fw.engines.train.pacemaker.template import read_template
from mlip_fw.engines.train.pacemaker.trouble import Found, Trouble
from mlip_fw.engines.train.zeros import on_one_zero
from mlip_fw.errors import TrainingError, WorkerError
from mlip_fw.generations import Generations
from mlip_fw.models.campaign import ENERGY_WEIGHT, Campaign
from mlip_fw.models.training import TrainingRecord
from mlip_fw.models.worker import Worker

logger = logging.getLogger("mlip_fw")
_MOST_ROUNDS = 3
_MOST_TEXT = 300
_FAULTS_OF_THE_MACHINE = {Trouble.NOT_INSTALLED, Trouble.NUMPY, Trouble.DISK}
_INSTALL = "install mlip-fw[pacemaker] where it runs, see docs/how-to/choose-a-trainer.md"


@dataclass(frozen=True)
class OutOfTime:
    """A fit that the worker's walltime cut; it is continued from its last step."""

    steps: int


def polish(
    generations: Generations, dataset: Dataset, campaign: Campaign, worker: Worker, folder: Path
) -> TrainingRecord | OutOfTime | None:
    """Make a generation by pacemaker from the labels of the newest linear one.

    It starts from the best potential at hand, so it fits the labels no worse than the linear generation, by
    the loss that is minimised. Labels that another walker adds meanwhile are taken in by another, shorter
    round; after three rounds it is left to the next polishing.

    Parameters
    ----------
    folder
        Kept between Fireworks: a fit that was cut or killed goes on from its last step.

    Returns
    -------
        What was made, or that the time is over, or None if labels kept coming.

    Raises
    ------
    TrainingError
        If no trustworthy potential came of it; says why and what was tried.
    WorkerError
        If the machine is at fault.
    CampaignError
        If the template can't be used.
    """
    command_of(worker)
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(_MOST_ROUNDS):
        source = generations.newest_of("linear")
        assert source is not None
        outcome = _round(generations, source, dataset, campaign, worker, folder)
        if outcome is not None:
            return outcome
        logger.info("pacemaker: other labels came meanwhile; going on with them")
    logger.warning("pacemaker: labels kept coming; what it has learnt is kept for the next polishing")
    return None


def _round(
    generations: Generations, source: int, dataset: Dataset, campaign: Campaign, worker: Worker, folder: Path
) -> TrainingRecord | OutOfTime | None:
    record = generations.record(source)
    if record is None:
        raise TrainingError(f"{generations.folder(source)} has no whole training.json; remove that folder, run again")
    names = [name for name in record.labels if name not in record.free_atoms]
    frames = on_one_zero([dataset.read(name) for name in names], record.imported_offset_ev)
    linear = BBasisConfiguration(str(generations.potential(source)))
    fit = _prepared(generations, record, frames, linear, campaign, worker, folder)
    begun_at = fit.steps_before
    found = _run_custodian(fit)
    if found is not None:
        return _gave_up(fit, found, begun_at)
    if is_behind(generations, source):
        return None
    finished = finished_potential(folder)
    assert finished is not None
    made = publish(generations, record, fit, frames, finished, with_cores_of(linear, finished))
    shutil.rmtree(folder, ignore_errors=True)
    return made


def _prepared(
    generations: Generations,
    record: TrainingRecord,
    frames: list[Atoms],
    linear: BBasisConfiguration,
    campaign: Campaign,
    worker: Worker,
    folder: Path,
) -> Fit:
    template = read_template(campaign.potential.pacemaker.template)
    whole = form_of(campaign, template, linear)
    rows = rows_of(frames, dict(record.reference_energy_ev), whole)
    form = without_cores(whole)
    settings = settings_of(campaign, template, kappa_of(rows, record.energy_weight or ENERGY_WEIGHT))
    kappa = float(settings["fit"]["loss"]["kappa"])
    begin, what = resume.best_start(folder, _known(generations, record), form, rows, kappa)
    fit = Fit(
        campaign=campaign,
        worker=worker,
        folder=folder,
        labels=list(record.labels),
        rows=rows,
        form=form,
        begin=begin,
        settings=settings,
        iterations=iterations_of(campaign, template),
    )
    if (note := resume.earlier(folder, fit.labels)) is not None:
        fit.steps_before, fit.earlier_s, fit.settings = note.steps, note.seconds, note.settings
        fit.corrections = list(note.corrections)
    logger.info(
        "pacemaker: %d labels, %d functions, from %s; at most %d steps",
        len(rows),
        form.total_number_of_functions,
        what,
        max(1, fit.iterations - fit.steps_before),
    )
    return fit


def _known(generations: Generations, source: TrainingRecord) -> list[Path]:
    """Return the potentials to start from: pacemaker's newest, unless it is unfit for MD, and the linear one."""
    polished = generations.newest_of("pacemaker")
    sound = [] if polished is None or generations.faults(polished) else [polished]
    return [generations.potential(n) for n in (*sound, source.generation)]


def _run_custodian(fit: Fit) -> Found | None:
    """Return None for a fit that can be believed, else the trouble that was left in the end."""
    custodian = Custodian(
        handlers=repairs(fit),
        jobs=[PacemakerJob(fit)],
        validators=[FitIsSound(fit)],
        max_errors=MOST_ATTEMPTS,
        directory=str(fit.folder),
        polling_time_step=1,
    )
    try:
        with quietly("custodian"):
            custodian.run()
    except CustodianError as error:
        return fit.found or Found(Trouble.CRASHED, f"custodian: {error}")
    return None


def _gave_up(fit: Fit, found: Found, begun_at: int) -> OutOfTime:
    """Say that the time is over, or raise what the trouble is to the campaign."""
    if found.trouble is Trouble.OUT_OF_TIME:
        if fit.steps == begun_at and not fit.corrections:
            raise WorkerError(
                f"pacemaker did not make one step within train_walltime_s = {fit.worker.train_walltime_s:g} s; "
                "give it more time in my_fworker.yaml or in the queue"
            )
        resume.write_note(fit.folder, fit.note())
        return OutOfTime(fit.steps)
    reason = f"{found.trouble}: {found.said[:_MOST_TEXT]}"
    if found.trouble in _FAULTS_OF_THE_MACHINE:
        raise WorkerError(
            f"{command_of(fit.worker)!r} can't train here: {reason}; "
            + ("free space and run again" if found.trouble is Trouble.DISK else _INSTALL)
        )
    tried = "; ".join(str(action) for c in fit.corrections for action in c["actions"])
    raise TrainingError(
        f"pacemaker made no potential: {reason}; "
        + (f"tried: {tried}; " if tried else "")
        + f"see {fit.folder / OUT}, fix the cause and run again"
    )
