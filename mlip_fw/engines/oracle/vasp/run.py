"""One calculation under custodian, in as many parts as the walltime asks for."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from custodian import Custodian
from custodian.custodian import CustodianError
from custodian.utils import tracked_lru_cache
from monty.json import jsanitize
from pymatgen.core.structure import Structure

from mlip_fw.engines.oracle.vasp.faults import STORY, blame
from mlip_fw.engines.oracle.vasp.handlers import EndInTime, StopInTime, handlers_of_a_run
from mlip_fw.engines.oracle.vasp.job import INPUTS, PLANNED, LabelJob, changes_of_level, remove_stale
from mlip_fw.engines.oracle.vasp.validators import LabelIsSound, validators_of_a_run
from mlip_fw.errors import LabelError, MlipError, WorkerError
from mlip_fw.io.files import write_json
from mlip_fw.io.vasp import without_warnings

_PROGRESS = "progress.json"
_MOST_ERRORS = 5
_POLL_S = 0.5
_POLLS_PER_LOOK = 20
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.ESTALE)
_LOGGERS = ("", "custodian", "VaspErrorHandler", "VasprunXMLValidator")


class Calculation:
    """A VASP calculation in its folder, from the inputs to a result that can be believed."""

    def __init__(
        self, folder: Path, structure: Structure, command: str, timeout_s: float, walltime_s: float | None
    ) -> None:
        self._folder, self._structure, self._command = folder, structure, command
        self._timeout_s, self._walltime_s = timeout_s, walltime_s
        self.seconds = 0.0
        """Wall time, over all parts, s."""
        self.corrections: list[dict[str, Any]] = []
        """What custodian found and did, over all parts."""

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
        planned = self._folder / PLANNED
        try:
            write(planned)
            if self._take_up():
                return
            for path in set(self._folder.iterdir()) - {planned}:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for name in INPUTS:
                shutil.copy(planned / name, self._folder / name)
        except OSError as error:
            raise WorkerError(f"can't write in {self._folder}: {error.strerror or error}; free space") from error

    def run(self) -> bool:
        """Run VASP until it is done, or its walltime is near; False if it is to be continued.

        Raises
        ------
        LabelError, WorkerError
            If there will be no label, or not on this machine.
        """
        started = time.perf_counter()
        left = self._timeout_s - self.seconds
        if left <= 0:
            raise self._too_long()
        limit = left if self._walltime_s is None else min(left, self._walltime_s)
        handlers = handlers_of_a_run(self._walltime_s, limit)
        job, validators = LabelJob.of(self._command), validators_of_a_run(self._structure)
        custodian = Custodian(
            handlers=handlers,
            jobs=[job],
            validators=validators,
            max_errors=_MOST_ERRORS,
            directory=str(self._folder),
            polling_time_step=_POLL_S,
            monitor_freq=_POLLS_PER_LOOK,
        )
        failure: Exception | None = None
        try:
            # custodian keeps what it parsed by path: that of an earlier calculation in this folder, too
            tracked_lru_cache.tracked_cache_clear()
            with without_warnings(), _quiet():
                custodian.run()
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _DISK:
                raise WorkerError(
                    f"can't work in {self._folder}: {error}; free space or fix its permissions"
                ) from error
            failure = error
        finally:
            job.end()
        self.seconds += time.perf_counter() - started
        self.corrections += _corrections(custodian)
        return self._judge(failure, job, handlers, validators[-1])

    def _judge(self, failure: Exception | None, job: LabelJob, handlers: list[Any], validator: LabelIsSound) -> bool:
        if isinstance(failure, WorkerError):
            raise failure
        # custodian counts some failures as success: the last word is ours
        with without_warnings():
            unsound = validator.check(str(self._folder)) or failure is not None
        if not unsound:
            return True
        over = any(h.over for h in handlers if isinstance(h, EndInTime))
        stopped = any(h.asked for h in handlers if isinstance(h, StopInTime))
        if (over or stopped) and self.seconds >= self._timeout_s:
            raise self._too_long()
        if self._walltime_s is not None and (over or (stopped and job.exit_code == 0)):
            self._leave_off()
            return False
        if over:
            raise self._too_long()
        if isinstance(failure, MlipError):
            raise LabelError(str(failure), corrections=self.corrections, files=self._files()) from failure
        reason = failure or CustodianError("custodian counted a failure as success")
        exit_code = None if job.was_ended else job.exit_code
        raise blame(reason, exit_code, validator, self.corrections, self._folder) from failure

    def _take_up(self) -> bool:
        try:
            kept = json.loads((self._folder / _PROGRESS).read_text())
            if changes_of_level(self._folder):
                return False
        except (OSError, ValueError):
            return False
        self.seconds, self.corrections = float(kept["seconds"]), list(kept["corrections"])
        return True

    def _leave_off(self) -> None:
        write_json(self._folder / _PROGRESS, {"seconds": self.seconds, "corrections": self.corrections})
        remove_stale(self._folder, keep_orbitals=True)

    def _too_long(self) -> LabelError:
        text = f"VASP took longer than oracle.timeout_s = {self._timeout_s:g} s"
        return LabelError(text, corrections=self.corrections, files=self._files())

    def _files(self) -> list[Path]:
        return [self._folder / name for name in STORY]


def _corrections(custodian: Custodian) -> list[dict[str, Any]]:
    """Return what the handlers did, but for those of the time, as plain values."""
    made = [correction for entry in custodian.run_log for correction in entry["corrections"]]
    return [
        {"handler": type(c["handler"]).__name__, "errors": list(c["errors"]), "actions": jsanitize(c["actions"])}
        for c in made
        if not isinstance(c["handler"], (StopInTime, EndInTime))
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep custodian from telling on standard error what is told in the label or in the quarantine."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
