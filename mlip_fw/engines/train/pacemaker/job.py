"""custodian's Job for pacemaker, and what its attempts share."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from custodian.custodian import Job, Validator
from pyace import BBasisConfiguration

from mlip_fw.engines.process import run_command
from mlip_fw.engines.train.pacemaker.form import carried_over, functions_of
from mlip_fw.engines.train.pacemaker.frame import Row, write_frame
from mlip_fw.engines.train.pacemaker.inputs import BEGIN, FRAME, TARGET, write_input
from mlip_fw.engines.train.pacemaker.metrics import steps_of_last
from mlip_fw.engines.train.pacemaker.output import interim_potential, put_away
from mlip_fw.engines.train.pacemaker.resume import Unfinished, write_note
from mlip_fw.engines.train.pacemaker.trouble import Found, Trouble, diagnose
from mlip_fw.errors import WorkerError
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.worker import Worker

OUT = "pacemaker.out"
_MOST_TEXT = 200_000
_SHORTEST_S = 30.0
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1"}


@dataclass
class Fit:
    """One generation in the making: what is given, and what the attempts found and changed so far."""

    campaign: Campaign
    worker: Worker
    folder: Path
    labels: list[str]
    rows: list[Row]
    form: BBasisConfiguration
    """What is fitted, without cores."""
    begin: BBasisConfiguration
    """Where the next attempt starts: functions of ``form``, maybe not all."""
    settings: dict[str, dict[str, Any]]
    iterations: int
    """Most steps of the optimiser, over all attempts."""
    steps_before: int = 0
    corrections: list[dict[str, Any]] = field(default_factory=list)
    earlier_s: float = 0.0
    """Wall time of earlier Fireworks, s."""
    started: float = field(default_factory=time.perf_counter)
    found: Found | None = None

    @property
    def grows(self) -> bool:
        """Whether the start lacks functions."""
        return functions_of(self.begin) != functions_of(self.form)

    @property
    def seconds_here(self) -> float:
        """Wall time in this Firework, s."""
        return time.perf_counter() - self.started

    @property
    def seconds_left(self) -> float | None:
        """Walltime that is left for another attempt, s; None without a limit."""
        limit = self.worker.train_walltime_s
        return None if limit is None else limit - self.seconds_here

    @property
    def steps(self) -> int:
        """Steps of the optimiser so far."""
        return self.steps_before + steps_of_last(self.folder)

    def note(self) -> Unfinished:
        """Return what the next Firework has to know if this one does not come to its end."""
        return Unfinished(
            labels=self.labels,
            settings=self.settings,
            steps=self.steps_before,
            seconds=self.earlier_s + self.seconds_here,
            corrections=self.corrections,
        )

    def take_interim(self) -> None:
        """Have the next attempt start from the last step of this one, if there is a whole potential of it."""
        interim = interim_potential(self.folder)
        if interim is not None and functions_of(self.begin) <= functions_of(interim):
            self.steps_before = self.steps
            self.begin = carried_over(interim, self.form)


def command_of(worker: Worker) -> str:
    """Return the command that runs pacemaker here.

    Raises
    ------
    WorkerError
        If the worker names none and none is installed.
    """
    if worker.pacemaker_cmd is not None:
        return worker.pacemaker_cmd
    beside = Path(sys.executable).with_name("pacemaker")
    if beside.is_file():
        return str(beside)
    raise WorkerError(
        f"there is no pacemaker beside {sys.executable} and my_fworker.yaml has no env.pacemaker_cmd; "
        "install mlip-fw[pacemaker], see docs/how-to/choose-a-trainer.md"
    )


def require_pacemaker(campaign: Campaign, worker: Worker) -> None:
    """Check that pacemaker is here if the campaign has it train.

    Raises
    ------
    WorkerError
        If it is not: that is better said now than when all MD has ended.
    """
    if campaign.potential.kind == "pacemaker":
        _require_program(command_of(worker))


def _require_program(command: str) -> None:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise _cant_run(command, str(error)) from error
    if not words or shutil.which(words[0]) is None:
        raise _cant_run(command, "there is no such program here")


def _cant_run(command: str, why: str) -> WorkerError:
    return WorkerError(f"can't run pacemaker_cmd {command!r}: {why}; correct env.pacemaker_cmd in my_fworker.yaml")


class PacemakerJob(Job):
    """Run pacemaker once; custodian's handlers change the fit between two runs."""

    def __init__(self, fit: Fit) -> None:
        self._fit = fit

    def as_dict(self) -> dict[str, Any]:
        """Return what custodian's log shows of the job."""
        return {"@module": type(self).__module__, "@class": type(self).__name__}

    def setup(self, directory: str = "./") -> None:
        """Write the labels, anew even where they are: what lies there is not to be believed."""
        write_frame(self._fit.folder / FRAME, self._fit.rows)

    def run(self, directory: str = "./") -> None:
        """Run pacemaker to its end and find out what came of it; custodian sees a process that has ended."""
        fit, left = self._fit, self._fit.seconds_left
        if left is not None and left < _SHORTEST_S:
            fit.found = Found(Trouble.OUT_OF_TIME, "no walltime left for another attempt")
            return
        for name, form in ((BEGIN, fit.begin), (TARGET, fit.form)):
            form.save(str(fit.folder / name))
        put_away(fit.folder)
        write_note(fit.folder, fit.note())
        steps = max(1, fit.iterations - fit.steps_before)
        arguments = write_input(fit.folder, fit.campaign, fit.settings, grows=fit.grows, iterations=steps)
        ended = run_command(
            "pacemaker_cmd",
            command_of(fit.worker),
            fit.folder,
            arguments=arguments,
            stdout=fit.folder / OUT,
            timeout_s=left,
            environment=_QUIET,
        )
        fit.found = diagnose(ended, fit.folder, said(fit.folder))

    def postprocess(self, directory: str = "./") -> None:
        """Nothing is left to do."""


class FitIsSound(Validator):
    """The last word before a fit is believed."""

    def __init__(self, fit: Fit) -> None:
        self._fit = fit

    def as_dict(self) -> dict[str, Any]:
        """Return what custodian's log shows of the validator."""
        return {"@module": type(self).__module__, "@class": type(self).__name__}

    def check(self, directory: str = "./") -> bool:
        """Return True if the fit must not be believed, as custodian has it."""
        return self._fit.found is not None


def said(folder: Path) -> str:
    """Return the end of what pacemaker wrote to its terminal."""
    try:
        return (folder / OUT).read_bytes()[-_MOST_TEXT:].decode(errors="replace")
    except FileNotFoundError:
        return ""
