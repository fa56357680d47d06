"""The next generation of the potential: refined by pacemaker, on the labels of the newest linear generation."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from ase import Atoms
from pyace import BBasisConfiguration

from mlip_fw.campaign.dataset import Dataset
from mlip_fw.campaign.generations import Generations
from mlip_fw.engines.train.energy_offsets import on_common_zero
from mlip_fw.engines.train.pacemaker.command import command_of
from mlip_fw.engines.train.pacemaker.form import form_of, with_cores_of, without_cores
from mlip_fw.engines.train.pacemaker.frame import kappa_of, rows_of
from mlip_fw.engines.train.pacemaker.handlers import MAX_ATTEMPTS, repairs
from mlip_fw.engines.train.pacemaker.inputs import iterations_of, settings_of
from mlip_fw.engines.train.pacemaker.job import OUT, FitRun
from mlip_fw.engines.train.pacemaker.publish import publish
from mlip_fw.engines.train.pacemaker.resume import best_start, read_progress
from mlip_fw.engines.train.pacemaker.template import read_template
from mlip_fw.engines.train.pacemaker.trouble import FitTrouble, finished_potential
from mlip_fw.engines.train.schedule import is_behind
from mlip_fw.errors import TrainingError, WorkerError
from mlip_fw.models.campaign import ENERGY_WEIGHT, Campaign
from mlip_fw.models.training import TrainingRecord
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.supervised_run import Failure, ResultCheck
from mlip_fw.runtime.walltime import OutOfTime

logger = logging.getLogger("mlip_fw")
_MAX_ROUNDS = 3
_MACHINE_TROUBLES = {FitTrouble.NOT_INSTALLED, FitTrouble.NUMPY, FitTrouble.DISK}
_INSTALL = "install mlip-fw[pacemaker] where it runs, see docs/how-to/choose-a-trainer.md"


def refine_with_pacemaker(
    generations: Generations, dataset: Dataset, campaign: Campaign, worker: Worker, folder: Path
) -> TrainingRecord | OutOfTime | None:
    """Make a generation by pacemaker from the labels of the newest linear generation.

    It starts from the best potential at hand, so by the loss that is minimised it fits the labels no worse than the
    linear generation. If another walker adds labels meanwhile, another, shorter round takes them in; after three
    rounds that is left to the next refinement.

    Parameters
    ----------
    folder
        Kept between Fireworks: a fit that was cut or killed goes on from its last step.

    Returns
    -------
        The record of the generation, or that the time is over, or None if labels kept coming.

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
    for _ in range(_MAX_ROUNDS):
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
    frames = on_common_zero([dataset.read(name) for name in names], record.imported_offset_ev)
    linear = BBasisConfiguration(str(generations.potential(source)))
    run = _prepared(generations, record, frames, linear, campaign, worker, folder)
    begun_at = run.steps_before
    check = ResultCheck(lambda: run.failure)
    failure = run.repeat_until_sound(repairs(run), check, max_attempts=MAX_ATTEMPTS, otherwise=FitTrouble.CRASHED)
    if failure is not None:
        return _give_up(run, failure, begun_at)
    if is_behind(generations, source):
        return None
    finished = finished_potential(folder)
    assert finished is not None
    made = publish(generations, record, run, frames, finished, with_cores_of(linear, finished))
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
) -> FitRun:
    template = read_template(campaign.potential.pacemaker.template)
    whole = form_of(campaign, template, linear)
    rows = rows_of(frames, dict(record.reference_energy_ev), whole)
    form = without_cores(whole)
    settings = settings_of(campaign, template, kappa_of(rows, record.energy_weight or ENERGY_WEIGHT))
    kappa = float(settings["fit"]["loss"]["kappa"])
    begin, what = best_start(folder, _known(generations, record), form, rows, kappa)
    run = FitRun(
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
    if (progress := read_progress(folder, run.labels)) is not None:
        run.continue_from(progress)
        run.steps_before, run.settings = progress.steps, progress.settings
    logger.info(
        "pacemaker: %d labels, %d functions, from %s; at most %d steps",
        len(rows),
        form.total_number_of_functions,
        what,
        max(1, run.iterations - run.steps_before),
    )
    return run


def _known(generations: Generations, source: TrainingRecord) -> list[Path]:
    """Return the potentials to start from: pacemaker's newest, unless it is unfit for MD, and the linear one."""
    polished = generations.newest_of("pacemaker")
    sound = [] if polished is None or generations.faults(polished) else [polished]
    return [generations.potential(n) for n in (*sound, source.generation)]


def _give_up(run: FitRun, failure: Failure, begun_at: int) -> OutOfTime:
    """Return that the walltime is over, or raise the error that the failure is to the campaign."""
    if failure.trouble is FitTrouble.OUT_OF_TIME:
        if run.steps == begun_at and not run.corrections:
            raise WorkerError(
                f"pacemaker did not make one step within train_walltime_s = {run.worker.train_walltime_s:g} s; "
                "give it more time in my_fworker.yaml or in the queue"
            )
        run.leave_off()
        return OutOfTime(run.seconds)
    reason = f"{failure.trouble}: {failure.brief}"
    if failure.trouble in _MACHINE_TROUBLES:
        raise WorkerError(
            f"{command_of(run.worker)!r} can't train here: {reason}; "
            + ("free space and run again" if failure.trouble is FitTrouble.DISK else _INSTALL)
        )
    tried = "; ".join(str(action) for c in run.corrections for action in c["actions"])
    raise TrainingError(
        f"pacemaker made no potential: {reason}; "
        + (f"tried: {tried}; " if tried else "")
        + f"see {run.folder / OUT}, fix the cause and run again"
    )
