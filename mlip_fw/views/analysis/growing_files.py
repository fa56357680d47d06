"""Tables that grow line by line while LAMMPS or pacemaker writes them, and which of their lines are damaged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlip_fw.engines.train.pacemaker.metrics import Metrics, read_metrics
from mlip_fw.errors import DirectoryError
from mlip_fw.io.lammps import read_gamma_log

_INCOMPLETE_GAMMA = re.compile(r"(#.*|[-+.\d\seEnaif]*)")
"""What the last line may hold while it is being written."""


@dataclass(frozen=True)
class GammaFile:
    """Gamma along one MD run."""

    rows: np.ndarray
    """(n, 2) step and largest extrapolation grade of any atom."""
    problem: str | None
    """Which line holds neither a comment nor a step with its gamma, if one does not."""


def read_gamma(path: Path) -> GammaFile:
    """Read what LAMMPS logs of gamma; a last line without its newline is still being written and is left out."""
    rows = read_gamma_log(path)
    *lines, incomplete = path.read_text(errors="replace").split("\n")
    damaged = _first_damaged(lines, len(rows))
    if damaged is None and not _INCOMPLETE_GAMMA.fullmatch(incomplete):
        damaged = len(lines) + 1
    return GammaFile(rows, f"line {damaged}: no step and γ" if damaged is not None else None)


def read_pacemaker_steps(path: Path) -> list[Metrics]:
    """Read pacemaker's table of metrics.

    Raises
    ------
    DirectoryError
        If it has lines, but none that is a step.
    """
    steps, text = read_metrics(path.parent), path.read_text()
    if not steps and (text.count("\n") > 2 or "\0" in text):
        raise DirectoryError("none of its lines is a step of pacemaker")
    return steps


def _first_damaged(lines: list[str], n_rows: int) -> int | None:
    """Return the number, from 1, of the first whole line that is neither a comment nor a step with its gamma."""
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
