"""Times, shares and parts of the work as everything that shows a campaign says them."""

from __future__ import annotations

import math

WORK = {
    "md": "MD",
    "candidates": "candidates",
    "label": "labels",
    "train": "training",
    "validation": "validation",
}
"""Names of the parts of the work."""
PARTS = {**WORK, "waiting": "waiting"}
"""Names of the parts of the ledger."""
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
_LEAST_S = 0.0005


def duration(seconds: float | None) -> str:
    """Return a time that something took.

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
    """Return a share as people say it."""
    return "under 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def milli(value: float, digits: int = 1) -> str:
    """Return eV in meV, or eV/Å in meV/Å, with so many digits behind the point; a small one keeps two digits."""
    return f"{1000 * value:.{digits}f}" if 1000 * value >= 10.0**-digits else f"{1000 * value:.2g}"


def counted(number: int, what: str) -> str:
    """Return a number of things."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _seconds(seconds: float) -> str:
    if abs(seconds) < _LEAST_S:
        return "0 s"
    return f"{seconds:.2g} s" if seconds < 0.95 else f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
