"""Run one Firework as FireWorks does (a "rocket"), and raise the error of one that failed."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from fireworks import FWorker, LaunchPad
from fireworks.core.rocket import Rocket
from fireworks.core.rocket_launcher import launch_rocket

from mlip_fw.errors import MlipError
from mlip_fw.runtime.signals import INTERRUPTED
from mlip_fw.runtime.worker_record import clear_worker_record

_LOGGERS = ("launchpad", "rocket.launcher", "custodian.custodian", "custodian")


def launch_one(launchpad: LaunchPad, fworker: FWorker) -> bool:
    """Run one Firework and return whether there was one."""
    # FireWorks would print the traceback of a failed task; raise_if_fizzled reports it once, as one sentence
    ran = bool(launch_rocket(launchpad, fworker, strm_lvl="CRITICAL", err_file=io.StringIO()))
    clear_worker_record()
    return ran


def may_interrupt(frame: FrameType | None) -> bool:
    """Return whether a signal may interrupt here: in a Firetask or between rockets, not while FireWorks writes."""
    inner = None
    while frame is not None:
        if frame.f_code is Rocket.run.__code__:
            return inner is not None and inner.f_code.co_name == "run_task"
        inner, frame = frame, frame.f_back
    return True


def raise_if_fizzled(launchpad: LaunchPad) -> None:
    """Raise the error of the first failed Firework, if any.

    Raises
    ------
    MlipError
        If it failed with an error of mlip_fw.
    KeyboardInterrupt
        If it was interrupted.
    """
    for fw_id in launchpad.get_fw_ids({"state": "FIZZLED"}):
        firework = launchpad.get_fw_by_id(fw_id)
        stored: dict[str, Any] = firework.launches[-1].action.stored_data
        exception = stored.get("_exception") or {}
        details = exception.get("_details")
        if isinstance(details, dict) and details.get("error") == INTERRUPTED:
            raise KeyboardInterrupt
        if isinstance(details, dict) and "message" in details:
            raise MlipError(details["message"])
        trace = str(exception.get("_stacktrace", "no traceback")).strip()
        raise RuntimeError(f"{firework.name} failed: {trace.splitlines()[-1]}\n\n{trace}")


@contextmanager
def silence_libraries() -> Iterator[None]:
    """Silence the loggers of FireWorks and custodian; our own reports what matters."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
