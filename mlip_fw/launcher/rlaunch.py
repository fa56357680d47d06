"""FireWorks' ``rlaunch``, ended cleanly by signals.

A batch system sends a signal when a job is cancelled, preempted or out of time. FireWorks handles SIGINT only, and
leaves a Firework that must be found and rerun by hand. Here the calculation and its processes are stopped, the launch
is recorded as interrupted, and the Firework is made ready to run again before the process ends.
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
from fireworks.core import rocket_launcher
from fireworks.scripts import rlaunch_run
from pymongo.errors import PyMongoError

from mlip_fw.errors import WorkerError
from mlip_fw.launcher.fireworks_patches import patched, rlaunch_patches
from mlip_fw.launcher.heartbeat import restart_after_errors
from mlip_fw.launcher.rockets import may_interrupt
from mlip_fw.launchpad.advice import explain
from mlip_fw.runtime.signals import INTERRUPTED, InterruptedBySignal, signals_as_exceptions, signals_deferred
from mlip_fw.runtime.walltime import seconds_left
from mlip_fw.runtime.worker_record import clear_worker_record

logger = logging.getLogger("mlip_fw")
_MIN_TIME_LEFT_S = 60.0
_SIGNAL_EXIT_CODE = 128
_MULTI_SERVERS = ("DataServer", "SyncManager")
"""Names of the processes through which the workers of ``rlaunch multi`` share data; they are needed to the end."""


class _OutOfWalltimeError(Exception):
    """The batch job has no time for another Firework."""


def run_rlaunch(arguments: list[str]) -> int:
    """Run ``rlaunch`` with its own arguments and return its exit code; a signal gives 128 plus its number.

    It also ends, with exit code 0, when less than a minute of the batch job is left.

    Raises
    ------
    WorkerError
        If the database goes away, or refuses user, password or query.
    """
    with signals_as_exceptions(_interrupt_policy()) as received, _launching(received):
        try:
            code = int(rlaunch_run.rlaunch(arguments))
            return _SIGNAL_EXIT_CODE + received[0] if received else code
        except _OutOfWalltimeError:
            logger.info("this job has no time for another Firework")
            return 0
        except PyMongoError as error:
            raise WorkerError(_database_advice(error)) from error
        except KeyboardInterrupt:
            return _SIGNAL_EXIT_CODE + (received[0] if received else signal.SIGINT)


@contextmanager
def _launching(received: list[int]) -> Iterator[None]:
    """Apply our changes to FireWorks' rlaunch: walltime, worker records, interrupts, heartbeat, offline mode."""
    original = rocket_launcher.launch_rocket

    @functools.wraps(original)
    def launch(launchpad: LaunchPad | None, *arguments: Any, **options: Any) -> bool:
        left = seconds_left()
        if left is not None and left < _MIN_TIME_LEFT_S:
            raise _OutOfWalltimeError
        ran: bool = original(launchpad, *arguments, **options)
        clear_worker_record()
        if received:
            if launchpad is not None:
                _rerun_interrupted(launchpad)
            raise InterruptedBySignal(received[0])
        return ran

    with patched(rlaunch_patches(launch, signal.getsignal(signal.SIGINT), restart_after_errors)):
        yield


@signals_deferred
def _rerun_interrupted(launchpad: LaunchPad) -> None:
    """Make the Fireworks in which this process was interrupted ready to run again."""
    details = "action.stored_data._exception._details"
    mine: dict[str, Any] = {"state": "FIZZLED", f"{details}.error": INTERRUPTED}
    mine |= {f"{details}.pid": os.getpid(), f"{details}.host": socket.gethostname()}
    try:
        # in `rlaunch multi` the LaunchPad is a proxy without collections
        pad = LaunchPad.from_dict(launchpad.to_dict())
        for launch in list(pad.launches.find(mine, {"fw_id": 1})):
            if pad.fireworks.find_one({"fw_id": launch["fw_id"], "state": "FIZZLED"}):
                pad.rerun_fw(launch["fw_id"])
    except PyMongoError as error:
        logger.warning("interrupted Fireworks were not made ready: %s", _database_advice(error))


def _database_advice(error: PyMongoError) -> str:
    """Return one sentence on a database error and on how to go on."""
    return f"{explain(error)}; when that is fixed, `mlip-fw recover` makes interrupted Fireworks ready to run again"


def _interrupt_policy() -> Callable[[FrameType | None], bool]:
    """Return the function that decides whether a signal may interrupt at a given frame.

    The parent of ``rlaunch multi`` never is: it passes the signal on to each of its workers once, and ends after them.
    """
    notified: set[int | None] = set()

    def may(frame: FrameType | None) -> bool:
        for worker in multiprocessing.active_children():
            if worker.pid not in notified and not worker.name.startswith(_MULTI_SERVERS):
                notified.add(worker.pid)
                worker.terminate()
        return not notified and may_interrupt(frame)

    return may
