"""Several workers on this machine, with a LaunchPad server that lives as long as they do."""

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

from mlip_fw.database.control import start_server, stop_server
from mlip_fw.engines.warm import nursery
from mlip_fw.errors import WorkerError
from mlip_fw.interrupts import heeding_signals, undisturbed
from mlip_fw.processes import die_with_parent
from mlip_fw.workflows.recover import recover
from mlip_fw.workflows.rockets import launch_quietly, may_interrupt, quiet, raise_if_fizzled

logger = logging.getLogger("mlip_fw")
FOLDER = ".launchpad"
_LOOK_S, _IDLE_S, _GRACE_S, _PATIENCE_S = 0.2, 0.1, 20.0, 2.0
_DEATHS_PER_HAND = 3
_AGAIN_S = 30.0
_NOT_OVER = ["WAITING", "READY", "RESERVED", "RUNNING"]


def run_with_crew(workflow: Workflow, root: Path, fworker: FWorker, workers: int) -> None:
    """Run a Workflow to its end with several processes of this machine.

    The LaunchPad is new each time, since Fireworks find what they did before in the campaign directory.

    Parameters
    ----------
    workflow
        What to run.
    root
        The campaign directory; the database lies in it while this runs.

    Raises
    ------
    MlipError
        If a Firework failed.
    WorkerError
        If workers die again and again.
    """
    folder = root / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    facts = start_server(folder, with_this_process=True)
    try:
        launchpad = LaunchPad.from_file(str(facts.launchpad_file))
        launchpad.add_wf(workflow)
        worker_file = root / f"{FOLDER}/my_fworker.yaml"
        fworker.to_file(str(worker_file))
        with _crew(workers, [str(facts.launchpad_file), str(worker_file)]) as hands:
            _watch(launchpad, hands)
    finally:
        _clear_away(folder)


def be_a_hand(launchpad: LaunchPad, fworker: FWorker) -> None:
    """Run Fireworks until no more can come."""
    die_with_parent(signal.SIGTERM)
    fworker = FWorker(name=_name(os.getpid()), env=fworker.env)
    with heeding_signals(may_interrupt) as received, quiet():
        nursery()
        while not received:
            if launch_quietly(launchpad, fworker):
                continue
            if not more_can_come(launchpad):
                return
            time.sleep(_IDLE_S)


def more_can_come(launchpad: LaunchPad) -> bool:
    """Return whether any Firework is not over, asked at once for all.

    FireWorks' ``future_run_exists`` asks for one state after the other, and overlooks what changes in between.
    """
    return launchpad.fireworks.find_one({"state": {"$in": _NOT_OVER}}, {"fw_id": 1}) is not None


class _Hand:
    """A worker process that is started again if it dies."""

    def __init__(self, files: list[str]) -> None:
        self._command = [sys.executable, "-P", "-m", "mlip_fw.cli.worker", *files]
        self.names_of_dead: list[str] = []
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)

    def has_died(self) -> bool:
        return self.process.poll() not in (None, 0)


@contextmanager
def _crew(workers: int, files: list[str]) -> Iterator[list[_Hand]]:
    hands = [_Hand(files) for _ in range(workers)]
    try:
        yield hands
    finally:
        _dismiss(hands)


@undisturbed
def _dismiss(hands: list[_Hand]) -> None:
    for hand in hands:
        hand.process.terminate()
    for hand in hands:
        try:
            hand.process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            hand.process.kill()
            hand.process.wait()


@undisturbed
def _clear_away(folder: Path) -> None:
    stop_server(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _watch(launchpad: LaunchPad, hands: list[_Hand]) -> None:
    looked = time.monotonic()
    while any(hand.process.poll() is None or hand.has_died() for hand in hands):
        time.sleep(_LOOK_S)
        raise_if_fizzled(launchpad)
        died = [hand for hand in hands if hand.has_died()]
        for hand in died:
            _bury(hand)
        # what a worker was just taking when it died comes to light a minute later
        if died or (any(hand.names_of_dead for hand in hands) and time.monotonic() > looked + _AGAIN_S):
            _take_up(launchpad, hands)
            looked = time.monotonic()
        for hand in died:
            hand.start()
    raise_if_fizzled(launchpad)


def _bury(hand: _Hand) -> None:
    code = hand.process.returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    hand.names_of_dead.append(_name(hand.process.pid))
    if len(hand.names_of_dead) > _DEATHS_PER_HAND:
        times = len(hand.names_of_dead)
        raise WorkerError(
            f"a worker {how} for the {times}th time; check the memory, then run the same command to resume"
        )
    logger.warning("a worker %s; another takes its place", how)


def _take_up(launchpad: LaunchPad, hands: list[_Hand]) -> None:
    """Make runnable again what dead workers had in hand."""
    dead = frozenset(name for hand in hands for name in hand.names_of_dead)
    for finding in recover(launchpad, heartbeat_s=math.inf, patience_s=_PATIENCE_S, dead_workers=dead):
        logger.info("%s: %s (%s)", finding.name, finding.kind, finding.what)


def _name(pid: int) -> str:
    return f"worker {pid}"
