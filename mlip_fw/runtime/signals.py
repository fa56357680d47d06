"""Signals that ask this process to end, turned into an exception wherever that is safe.

A cluster ends a job with SIGTERM, a user with SIGINT or SIGHUP. In the middle of a calculation the
exception ends it cleanly: its child processes end, and what was reached is on disk. In the middle of a
write to the LaunchPad, or while other processes are being ended, it waits until that is over.
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
"""The exception is raised again after this time, for as long as it was lost."""
_DEFER_S = 0.1
"""While it is not safe, it is tried again after this time."""
INTERRUPTED = "Interrupted"
"""What FireWorks stores as the kind of error of a launch that a signal ended."""
_deferred: set[CodeType] = set()
"""Code of the decorated functions. Filled when modules are imported; a signal handler sees only frames, and of a
frame's function only its code."""
P = ParamSpec("P")
R = TypeVar("R")


class InterruptedBySignal(KeyboardInterrupt):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number

    def to_dict(self) -> dict[str, str | int]:
        """Return what FireWorks stores of the interruption in a launch."""
        return {"error": INTERRUPTED, "message": str(self), "host": socket.gethostname(), "pid": os.getpid()}


def signals_deferred(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function finish before any interrupt; a decorator for functions that clean up."""
    _deferred.add(function.__code__)
    return function


@contextmanager
def signals_as_exceptions(
    may_interrupt: Callable[[FrameType | None], bool], insist_s: float = _INSIST_S
) -> Iterator[list[int]]:
    """Raise :class:`InterruptedBySignal` when a signal asks this process to end, as soon as the running code allows it.

    An exception that is raised inside a finalizer is lost, so it is raised again until the block ends.

    Parameters
    ----------
    may_interrupt
        Called with the frame in which the signal arrived; where it returns False, and in functions decorated
        with :func:`signals_deferred`, the interrupt waits.
    insist_s
        Time after which an interrupt is raised again, s.

    Yields
    ------
    received
        Numbers of the signals that have arrived so far.
    """
    received: list[int] = []
    was_raised = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal was_raised
        if number != signal.SIGALRM:
            received.append(number)
        allowed = may_interrupt(frame) and not _is_deferred(frame)
        was_raised |= allowed
        signal.setitimer(signal.ITIMER_REAL, insist_s if was_raised else _DEFER_S)
        if allowed:
            raise InterruptedBySignal(received[0])

    before = {number: signal.signal(number, stop) for number in (*ENDING, signal.SIGALRM)}
    try:
        yield received
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_deferred(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code not in _deferred:
        frame = frame.f_back
    return frame is not None
