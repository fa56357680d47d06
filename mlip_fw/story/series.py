"""Files that grow line by line while a program writes them: what they hold, and what in them is no such line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlip_fw.engines.train.pacemaker.metrics import Metrics, read_metrics
from mlip_fw.errors import DirectoryError
from mlip_fw.io.events import read_event
from mlip_fw.io.lammps import read_gamma_log

_BEGUN_GAMMA = re.compile(r"(#.*|[-+.\d\seEnaif]*)")
_BEGUN_EVENT = re.compile(r"(\{[^\0\ufffd]*)?")


@dataclass(frozen=True)
class JournalFile:
    """Events of one file, each with its line."""

    events: list[tuple[str, dict[str, Any]]]
    trouble: str | None
    """Which line holds none, if one does."""


@dataclass(frozen=True)
class GammaFile:
    """Gamma along one MD run."""

    rows: np.ndarray
    """(n, 2) step and largest extrapolation grade."""
    trouble: str | None
    """Which line holds neither, if one does."""


def read_journal(path: Path) -> JournalFile:
    """Read a journal; a last line without its end is being written."""
    events, damaged = [], []
    *lines, begun = path.read_text(errors="replace").split("\n")
    for number, line in enumerate(lines, start=1):
        event = read_event(line)
        if event is not None:
            events.append((line, event))
        elif line.strip():
            damaged.append(number)
    if not _BEGUN_EVENT.fullmatch(begun):
        damaged.append(len(lines) + 1)
    return JournalFile(events, f"line {damaged[0]}: no event" if damaged else None)


def read_gamma(path: Path) -> GammaFile:
    """Read what LAMMPS logs of gamma; a last line without its end is being written."""
    rows = read_gamma_log(path)
    *lines, begun = path.read_text(errors="replace").split("\n")
    damaged = _no_gamma(lines, len(rows))
    if damaged is None and not _BEGUN_GAMMA.fullmatch(begun):
        damaged = len(lines) + 1
    return GammaFile(rows, f"line {damaged}: no step and γ" if damaged is not None else None)


def read_steps(path: Path) -> list[Metrics]:
    """Read pacemaker's table of metrics.

    Raises
    ------
    DirectoryError
        If it has lines and none is a step.
    """
    steps, text = read_metrics(path.parent), path.read_text()
    if not steps and (text.count("\n") > 2 or "\0" in text):
        raise DirectoryError("none of its lines is a step of pacemaker")
    return steps


def _no_gamma(lines: list[str], n_rows: int) -> int | None:
    """Return the number of the first whole line that is neither a comment nor a step with its gamma."""
    others = [number for number, line in enumerate(lines, start=1) if not line.strip() or line.startswith("#")]
    if len(lines) == n_rows + len(others):
        return None
    numbers = sorted({*range(1, len(lines) + 1)} - {*others})
    return next((number for number in numbers if not _is_entry(lines[number - 1])), None)


def _is_entry(line: str) -> bool:
    try:
        step, gamma = line.split()
        return int(step) >= 0 and isinstance(float(gamma), float)
    except ValueError:
        return False
