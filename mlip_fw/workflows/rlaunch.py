"""FireWorks' own ``rlaunch``, that a signal ends cleanly.

A batch system that cancels or preempts a job, or whose time is over, sends a signal. FireWorks knows
only SIGINT, and leaves a Firework that must be found and rerun by hand. Here the calculation is
ended with all its processes, the launch is recorded as interrupted, and its Firework is made ready
to run again, before the process ends.
"""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from fireworks import LaunchPad
from fireworks.core import rocket, rocket_launcher
from fireworks.features import multi_launcher
from fireworks.scripts import rlaunch_run
from pymongo.errors import PyMongoError

from mlip_fw.attendance import dismiss
from mlip_fw.errors import WorkerError
from mlip_fw.interrupts import INTERRUPTED, Interrupted, heeding_signals, undisturbed
from mlip_fw.jobtime import seconds_left
from mlip_fw.mongo_sentences import explain
from mlip_fw.workflows.heartbeat import persistent
from mlip_fw.workflows.offline import mend_offline_mode
from mlip_fw.workflows.rockets import may_interrupt

logger = logging.getLogger("mlip_fw")
_LEAST_S = 60.0
_SIGNALLED = 128
_THEIR_SERVERS = ("DataServer", "SyncManager")
"""Names of the processes through which the workers of FireWorks' multi share things; they need them to the end."""


class _JobIsOverError(Exception):
    """The batch job has no time for another Firework."""


def rlaunch_cleanly(arguments: list[str]) -> int:
    """Run ``rlaunch`` with its own arguments and return its exit code; a signal gives 128 plus its number.

    It also ends, with exit code 0, when less than a minute of the batch job is left.

    Raises
    ------
    WorkerError
        If the database goes away, or refuses user, password or query.
    """
    mend_offline_mode()
    with heeding_signals(_interrupting_unless_busy()) as received, _launching(received):
        try:
            code = int(rlaunch_run.rlaunch(arguments))
            return _SIGNALLED + received[0] if received else code
        except _JobIsOverError:
            logger.info("this job has no time for another Firework")
            return 0
        except PyMongoError as error:
            raise WorkerError(_what_now(error)) from error
        except KeyboardInterrupt:
            return _SIGNALLED + (received[0] if received else signal.SIGINT)


@contextmanager
def _launching(received: list[int]) -> Iterator[None]:
    """Let FireWorks ask us before and after each rocket, and not lose its heartbeat."""
    theirs = rocket_launcher.launch_rocket

    @functools.wraps(theirs)
    def launch(launchpad: LaunchPad | None, *arguments: Any, **options: Any) -> bool:
        left = seconds_left()
        if left is not None and left < _LEAST_S:
            raise _JobIsOverError
        ran: bool = theirs(launchpad, *arguments, **options)
        dismiss()
        if received:
            if launchpad is not None:
                _rerun_interrupted(launchpad)
            raise Interrupted(received[0])
        return ran

    ours: list[tuple[Any, str, Any]] = [
        (rlaunch_run, "launch_rocket", launch),
        (rocket_launcher, "launch_rocket", launch),
        # rlaunch sets this function as its own handler of SIGINT
        (rlaunch_run, "handle_interrupt", signal.getsignal(signal.SIGINT)),
        (rocket, "ping_launch", persistent(rocket.ping_launch)),
        (multi_launcher, "ping_multilaunch", persistent(multi_launcher.ping_multilaunch)),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in ours]
    for module, name, function in ours:
        setattr(module, name, function)
    try:
        yield
    finally:
        for module, name, function in before:
            setattr(module, name, function)


@undisturbed
def _rerun_interrupted(launchpad: LaunchPad) -> None:
    """Make what this process was interrupted in ready to run."""
    details = "action.stored_data._exception._details"
    mine: dict[str, Any] = {"state": "FIZZLED", f"{details}.error": INTERRUPTED}
    mine |= {f"{details}.pid": os.getpid(), f"{details}.host": socket.gethostname()}
    try:
        # the workers of multi share a LaunchPad that answers calls only
        pad = LaunchPad.from_dict(launchpad.to_dict())
        for launch in list(pad.launches.find(mine, {"fw_id": 1})):
            if pad.fireworks.find_one({"fw_id": launch["fw_id"], "state": "FIZZLED"}):
                pad.rerun_fw(launch["fw_id"])
    except PyMongoError as error:
        logger.warning("interrupted Fireworks were not made ready: %s", _what_now(error))


def _what_now(error: PyMongoError) -> str:
    """Return what is wrong with the database and what to do, in one sentence."""
    return f"{explain(error)}; when that is fixed, `mlip-fw recover` makes interrupted Fireworks ready to run again"


def _interrupting_unless_busy() -> Callable[[FrameType | None], bool]:
    """Return what decides whether a signal may interrupt.

    The parent of ``rlaunch multi`` passes it on to each of its workers once, and ends when they have.
    """
    told: set[int | None] = set()

    def may(frame: FrameType | None) -> bool:
        for worker in multiprocessing.active_children():
            if worker.pid not in told and not worker.name.startswith(_THEIR_SERVERS):
                told.add(worker.pid)
                worker.terminate()
        return not told and may_interrupt(frame)

    return may
