"""Why a fit ended without a potential, told from pacemaker's own words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mlip_fw.engines.process import Ended
from mlip_fw.engines.train.pacemaker.metrics import read_metrics
from mlip_fw.engines.train.pacemaker.output import finished_potential

_SIGKILL = 9
_MOST_GROWTH = 1.5
"""A loss that has grown by more than this factor has diverged; BFGS and L-BFGS only lower it."""


class Trouble(StrEnum):
    """What can go wrong with a fit."""

    OUT_OF_TIME = "the worker's walltime is over"
    NOT_INSTALLED = "TensorFlow, or something else that pacemaker needs, is not installed beside it"
    NUMPY = "its NumPy is too new for tensorpotential"
    MEMORY = "out of memory"
    DISK = "no space left"
    NAN = "the loss is not a number"
    DIVERGED = "the loss grew"
    CRASHED = "pacemaker crashed"
    INCOMPLETE = "pacemaker left no whole potential and table of metrics"


@dataclass(frozen=True)
class Found:
    """A failure and the words that gave it away."""

    trouble: Trouble
    said: str


_SAID = (
    (Trouble.NOT_INSTALLED, r"No module named '"),
    (Trouble.NUMPY, r"only 0-dimensional arrays can be converted"),
    (Trouble.DISK, r"No space left on device|[Dd]isk quota exceeded"),
    (
        Trouble.MEMORY,
        r"ResourceExhausted|MemoryError|bad_alloc|Cannot allocate memory|No further batch size reduction|OOM when",
    ),
)


def diagnose(ended: Ended, folder: Path, words: str) -> Found | None:
    """Return what went wrong with the attempt in ``folder``, or None for a fit that can be used."""
    if ended.timed_out:
        return Found(Trouble.OUT_OF_TIME, f"stopped after {ended.seconds:.0f} s")
    metrics = read_metrics(folder)
    if metrics and not metrics[-1].finite:
        return Found(Trouble.NAN, f"at step {metrics[-1].iteration}")
    if ended.exit_code:
        return _said(words) or _by_exit_code(ended.exit_code, words)
    if finished_potential(folder) is None or not metrics:
        return Found(Trouble.INCOMPLETE, _last_line(words))
    if metrics[-1].loss > _MOST_GROWTH * metrics[0].loss:
        return Found(Trouble.DIVERGED, f"from {metrics[0].loss:.3g} to {metrics[-1].loss:.3g}")
    return None


def _said(words: str) -> Found | None:
    for trouble, pattern in _SAID:
        if match := re.search(f".*(?:{pattern}).*", words):
            return Found(trouble, match.group(0).strip())
    return None


def _by_exit_code(exit_code: int, words: str) -> Found:
    if exit_code in (-_SIGKILL, 128 + _SIGKILL):
        return Found(Trouble.MEMORY, "killed from outside, as the kernel does when memory runs out")
    return Found(Trouble.CRASHED, f"exit code {exit_code}: {_last_line(words)}")


def _last_line(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
