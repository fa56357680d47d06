"""Durations, shares and counts as text, and the names of the parts of the work, the same in all views."""

from __future__ import annotations

import math

WORK = {
    "md": "MD",
    "candidates": "candidates",
    "label": "labels",
    "train": "training",
    "validation": "validation",
}
"""Names of the parts of the work, by their keys in :class:`mlip_fw.views.analysis.costs.Costs`."""
PARTS = {**WORK, "waiting": "waiting"}
"""Names of all parts of the wall time."""
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
_MIN_S = 0.0005


def duration(seconds: float | None) -> str:
    """Return a duration with units that suit its size.

    Examples
    --------
    >>> duration(0.0689), duration(3.21), duration(75), duration(7300), duration(200000)
    ('0.069 s', '3.2 s', '1 min 15 s', '2 h 1 min', '2 d 7 h')
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return _seconds(seconds)
    smaller = (1.0, "s")
    for (size, unit), below in zip(_UNITS, (*_UNITS[1:], smaller), strict=True):
        if seconds >= size:
            rest = int(seconds % size // below[0])
            return f"{int(seconds // size)} {unit}" + (f" {rest} {below[1]}" if rest else "")
    return "–"


def percent(share: float) -> str:
    """Return a fraction as a rounded percentage."""
    return "under 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def milli(value: float, digits: int = 1) -> str:
    """Return 1000 times a value (eV as meV) with ``digits`` decimals; a small value keeps two significant digits."""
    return f"{1000 * value:.{digits}f}" if 1000 * value >= 10.0**-digits else f"{1000 * value:.2g}"


def counted(number: int, what: str) -> str:
    """Return a number of things, as ``1 halt`` or ``1,200 halts``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _seconds(seconds: float) -> str:
    if abs(seconds) < _MIN_S:
        return "0 s"
    return f"{seconds:.2g} s" if seconds < 0.95 else f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
