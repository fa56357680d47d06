"""``mlip-fw run``: a whole campaign on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fireworks import FWorker, Workflow

from mlip_fw.campaign.directory import CampaignDirectory
from mlip_fw.campaign.events import Event
from mlip_fw.campaign.generations import Generations
from mlip_fw.campaign.summary import summarize
from mlip_fw.engines.ace.kernel.choice import why_not_here
from mlip_fw.engines.md.run import choose_engine
from mlip_fw.engines.oracle.label import require_oracle
from mlip_fw.engines.oracle.scope import label_notes
from mlip_fw.engines.structures.start import start_notes, start_structures
from mlip_fw.engines.train.given_files import check_given_files
from mlip_fw.errors import MlipError
from mlip_fw.firetasks.base import read_worker
from mlip_fw.io.files import remove_half_written
from mlip_fw.launcher.embedded import embedded_launchpad
from mlip_fw.launcher.rockets import launch_one, may_interrupt, raise_if_fizzled, silence_libraries
from mlip_fw.launcher.worker_pool import run_with_workers
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.summary import CampaignSummary
from mlip_fw.runtime.fork_server import fork_server
from mlip_fw.runtime.signals import signals_as_exceptions
from mlip_fw.workflows.campaign import campaign_workflow

logger = logging.getLogger("mlip_fw")


def run_campaign(
    campaign: Campaign, directory: CampaignDirectory, fworker: FWorker, workers: int = 1
) -> CampaignSummary:
    """Run a campaign to its end, or resume one that was interrupted.

    Every Firework finds its own result on disk, so to resume is to run the same Workflow again: what is done already
    takes moments.

    Parameters
    ----------
    campaign, directory
        What to run and where.
    fworker
        This machine.
    workers
        Worker processes. One works in this process, with a LaunchPad in memory; several share a LaunchPad server, which
        is stopped at the end.

    Raises
    ------
    MlipError
        If a Firework failed; nothing is lost, and the same call resumes.
    """
    if campaign.files != "shared":
        logger.info("files: %s is for several machines; here they lie in %s", campaign.files, directory.root)
        campaign = campaign.model_copy(update={"files": "shared"})
    if (begun := directory.begun()) is not None:
        campaign = campaign.with_basis_of(begun)
    starts = start_structures(campaign)
    for note in start_notes(campaign, starts):
        logger.info("%s", note)
    for note in label_notes(campaign, starts):
        logger.warning("%s", note)
    check_given_files(campaign)
    worker = read_worker(fworker.env)
    require_oracle(campaign.oracle, worker, campaign.elements)
    choose_engine(campaign.md.engine, worker)
    if worker.md_evaluator != "pyace":
        why_not_here()  # compiles the kernel, if that was never done here, before anything waits for it
    directory.require_free_for(campaign)
    with (
        directory.locked(),
        silence_libraries(),
        interruptible(directory.root) as signals,
        _working_directory(directory.root),
    ):
        directory.claim(campaign)
        remove_half_written(directory.root)
        Generations(directory.root).remove_drafts()
        directory.repair_journal()
        directory.record(Event.RUN_STARTED, campaign=campaign.campaign, process=os.getpid())
        # a worker file's category or query is for queues: here one worker does everything
        fworker = FWorker(name=fworker.name, env=fworker.env)
        workflow = campaign_workflow(campaign, directory.root)
        if workers > 1:
            run_with_workers(workflow, directory.root, fworker, workers)
        else:
            _run_alone(workflow, fworker, signals)
        return summarize(directory)


def _run_alone(workflow: Workflow, fworker: FWorker, signals: list[int]) -> None:
    fork_server()
    launchpad = embedded_launchpad()
    launchpad.add_wf(workflow)
    while launch_one(launchpad, fworker):
        if signals:
            raise KeyboardInterrupt
        raise_if_fizzled(launchpad)


@contextmanager
def interruptible(where: Path) -> Iterator[list[int]]:
    """Turn a signal into a clean end: child processes gone, state on disk, one paragraph of advice."""
    with signals_as_exceptions(may_interrupt) as received:
        try:
            yield received
        except (KeyboardInterrupt, MlipError) as error:
            if received:
                raise MlipError(f"interrupted. Run the same command to resume ({where})") from error
            raise


@contextmanager
def _working_directory(folder: Path) -> Iterator[None]:
    """Change to the campaign directory: FireWorks runs and writes in the current folder and offers no other."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
