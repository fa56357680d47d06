"""One calculation by VASP under custodian, in as many Fireworks as the walltime asks for."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custodian.custodian import CustodianError
from custodian.utils import tracked_lru_cache
from custodian.vasp.validators import VaspFilesValidator, VasprunXMLValidator
from monty.json import jsanitize
from pymatgen.core.structure import Structure

from mlip_fw.engines.oracle.vasp.faults import EVIDENCE, blame, complaint_about
from mlip_fw.engines.oracle.vasp.handlers import EndInTime, StopInTime, handlers_of_a_run
from mlip_fw.engines.oracle.vasp.job import INPUTS, PLANNED, LabelJob, changes_of_level, remove_stale
from mlip_fw.errors import DirectoryError, LabelError, MlipError, WorkerError
from mlip_fw.io.files import read_model, write_json
from mlip_fw.io.vasp import without_warnings
from mlip_fw.runtime.supervised_run import Progress, ResultCheck, SupervisedRun
from mlip_fw.runtime.walltime import OutOfTime

_PROGRESS = "progress.json"
_MAX_ERRORS = 5
_POLL_S = 0.5
_POLLS_PER_LOOK = 20
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.ESTALE)
_LOGGERS = ("", "custodian", "VaspErrorHandler", "VasprunXMLValidator")


@dataclass(kw_only=True)
class VaspLabelRun(SupervisedRun):
    """A calculation in its folder, from the inputs to a result that can be believed."""

    structure: Structure
    command: str
    timeout_s: float
    """Longest time over all Fireworks, s."""
    walltime_s: float | None
    """When this Firework has to leave off, s after it began; None never."""

    def prepare(self, write: Callable[[Path], None]) -> None:
        """Take up what a walltime cut, or clear the folder and begin.

        Parameters
        ----------
        write
            Writes the inputs into a folder.

        Raises
        ------
        WorkerError
            If the folder can't be written.
        """
        planned = self.folder / PLANNED
        try:
            write(planned)
            if self._take_up():
                return
            for path in set(self.folder.iterdir()) - {planned}:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for name in INPUTS:
                shutil.copy(planned / name, self.folder / name)
        except OSError as error:
            raise WorkerError(f"can't write in {self.folder}: {error.strerror or error}; free space") from error

    def run(self) -> OutOfTime | None:
        """Run VASP until it is done, or return that its walltime is near and it is to be continued.

        Raises
        ------
        LabelError, WorkerError
            If there will be no label, or not on this machine.
        """
        self.started = time.perf_counter()
        left = self.timeout_s - self.earlier_s
        if left <= 0:
            raise self._too_long()
        limit = left if self.walltime_s is None else min(left, self.walltime_s)
        handlers = handlers_of_a_run(self.walltime_s, limit)
        job, check = LabelJob.of(self.command), ResultCheck(lambda: complaint_about(self.folder, self.structure))
        failure: Exception | None = None
        try:
            # custodian keeps what it parsed by path: that of an earlier calculation in this folder, too
            tracked_lru_cache.tracked_cache_clear()
            with without_warnings():
                failure = self.supervise(
                    job,
                    handlers,
                    [VaspFilesValidator(), VasprunXMLValidator(), check],
                    max_errors=_MAX_ERRORS,
                    poll_s=_POLL_S,
                    polls_per_check=_POLLS_PER_LOOK,
                    loggers=_LOGGERS,
                )
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _DISK:
                raise WorkerError(f"can't work in {self.folder}: {error}; free space or fix its permissions") from error
            failure = error
        finally:
            job.end()
        self.corrections += _corrections(self.log)
        return self._judge(failure, job, handlers, check)

    def _judge(
        self, failure: Exception | None, job: LabelJob, handlers: list[Any], check: ResultCheck[str]
    ) -> OutOfTime | None:
        if isinstance(failure, WorkerError):
            raise failure
        # custodian counts some failures as success: the last word is ours
        with without_warnings():
            unsound = check.check() or failure is not None
        if not unsound:
            return None
        over = any(h.over for h in handlers if isinstance(h, EndInTime))
        stopped = any(h.asked for h in handlers if isinstance(h, StopInTime))
        if (over or stopped) and self.seconds >= self.timeout_s:
            raise self._too_long()
        if self.walltime_s is not None and (over or (stopped and job.exit_code == 0)):
            self._leave_off()
            return OutOfTime(self.seconds)
        if over:
            raise self._too_long()
        if isinstance(failure, MlipError):
            raise LabelError(str(failure), corrections=self.corrections, files=self._evidence()) from failure
        reason = failure or CustodianError("custodian counted a failure as success")
        exit_code = None if job.was_ended else job.exit_code
        raise blame(reason, exit_code, check.complaint, self.corrections, self.folder) from failure

    def _take_up(self) -> bool:
        """Go on from a calculation of the same inputs that was cut, if there is one; return whether."""
        try:
            progress = read_model(self.folder / _PROGRESS, Progress)
            if progress is None or changes_of_level(self.folder):
                return False
        except (OSError, ValueError, DirectoryError):
            return False
        self.continue_from(progress)
        return True

    def _leave_off(self) -> None:
        write_json(self.folder / _PROGRESS, Progress(seconds=self.seconds, corrections=self.corrections))
        remove_stale(self.folder, keep_orbitals=True)

    def _too_long(self) -> LabelError:
        text = f"VASP took longer than oracle.timeout_s = {self.timeout_s:g} s"
        return LabelError(text, corrections=self.corrections, files=self._evidence())

    def _evidence(self) -> list[Path]:
        return [self.folder / name for name in EVIDENCE]


def _corrections(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the handlers did, but for those of the time, as plain values."""
    made = [correction for entry in log for correction in entry["corrections"]]
    return [
        {"handler": type(c["handler"]).__name__, "errors": list(c["errors"]), "actions": jsanitize(c["actions"])}
        for c in made
        if not isinstance(c["handler"], (StopInTime, EndInTime))
    ]
