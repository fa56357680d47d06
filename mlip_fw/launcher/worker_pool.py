"""``mlip-fw run --workers N``: worker processes on this machine, and the LaunchPad server that they share."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fireworks import FWorker, LaunchPad, Workflow

from mlip_fw.errors import WorkerError
from mlip_fw.launcher.local_server import start_server, stop_server
from mlip_fw.launcher.recover import recover
from mlip_fw.launcher.rockets import launch_one, may_interrupt, raise_if_fizzled, silence_libraries
from mlip_fw.runtime.fork_server import fork_server
from mlip_fw.runtime.process_info import die_with_parent
from mlip_fw.runtime.signals import signals_as_exceptions, signals_deferred

logger = logging.getLogger("mlip_fw")
POOL_FOLDER = ".launchpad"
_CHECK_INTERVAL_S, _IDLE_S, _GRACE_S, _LOCK_TIMEOUT_S = 0.2, 0.1, 20.0, 2.0
_MAX_DEATHS = 3
"""Deaths of one worker after which the run gives up."""
_RECOVERY_INTERVAL_S = 30.0
_UNFINISHED = ["WAITING", "READY", "RESERVED", "RUNNING"]


def run_with_workers(workflow: Workflow, root: Path, fworker: FWorker, workers: int) -> None:
    """Run a Workflow to its end with several worker processes on this machine.

    The LaunchPad is new each time: Fireworks find earlier results in the campaign directory.

    Parameters
    ----------
    workflow
        What to run.
    root
        The campaign directory; the database is kept there during the run.

    Raises
    ------
    MlipError
        If a Firework failed.
    WorkerError
        If a worker dies for the fourth time.
    """
    folder = root / POOL_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    facts = start_server(folder, with_this_process=True)
    try:
        launchpad = LaunchPad.from_file(str(facts.launchpad_file))
        launchpad.add_wf(workflow)
        worker_file = root / f"{POOL_FOLDER}/my_fworker.yaml"
        fworker.to_file(str(worker_file))
        with _running_workers(workers, [str(facts.launchpad_file), str(worker_file)]) as pool:
            _supervise(launchpad, pool)
    finally:
        _remove_server(folder)


def run_worker(launchpad: LaunchPad, fworker: FWorker) -> None:
    """Run Fireworks until all are finished: the main loop of a worker process."""
    die_with_parent(signal.SIGTERM)
    fworker = FWorker(name=_name(os.getpid()), env=fworker.env)
    with signals_as_exceptions(may_interrupt) as received, silence_libraries():
        fork_server()
        while not received:
            if launch_one(launchpad, fworker):
                continue
            if not has_unfinished_fireworks(launchpad):
                return
            time.sleep(_IDLE_S)


def has_unfinished_fireworks(launchpad: LaunchPad) -> bool:
    """Return whether any Firework is not finished yet, by one query for all states.

    FireWorks' ``future_run_exists`` queries one state after the other, and misses a Firework that changes in between.
    """
    return launchpad.fireworks.find_one({"state": {"$in": _UNFINISHED}}, {"fw_id": 1}) is not None


class _WorkerProcess:
    """A worker process, which is restarted if it dies."""

    def __init__(self, files: list[str]) -> None:
        self._command = [sys.executable, "-P", "-m", "mlip_fw.cli.worker", *files]
        self.dead_names: list[str] = []
        """FireWorks' names of the processes that have died."""
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)

    def has_died(self) -> bool:
        return self.process.poll() not in (None, 0)


@contextmanager
def _running_workers(workers: int, files: list[str]) -> Iterator[list[_WorkerProcess]]:
    pool = [_WorkerProcess(files) for _ in range(workers)]
    try:
        yield pool
    finally:
        _stop_workers(pool)


@signals_deferred
def _stop_workers(pool: list[_WorkerProcess]) -> None:
    for worker in pool:
        worker.process.terminate()
    for worker in pool:
        try:
            worker.process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()


@signals_deferred
def _remove_server(folder: Path) -> None:
    stop_server(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _supervise(launchpad: LaunchPad, pool: list[_WorkerProcess]) -> None:
    """Wait until all workers have finished; restart those that die, and requeue what they were running."""
    last_recovery = time.monotonic()
    while any(worker.process.poll() is None or worker.has_died() for worker in pool):
        time.sleep(_CHECK_INTERVAL_S)
        raise_if_fizzled(launchpad)
        died = [worker for worker in pool if worker.has_died()]
        for worker in died:
            _record_death(worker)
        # a Firework that a worker was just checking out when it died is found only a minute later
        is_due = time.monotonic() > last_recovery + _RECOVERY_INTERVAL_S
        if died or (any(worker.dead_names for worker in pool) and is_due):
            _requeue(launchpad, pool)
            last_recovery = time.monotonic()
        for worker in died:
            worker.start()
    raise_if_fizzled(launchpad)


def _record_death(worker: _WorkerProcess) -> None:
    """Log the death of a worker process.

    Raises
    ------
    WorkerError
        If this worker has died too often.
    """
    code = worker.process.returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    worker.dead_names.append(_name(worker.process.pid))
    times = len(worker.dead_names)
    if times > _MAX_DEATHS:
        raise WorkerError(
            f"a worker {how} for the {times}th time; check the memory, then run the same command to resume"
        )
    logger.warning("a worker %s; another takes its place", how)


def _requeue(launchpad: LaunchPad, pool: list[_WorkerProcess]) -> None:
    """Make the Fireworks of dead workers ready to run again."""
    dead = frozenset(name for worker in pool for name in worker.dead_names)
    for finding in recover(launchpad, heartbeat_s=math.inf, timeout_s=_LOCK_TIMEOUT_S, dead_workers=dead):
        logger.info("%s: %s (%s)", finding.name, finding.kind, finding.what)


def _name(pid: int) -> str:
    """Return the FireWorks name of a worker process."""
    return f"worker {pid}"
