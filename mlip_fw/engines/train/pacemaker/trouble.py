"""What an attempt of pacemaker left, and what went wrong with it."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

from pyace import BBasisConfiguration

from mlip_fw.engines.train.pacemaker.form import read_form
from mlip_fw.engines.train.pacemaker.metrics import METRICS, read_metrics
from mlip_fw.runtime.subprocesses import CommandResult
from mlip_fw.runtime.supervised_run import Failure

LOG, OUTPUT = "log.txt", "output_potential.yaml"
_INTERIM = "interim_potential_0.yaml"
_SIGKILL = 9
_MAX_GROWTH = 1.5
"""A loss that has grown by more than this factor has diverged; BFGS and L-BFGS only lower it."""


class FitTrouble(StrEnum):
    """Kinds of failure of pacemaker; each has one repair, or none."""

    OUT_OF_TIME = "the worker's walltime is over"
    NOT_INSTALLED = "TensorFlow, or something else that pacemaker needs, is not installed beside it"
    NUMPY = "its NumPy is too new for tensorpotential"
    MEMORY = "out of memory"
    DISK = "no space left"
    NAN = "the loss is not a number"
    DIVERGED = "the loss grew"
    CRASHED = "pacemaker crashed"
    INCOMPLETE = "pacemaker left no whole potential and table of metrics"


_SAID = (
    (FitTrouble.NOT_INSTALLED, r"No module named '"),
    (FitTrouble.NUMPY, r"only 0-dimensional arrays can be converted"),
    (FitTrouble.DISK, r"No space left on device|[Dd]isk quota exceeded"),
    (
        FitTrouble.MEMORY,
        r"ResourceExhausted|MemoryError|bad_alloc|Cannot allocate memory|No further batch size reduction|OOM when",
    ),
)


def diagnose(ended: CommandResult, folder: Path, words: str) -> Failure | None:
    """Return what went wrong with the attempt in ``folder``, or None for a fit that can be used."""
    if ended.timed_out:
        return Failure(FitTrouble.OUT_OF_TIME, f"stopped after {ended.seconds:.0f} s")
    metrics = read_metrics(folder)
    if metrics and not metrics[-1].finite:
        return Failure(FitTrouble.NAN, f"at step {metrics[-1].iteration}")
    if ended.exit_code:
        return _by_words(words) or _by_exit_code(ended.exit_code, words)
    if finished_potential(folder) is None or not metrics:
        return Failure(FitTrouble.INCOMPLETE, _last_line(words))
    if metrics[-1].loss > _MAX_GROWTH * metrics[0].loss:
        return Failure(FitTrouble.DIVERGED, f"from {metrics[0].loss:.3g} to {metrics[-1].loss:.3g}")
    return None


def _by_words(words: str) -> Failure | None:
    for trouble, pattern in _SAID:
        if match := re.search(f".*(?:{pattern}).*", words):
            return Failure(trouble, match.group(0).strip())
    return None


def _by_exit_code(exit_code: int, words: str) -> Failure:
    if exit_code in (-_SIGKILL, 128 + _SIGKILL):
        return Failure(FitTrouble.MEMORY, "killed from outside, as the kernel does when memory runs out")
    return Failure(FitTrouble.CRASHED, f"exit code {exit_code}: {_last_line(words)}")


def _last_line(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def finished_potential(folder: Path) -> BBasisConfiguration | None:
    """Return the potential of a fit that came to its end, or None."""
    return read_form(folder / OUTPUT)


def interim_potential(folder: Path) -> BBasisConfiguration | None:
    """Return the potential of the last step of a fit that did not, or None if there is no whole one."""
    return read_form(folder / _INTERIM)


def put_away(folder: Path) -> None:
    """Keep the table of an earlier attempt under another name, and remove its potentials: nothing stale is believed."""
    for name in (OUTPUT, "interim_potential_best_cycle.yaml", "target_potential.yaml"):
        (folder / name).unlink(missing_ok=True)
    for path in folder.glob("interim_potential_*.yaml"):
        path.unlink()
    if (folder / METRICS).exists():
        number = 1 + len(list(folder.glob(f"attempt_*_{METRICS}")))
        (folder / METRICS).rename(folder / f"attempt_{number}_{METRICS}")
