"""Signals that ask this process to end, turned into an exception where that does no harm.

A cluster ends a job with SIGTERM, a user with SIGINT or SIGHUP. In the middle of a calculation the
exception ends it cleanly: its children go, and what was reached is on disk. In the middle of a
write to the LaunchPad, or while other processes are ended, it waits until that is over.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import ParamSpec, TypeVar

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What users and batch systems send to end a process, or to warn it of its end."""
_INSIST_S = 3.0
_DEFER_S = 0.1
INTERRUPTED = "Interrupted"
"""What FireWorks stores as the kind of error of a launch that a signal ended."""
_undisturbed: set[CodeType] = set()
P = ParamSpec("P")
R = TypeVar("R")


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number

    def to_dict(self) -> dict[str, str | int]:
        """Return what FireWorks stores of the interruption in a launch."""
        return {"error": INTERRUPTED, "message": str(self), "host": socket.gethostname(), "pid": os.getpid()}


def undisturbed(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function come to its end before any interrupt: a decorator for what cleans up after one."""
    _undisturbed.add(function.__code__)
    return function


@contextmanager
def heeding_signals(
    may_interrupt: Callable[[FrameType | None], bool], insist_s: float = _INSIST_S
) -> Iterator[list[int]]:
    """Raise :class:`Interrupted` when a signal asks to end and the place where it finds us allows it.

    An exception that is raised inside a finalizer is lost, so the interrupt comes again until it is heard.

    Parameters
    ----------
    may_interrupt
        Told the frame that a signal found running; where it says no, the interrupt waits, as it does in
        what is :func:`undisturbed`.
    insist_s
        Time after which an interrupt that was raised comes again, s.

    Yields
    ------
    received
        Numbers of the signals so far.
    """
    received: list[int] = []
    was_raised = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal was_raised
        if number != signal.SIGALRM:
            received.append(number)
        allowed = may_interrupt(frame) and not _is_undisturbed(frame)
        was_raised |= allowed
        signal.setitimer(signal.ITIMER_REAL, insist_s if was_raised else _DEFER_S)
        if allowed:
            raise Interrupted(received[0])

    before = {number: signal.signal(number, stop) for number in (*ENDING, signal.SIGALRM)}
    try:
        yield received
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_undisturbed(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code not in _undisturbed:
        frame = frame.f_back
    return frame is not None
