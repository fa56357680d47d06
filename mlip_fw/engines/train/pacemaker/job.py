"""One fit by pacemaker: the state that its attempts share, and what one attempt does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyace import BBasisConfiguration

from mlip_fw.engines.train.pacemaker.command import command_of
from mlip_fw.engines.train.pacemaker.form import functions_of, transfer_coefficients
from mlip_fw.engines.train.pacemaker.frame import Row, write_frame
from mlip_fw.engines.train.pacemaker.inputs import BEGIN, FRAME, TARGET, write_input
from mlip_fw.engines.train.pacemaker.metrics import steps_of_last
from mlip_fw.engines.train.pacemaker.resume import FitProgress, write_progress
from mlip_fw.engines.train.pacemaker.trouble import FitTrouble, diagnose, interim_potential, put_away
from mlip_fw.models.campaign import Campaign
from mlip_fw.models.worker import Worker
from mlip_fw.runtime.subprocesses import run_command
from mlip_fw.runtime.supervised_run import AttemptedRun, Failure

OUT = "pacemaker.out"
_MAX_BYTES = 200_000
_SHORTEST_S = 30.0
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1"}


@dataclass(kw_only=True)
class FitRun(AttemptedRun):
    """One generation in the making: what is given, and what the attempts found and changed so far."""

    campaign: Campaign
    worker: Worker
    labels: list[str]
    rows: list[Row]
    form: BBasisConfiguration
    """What is fitted, without cores."""
    begin: BBasisConfiguration
    """Where the next attempt starts: functions of ``form``, maybe not all."""
    settings: dict[str, dict[str, Any]]
    """Sections ``fit`` and ``backend`` of the next attempt."""
    iterations: int
    """Most steps of the optimiser, over all attempts."""
    steps_before: int = 0
    """Steps of all attempts before the next one."""

    @property
    def grows(self) -> bool:
        """Whether the start lacks functions."""
        return functions_of(self.begin) != functions_of(self.form)

    @property
    def seconds_left(self) -> float | None:
        """Walltime that is left for another attempt, s; None without a limit."""
        limit = self.worker.train_walltime_s
        return None if limit is None else limit - self.seconds_here

    @property
    def steps(self) -> int:
        """Steps of the optimiser so far."""
        return self.steps_before + steps_of_last(self.folder)

    def leave_off(self) -> None:
        """Write what the next Firework has to know if this one does not come to its end."""
        progress = FitProgress(
            labels=self.labels,
            settings=self.settings,
            steps=self.steps_before,
            seconds=self.seconds,
            corrections=self.corrections,
        )
        write_progress(self.folder, progress)

    def take_interim(self) -> None:
        """Have the next attempt start from the last step of this one, if there is a whole potential of it."""
        interim = interim_potential(self.folder)
        if interim is not None and functions_of(self.begin) <= functions_of(interim):
            self.steps_before = self.steps
            self.begin = transfer_coefficients(interim, self.form)

    def prepare(self) -> None:
        """Write the labels, anew even where they are: what lies there is not to be believed."""
        write_frame(self.folder / FRAME, self.rows)

    def attempt(self) -> Failure | None:
        """Run pacemaker once and return what went wrong, or None."""
        left = self.seconds_left
        if left is not None and left < _SHORTEST_S:
            return Failure(FitTrouble.OUT_OF_TIME, "no walltime left for another attempt")
        for name, form in ((BEGIN, self.begin), (TARGET, self.form)):
            form.save(str(self.folder / name))
        put_away(self.folder)
        # before the attempt: one that is killed can be taken up as well
        self.leave_off()
        steps = max(1, self.iterations - self.steps_before)
        arguments = write_input(self.folder, self.campaign, self.settings, grows=self.grows, iterations=steps)
        ended = run_command(
            "pacemaker_cmd",
            command_of(self.worker),
            self.folder,
            arguments=arguments,
            stdout=self.folder / OUT,
            timeout_s=left,
            environment=_QUIET,
        )
        return diagnose(ended, self.folder, self.output())

    def output(self) -> str:
        """Return the end of what pacemaker wrote to its terminal."""
        try:
            return (self.folder / OUT).read_bytes()[-_MAX_BYTES:].decode(errors="replace")
        except FileNotFoundError:
            return ""
