"""A whole campaign on this machine: an embedded LaunchPad, rapid fire, no server."""

from __future__ import annotations

import io
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket

from mlip_fw.engines.md.run import choose_engine
from mlip_fw.engines.oracle.label import require_oracle
from mlip_fw.engines.start import check_given_files, start_structure
from mlip_fw.engines.warm import nursery
from mlip_fw.errors import MlipError
from mlip_fw.firetasks.base import read_worker
from mlip_fw.generations import Generations
from mlip_fw.io.files import remove_half_written
from mlip_fw.layout import CampaignDirectory
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.summary import CampaignSummary
from mlip_fw.summary import summarize
from mlip_fw.workflows.campaign import campaign_workflow
from mlip_fw.workflows.embedded import embedded_launchpad

logger = logging.getLogger("mlip_fw")
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INSIST_S = 3.0
_CHATTY = ("launchpad", "rocket.launcher", "custodian.custodian", "custodian")


def run_campaign(campaign: Campaign, directory: CampaignDirectory, fworker: FWorker) -> CampaignSummary:
    """Run a campaign to its end, or take up one that was interrupted.

    Every Firework finds its own result on disk, so taking up means running the same Workflow: what
    is done is passed over in moments.

    Parameters
    ----------
    campaign, directory
        What to run and where.
    fworker
        This machine.

    Raises
    ------
    MlipError
        If a Firework failed; nothing is lost, and the same call goes on from there.
    """
    start_structure(campaign)
    check_given_files(campaign)
    worker = read_worker(fworker.env)
    require_oracle(campaign.oracle, worker, campaign.elements)
    choose_engine(campaign.md.engine, worker)
    directory.require_free_for(campaign)
    with directory.locked(), _quiet(), _interruptible(directory.root) as signals, _working_directory(directory.root):
        directory.claim(campaign)
        remove_half_written(directory.root)
        Generations(directory.root).remove_drafts()
        directory.mend_journal()
        directory.log_event("run_started", campaign=campaign.campaign, process=os.getpid())
        nursery()
        # a worker file's category or query is for queues: here one worker does everything
        fworker = FWorker(name=fworker.name, env=fworker.env)
        launchpad = embedded_launchpad()
        launchpad.add_wf(campaign_workflow(campaign, directory.root))
        _rapidfire(launchpad, fworker, signals)
        return summarize(directory)


def _rapidfire(launchpad: LaunchPad, fworker: FWorker, signals: list[int]) -> None:
    # FireWorks prints the traceback of a failed task; what went wrong is said once, by us
    while launch_rocket(launchpad, fworker, strm_lvl="CRITICAL", err_file=io.StringIO()):
        if signals:
            raise KeyboardInterrupt
        _raise_if_fizzled(launchpad)


def _raise_if_fizzled(launchpad: LaunchPad) -> None:
    for fw_id in launchpad.get_fw_ids({"state": "FIZZLED"}):
        firework = launchpad.get_fw_by_id(fw_id)
        stored: dict[str, Any] = firework.launches[-1].action.stored_data
        exception = stored.get("_exception") or {}
        details = exception.get("_details")
        if isinstance(details, dict) and "message" in details:
            raise MlipError(details["message"])
        trace = str(exception.get("_stacktrace", "no traceback")).strip()
        if trace.endswith("KeyboardInterrupt"):
            raise KeyboardInterrupt
        raise RuntimeError(f"{firework.name} failed: {trace.splitlines()[-1]}\n\n{trace}")


@contextmanager
def _interruptible(where: Path) -> Iterator[list[int]]:
    """Turn SIGINT, SIGTERM and SIGHUP into a clean end: children gone, state on disk, one paragraph.

    Gives the list of signals so far. An exception that is raised inside a finalizer is lost, so the
    interrupt comes again until it is heard.
    """
    received: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        received.append(number)
        signal.setitimer(signal.ITIMER_REAL, _INSIST_S)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (*_ENDING, signal.SIGALRM)}
    try:
        yield received
    except (KeyboardInterrupt, MlipError) as error:
        if received:
            raise MlipError(f"interrupted; the same command goes on from there ({where})") from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the loggers of the libraries below; what matters is told by our own."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


@contextmanager
def _working_directory(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
