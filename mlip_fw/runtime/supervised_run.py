"""One way to run a program under custodian: find what failed, repair it and try again, or go on in a later Firework.

A *run* is one calculation in its folder, over all attempts and all Fireworks. An attempt that fails leaves a
:class:`Failure`; the :class:`Repair` for that kind of trouble changes what the next attempt does. In the end the
result is accepted, or the walltime is over (:class:`~mlip_fw.runtime.walltime.OutOfTime`; :class:`Progress` is stored
for the Firework that goes on), or the run is given up with the failure that was left.

Programs with handlers of their own in custodian (VASP) bring job and handlers along; all others only say what one
attempt does.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, TypeVar

from custodian import Custodian
from custodian.custodian import CustodianError, ErrorHandler, Job, Validator
from pydantic import Field

from mlip_fw.models.base import Frozen, NotNegative

_MAX_TEXT = 300
_POLL_S = 1.0
_POLLS_PER_CHECK = 30
_LOGGERS = ("custodian",)


@dataclass(frozen=True)
class Failure:
    """Why an attempt gave no result."""

    trouble: StrEnum
    """Which of the program's kinds of trouble it is; a repair belongs to a kind."""
    message: str
    """The words of the program, or of the system, that gave it away."""

    @property
    def brief(self) -> str:
        """The message, cut to what fits into an error."""
        return self.message[:_MAX_TEXT]


class Progress(Frozen):
    """What is stored of an unfinished run; programs add what they need to go on."""

    seconds: NotNegative
    corrections: list[dict[str, Any]] = Field(default_factory=list)


@dataclass(kw_only=True)
class SupervisedRun:
    """State of one run that all of its attempts share."""

    folder: Path
    corrections: list[dict[str, Any]] = field(default_factory=list)
    """What was found and changed, in order and over all Fireworks: ``errors`` and ``actions`` of each repair."""
    earlier_s: float = 0.0
    """Wall time in earlier Fireworks, s."""
    started: float = field(default_factory=time.perf_counter)
    """When this Firework began with it, by :func:`time.perf_counter`."""
    log: list[dict[str, Any]] = field(default_factory=list)
    """custodian's own log of this Firework."""

    @property
    def seconds_here(self) -> float:
        """Wall time in this Firework, s."""
        return time.perf_counter() - self.started

    @property
    def seconds(self) -> float:
        """Wall time over all Fireworks, s."""
        return self.earlier_s + self.seconds_here

    def continue_from(self, progress: Progress) -> None:
        """Take over the time spent and the repairs made in earlier Fireworks."""
        self.earlier_s, self.corrections = progress.seconds, list(progress.corrections)

    def supervise(
        self,
        job: Job,
        handlers: Sequence[ErrorHandler],
        validators: Sequence[Validator],
        *,
        max_errors: int,
        poll_s: float = _POLL_S,
        polls_per_check: int = _POLLS_PER_CHECK,
        loggers: Sequence[str] = _LOGGERS,
    ) -> CustodianError | None:
        """Run a job under custodian until the validators accept its result.

        Parameters
        ----------
        handlers
            New ones for every run: custodian's handlers keep their counts for life.
        max_errors
            Errors after which custodian gives up.
        poll_s, polls_per_check
            How often custodian looks whether a job in the background has ended, s, and after how many looks it asks
            the handlers that watch it.
        loggers
            Loggers that are silent meanwhile: what they say is recorded in the label, or in the error.

        Returns
        -------
        CustodianError or None
            Why custodian gave up, or None for a result that the validators accept. Other exceptions of the job and the
            handlers are passed on.
        """
        custodian = Custodian(
            handlers=list(handlers),
            jobs=[job],
            validators=list(validators),
            max_errors=max_errors,
            directory=str(self.folder),
            polling_time_step=poll_s,
            monitor_freq=polls_per_check,
        )
        self.log = custodian.run_log
        try:
            with _silenced(loggers):
                custodian.run()
        except CustodianError as error:
            return error
        return None


@dataclass(kw_only=True)
class AttemptedRun(SupervisedRun, ABC):
    """A run whose attempts are calls that return when the program has ended."""

    failure: Failure | None = None
    """What the last attempt ended with."""

    def prepare(self) -> None:
        """Write what all attempts of this Firework need."""

    @abstractmethod
    def attempt(self) -> Failure | None:
        """Run the program once and return what went wrong, or None."""

    def repeat_until_sound(
        self, repairs: Sequence[Repair[Any]], check: ResultCheck[Failure], *, max_attempts: int, otherwise: StrEnum
    ) -> Failure | None:
        """Attempt it until the result is sound.

        Parameters
        ----------
        repairs
            One for each kind of trouble.
        check
            Has the last word on the result.
        otherwise
            Kind of trouble if custodian gives up and no failure is known.

        Returns
        -------
        Failure or None
            The failure for which no repair was left, or None for a sound result.
        """
        error = self.supervise(AttemptJob(self), repairs, [check], max_errors=max_attempts)
        if error is None:
            return None
        return check.complaint or self.failure or Failure(otherwise, f"custodian: {error}")


class AttemptJob(Job):
    """custodian's Job for a run: custodian sees a program that has already ended."""

    def __init__(self, run: AttemptedRun) -> None:
        self._run = run

    def as_dict(self) -> dict[str, Any]:
        """Return what custodian's log shows of the job."""
        return {**_class_of(self), "run": type(self._run).__name__}

    def setup(self, directory: str = "./") -> None:
        """Prepare the run."""
        self._run.prepare()

    def run(self, directory: str = "./") -> None:
        """Make one attempt."""
        self._run.failure = self._run.attempt()

    def postprocess(self, directory: str = "./") -> None:
        """Nothing is left to do."""


RunT = TypeVar("RunT", bound=AttemptedRun)
ComplaintT = TypeVar("ComplaintT")
Remedy = Callable[[RunT], "list[Any] | None"]
"""Changes the next attempt and returns what it changed, as plain JSON values; None where it does not apply."""


class Repair(ErrorHandler, Generic[RunT]):
    """custodian's ErrorHandler for one kind of trouble: tries remedies one after the other until they are used up."""

    def __init__(self, run: RunT, trouble: StrEnum, remedies: Sequence[Remedy[RunT]]) -> None:
        self._run, self._trouble, self._remedies = run, trouble, list(remedies)

    def as_dict(self) -> dict[str, Any]:
        """Return what custodian's log shows of the handler."""
        return {**_class_of(self), "trouble": str(self._trouble)}

    def check(self, directory: str = "./") -> bool:
        """Return True if the last attempt ended with this trouble."""
        return self._run.failure is not None and self._run.failure.trouble is self._trouble

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Apply the next remedy that fits; without one custodian gives the run up."""
        failure = self._run.failure
        assert failure is not None
        errors = [f"{failure.trouble}: {failure.message}"]
        while self._remedies:
            actions = self._remedies.pop(0)(self._run)
            if actions is not None:
                self._run.corrections.append({"errors": errors, "actions": actions})
                # custodian keeps and extends what it gets
                return {"errors": list(errors), "actions": list(actions)}
        return {"errors": errors, "actions": None}


class ResultCheck(Validator, Generic[ComplaintT]):
    """custodian's Validator for a run: the last check before its result is accepted.

    Parameters
    ----------
    find
        Returns what speaks against the result, or None.
    """

    def __init__(self, find: Callable[[], ComplaintT | None]) -> None:
        self._find = find
        self.complaint: ComplaintT | None = None
        """What the last check found."""

    def as_dict(self) -> dict[str, Any]:
        """Return what custodian's log shows of the validator."""
        return {**_class_of(self), "complaint": str(self.complaint)}

    def check(self, directory: str = "./") -> bool:
        """Return True if the result is wrong: custodian's validators return whether they have found an error."""
        self.complaint = self._find()
        return self.complaint is not None


def _class_of(value: object) -> dict[str, Any]:
    return {"@module": type(value).__module__, "@class": type(value).__name__}


@contextmanager
def _silenced(names: Sequence[str]) -> Iterator[None]:
    """Keep loggers silent: levels are state of the whole process, but custodian offers no other way."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
